import { failureKind, sqlState } from '../db/failure.ts';
import type { Content } from '../model/observation.ts';
import { findPlace, type IfMatch, isMatch, type Place, tagOf } from './edit-place.ts';
import type { EditForm, EditProblem, EditValues } from './edit-values.ts';
import { brakeRemovals } from './mass-delete.ts';
import { isSame } from './merge.ts';
import type { PushDeps } from './push-deps.ts';
import { refusedBy } from './quarantine.ts';
import type { RecordTx } from './record-store.ts';
import { tellOperator } from './tell-operator.ts';

export type EditDeps = Pick<PushDeps, 'stream' | 'store' | 'newId' | 'wakePushes' | 'log'>;

/** What became of an edit that a route asked for. Of all but `edited` nothing was written. */
export type Edited =
  /** Committed, with the push that brings it to the source. `id`: the record's, or the key of a row that has none yet. */
  | { readonly kind: 'edited'; readonly id: string; readonly pushId: string }
  /** The row holds all that already. */
  | { readonly kind: 'unchanged'; readonly id: string }
  | Refused;

export type Refused =
  | { readonly kind: 'no_record' }
  | { readonly kind: 'invalid'; readonly problems: readonly EditProblem[] }
  /** It is not as the caller knows it. */
  | { readonly kind: 'changed'; readonly tag: string }
  | { readonly kind: 'in_conflict'; readonly conflictId: string }
  /** What was asked for is not carried to the source. */
  | { readonly kind: 'not_supported'; readonly why: string }
  | { readonly kind: 'deletes_held' }
  /** A write of the record is on its way to the source, and what was asked for has to wait for its end. */
  | { readonly kind: 'in_flight' }
  | { readonly kind: 'key_taken' }
  /** The idempotency key stands for another request. */
  | { readonly kind: 'key_reused' }
  /** Somebody holds the row. */
  | { readonly kind: 'row_held' }
  /** The database refuses the row, by its rules. */
  | { readonly kind: 'row_refused'; readonly words: string };

/** Rolls the transaction back. */
class EditRefusedError extends Error {
  override readonly name = 'EditRefusedError';
  readonly refused: Refused;

  constructor(refused: Refused) {
    super(refused.kind);
    this.refused = refused;
  }
}

export const refuse = (refused: Refused): never => {
  throw new EditRefusedError(refused);
};

/** Runs an edit in one transaction, and tells its refusals, the database's among them. */
export async function inOneTransaction<T>(
  { store }: Pick<EditDeps, 'store'>,
  work: (tx: RecordTx) => Promise<T>,
): Promise<T | Refused> {
  try {
    return await store.transaction(work);
  } catch (error) {
    if (error instanceof EditRefusedError) return error.refused;
    const refused = refusedByDatabase(error);
    if (refused === null) throw error;
    return refused;
  }
}

/** Nothing of the database's own words is told: they quote values. */
function refusedByDatabase(error: unknown): Refused | null {
  const kind = failureKind(error);
  if (kind === 'lock_timeout' || kind === 'serialization') return { kind: 'row_held' };
  // A user's trigger may raise any code.
  const isOfRow = kind === 'data' || kind === 'constraint' || kind === 'foreign_key' || kind === 'other';
  const state = sqlState(error);
  if (!isOfRow || state === null) return null;
  return { kind: 'row_refused', words: `the database refused the row (SQLSTATE ${state}${refusedBy(error)})` };
}

export type EditOptions = {
  readonly form: Exclude<EditForm, 'create'>;
  readonly ifMatch: IfMatch | null;
  readonly correlationId: string;
};

/**
 * Edits a row for a caller: the row, its push and the record's history in one transaction. It is an edit like any other, only
 * that it need not be captured: the shadow and the base stay, so the row differs from them until the source has it.
 */
export async function editRecord(
  deps: EditDeps,
  id: string,
  edit: EditValues,
  { form, ifMatch, correlationId }: EditOptions,
): Promise<Edited> {
  const edited = await inOneTransaction(deps, async (tx): Promise<Edited> => {
    const place = await lockPlace(tx, deps, id, ifMatch);
    // A row without a record is sent by its create, as it is by then.
    if (place.state !== null && deps.stream.twoWay.writes.update === null)
      return refuse({ kind: 'not_supported', why: NO_UPDATE });
    if (form === 'whole') refuseOther(place.row, edit.repeated);
    if (Object.entries(edit.values).every(([property, value]) => isSame(place.row[property], value))) {
      return { kind: 'unchanged', id };
    }
    await tx.writeRows([{ ...place.row, ...edit.values }]);
    const pushId = await planPush(tx, deps, place, { isRemoval: false });
    // Of a row without a record nothing can be told yet.
    if (place.state !== null)
      await tellOperator(tx, place.state, { what: 'edit', decision: 'update', reason: null, correlationId });
    return { kind: 'edited', id, pushId };
  });
  if (edited.kind === 'edited') deps.wakePushes();
  return edited;
}

