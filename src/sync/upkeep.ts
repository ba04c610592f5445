import { isConnectionError } from '../db/failure.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { addMs } from '../model/instant.ts';
import { expireTokens } from '../store/change-tokens.ts';
import { expireDeadLetters } from '../store/dead-letters.ts';
import { expireEditKeys } from '../store/edit-keys.ts';
import { expireDeliveries } from '../store/inbox.ts';
import { expireLocalChanges } from '../store/local-changes.ts';
import { expireFlows } from '../store/oauth-flows.ts';
import { expireTombstones, findOwedFullRuns } from '../store/owed-runs.ts';
import { expireConflicts, expirePushes } from '../store/push-status.ts';
import { pruneHistory } from '../store/record-history.ts';
import { pruneRuns } from '../store/run-orders.ts';
import { pauseStream, readStreams, requireFullRun } from '../store/streams.ts';
import { checkTarget } from '../store/target.ts';
import type { SyncDeps } from './deps.ts';
import { requestRun } from './request-run.ts';
import { type Stream, streamName } from './stream.ts';

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
/** Edits of streams that are not two-way, or that only a newer replica knows. */
const KEEP_STRANGE_CHANGES_MS = DAY_MS;
const KEEP_PUSHES_MS = 14 * DAY_MS;
const KEEP_PUSHED_VALUES_MS = 72 * HOUR_MS;
/** Of those that are decided; open ones stay. */
const KEEP_CONFLICTS_MS = 90 * DAY_MS;
const MAX_ROWS = 5_000;
/** After a full run that failed, and after one that could not tell what is no longer listed. */
const OWED_RETRY = { failedForMs: 5 * 60_000, partialForMs: HOUR_MS };

/**
 * Removes what is past its time, a bounded number of rows of each kind. A kind that fails is logged and does not keep the
 * others; a database that is away is thrown. @returns true when there may be more.
 */
export async function cleanUp(deps: SyncDeps): Promise<boolean> {
  const { log } = deps;
  let hasMore = false;
  for (const [kind, expire] of Object.entries(EXPIRES)) {
    try {
      hasMore = (await expire(deps)) >= MAX_ROWS || hasMore;
    } catch (error) {
      if (isConnectionError(error)) throw error;
      log.warn({ kind, err: error }, 'clean-up failed');
    }
  }
  return hasMore;
}

const EXPIRES: { readonly [kind: string]: (deps: SyncDeps) => Promise<number> } = {
  deliveries: ({ db }) =>
    expireDeliveries(db, { payloadForMs: KEEP_PAYLOADS_MS, keepForMs: KEEP_DELIVERIES_MS, limit: MAX_ROWS }),
  deadLetters: ({ db }) => expireDeadLetters(db, { keepForMs: KEEP_DEAD_LETTERS_MS, limit: MAX_ROWS }),
  history: ({ db }) =>
    pruneHistory(db, { keepForMs: KEEP_HISTORY_MS, keepPerRecord: KEEP_HISTORY_PER_RECORD, limit: MAX_ROWS }),
  runs: ({ db }) => pruneRuns(db, { keepForMs: KEEP_RUNS_MS, limit: MAX_ROWS }),
  pushes: ({ db }) =>
    expirePushes(db, { payloadForMs: KEEP_PUSHED_VALUES_MS, keepForMs: KEEP_PUSHES_MS, limit: MAX_ROWS }),
  changeTokens: ({ db }) => expireTokens(db, MAX_ROWS),
  conflicts: ({ db }) => expireConflicts(db, { keepForMs: KEEP_CONFLICTS_MS, limit: MAX_ROWS }),
  editKeys: ({ db }) => expireEditKeys(db, MAX_ROWS),
  authorizations: ({ db }) => expireFlows(db, MAX_ROWS),
  localChanges: ({ db, streams }) =>
    expireLocalChanges(
      db,
      [...streams.values()].filter(({ twoWay }) => twoWay !== null).map(({ key }) => key),
      { keepForMs: KEEP_STRANGE_CHANGES_MS, limit: MAX_ROWS },
    ),
  tombstones: ({ db }) => expireTombstones(db, { keepForMs: KEEP_TOMBSTONES_MS, limit: MAX_ROWS }),
};

/** Queues the full runs that streams owe: after the first start, a changed mapping, or a cursor that the source forgot. */
export async function startOwedRuns(deps: SyncDeps): Promise<number> {
  let started = 0;
  for (const key of await findOwedFullRuns(deps.db, OWED_RETRY)) {
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

/**
 * Queues the run that a schedule asks for. A full run that meets one of another kind is owed instead, and follows it: its
 * schedule may well fall together with the other one each time.
 */
export async function startScheduledRun(deps: SyncDeps, stream: Stream, mode: 'incremental' | 'full'): Promise<void> {
  const wish = { mode, since: null, ids: null, isDryRun: false, trigger: 'schedule' } as const;
  const answer = await requestRun(deps.db, stream, wish);
  if (answer.kind !== 'under_way') return;
  const isOwed = mode === 'full' && answer.run.mode !== 'full';
  if (isOwed) await requireFullRun(deps.db, stream.key);
  const words = isOwed ? 'a run is under way; the full run follows it' : 'a run is under way; tick passed over';
  deps.log.info({ ...stream.key, mode, run: answer.run.id }, words);
}

/**
 * Makes full runs owed whose time passed while nobody scheduled. `everyMs` says how far apart the full runs of a stream
 * are due, null where they are on no schedule.
 */
export async function oweMissedFullRuns(deps: SyncDeps, everyMs: (stream: string) => number | null): Promise<void> {
  const now = await readDatabaseNow(deps.db);
  for (const progress of await readStreams(deps.db)) {
    const stream = deps.streams.get(streamName(progress));
    const every = everyMs(streamName(progress));
    const { lastFullStartedAt, needsFullAt } = progress;
    if (stream === undefined || every === null || needsFullAt !== null || lastFullStartedAt === null) continue;
    if (addMs(lastFullStartedAt, every) >= now) continue;
    await requireFullRun(deps.db, stream.key);
    deps.log.info({ ...stream.key }, 'a full run was missed and is owed');
  }
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
