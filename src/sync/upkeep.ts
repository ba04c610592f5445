import { expireDeadLetters } from '../store/dead-letters.ts';
import { expireDeliveries } from '../store/inbox.ts';
import { expireTombstones, findOwedFullRuns } from '../store/owed-runs.ts';
import { pruneHistory } from '../store/record-history.ts';
import { pruneRuns } from '../store/runs.ts';
import { pauseStream, readStreams } from '../store/streams.ts';
import { checkTarget } from '../store/target.ts';
import type { SyncDeps } from './deps.ts';
import { requestRun } from './request-run.ts';
import { streamName } from './stream.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Longer than any provider we know goes on sending a delivery again. */
const KEEP_DELIVERIES_MS = 14 * DAY_MS;
const KEEP_PAYLOADS_MS = 72 * HOUR_MS;
const KEEP_DEAD_LETTERS_MS = 30 * DAY_MS;
const KEEP_HISTORY_MS = 90 * DAY_MS;
const KEEP_HISTORY_PER_RECORD = 100;
const KEEP_RUNS_MS = 30 * DAY_MS;
const KEEP_TOMBSTONES_MS = 90 * DAY_MS;
const MAX_ROWS = 5_000;
const OWED_RETRY_MS = 5 * 60_000;

/** Removes what is past its time, a bounded number of rows of each kind. @returns true when there may be more. */
export async function cleanUp({ db }: SyncDeps): Promise<boolean> {
  const removed = [
    await expireDeliveries(db, { payloadForMs: KEEP_PAYLOADS_MS, keepForMs: KEEP_DELIVERIES_MS, limit: MAX_ROWS }),
    await expireDeadLetters(db, { keepForMs: KEEP_DEAD_LETTERS_MS, limit: MAX_ROWS }),
    await pruneHistory(db, { keepForMs: KEEP_HISTORY_MS, keepPerRecord: KEEP_HISTORY_PER_RECORD, limit: MAX_ROWS }),
    await pruneRuns(db, { keepForMs: KEEP_RUNS_MS, limit: MAX_ROWS }),
    await expireTombstones(db, { keepForMs: KEEP_TOMBSTONES_MS, limit: MAX_ROWS }),
  ];
  return removed.some((count) => count >= MAX_ROWS);
}

/** Queues the full runs that streams owe: after the first start, a changed mapping, or a cursor that the source forgot. */
export async function startOwedRuns(deps: SyncDeps): Promise<number> {
  let started = 0;
  for (const key of await findOwedFullRuns(deps.db, OWED_RETRY_MS)) {
    const stream = deps.streams.get(streamName(key));
    if (stream === undefined) continue;
    const answer = await requestRun(deps.db, stream, {
      mode: 'full',
      since: null,
      ids: null,
      isDryRun: false,
      trigger: 'start',
    });
    if (answer.kind === 'queued') started++;
  }
  return started;
}

/** Lets streams go on whose table has been put right. */
export async function resumeMended({ db, streams, log }: SyncDeps): Promise<void> {
  for (const progress of await readStreams(db)) {
    const stream = streams.get(streamName(progress));
    if (progress.pausedReason === null || stream === undefined) continue;
    if ((await checkTarget(db, stream.target)).length > 0) continue;
    await pauseStream(db, stream.key, null);
    log.info({ ...stream.key }, 'target can be written again');
  }
}
