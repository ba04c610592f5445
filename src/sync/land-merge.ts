import type { Instant } from '../model/instant.ts';
import type { Content, Observation } from '../model/observation.ts';
import type { HeldPush } from '../model/push.ts';
import { blankState, type RecordState } from '../model/record-state.ts';
import { keyOf } from './fold.ts';
import { editsOf, stampOf } from './land-records.ts';
import { lookAgain } from './look-again.ts';
import { isSame, type Merged, mergeRecord, shadowAfter } from './merge.ts';
import { keptConflicts } from './merge-conflicts.ts';
import type { TwoWayStream } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';

/** Everything that is locked for a settlement. */
export type Held = {
  readonly push: HeldPush;
  readonly seen: Observation;
  readonly state: RecordState;
  readonly rows: ReadonlyMap<string, Content>;
};

/** Brings what the source answered into the row: in its own form what was sent, beside it what changed there or here. */
export async function landMerge(
  tx: RecordTx,
  stream: TwoWayStream,
  held: Held,
  { at, row, content }: { /** The row's key. */ at: string; row: Content | null; content: Content },
): Promise<void> {
  const { push, seen, state } = held;
  const { keyProperty } = stream.target;
  const isRequested = push.op === 'create' && push.carries === 'request';
  if (row === null && isRequested) {
    const stored = (await tx.writeRows([content])).get(String(content[keyProperty])) ?? null;
    const next = liveState(stream, held, { base: content, shadow: stored, isEffective: true });
    await tx.saveStates([next]);
    return await note(tx, held, next, null);
  }
  if (row === null) {
    const next = liveState(stream, held, {
      base: content,
      shadow: isNeverStored(state) ? null : content,
      isEffective: showsNews(held),
    });
    await tx.saveStates([next]);
    if (push.op === 'create' || push.carries === 'row') await lookAgain(tx, lookOf(held, keyOf(next)));
    return await note(tx, held, next, 'row_removed');
  }
  const editedAt = await lastEditOf(tx, stream, [at, String(content[keyProperty] ?? seen.externalId)]);
  const merged = mergeRecord({
    twoWay: stream.twoWay,
    properties: stream.target.contentProperties.filter((property) => property !== keyProperty || push.op !== 'create'),
    base: state.status === 'live' ? state.base : null,
    shadow: state.status === 'live' ? state.shadow : null,
    row,
    incoming: content,
    remoteAt: stampOf(stream, seen.version),
    localAt: editedAt,
    pushed: isRequested ? null : { snapshot: push.snapshot, patch: push.patch ?? {} },
    choice: null,
  });
  if (merged.kind === 'parked')
    return await openConflict(tx, stream, held, { at, row, content, fields: merged.properties });
  const wanted: Content = { ...merged.row, [keyProperty]: content[keyProperty] ?? null };
  const stored = await landRow(tx, at, String(wanted[keyProperty] ?? seen.externalId), wanted);
  const isEffective = showsNews(held) || !isSame(stored, row);
  const shadow = shadowAfter(merged, content, stored);
  const next = liveState(stream, held, { base: content, shadow, isEffective });
  await tx.saveStates([next]);
  await keepConflicts(tx, held, { at, row, content }, merged);
  const look = lookOf(held, keyOf(next));
  // What was captured under the key that the row had is known under its new one from here on only.
  if (merged.kept.size > 0) await lookAgain(tx, { ...look, editedAt: editedAt ?? look.editedAt });
  else await tx.dropParked([at, keyOf(next)]);
  await note(tx, held, next, isEffective ? null : 'unchanged');
}

/** When the row was last edited, under either of its keys; null where nobody asks or knows. */
async function lastEditOf(tx: RecordTx, { twoWay }: TwoWayStream, keys: readonly string[]): Promise<Instant | null> {
  const edits = [...(await editsOf(tx, twoWay, keys)).values()];
  return edits.length === 0 ? null : Math.max(...edits);
}

/** The source made nothing of what was sent: its record is the one that we hold, so the answer is a mere sighting of it. */
const showsNews = ({ seen, state }: Held): boolean =>
  state.status !== 'live' || seen.hash !== state.baseHash || seen.version !== state.version;

