import type { Answer } from './answer.ts';
import type { Entry } from './collection.ts';
import type { Ledger } from './ledger.ts';
import type { Written } from './operation.ts';

/** A field that a source refuses, and what it takes instead. */
export type FieldProblem = { readonly field: string; readonly expected: string };
export type ParsedWrite<Draft> =
  | { readonly ok: true; readonly draft: Draft }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

/** What a source makes of the bodies of writes: it checks, trims, rounds. */
export type WriteRules<Record, Draft> = {
  readonly create: ((body: unknown) => ParsedWrite<Draft>) | null;
  readonly update: ((body: unknown, record: Record) => ParsedWrite<Draft>) | null;
  readonly canDelete: boolean;
};

export const METHOD_NOT_ALLOWED: Answer = { status: 405, body: { error: 'method_not_allowed' } };
export const NOT_FOUND: Answer = { status: 404, body: { error: 'not_found' } };
const PRECONDITION_FAILED: Answer = { status: 412, body: { error: 'precondition_failed' } };
/** Stamped and not yet visible: two changes of one record do not overlap. */
const BUSY: Answer = { status: 409, body: { error: 'busy' } };

export const entityTagOf = ({ at, revision }: Entry<unknown>): string => `"${revision}-${at}"`;

/** How the answer to a write shows the record. */
export type ShowWritten<Record> = (entry: Entry<Record>, status: 200 | 201) => Answer;
type Rules<Record, Draft> = WriteRules<Record, Draft> & { readonly show: ShowWritten<Record> };

export function writeNew<Record extends Draft, Draft>(
  ledger: Ledger<Record, Draft>,
  { create, show }: Rules<Record, Draft>,
  body: unknown,
): Written {
  if (create === null) return refused(METHOD_NOT_ALLOWED);
  const parsed = create(body);
  if (!parsed.ok) return refused(invalid(parsed.problems));
  const id = ledger.form.idOf(parsed.draft);
  ledger.prepareCreate(parsed.draft)();
  return shown(ledger, id, (entry) => show(entry, 201));
}

/** `isExpected`: what the request's `If-Match` says of the record as it is. */
export function writeChange<Record extends Draft, Draft>(
  ledger: Ledger<Record, Draft>,
  { update, show }: Rules<Record, Draft>,
  request: { readonly id: string; readonly body: unknown; readonly isExpected: (entry: Entry<Record>) => boolean },
): Written {
  if (update === null) return refused(METHOD_NOT_ALLOWED);
  const { id } = request;
  const entry = ledger.records.get(id);
  if (entry === undefined || ledger.isMarked(id)) return refused(NOT_FOUND);
  if (!request.isExpected(entry)) return refused(PRECONDITION_FAILED);
  const parsed = update(request.body, entry.record);
  if (!parsed.ok) return refused(invalid(parsed.problems));
  const commit = ledger.prepareUpdate(id, () => parsed.draft);
  if (commit === null) return refused(BUSY);
  commit();
  return shown(ledger, id, (now) => show(now, 200));
}

/** As `writeChange`. */
export function writeRemoval<Record extends Draft, Draft>(
  ledger: Ledger<Record, Draft>,
  { canDelete }: Pick<Rules<Record, Draft>, 'canDelete'>,
  { id, isExpected }: { readonly id: string; readonly isExpected: (entry: Entry<Record>) => boolean },
): Written {
  if (!canDelete) return refused(METHOD_NOT_ALLOWED);
  const entry = ledger.records.get(id);
  if (entry === undefined || ledger.isMarked(id)) return refused(NOT_FOUND);
  if (!isExpected(entry)) return refused(PRECONDITION_FAILED);
  return ledger.remove(id) ? { answer: { status: 204 }, id } : refused(BUSY);
}

const refused = (answer: Answer): Written => ({ answer, id: null });

const invalid = (problems: readonly FieldProblem[]): Answer => ({ status: 422, body: { error: 'invalid', problems } });

function shown<Record extends Draft, Draft>(
  ledger: Ledger<Record, Draft>,
  id: string,
  show: (entry: Entry<Record>) => Answer,
): Written {
  const entry = ledger.records.get(id);
  return { answer: entry === undefined ? NOT_FOUND : show(entry), id };
}
