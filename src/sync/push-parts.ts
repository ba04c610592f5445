import type { Db } from '../db/connect.ts';
import type { StreamKey } from '../model/observation.ts';
import type { Push } from '../model/push.ts';
import { findHandled } from '../store/audit.ts';
import { countEchoes, insertToken, keepEcho, readToken, readTokensOf, saveToken } from '../store/change-tokens.ts';
import { findEditKey, saveEditKey } from '../store/edit-keys.ts';
import { takeLocalChanges } from '../store/local-changes.ts';
import {
  claimUnknownPushes,
  findOpenCreates,
  findParked,
  insertRequestPush,
  lockHeldPush,
  lockPush,
  lockReadyPushes,
  readDuePushes,
  readFlights,
  readFlightsIn,
  readOldestCreate,
  startCall,
} from '../store/outbox.ts';
import {
  countCalls,
  countRemovals,
  countSentAgain,
  endPushes,
  ensurePushes,
  moveDeadline,
  movePush,
  readLastEdits,
  rekeyPush,
} from '../store/outbox-moves.ts';
import { blockSource } from '../store/source-states.ts';
import type { RecordParts } from './record-parts.ts';
import type { PushMove, RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';

/** What the store of pushes, tokens and captured edits brings to a `RecordTx`. */
export type PushParts = Omit<RecordTx, keyof RecordParts>;

export function pushParts(tx: Db, { key }: Pick<Stream, 'key'>): PushParts {
  return {
    findEditKey: (keyHash) => findEditKey(tx, key, keyHash),
    saveEditKey: (editKey, formerPushId) => saveEditKey(tx, key, editKey, formerPushId),

    takeLocalChanges: (limit, order) => takeLocalChanges(tx, key, limit, order),
    flightsOf: (ids) => readFlights(tx, key, ids),
    flightsIn: (targetKeys) => readFlightsIn(tx, key, targetKeys),
    openCreates: async (of) => ({
      oldestCallAt: await readOldestCreate(tx, key),
      named: await findOpenCreates(tx, key, of),
    }),
    async openOf(targetKeys) {
      const handled = await findHandled(tx, key, targetKeys);
      return new Set(handled.flatMap(({ targetKey, isOpen }) => (isOpen ? [targetKey] : [])));
    },
    lastEditsOf: (targetKeys) => readLastEdits(tx, key, targetKeys),
    ensurePushes: (wishes) => ensurePushes(tx, key, wishes),
    movePush: (from, to, externalId) => rekeyPush(tx, key, { from, to, externalId }),
    dropPushes: (targetKeys) => endPushes(tx, key, 'ready', targetKeys),
    dropParked: (targetKeys) => endPushes(tx, key, 'parked', targetKeys),

    duePushes: (limit, order = 'oldest') => readDuePushes(tx, key, limit, order),
    lockReady: (ids) => lockReadyPushes(tx, ids),
    lockPush: (id) => lockPush(tx, key, id),
    parkedPushes: (filter, page) => findParked(tx, key, filter, page),
    lockHeld: (push) => lockHeldPush(tx, push),
    claimUnknown: (limit, leaseMs) => claimUnknownPushes(tx, key, { limit, leaseMs }),
    startCall: (push, { leaseMs, ...call }) => startCall(tx, push, { call, leaseMs }),
    startRequest: (targetKey, { leaseMs, ...call }) => insertRequestPush(tx, key, targetKey, { call, leaseMs }),
    moveDeadline: (push, deadline) => moveDeadline(tx, push, deadline),
    finishPush: (push, move) => finishPush(tx, key, push, move),
    countCalls: (targetKeys, since) => countCalls(tx, key, targetKeys, since),
    countSentAgain: (targetKey) => countSentAgain(tx, key, targetKey),
    countRemovals: (since) => countRemovals(tx, key, since),

    insertToken: (token) => insertToken(tx, key, token),
    saveToken: (token) => saveToken(tx, token),
    readToken: (id) => readToken(tx, id),
    tokensOf: (ids) => readTokensOf(tx, key, ids),
    keepEcho: (id, seen) => keepEcho(tx, id, seen),
    countEchoes: (ids) => countEchoes(tx, ids),

    blockUntil: (at) => blockSource(tx, key.integration, at),
  };
}

/** Never back to ready: a ready push of the row may stand beside it, so that one is ensured and this one is over. */
async function finishPush(tx: Db, key: StreamKey, push: Push, move: PushMove): Promise<void> {
  if (move.to !== 'again') {
    // What a person is shown of a row is the latest that could not be done.
    if (move.to === 'parked') await endPushes(tx, key, 'parked', [push.targetKey]);
    return await movePush(tx, push, move);
  }
  const { errorCode, error, runAt, attempt } = move;
  await movePush(tx, push, { to: 'done', errorCode, error });
  const { targetKey, externalId, edits, editedAt } = push;
  const isRemoval = push.op === 'delete';
  await ensurePushes(tx, key, [{ targetKey, externalId, edits, editedAt, runAt, attempt, isRemoval }]);
}
