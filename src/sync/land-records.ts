import { isEffective, type Outcome, type Sighted } from '../model/apply.ts';
import type { Conflict } from '../model/conflict.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import type { PushWish } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { HistoryEntry } from '../store/record-history.ts';
import { type Folded, type FoldStream, historyEntry, keyOf } from './fold.ts';
import { brakeRemovals } from './mass-delete.ts';
import { isSame, isWhole } from './merge.ts';
import { planRecord, type RecordPlan } from './plan-record.ts';
import type { RecordTx } from './record-store.ts';
import type { TwoWay } from './two-way.ts';

/** A record, decided under its lock: what it was, and what its sightings make of it. */
export type Landing = { readonly folded: Folded; readonly before: RecordState };

type LandStream = FoldStream & { readonly twoWay: TwoWay };
type Row = { readonly key: string; readonly content: Content };
type Planned = Landing & {
  readonly row: Row | null;
  readonly open: Conflict | null;
  readonly editedAt: Instant | null;
  readonly plan: RecordPlan;
};

/**
 * Brings decided records into their rows, each merged with what was edited here, and stores their states as the rows were
 * read back. The states' locks are held; those of the rows are taken here. @returns what is to be told of each record.
 */
export async function landRecords(
  tx: RecordTx,
  stream: LandStream,
  landings: readonly Landing[],
  now: Instant,
): Promise<Folded[]> {
  const touching = landings.filter((landing) => touchesRow(stream, landing));
  const planned = touching.length === 0 ? [] : await planAll(tx, stream, touching);
  const stored = await writeAll(tx, planned);
  const isPlanned = new Set(planned.map(({ folded }) => folded));
  const mere = landings.filter(({ folded }) => !isPlanned.has(folded));
  await tx.saveStates([
    ...mere.flatMap(({ folded }) => folded.state ?? []),
    ...planned.map(({ plan }) => plan.stateOf(stored.get(plan) ?? null)),
  ]);
  await settleConflicts(tx, planned);
  await settlePushes(tx, stream, planned, now);
  return [...mere.map(({ folded }) => folded), ...planned.map(told)];
}

/** The row changes, or it is not known yet how the target stored what the record already was. */
const touchesRow = ({ target }: LandStream, { folded, before }: Landing): boolean =>
  folded.effect !== null ||
  (before.status === 'live' && folded.last === 'noop' && !isWhole(before, target.contentProperties));

async function planAll(tx: RecordTx, stream: LandStream, landings: readonly Landing[]): Promise<Planned[]> {
  const { twoWay } = stream;
  const keys = [...new Set(landings.flatMap(({ folded, before }) => [keyOf(before), keyOf(folded.state ?? before)]))];
  const rows = await tx.lockRows(keys);
  const conflicts = await tx.openConflicts(keys);
  const edits = await editsOf(tx, twoWay, keys);
  return landings.flatMap((landing) => planLanding(stream, landing, { rows, conflicts, edits }) ?? []);
}

/** When these rows were last edited, where that decides anything. */
export async function editsOf(
  tx: RecordTx,
  { comparesTimes, recordPolicy }: Pick<TwoWay, 'comparesTimes' | 'recordPolicy'>,
  keys: readonly string[],
): Promise<ReadonlyMap<string, Instant>> {
  return comparesTimes || recordPolicy === 'newest_wins' ? await tx.lastEditsOf(keys) : new Map();
}

/** What stands in the table and beside it, by key. */
type Surroundings = {
  readonly rows: ReadonlyMap<string, Content>;
  readonly conflicts: ReadonlyMap<string, Conflict>;
  readonly edits: ReadonlyMap<string, Instant>;
};

/** Plans one record. Pure; null where there is nothing to do about its row. */
export function planLanding(
  stream: LandStream,
  landing: Landing,
  { rows, conflicts, edits }: Surroundings,
): Planned | null {
  const { folded } = landing;
  const open = conflicts.get(keyOf(landing.before)) ?? null;
  const next = folded.state ?? landing.before;
  const row = rowOf(rows, landing.before, open, keyOf(next));
  const before = linked(stream, landing.before, row);
  const content = folded.effect?.kind === 'delete' ? null : (folded.effect?.content ?? folded.content);
  if (folded.effect === null && row === null && !isFirstRow(stream, before)) return null;
  const editedAt = edits.get(row?.key ?? keyOf(before)) ?? null;
  const plan = planRecord({
    ...{ twoWay: stream.twoWay, before, content, row, open, properties: stream.target.contentProperties },
    next: { ...next, base: content, shadow: before.shadow },
    remoteAt: stampOf(stream, next.status === 'tombstone' ? next.tombVersion : next.version),
    localAt: editedAt,
    choice: null,
  });
  return { ...landing, row, open, editedAt, plan };
}

/** A record lives in the row of its key. One that has none yet, or lost its row here, may find one under its new key. */
function rowOf(
  rows: ReadonlyMap<string, Content>,
  before: RecordState,
  open: Conflict | null,
  newKey: string,
): Row | null {
  const isHeld = before.status === 'live' || open !== null;
  const heldKey = keyOf(before);
  const held = isHeld ? rows.get(heldKey) : undefined;
  if (held !== undefined) return { key: heldKey, content: held };
  const found = rows.get(newKey);
  return found === undefined ? null : { key: newKey, content: found };
}

/**
 * There is nothing new at the source, and no row to link: whether one was removed here the audit finds out. But a record from
 * before its rows were edited here, of which none was stored since, gets its row.
 */
const isFirstRow = ({ twoWay }: LandStream, { base, shadow }: RecordState): boolean =>
  base === null && shadow === null && twoWay.localDeletes !== 'detach';

