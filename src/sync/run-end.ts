import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { addMs } from '../model/instant.ts';
import { addCounts, type LeasedRun, type Run, type RunState } from '../model/run.ts';
import { SourceError } from '../source/error.ts';
import { type CancelAnswer, requestCancel, supersedeBraked } from '../store/run-orders.ts';
import { dropPages } from '../store/run-pages.ts';
import { endRun, saveUnmatched } from '../store/run-progress.ts';
import { readRun } from '../store/runs.ts';
import { type RunSummary, saveRunSummary } from '../store/status.ts';
import { readStream, requireFullRun, saveCursor, saveFullRun } from '../store/streams.ts';
import { countUnownedRows } from '../store/target-rows.ts';
import type { SyncDeps } from './deps.ts';
import { describeFailure, LeaseLostError } from './failures.ts';
import { inRun } from './run-lease.ts';
import { settleCursor } from './settle-cursor.ts';
import type { Stream } from './stream.ts';

/** How work on a run ended, for its caller's log; `released` and `stalled` runs go on in some worker, later. */
export type RunReport = { readonly state: RunState | 'released' | 'stalled' | 'lost'; readonly pages: number };

type End = { readonly state: 'succeeded' | 'partial' | 'cancelled' | 'braked'; readonly candidates: number | null };

const END_WORDS: { readonly [state in End['state']]: string | null } = {
  succeeded: null,
  partial: 'what is no longer listed could not be told, so nothing was swept',
  cancelled: 'the run was cancelled',
  braked: 'the sweep would delete too many records and waits for approval',
};

/** Ends a run that is not to go on: settles the cursor, pays what full runs owe, tells the outcome. Throws `LeaseLostError`. */
export async function finishRun(deps: SyncDeps, stream: Stream, run: LeasedRun, end: End): Promise<RunReport> {
  const done = await readRun(deps.db, run.id);
  const counts = done?.counts ?? run.counts;
  const state = end.state === 'succeeded' && counts.failed > 0 ? 'partial' : end.state;
  // A run over named records, or from a moment of an operator's, says nothing about the rest of the stream.
  const isOfAll = run.mode !== 'ids' && run.since === null;
  const isComplete = end.state !== 'cancelled' && !run.isDryRun && isOfAll;
  await deps.crashPoint('C11');
  await inRun(deps, run, async (tx) => {
    let cursor: bigint | null = null;
    if (isComplete) {
      const progress = await readStream(tx, stream.key);
      const settled = settleCursor(stream, {
        run,
        maxKey: done?.maxKey ?? null,
        progress,
        now: await readDatabaseNow(tx),
      });
      cursor = settled.cursor;
      await saveCursor(tx, stream.key, settled.cursor, settled.marks);
      if (run.mode === 'full' && end.state !== 'braked')
        await saveFullRun(tx, stream.key, { startedAt: run.startedAt, isSwept: end.state === 'succeeded' });
      if (run.mode === 'full' && end.state === 'succeeded') await supersedeBraked(tx, stream.key);
    }
    if (run.mode === 'full') await dropPages(tx, run.id);
    if (run.mode === 'full' && run.isDryRun && stream.twoWay !== null) {
      // Rows that records were found for in this run are owned by none yet: a dry run links nothing.
      const unowned = await countUnownedRows(tx, stream.key, stream.target);
      await saveUnmatched(tx, run.id, Math.max(0, unowned - counts.linked));
    }
    const held = await endRun(tx, run, { state, candidates: end.candidates, errorCode: null, error: null });
    if (!held) throw new LeaseLostError('The run was taken over');
    if (run.isDryRun || !isOfAll) return;
    await saveRunSummary(tx, {
      ...stream.key,
      status: state === 'succeeded' ? 'success' : 'partial',
      mode: run.mode,
      startedAt: run.startedAt,
      freshAsOf: isComplete && end.state === 'succeeded' ? addMs(run.startedAt, -stream.caps.readLagMs) : null,
      recordsSynced: counts.seen - counts.failed - counts.ignored,
      recordsFailed: counts.failed,
      cursor: cursor?.toString() ?? null,
      error: END_WORDS[end.state],
    });
  });
  deps.log.info({ run: run.id, ...stream.key, mode: run.mode, state, ...addCounts(counts, {}) }, 'run ended');
  return { state, pages: done?.pages ?? run.pages };
}

/** Ends a run that no later try can mend as it stands. */
export async function failRun(deps: SyncDeps, stream: Stream, run: LeasedRun, error: unknown): Promise<RunReport> {
  const { code, message } = describeFailure(error);
  deps.log.warn(
    { run: run.id, ...stream.key, code, err: error instanceof SourceError ? undefined : error },
    'run failed',
  );
  const done = await readRun(deps.db, run.id);
  const isHeld = await deps.db.transaction(async (tx) => {
    // First of all: one who has lost the run must not touch what its heir works with.
    if (!(await endRun(tx, run, { state: 'failed', candidates: null, errorCode: code, error: message }))) return false;
    // The source forgot our place in its changes: only a full listing finds what lies between.
    if (code === 'gone') {
      await requireFullRun(tx, stream.key);
      await saveCursor(tx, stream.key, null, []);
    }
    await dropPages(tx, run.id);
    if (run.isDryRun) return true;
    await saveRunSummary(tx, {
      ...stream.key,
      status: 'failed',
      mode: run.mode,
      startedAt: run.startedAt,
      freshAsOf: null,
      recordsSynced: (done?.counts.seen ?? 0) - (done?.counts.failed ?? 0),
      recordsFailed: done?.counts.failed ?? 0,
      cursor: null,
      error: `${code}: ${message}`,
    });
    return true;
  });
  return { state: isHeld ? 'failed' : 'lost', pages: run.pages };
}

/**
 * Cancels a run: at its next page when it is worked on, at once when nobody holds it, which then ends as its holder would
 * have ended it. @returns null when there is no such run.
 */
export async function cancelRun(db: Db, runId: string): Promise<CancelAnswer | null> {
  return await db.transaction(async (tx) => {
    const answer = await requestCancel(tx, runId);
    const run = answer?.isEnded && answer.found === 'running' ? await readRun(tx, runId) : null;
    if (run === null) return answer;
    await dropPages(tx, run.id);
    const isTold = !run.isDryRun && run.mode !== 'ids' && run.since === null;
    if (isTold) await saveRunSummary(tx, cancelledSummary(run));
    return answer;
  });
}

const cancelledSummary = (run: Run): RunSummary => ({
  integration: run.integration,
  entity: run.entity,
  status: 'partial',
  mode: run.mode,
  startedAt: run.startedAt ?? run.createdAt,
  freshAsOf: null,
  recordsSynced: run.counts.seen - run.counts.failed - run.counts.ignored,
  recordsFailed: run.counts.failed,
  cursor: null,
  error: END_WORDS.cancelled,
});
