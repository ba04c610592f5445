import { setTimeout as wait } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import { failureKind } from '../db/failure.ts';
import { readDatabaseNow } from '../db/instants.ts';
import type { Instant } from '../model/instant.ts';
import type { LeasedRun } from '../model/run.ts';
import type { Page } from '../source/client.ts';
import { SourceError } from '../source/error.ts';
import { isResumable } from '../source/pagination/pagination.ts';
import { enqueueHints } from '../store/hints.ts';
import { countLive } from '../store/record-states.ts';
import { clearAbsence, dropPages, savePage } from '../store/run-pages.ts';
import { releaseRun, restartListing, saveCheckpoint, saveDeadline, saveRunStart } from '../store/run-progress.ts';
import { readStream } from '../store/streams.ts';
import type { SyncDeps } from './deps.ts';
import { LeaseLostError, RunPausedError } from './failures.ts';
import { findPlace, keepPlace } from './listing-place.ts';
import { withLookups } from './lookups.ts';
import { applyPage, type PageResult, previewPage } from './page.ts';
import { failRun, finishRun, type RunReport } from './run-end.ts';
import { assertGoesOn, inRun, startHeartbeat } from './run-lease.ts';
import { endInterrupted } from './run-stall.ts';
import { type Stream, streamName } from './stream.ts';
import { sweep, waitForReads } from './sweep.ts';

/** Tries at one page's transaction: on a deadlock, or when somebody else holds its rows and they cannot be read again later. */
const MAX_PAGE_ATTEMPTS = 5;
const PAGE_RETRY_MS = 200;
const MAX_LISTING_STARTS = 3;

/**
 * Works a leased run to its end: reads the source's pages, applies each with its checkpoint in one transaction, then
 * settles the cursor (incremental) or sweeps what is no longer listed (full). Interrupted anywhere it goes on, in this or
 * another process, at the last committed page. A source that is away or throttles us does not end it: the run is given back
 * to go on later. On abort, and when its integration is paused, it is given back as well. Never throws for what a source or
 * a record does; what a later try cannot mend ends the run `failed`, saying why. Throws only when the database is away: the
 * run stays open then.
 */
export async function runReconcile(deps: SyncDeps, run: LeasedRun, signal: AbortSignal): Promise<RunReport> {
  const stream = deps.streams.get(streamName(run));
  if (stream === undefined) throw new Error(`No stream ${streamName(run)} in the configuration`);
  const stopHeart = startHeartbeat(deps, run);
  try {
    return await workRun(deps, stream, run, signal).catch(async (error: unknown) => {
      if (signal.aborted) throw error;
      return await endInterrupted(deps, stream, run, error);
    });
  } catch (error) {
    if (error instanceof LeaseLostError) return { state: 'lost', pages: run.pages };
    if (signal.aborted) {
      await releaseRun(deps.db, run);
      return { state: 'released', pages: run.pages };
    }
    // The database went away, for no fault of the run: whoever takes it up next goes on at the last committed page.
    if (!(error instanceof SourceError) && failureKind(error) === 'connection') {
      await releaseRun(deps.db, run).catch(() => {}); // else its lease lapses
      throw error;
    }
    return await failRun(deps, stream, run, error);
  } finally {
    stopHeart();
  }
}

async function workRun(deps: SyncDeps, stream: Stream, run: LeasedRun, signal: AbortSignal): Promise<RunReport> {
  await inRun(deps, run, async (tx, orders) => {
    assertGoesOn(orders);
    await saveDeadline(tx, run.id, stream.deadlineMs);
  });
  if (run.mode === 'ids') {
    await queueReads(deps, stream, run);
    await waitForReads(deps, run, signal);
    return await finishRun(deps, stream, run, { state: 'succeeded', candidates: null });
  }
  let current = run;
  for (let start = 1; ; start++) {
    const done = await listAndSweep(deps, stream, current, { signal, isLastStart: start >= MAX_LISTING_STARTS });
    if (done !== 'start_again') return done;
    await inRun(deps, current, async (tx) => {
      await dropPages(tx, current.id);
      await restartListing(tx, current.id);
    });
    current = { ...current, pageCursor: null, isListed: false, isIdsComplete: true, pages: 0 };
  }
}

