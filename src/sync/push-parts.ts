import type { Db } from '../db/connect.ts';
import type { RecordParts } from './record-parts.ts';
import type { RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';

/** What the store of pushes, tokens and captured edits brings to a `RecordTx`. */
export type PushParts = Omit<RecordTx, keyof RecordParts>;

/** Pushes of this stream cannot be stored. */
export class PushStoreError extends Error {
  override readonly name = 'PushStoreError';
  readonly code = 'push_store_missing';
}

const missing = async (): Promise<never> => {
  throw new PushStoreError('The store of pushes is not part of this build');
};

export function pushParts(_tx: Db, _stream: Stream): PushParts {
  return {
    takeLocalChanges: missing,
    flightsOf: missing,
    openCreates: missing,
    lastEditsOf: missing,
    ensurePushes: missing,
    dropPushes: missing,
    duePushes: missing,
    lockReady: missing,
    claimUnknown: missing,
    moveDeadline: missing,
    startCall: missing,
    startRequest: missing,
    lockPush: missing,
    lockHeld: missing,
    finishPush: missing,
    dropParked: missing,
    lockParked: missing,
    countCalls: missing,
    insertToken: missing,
    saveToken: missing,
    readToken: missing,
    tokensOf: missing,
    keepEcho: missing,
    countEchoes: missing,
    findEditKey: missing,
    saveEditKey: missing,
    countRemovals: missing,
    blockUntil: missing,
  };
}
