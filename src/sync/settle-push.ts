import type { Sighted } from '../model/apply.ts';
import { type ChangeToken, TOKEN_TTL_MS } from '../model/change-token.ts';
import { addMs } from '../model/instant.ts';
import type { Content, Observation } from '../model/observation.ts';
import type { HeldPush } from '../model/push.ts';
import { blankState, type RecordState } from '../model/record-state.ts';
import { sanitiseState } from './decide.ts';
import { LeaseLostError } from './failures.ts';
import { keyOf } from './fold.ts';
import { type Held, keyIn, landMerge, lookOf, note } from './land-merge.ts';
import { linkCreate } from './link-create.ts';
import { lookAgain, wantRead } from './look-again.ts';
import { isSame } from './merge.ts';
import { decideOrder } from './order.ts';
import { planRecord } from './plan-record.ts';
import type { PushDeps, TwoWayStream } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';

/** The end of a push, with what the source shows of its record. */
export type Settlement = {
  readonly push: HeldPush;
  readonly sighted: Sighted;
  /** What is seen may be old: the record is read again, too. */
  readonly isReread: boolean;
};

/**
 * Ends a push that the source has carried out, in one transaction: base, row, shadow, token and push agree. Where the row
 * was edited again meanwhile, that is still to be pushed. Throws `LeaseLostError` when another worker has it by now, and
 * whatever the database refuses.
 */
export async function settlePush(deps: PushDeps, settlement: Settlement): Promise<void> {
  await deps.store.transaction(async (tx) => {
    const { seen } = settlement.sighted;
    const states = await tx.lockStates([seen.externalId]);
    const state = sanitiseState(states.get(seen.externalId) ?? blankState(seen.externalId), await tx.now());
    const keys = new Set([settlement.push.targetKey, ...(state.status === 'live' ? [keyOf(state)] : [])]);
    if (seen.content !== null) keys.add(keyIn(deps.stream, seen.externalId, seen.content));
    const rows = await tx.lockRows([...keys].sort());
    const push = await tx.lockHeld(settlement.push);
    if (push === null) throw new LeaseLostError('The push was taken over');
    const held: Held = { push, seen, state, rows };
    if (push.op === 'create') await linkCreate(tx, deps.stream, held);
    else await settleKnown(tx, deps.stream, held);
    await confirmToken(tx, push, seen);
    await tx.finishPush(push, { to: 'done' });
    if (settlement.isReread) await wantRead(tx, seen.externalId);
  });
  if (settlement.isReread) deps.wakeHints();
}

async function settleKnown(tx: RecordTx, stream: TwoWayStream, held: Held): Promise<void> {
  const { push, seen, state, rows } = held;
  const row = rows.get(push.targetKey) ?? null;
  const isOvertaken = state.status !== 'live' || decideOrder(seen, state, stream.caps) === 'older';
  if (isOvertaken || (seen.content === null && push.op !== 'delete')) {
    await wantRead(tx, seen.externalId);
    if (row !== null || push.op === 'delete') await lookAgain(tx, lookOf(held, push.targetKey));
    return await note(tx, held, state, 'overtaken');
  }
  if (seen.content === null) return await bury(tx, stream, held, row);
  await landMerge(tx, stream, held, { at: push.targetKey, row, content: seen.content });
}

/** The record is gone, as it should be. A row that was put in its place since is a new record. */
async function bury(tx: RecordTx, stream: TwoWayStream, held: Held, row: Content | null): Promise<void> {
  const { push, seen, state } = held;
  const next: RecordState = {
    ...state,
    status: 'tombstone',
    base: null,
    baseHash: null,
    shadow: null,
    etag: null,
    lo: seen.lo,
    hi: seen.hi,
    tombVersion: seen.version,
    isTombSoft: false,
    isTombUnversioned: seen.version === null,
    appliedSeq: state.appliedSeq + 1,
    regressSeenAt: null,
  };
  await tx.dropParked([push.targetKey]);
  if (row !== null && push.carries === 'request') return await removeWith(tx, stream, held, { next, row });
  await tx.saveStates([next]);
  if (row !== null) await lookAgain(tx, lookOf(held, push.targetKey));
  await note(tx, held, next, 'deleted');
}

/** The row goes with its record. One that was edited since the caller asked for that is as any other that was edited here, and deleted there. */
async function removeWith(
  tx: RecordTx,
  { twoWay, target }: TwoWayStream,
  held: Held,
  { next, row }: { readonly next: RecordState; readonly row: Content },
): Promise<void> {
  const { push, state } = held;
  const isEdited = Object.entries(row).some(([property, value]) => !isSame(value, push.snapshot?.[property]));
  const plan = planRecord({
    twoWay,
    properties: isEdited ? target.contentProperties : [],
    before: state,
    next,
    content: null,
    row: { key: push.targetKey, content: row },
    open: null,
    remoteAt: null,
    localAt: null,
    choice: null,
  });
  if (plan.write.kind === 'remove') await tx.removeRows([push.targetKey]);
  await tx.saveStates([plan.stateOf(null)]);
  await tx.recordConflicts(plan.conflicts);
  if (plan.pushes !== null) await lookAgain(tx, lookOf(held, plan.pushes));
  await note(tx, held, next, 'deleted');
}

async function confirmToken(tx: RecordTx, push: HeldPush, seen: Observation): Promise<void> {
  const token = push.tokenId === null ? null : await tx.readToken(push.tokenId);
  if (token === null) return;
  const confirmed: ChangeToken = {
    ...token,
    state: 'confirmed',
    externalId: seen.externalId,
    resultHash: seen.hash,
    resultVersion: seen.version,
    resultEtag: seen.etag,
    expiresAt: addMs(await tx.now(), TOKEN_TTL_MS),
  };
  await tx.saveToken(confirmed);
}