/**
 * Removes a row for a caller, and the record at the source by a push, where the stream carries removals there. Removals by
 * routes count as those by SQL do: the one that would be too many is refused, and holds the others back.
 */
export async function removeRecord(
  deps: EditDeps,
  id: string,
  { ifMatch, correlationId }: Pick<EditOptions, 'ifMatch' | 'correlationId'>,
): Promise<Edited> {
  const { twoWay } = deps.stream;
  const why = whyNotRemoved(twoWay);
  const removed = await inOneTransaction(deps, async (tx): Promise<Edited> => {
    const place = await lockPlace(tx, deps, id, ifMatch);
    if (place.state !== null) {
      if (why !== null) return refuse({ kind: 'not_supported', why });
      // Committed, so that the removals before this one are held back as well.
      if (twoWay.localDeletes === 'push' && (await brakeRemovals(tx, deps, { count: 1, found: 'told' })) !== 'free')
        return { kind: 'deletes_held' };
    } else if ((await tx.flightsIn([place.targetKey])).size > 0) return refuse({ kind: 'in_flight' });
    await tx.removeRows([place.targetKey]);
    const pushId = await planPush(tx, deps, place, { isRemoval: true });
    if (place.state !== null)
      await tellOperator(tx, place.state, { what: 'remove', decision: 'delete', reason: null, correlationId });
    return { kind: 'edited', id, pushId };
  });
  if (removed.kind === 'edited') deps.wakePushes();
  return removed;
}

export const NO_UPDATE = 'the definition says no `write.update` for it';
export const NO_CREATE = 'the definition says no `write.create` for it';

/** Why a record cannot be removed by a route; null where it can. */
export function whyNotRemoved({ localDeletes, writes }: EditDeps['stream']['twoWay']): string | null {
  if (localDeletes === 'restore') {
    return "rows that are removed here are restored from the source (the definition's `localDeletes`); delete the record there";
  }
  if (localDeletes === 'push' && writes.delete === null) return 'the definition says no `write.delete` for it';
  return null;
}

export async function lockPlace(
  tx: RecordTx,
  { stream }: Pick<EditDeps, 'stream'>,
  id: string,
  ifMatch: IfMatch | null,
): Promise<Place> {
  const place = await findPlace(tx, stream, id, 'locked');
  if (place === null) return refuse(ifMatch === null ? { kind: 'no_record' } : { kind: 'changed', tag: '' });
  const tag = tagOf(stream, place);
  if (!isMatch(tag, ifMatch)) return refuse({ kind: 'changed', tag });
  if (place.conflict !== null) return refuse({ kind: 'in_conflict', conflictId: place.conflict.id });
  return place;
}

/** What a caller cannot write it may send back, as it is. */
export function refuseOther(row: Content, repeated: Content): void {
  const other = Object.keys(repeated).filter((property) => !isSame(repeated[property], row[property]));
  if (other.length === 0) return;
  const expected = 'the value that it has, or to be left out: it is read-only';
  refuse({ kind: 'invalid', problems: other.map((field) => ({ field, expected, received: 'other' })) });
}

/** The row is looked at again, and one more edit of it counts. @returns the push's id. */
export async function planPush(
  tx: RecordTx,
  { stream }: Pick<EditDeps, 'stream'>,
  { state, targetKey }: Pick<Place, 'state' | 'targetKey'>,
  { isRemoval }: { readonly isRemoval: boolean },
): Promise<string> {
  if (state !== null) await tx.saveStates([{ ...state, localVersion: state.localVersion + 1 }]);
  const editedAt = await tx.now();
  const runAt = editedAt + stream.twoWay.debounceMs * 1000;
  const externalId = state?.externalId ?? null;
  const pushes = await tx.ensurePushes([{ targetKey, externalId, edits: 1, runAt, editedAt, isRemoval }]);
  const pushId = pushes.get(targetKey);
  if (pushId === undefined) throw new TypeError('No push was planned for the row');
  return pushId;
}
