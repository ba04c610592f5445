import type { Db } from '../db/connect.ts';
import type { NewHint } from '../model/hint.ts';
import { enqueueHints } from '../store/hints.ts';
import { requireFullRun } from '../store/streams.ts';
import type { Stream } from './stream.ts';

/**
 * Asks for records to be read again, in the caller's transaction. Where the source cannot be read by id, nobody could ever
 * work a hint off: there a full run is owed, which shows every record.
 */
export async function wantReads(tx: Db, stream: Stream, hints: readonly NewHint[]): Promise<void> {
  if (hints.length === 0) return;
  if (stream.get === null) await requireFullRun(tx, stream.key);
  else await enqueueHints(tx, stream.key, hints);
}