/** One listing, and what follows it. It starts again when the source forgot our page, or a database crash the seen ids. */
async function listAndSweep(
  deps: SyncDeps,
  stream: Stream,
  run: LeasedRun,
  { signal, isLastStart }: { signal: AbortSignal; isLastStart: boolean },
): Promise<RunReport | 'start_again'> {
  try {
    await listAll(deps, stream, run, signal);
  } catch (error) {
    const isForgotten = error instanceof SourceError && error.code === 'cursor_expired';
    if (isForgotten && !isLastStart) return 'start_again';
    throw error;
  }
  if (run.mode === 'incremental') {
    if (!run.isDryRun) await waitForReads(deps, run, signal);
    return await finishRun(deps, stream, run, { state: 'succeeded', candidates: null });
  }
  const swept = await sweep(deps, stream, run, signal);
  if (swept.kind !== 'pages_lost') return await finishRun(deps, stream, run, swept);
  return isLastStart ? await finishRun(deps, stream, run, { state: 'partial', candidates: null }) : 'start_again';
}

/** Reads and applies the pages that are left. */
async function listAll(deps: SyncDeps, stream: Stream, run: LeasedRun, signal: AbortSignal): Promise<void> {
  const from = await prepare(deps, stream, run);
  if (from.isListed) return;
  // What was renamed since reaches rows with full runs, so these do not go by what an older load showed.
  await stream.lookups?.ensure(signal, run.mode === 'full' ? 'news' : 'tables');
  const leaving = new AbortController();
  const pages = stream.client.listPages(stream.list, {
    params: sinceQuery(stream, from.since),
    cursor: from.cursor,
    lane: run.mode === 'full' ? 'full' : 'incremental',
    signal: AbortSignal.any([signal, leaving.signal]),
  });
  let page = from.pages;
  let next = read(pages);
  try {
    for (;;) {
      const { value, done } = await next;
      if (done || value === undefined) break;
      // The next page travels while this one is written. A failed fetch is reported when its turn comes.
      next = value.nextCursor === null ? Promise.resolve({ value: undefined, done: true }) : read(pages);
      next.catch(() => {});
      await writePage(deps, stream, run, value, page, signal);
      page++;
    }
  } finally {
    // A page that still travels is of no use any more.
    leaving.abort();
    next.catch(() => {});
    await pages.return();
  }
}

type Fetched = { value: Page | undefined; done: boolean };
const read = async (pages: AsyncGenerator<Page, void, undefined>): Promise<Fetched> => {
  const result = await pages.next();
  return { value: result.value ?? undefined, done: result.done ?? false };
};

type Start = { since: bigint | null; cursor: string | null; pages: number; isListed: boolean };

/** Where to read from: the run's checkpoint where its cursor outlives the process and is one of this list, else the run's own beginning. */
async function prepare(deps: SyncDeps, stream: Stream, run: LeasedRun): Promise<Start> {
  const isFresh = run.pages === 0;
  const cursor = isResumable(stream.list.pagination) ? findPlace(stream.list, run.pageCursor) : null;
  if (!isFresh && (cursor !== null || run.isListed)) {
    return { since: run.startCursor, cursor, pages: run.pages, isListed: run.isListed };
  }
  const progress = await readStream(deps.db, stream.key);
  const since = run.mode === 'incremental' ? (sinceKey(run) ?? progress?.cursor ?? null) : null;
  await inRun(deps, run, async (tx) => {
    if (!isFresh) {
      await dropPages(tx, run.id);
      await restartListing(tx, run.id);
    }
    const liveBefore = run.mode === 'full' ? await countLive(tx, stream.key) : null;
    await saveRunStart(tx, run.id, { startCursor: since, liveBefore });
  });
  return { since, cursor: null, pages: 0, isListed: false };
}