/** A record from before its rows were edited here: where the row is just what its source said, that is what was stored. */
function linked({ mapper }: LandStream, before: RecordState, row: Row | null): RecordState {
  if (before.status !== 'live' || before.shadow !== null || row === null) return before;
  if (mapper.hashOf(row.content) !== before.baseHash) return before;
  return { ...before, base: row.content, shadow: row.content };
}

/** When the source changed the record, where its version tells. */
export const stampOf = ({ caps }: Pick<FoldStream, 'caps'>, version: bigint | null): Instant | null =>
  caps.versionKind === 'timestamp' && version !== null ? Number(version) : null;

/** @returns the rows that were written, as they were stored; none where a trigger of the user's kept one out. */
async function writeAll(tx: RecordTx, planned: readonly Planned[]): Promise<Map<RecordPlan, Content>> {
  const stored = new Map<RecordPlan, Content>();
  const puts: { plan: RecordPlan; content: Content; key: string }[] = [];
  await tx.removeRows(planned.flatMap(({ plan: { write } }) => (write.kind === 'remove' ? [write.key] : [])));
  for (const { plan, folded, before } of planned) {
    const { write } = plan;
    if (write.kind === 'rekey') {
      const row = await tx.rekeyRow(write.from, write.content);
      if (row !== null) stored.set(plan, row);
    }
    if (write.kind === 'put') puts.push({ plan, content: write.content, key: keyOf(folded.state ?? before) });
  }
  const rows = await tx.writeRows(puts.map(({ content }) => content));
  for (const { plan, key } of puts) {
    const row = rows.get(key);
    if (row !== undefined) stored.set(plan, row);
  }
  return stored;
}

/** An open conflict stays open only where its record is parked again; that brings it up to date. */
async function settleConflicts(tx: RecordTx, planned: readonly Planned[]): Promise<void> {
  for (const { open, plan } of planned) {
    const stays = plan.conflicts.some(({ outcome, targetKey }) => outcome === null && targetKey === open?.targetKey);
    if (open !== null && !stays) await tx.closeConflict(open.id, 'superseded', 'source');
  }
  await tx.recordConflicts(planned.flatMap(({ plan }) => plan.conflicts));
}

async function settlePushes(
  tx: RecordTx,
  stream: LandStream,
  planned: readonly Planned[],
  now: Instant,
): Promise<void> {
  const wishes: PushWish[] = [];
  const over: string[] = [];
  for (const { plan, folded, before, row, editedAt } of planned) {
    const { pushes, result } = plan;
    if (pushes !== null) {
      const externalId = folded.effect?.kind === 'delete' ? null : folded.externalId;
      const runAt = addMs(now, stream.twoWay.debounceMs);
      const isRemoval = result === 'kept' && row === null;
      wishes.push({ targetKey: pushes, externalId, edits: 0, runAt, editedAt, isRemoval });
    } else if (result === 'applied' && before.status === 'live') {
      over.push(row?.key ?? keyOf(before));
    }
  }
  const removals = wishes.filter(({ isRemoval }) => isRemoval).length;
  await brakeRemovals(tx, { stream }, { count: removals, found: 'met' });
  if (wishes.length > 0) await tx.ensurePushes(wishes);
  if (over.length === 0) return;
  await tx.dropPushes(over);
  await tx.dropParked(over);
}

/** What became of the sightings, and what is told in the record's history. */
export function told({ folded, before, plan, row, open }: Planned): Folded {
  const last = [...folded.outcomes.keys()].at(-1);
  if (last === undefined) return folded;
  const after = folded.state ?? plan.stateOf(null);
  const kinds = [...new Set(plan.conflicts.map(({ kind }) => kind))];
  const conflicts = kinds.map((kind) => historyEntry(last, after, 'conflict', kind));
  if (folded.effect === null) return linkedNow(folded, { plan, row, last, conflicts });
  if (plan.result === 'applied') {
    const isFound = before.status !== 'live' && open === null && row !== null;
    const outcomes = isFound ? relabelled(folded, linkOf(plan, row)) : folded.outcomes;
    return { ...folded, outcomes, history: [...folded.history, ...conflicts] };
  }
  // It is accepted as what the source says, and the row is left as it is.
  const history = folded.history.filter(({ appliedSeq }) => appliedSeq === null);
  return { ...folded, outcomes: relabelled(folded, { kind: 'conflict' }), history: [...history, ...conflicts] };
}

/** Another word for what was effective. */
const relabelled = ({ outcomes }: Folded, label: Outcome): Map<Sighted, Outcome> =>
  new Map([...outcomes].map(([sighted, outcome]) => [sighted, isEffective(outcome) ? label : outcome]));

const linkOf = ({ write, conflicts }: RecordPlan, row: Row): Outcome => ({
  kind: 'link',
  differs: conflicts.length > 0 || (write.kind === 'put' && !isSame(write.content, row.content)),
});

/** Nothing was new at the source: what differed here was a row from before the record was known. */
function linkedNow(
  folded: Folded,
  { plan, row, last, conflicts }: Pick<Planned, 'plan' | 'row'> & { last: Sighted; conflicts: HistoryEntry[] },
): Folded {
  const { write } = plan;
  if (write.kind === 'nothing' || write.kind === 'remove' || isSame(write.content, row?.content)) {
    return { ...folded, history: [...folded.history, ...conflicts] };
  }
  const outcomes = new Map([...folded.outcomes, [last, { kind: 'repair' } as const]]);
  return { ...folded, outcomes, history: [...folded.history, ...conflicts] };
}