/** A trigger of the user's keeps its row out: it was not removed. */
const isNeverStored = ({ status, shadow }: RecordState): boolean => status === 'live' && shadow === null;

/** @returns the row as the table holds it. */
async function landRow(tx: RecordTx, from: string, to: string, content: Content): Promise<Content> {
  if (from !== to) return (await tx.rekeyRow(from, content)) ?? content;
  return (await tx.writeRows([content])).get(to) ?? content;
}

/** Key of the row that a record with this content lives in. */
export const keyIn = ({ target }: TwoWayStream, externalId: string, content: Content): string =>
  String(content[target.keyProperty] ?? externalId);

function liveState(
  stream: TwoWayStream,
  { state, seen }: Held,
  {
    base,
    shadow,
    isEffective,
  }: { readonly base: Content; readonly shadow: Content | null; readonly isEffective: boolean },
): RecordState {
  const targetKey = keyIn(stream, state.externalId, base);
  return {
    ...blankState(state.externalId),
    status: 'live',
    targetKey: stream.target.isKeyDirect && targetKey === state.externalId ? null : targetKey,
    baseHash: seen.hash,
    base,
    version: seen.version,
    etag: seen.etag,
    lo: seen.lo,
    hi: seen.hi,
    aliveAt: Math.max(state.aliveAt, seen.hi),
    appliedSeq: state.appliedSeq + (isEffective ? 1 : 0),
    shadow,
    localVersion: state.localVersion,
  };
}

/** A person decides. The row stays, and its record is stored as it was seen: nothing older is news from now on. */
async function openConflict(
  tx: RecordTx,
  stream: TwoWayStream,
  held: Held,
  { at, row, content, fields }: { at: string; row: Content; content: Content; fields: readonly string[] },
): Promise<void> {
  const { seen, state } = held;
  const { base, shadow, targetKey } = state;
  const next = { ...liveState(stream, held, { base: content, shadow, isEffective: false }), targetKey };
  await tx.saveStates([next]);
  await tx.recordConflicts([
    {
      externalId: seen.externalId,
      targetKey: at,
      kind: 'both_changed',
      fields,
      base,
      local: row,
      remote: content,
      remoteVersion: seen.version,
      policy: 'manual',
      outcome: null,
    },
  ]);
  await note(tx, held, next, 'conflict');
}

/** Values that were overwritten, or that stand against the source's: a conflict for each way it went. */
async function keepConflicts(
  tx: RecordTx,
  { push, seen, state }: Held,
  { at, row, content }: { at: string; row: Content; content: Content },
  { conflicts }: Extract<Merged, { kind: 'merged' }>,
): Promise<void> {
  // A caller's values were never in the row.
  const local = push.carries === 'request' && push.op === 'update' ? { ...row, ...push.patch } : row;
  const of = { externalId: seen.externalId, targetKey: at, remoteVersion: seen.version };
  const kept = keptConflicts(conflicts, of, { base: state.base, local, remote: content });
  if (kept.length > 0) await tx.recordConflicts(kept);
}

export async function note(
  tx: RecordTx,
  { push, seen }: Held,
  state: RecordState,
  reason: string | null,
): Promise<void> {
  const { externalId, version, hash, lo, hi } = seen;
  await tx.appendHistory([
    {
      externalId,
      channel: seen.channel,
      origin: { kind: 'push', id: push.id },
      decision: 'push',
      reason,
      version,
      hash,
      appliedSeq: reason === 'overtaken' || reason === 'unchanged' ? null : state.appliedSeq,
      correlationId: null,
    },
  ]);
  if (reason !== 'overtaken') await tx.supersede([{ externalId, version, lo, hi, isEffective: true }]);
}

/** The same row, to be looked at again; as a row without a record where the record is gone. */
export const lookOf = ({ push, seen }: Held, targetKey: string) => ({
  targetKey,
  externalId: seen.content === null ? null : seen.externalId,
  editedAt: push.editedAt,
  isRemoval: push.op === 'delete',
});