/** An operator's `since` is a moment; keys of timestamped records are moments in microseconds as well. */
const sinceKey = (run: LeasedRun): bigint | null => (run.since === null ? null : BigInt(Math.trunc(run.since)));

function sinceQuery(stream: Stream, since: bigint | null): Record<string, string> {
  const changed = stream.changedSince;
  if (changed === null || since === null) return {};
  const from = since > changed.overlap ? since - changed.overlap : 0n;
  return { ...changed.query, [changed.param]: changed.format(from) };
}

/** Applies one page together with its checkpoint. A page that is here is kept when the integration is paused meanwhile. */
async function writePage(
  deps: SyncDeps,
  stream: Stream,
  run: LeasedRun,
  page: Page,
  number: number,
  signal: AbortSignal,
): Promise<void> {
  await deps.crashPoint('C8');
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt >= MAX_PAGE_ATTEMPTS;
    const write = () =>
      inRun(deps, run, async (tx, orders) => {
        assertGoesOn({ ...orders, isPaused: false });
        const now = await readDatabaseNow(tx);
        const result = run.isDryRun
          ? await previewPage(tx, stream, run, page, now)
          : await applyPage(tx, stream, run, page, { isLastAttempt: isLast, now });
        if (result.deferred.length > 0 && stream.get === null && !isLast) throw new PageHeldError();
        await deps.crashPoint('C9');
        await checkpoint(tx, stream, run, page, number, result);
        return { result, isPaused: orders.isPaused };
      });
    const written = await withLookups(stream.lookups, signal, write).catch((error: unknown) => {
      if (error instanceof PageHeldError || (!isLast && isContention(error))) return null;
      throw error;
    });
    if (written !== null) {
      await deps.crashPoint('C10');
      deps.tally.runPage(stream.key, run, written.result.counts);
      if (written.isPaused) throw new RunPausedError('The integration is paused');
      return;
    }
    await wait(PAGE_RETRY_MS * attempt * (1 + deps.random()), undefined, { signal });
  }
}

/** Nothing of the page was written, and the same may succeed in a moment. */
function isContention(error: unknown): boolean {
  const kind = error instanceof SourceError ? null : failureKind(error);
  return kind === 'serialization' || kind === 'lock_timeout';
}

/** Somebody holds rows of this page and the source cannot be asked for them one by one: the page is tried again. */
class PageHeldError extends Error {
  override readonly name = 'PageHeldError';
}

async function checkpoint(tx: Db, stream: Stream, run: LeasedRun, page: Page, number: number, result: PageResult) {
  if (run.mode === 'full') await savePage(tx, run.id, number, result.ids);
  if (run.mode === 'full' && stream.get === null && !run.isDryRun) await clearAbsence(tx, stream.key, result.ids);
  await saveCheckpoint(tx, run.id, {
    pageCursor: keepPlace(stream.list, page.nextCursor),
    isListed: page.nextCursor === null,
    isIdsComplete: result.isIdsComplete,
    // A full list is in no order of change: only what its first page shows had surely happened before the rest was read.
    maxKey: run.mode === 'full' && number > 0 ? null : result.maxKey,
    counts: result.counts,
  });
}

/** A run over named records is nothing but reads of them. */
async function queueReads(deps: SyncDeps, stream: Stream, run: LeasedRun): Promise<void> {
  if (run.isListed) return;
  const ids = run.onlyIds ?? [];
  await inRun(deps, run, async (tx) => {
    const now: Instant = await readDatabaseNow(tx);
    await enqueueHints(
      tx,
      stream.key,
      ids.map((externalId) => ({
        externalId,
        reason: 'reconcile_ids' as const,
        needLo: run.startedAt,
        minVersion: null,
        runAt: now,
        attempt: 0,
        correlationId: run.id,
        runId: run.id,
      })),
    );
    await saveCheckpoint(tx, run.id, {
      pageCursor: null,
      isListed: true,
      isIdsComplete: true,
      maxKey: null,
      counts: { seen: ids.length },
    });
  });
  deps.wakeHints();
}
