import { type FailureKind, failureKind, isDatabaseAnswer, isRowFault } from '../db/failure.ts';
import { assertNever } from '../lib/assert-never.ts';
import type { ChangeToken } from '../model/change-token.ts';
import { addMs } from '../model/instant.ts';
import type { HeldPush, Order, Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { DeleteHold } from '../store/streams.ts';
import { type Claim, decideClaim } from './decide-claim.ts';
import { wantRead } from './look-again.ts';
import { brakeUncounted, readHold } from './mass-delete.ts';
import { LEASE_MARGIN_MS, PUSH_LEASE_MS, type PushDeps } from './push-deps.ts';
import { editedOf, makePushRequest } from './push-request.ts';
import type { RecordTx } from './record-store.ts';
import { restoreRow, takeBack } from './restore-rows.ts';
import { backoffMs } from './retry.ts';
import { fieldHashesOf } from './token-match.ts';

/** A push whose request is to be sent now, with its token. */
export type Claimed = { readonly push: HeldPush; readonly token: ChangeToken };
export type ClaimReport = { readonly calls: readonly Claimed[]; readonly looked: number; readonly parked: number };

/** Most pushes of a statement that touched every row have nothing to send: so many are looked at for each that may be sent. */
const LOOKED_PER_CALL = 8;

/**
 * Looks at due pushes until `limit` of them are to be sent, and at some times that many at most: what their rows hold now
 * decides. Those with something to send are held by lease, with the exact bytes of their request, before anything is sent.
 * Where the database refuses anything of one row, the others go on.
 */
export async function claimPushes(deps: PushDeps, limit: number, order: Order = 'oldest'): Promise<ClaimReport> {
  const due = await deps.store.transaction((tx) => tx.duePushes(limit * LOOKED_PER_CALL, order));
  if (due.length === 0) return { calls: [], looked: 0, parked: 0 };
  try {
    return await deps.store.transaction((tx) => claimAll(tx, deps, due, limit));
  } catch (error) {
    if (!isDatabaseAnswer(error)) throw error;
  }
  const reports: ClaimReport[] = [];
  for (const push of due.slice(0, limit)) reports.push(await claimAlone(deps, push));
  return {
    calls: reports.flatMap(({ calls }) => calls),
    looked: reports.length,
    parked: reports.reduce((sum, { parked }) => sum + parked, 0),
  };
}

async function claimAlone(deps: PushDeps, due: Push): Promise<ClaimReport> {
  try {
    return await deps.store.transaction((tx) => claimAll(tx, deps, [due], 1));
  } catch (error) {
    if (!isDatabaseAnswer(error)) throw error;
    const kind = failureKind(error);
    const isRefused = isRowFault(error) && kind !== 'lock_timeout';
    await deps.store.transaction(async (tx) => {
      const [push] = await tx.lockReady([due.id]);
      if (push === undefined) return;
      if (isRefused)
        return await park(tx, deps, push, 'cannot_settle', 'the table refuses the row as it would have to be');
      const { attempt } = push;
      const runAt = addMs(await tx.now(), backoffMs(attempt, deps.random()));
      const failed = whyLater(kind);
      if (kind !== 'lock_timeout') deps.log.warn({ ...deps.stream.key, push: push.id, err: error }, 'push postponed');
      await tx.finishPush(push, { to: 'again', runAt, attempt: attempt + 1, ...failed });
    });
    return { calls: [], looked: 1, parked: isRefused ? 1 : 0 };
  }
}

/** What passes by itself, or once somebody has mended the database. */
const whyLater = (kind: FailureKind) =>
  kind === 'lock_timeout' || kind === 'serialization'
    ? { errorCode: 'row_held', error: 'another transaction holds the row' }
    : { errorCode: `database_${kind}`, error: 'the database does not do what is needed for the row' };

const NOT_HELD: DeleteHold = { isHeld: false, releasedAt: null };

async function claimAll(tx: RecordTx, deps: PushDeps, due: readonly Push[], limit: number): Promise<ClaimReport> {
  const { twoWay, target } = deps.stream;
  const keys = due.map(({ targetKey }) => targetKey);
  const ids = await tx.findByTargetKey(keys);
  const states = await tx.lockStates([...new Set(ids.values())].sort());
  const rows = await tx.lockRows(keys);
  // What a table made anew lacks was neither removed nor emptied by anybody: nothing of it is sent, nor written over.
  if (!(await tx.isTableKnown())) return { calls: [], looked: 0, parked: 0 };
  await brakeUncounted(tx, deps, due, (key) => ({
    row: rows.get(key) ?? null,
    state: states.get(ids.get(key) ?? '') ?? null,
  }));
  const deleteHold = keys.every((key) => rows.has(key)) ? NOT_HELD : await readHold(tx);
  // A record may have moved into a row while its lock was waited for.
  const idsNow = await tx.findByTargetKey(keys);
  const ready = new Map((await tx.lockReady(due.map(({ id }) => id))).map((push) => [push.id, push]));
  const conflicts = await tx.openConflicts(keys);
  const since = addMs(await tx.now(), -twoWay.budget.perMs);
  const callCounts = await tx.countCalls(keys, since);
  const calls: Claimed[] = [];
  const over: string[] = [];
  let looked = 0;
  let parked = 0;
  for (const { id } of due) {
    if (calls.length >= limit) break;
    looked++;
    const push = ready.get(id);
    if (push === undefined) continue;
    const { targetKey } = push;
    if (ids.get(targetKey) !== idsNow.get(targetKey)) continue;
    const state = states.get(ids.get(targetKey) ?? '') ?? null;
    const claim = decideClaim({
      twoWay,
      properties: target.contentProperties,
      push,
      state,
      row: rows.get(targetKey) ?? null,
      hasOpenConflict: conflicts.has(targetKey),
      calls: callCounts.get(targetKey) ?? 0,
      deleteHold,
    });
    const done = await carryOut(tx, deps, { push, state, row: rows.get(targetKey) ?? null }, claim);
    if (done === 'parked') parked++;
    else if (done === 'over') over.push(targetKey);
    else if (done !== null) calls.push(done);
  }
  await tx.dropParked(over);
  await tx.dropPushes(over);
  return { calls, looked, parked };
}

type Subject = {
  readonly push: Push;
  readonly state: RecordState | null;
  readonly row: Push['snapshot'];
};

/** `over`: nothing is left to be sent of the row; all such pushes are ended together. */
async function carryOut(
  tx: RecordTx,
  deps: PushDeps,
  { push, state, row }: Subject,
  claim: Claim,
): Promise<Claimed | 'parked' | 'over' | null> {
  switch (claim.kind) {
    case 'leave':
      return null;
    case 'park':
      await park(tx, deps, push, claim.reason, claim.words);
      return 'parked';
    case 'drop':
      if (state !== null && row !== null) await takeBack(tx, { state, push, row, properties: claim.undo });
      return 'over';
    case 'restore':
      if (state !== null) await restoreRow(tx, deps.stream, { state, push, content: claim.content });
      return 'over';
    case 'reread':
      await tx.finishPush(push, { to: 'done' });
      if (state !== null) await wantRead(tx, state.externalId);
      deps.wakeHints();
      return null;
    case 'call':
      return await startCall(tx, deps, { push, state, row }, claim);
    default:
      return assertNever(claim);
  }
}

async function startCall(
  tx: RecordTx,
  deps: PushDeps,
  { push, state, row }: Subject,
  { op, externalId, patch, content, ifMatch, undo }: Extract<Claim, { kind: 'call' }>,
): Promise<Claimed | 'parked'> {
  const { stream, newId } = deps;
  const tokenId = newId();
  const made = makePushRequest(stream.twoWay, { op, externalId, content, ifMatch, tokenId });
  if (!made.ok) {
    await park(tx, deps, push, made.reason === 'unmappable' ? 'unmappable' : 'cannot_settle', made.words);
    return 'parked';
  }
  const snapshot = state === null || row === null ? row : await takeBack(tx, { state, push, row, properties: undo });
  const token: ChangeToken = {
    id: tokenId,
    state: 'pending',
    externalId,
    targetKey: push.targetKey,
    preHash: op === 'create' ? null : (state?.baseHash ?? null),
    fieldHashes: fieldHashesOf(editedOf(made, patch), stream.mapper.hashOf),
    resultHash: null,
    resultVersion: null,
    resultEtag: null,
    echo: null,
    seenCount: 0,
    createdAt: await tx.now(),
    expiresAt: null,
  };
  await tx.insertToken(token);
  const held = await tx.startCall(push, {
    op,
    externalId,
    snapshot,
    patch,
    request: made.request,
    ifMatch,
    preVersion: op === 'create' ? null : (state?.version ?? null),
    tokenId,
    leaseMs: PUSH_LEASE_MS,
    deadline: addMs(token.createdAt, PUSH_LEASE_MS - LEASE_MARGIN_MS),
  });
  return { push: held, token };
}

async function park(
  tx: RecordTx,
  { stream, log }: PushDeps,
  push: Push,
  reason: Extract<Claim, { kind: 'park' }>['reason'],
  words: string,
): Promise<void> {
  await tx.finishPush(push, { to: 'parked', reason, errorCode: reason, error: words });
  log.warn({ ...stream.key, externalId: push.externalId, push: push.id, reason }, 'push parked');
}
