import type { Db } from '../db/connect.ts';
import { pushParts } from './push-parts.ts';
import { recordParts } from './record-parts.ts';
import type { RecordStore, RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';

/**
 * What the two-way flows ask of the database, in SQL, inside the caller's transaction. It remembers which rows it has locked,
 * so one transaction uses one.
 */
export const openRecordTx = (tx: Db, stream: Stream): RecordTx => ({
  ...recordParts(tx, stream),
  ...pushParts(tx, stream),
});

export const createRecordStore = (db: Db, stream: Stream): RecordStore => ({
  transaction: (work) => db.transaction((tx) => work(openRecordTx(tx, stream))),
});
