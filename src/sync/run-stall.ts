import type { LeasedRun } from '../model/run.ts';
import { SourceError } from '../source/error.ts';
import { releaseRun, stallRun } from '../store/run-progress.ts';
import { readRun } from '../store/runs.ts';
import type { SyncDeps } from './deps.ts';
import { behindLookup, describeFailure, RunCancelledError, RunLateError, RunPausedError } from './failures.ts';
import { pauseForAuth } from './pause.ts';
import { failRun, finishRun, type RunReport } from './run-end.ts';
import { inRun } from './run-lease.ts';
import type { Stream } from './stream.ts';

/** Interruptions in a row, without a page that was new, that end a run. */
const MAX_STALLS = 10;
/** The client has tried again already: what still fails takes longer. Ten waits are about 20 minutes. */
const STALL_BASE_MS = 5_000;
const STALL_CAP_MS = 300_000;

/**
 * How long a run waits after its interruption number `stall` (from 1): from half of a doubling window to all of it, so that
 * replicas come back apart and none at once; longer when the source says so. `random` is in [0, 1).
 */
export const stallWaitMs = (stall: number, retryAfterMs: number | null, random: number): number =>
  Math.max(
    retryAfterMs ?? 0,
    (0.5 + random / 2) * Math.min(STALL_CAP_MS, STALL_BASE_MS * 2 ** Math.min(stall - 1, 30)),
  );

/**
 * What follows when work on a run stops before its end. A pause, and a source that is away, throttles us or refuses our
 * credentials, leave it open, to go on at its checkpoint in any worker. An error that is none of these is thrown again.
 */
export async function endInterrupted(
  deps: SyncDeps,
  stream: Stream,
  run: LeasedRun,
  thrown: unknown,
): Promise<RunReport> {
  const error = behindLookup(thrown);
  if (error instanceof RunCancelledError)
    return await finishRun(deps, stream, run, { state: 'cancelled', candidates: null });
  const isRefused = error instanceof SourceError && error.code === 'unauthorized';
  if (isRefused) await pauseForAuth(deps, run.integration, error);
  if (isRefused || error instanceof RunPausedError) {
    await releaseRun(deps.db, run);
    return { state: 'released', pages: run.pages };
  }
  if (error instanceof SourceError && error.isRetryable) return await stall(deps, stream, run, error);
  throw thrown;
}

/** Gives the run back until its source may answer again, unless it was asked to stop or has been interrupted too often. */
async function stall(deps: SyncDeps, stream: Stream, run: LeasedRun, error: SourceError): Promise<RunReport> {
  const next = await inRun(deps, run, async (tx, orders): Promise<'cancel' | 'fail' | { waitMs: number }> => {
    if (orders.isCancelRequested) return 'cancel';
    if (orders.isLate) throw new RunLateError('The run is past its deadline');
    const stalls = ((await readRun(tx, run.id))?.stalls ?? run.stalls) + 1;
    if (stalls >= MAX_STALLS) return 'fail';
    const waitMs = stallWaitMs(stalls, error.retryAfterMs, deps.random());
    const { code, message } = describeFailure(error);
    await stallRun(tx, run, { waitMs, errorCode: code, error: message });
    return { waitMs };
  });
  if (next === 'cancel') return await finishRun(deps, stream, run, { state: 'cancelled', candidates: null });
  if (next === 'fail') return await failRun(deps, stream, run, error);
  deps.log.warn({ run: run.id, ...stream.key, code: error.code, waitMs: next.waitMs }, 'run interrupted by its source');
  return { state: 'stalled', pages: run.pages };
}
