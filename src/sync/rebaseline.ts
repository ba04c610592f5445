import type { Db } from '../db/connect.ts';
import type { StreamKey } from '../model/observation.ts';
import { forgetOrder } from '../store/record-states.ts';
import { requireFullRun, saveCursor } from '../store/streams.ts';

/** Records of one transaction: what a page writes, a few times over. */
const BATCH = 1_000;

/**
 * Lets a stream believe its source anew, whatever it holds now: versions and times of sightings are forgotten, deletions may
 * be undone by anything that is seen, and a full run is owed. Edits of rows that were not pushed yet survive, because it
 * stays known how the rows were stored. For an operator whose source was restored from a backup, or counts its versions
 * anew. Safe to repeat; interrupted, it is to be called again. @returns how many records it concerned.
 */
export async function rebaseline(db: Db, key: StreamKey): Promise<number> {
  let total = 0;
  let after: string | null = null;
  do {
    const done: { last: string | null; count: number } = await db.transaction((tx) =>
      forgetOrder(tx, key, { after, limit: BATCH }),
    );
    total += done.count;
    after = done.last;
  } while (after !== null);
  // Last: a full run that began in between has met records of both kinds.
  await db.transaction(async (tx) => {
    await saveCursor(tx, key, null, []);
    await requireFullRun(tx, key);
  });
  return total;
}
