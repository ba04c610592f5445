import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { blankState, type RecordState } from '../model/record-state.ts';
import { isTableKnown } from '../store/captured-tables.ts';
import { endConflict, readOpenConflicts, saveConflicts } from '../store/conflicts.ts';
import { hasOpenDeadLetters, supersede } from '../store/dead-letters.ts';
import { appendHistory } from '../store/record-history.ts';
import {
  countLive,
  findByTargetKey,
  insertStates,
  lockStates,
  readStates,
  saveStates,
} from '../store/record-states.ts';
import { pauseSource } from '../store/source-states.ts';
import { holdDeletes, readDeleteHold, releaseDeletes } from '../store/streams.ts';
import { countMissingRows, findOpenRemovals } from '../store/target-rows.ts';
import type { RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';
import { targetRows } from './target-rows.ts';
import { wantReads } from './want.ts';

/** States, rows, conflicts, histories and what else concerns the records themselves. */
export type RecordParts = Pick<
  RecordTx,
  | 'now'
  | 'readStates'
  | 'lockStates'
  | 'saveStates'
  | 'findByTargetKey'
  | 'countMissing'
  | 'openRemovals'
  | 'readRows'
  | 'takenKeys'
  | 'isTableKnown'
  | 'lockRows'
  | 'writeRows'
  | 'removeRows'
  | 'rekeyRow'
  | 'openConflicts'
  | 'recordConflicts'
  | 'closeConflict'
  | 'wantReads'
  | 'appendHistory'
  | 'supersede'
  | 'holdDeletes'
  | 'deleteHold'
  | 'lockDeleteHold'
  | 'releaseDeletes'
  | 'liftDeletes'
  | 'countLive'
  | 'pauseForAuth'
>;

export function recordParts(tx: Db, stream: Stream): RecordParts {
  const { key } = stream;
  return {
    now: () => readDatabaseNow(tx),

    readStates: (ids) => readStates(tx, key, ids),
    lockStates: (ids) => lockAll(tx, stream, ids),
    saveStates: (states) => saveStates(tx, key, states),
    findByTargetKey: (targetKeys) => findByTargetKey(tx, key, targetKeys),

    countMissing: (of) => countMissingRows(tx, key, stream.target, of),
    openRemovals: (page) => findOpenRemovals(tx, key, stream.target, page),
    ...targetRows(tx, stream.target),
    isTableKnown: () => isTableKnown(tx, stream),

    openConflicts: (targetKeys) => readOpenConflicts(tx, key, targetKeys),
    recordConflicts: (conflicts) => saveConflicts(tx, key, conflicts),
    async closeConflict(id, outcome, by) {
      await endConflict(tx, key, { id, outcome, by });
    },

    wantReads: (hints) => wantReads(tx, stream, hints),
    appendHistory: (entries) => appendHistory(tx, key, entries),
    async supersede(settled) {
      if (settled.length > 0 && (await hasOpenDeadLetters(tx, key))) await supersede(tx, key, settled);
    },
    holdDeletes: (reason) => holdDeletes(tx, key, reason),
    liftDeletes: () => holdDeletes(tx, key, null),
    deleteHold: () => readDeleteHold(tx, key, { isLocked: false }),
    lockDeleteHold: () => readDeleteHold(tx, key, { isLocked: true }),
    releaseDeletes: () => releaseDeletes(tx, key),
    countLive: () => countLive(tx, key),
    async pauseForAuth(detail) {
      await pauseSource(tx, key.integration, { reason: 'auth', detail });
    },
  };
}

/** Those never seen are inserted first, so that concurrent first sightings wait for each other. */
async function lockAll(tx: Db, stream: Stream, ids: readonly string[]): Promise<Map<string, RecordState>> {
  const distinct = [...new Set(ids)];
  const known = await readStates(tx, stream.key, distinct);
  await insertStates(
    tx,
    stream.key,
    distinct.filter((id) => !known.has(id)).map((id) => blankState(id)),
  );
  return await lockStates(tx, stream.key, distinct);
}
