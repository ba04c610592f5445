import type { ConflictKind } from '../model/conflict.ts';
import type { Content } from '../model/observation.ts';
import type { Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import { keyOf } from './fold.ts';
import { pick } from './pick.ts';
import type { TwoWayStream } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';

/** What is written back, and the push that was to bring it. */
type TakenBack = { readonly state: RecordState; readonly push: Pick<Push, 'id' | 'targetKey'> };

/**
 * Takes edits of read-only properties back: the row holds there again what the source says, and what it held is kept as a
 * conflict, and told. The state's lock and the row's are held. @returns the row as it then is.
 */
export async function takeBack(
  tx: RecordTx,
  { state, push, row, properties }: TakenBack & { readonly row: Content; readonly properties: readonly string[] },
): Promise<Content> {
  const { shadow, base } = state;
  if (properties.length === 0 || shadow === null) return row;
  const targetKey = keyOf(state);
  const written = await tx.writeRows([{ ...row, ...pick(shadow, properties) }]);
  const stored = written.get(targetKey) ?? row;
  await tx.saveStates([{ ...state, shadow: { ...shadow, ...pick(stored, properties) } }]);
  await tx.recordConflicts([
    {
      externalId: state.externalId,
      targetKey,
      kind: 'both_changed',
      fields: properties,
      base: pick(shadow, properties),
      local: pick(row, properties),
      remote: pick(base ?? shadow, properties),
      remoteVersion: state.version,
      policy: 'source_wins',
      outcome: 'remote',
    },
  ]);
  await tell(tx, { state, push }, 'both_changed');
  return stored;
}

/** Writes a row again that was removed here, and keeps word of it, unless a trigger of the user's keeps it out. The state's lock is held. */
export async function restoreRow(
  tx: RecordTx,
  { twoWay }: TwoWayStream,
  { state, push, content }: TakenBack & { readonly content: Content },
): Promise<void> {
  const { targetKey } = push;
  const stored = (await tx.writeRows([content])).get(targetKey) ?? null;
  await tx.saveStates([{ ...state, shadow: stored }]);
  if (stored === null) return;
  await tx.recordConflicts([
    {
      externalId: state.externalId,
      targetKey,
      kind: 'deleted_here',
      fields: [],
      base: state.base,
      local: null,
      remote: state.base,
      remoteVersion: state.version,
      policy: twoWay.recordPolicy,
      outcome: 'remote',
    },
  ]);
  await tell(tx, { state, push }, 'deleted_here');
}

const tell = (tx: RecordTx, { state, push }: TakenBack, reason: ConflictKind): Promise<void> =>
  tx.appendHistory([
    {
      externalId: state.externalId,
      channel: 'push',
      origin: { kind: 'push', id: push.id },
      decision: 'conflict',
      reason,
      version: state.version,
      hash: state.baseHash,
      appliedSeq: null,
      correlationId: null,
    },
  ]);
