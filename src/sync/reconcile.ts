import { setTimeout as wait } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import { failureKind } from '../db/failure.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { addMs, type Instant } from '../model/instant.ts';
import { addCounts, type LeasedRun, RUN_LEASE_MS, type RunState } from '../model/run.ts';
import type { Page } from '../source/client.ts';
import { SourceError } from '../source/error.ts';
import { isResumable } from '../source/pagination/pagination.ts';
import { enqueueHints } from '../store/hints.ts';
import { countLive } from '../store/record-states.ts';
import { clearAbsence, dropPages, savePage } from '../store/run-pages.ts';
import {
  beatRun,
  endRun,
  readRun,
  releaseRun,
  renewRun,
  restartListing,
  saveCheckpoint,
  saveRunStart,
  supersedeBraked,
} from '../store/runs.ts';
import { saveRunSummary } from '../store/status.ts';
import { readStream, requireFullRun, saveCursor, saveFullRun } from '../store/streams.ts';
import type { SyncDeps } from './deps.ts';
import { describeFailure, LeaseLostError } from './failures.ts';
import { applyPage, type PageResult, previewPage } from './page.ts';
import { settleCursor } from './settle-cursor.ts';
import { type Stream, streamName } from './stream.ts';
import { sweep, waitForReads } from './sweep.ts';

const HEARTBEAT_MS = RUN_LEASE_MS / 3;
/** Tries at one page's transaction: on a deadlock, or when somebody else holds its rows and they cannot be read again later. */
const MAX_PAGE_ATTEMPTS = 5;
const PAGE_RETRY_MS = 200;
const MAX_LISTING_STARTS = 3;

/** How a run ended, for its caller's log; `released` runs go on in another worker. */
export type RunReport = { readonly state: RunState | 'released' | 'lost'; readonly pages: number };

/**
 * Works a leased run to its end: reads the source's pages, applies each with its checkpoint in one transaction, then
 * settles the cursor (incremental) or sweeps what is no longer listed (full). Interrupted anywhere it goes on, in this or
 * another process, at the last committed page. On abort it gives the run back. Never throws for what a source or a record
 * does; the run then ends `failed` and says why. Throws only when the database is away: the run stays open then.
 */
export async function runReconcile(deps: SyncDeps, run: LeasedRun, signal: AbortSignal): Promise<RunReport> {
  const stream = deps.streams.get(streamName(run));
  if (stream === undefined) throw new Error(`No stream ${streamName(run)} in the configuration`);
  const stopHeart = startHeartbeat(deps, run);
  try {
    return await workRun(deps, stream, run, signal);
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
  if (run.mode === 'ids') {
    await queueReads(deps, stream, run);
    await waitForReads(deps, run, signal);
    return await finish(deps, stream, run, { state: 'succeeded', candidates: null });
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
    const isCancelled = await listAll(deps, stream, run, signal);
    if (isCancelled) return await finish(deps, stream, run, { state: 'cancelled', candidates: null });
  } catch (error) {
    const isForgotten = error instanceof SourceError && error.code === 'cursor_expired';
    if (isForgotten && !isLastStart) return 'start_again';
    throw error;
  }
  if (run.mode === 'incremental') {
    if (!run.isDryRun) await waitForReads(deps, run, signal);
    return await finish(deps, stream, run, { state: 'succeeded', candidates: null });
  }
  const swept = await sweep(deps, stream, run, signal);
  if (swept.kind !== 'pages_lost') return await finish(deps, stream, run, swept);
  return isLastStart ? await finish(deps, stream, run, { state: 'partial', candidates: null }) : 'start_again';
}

/** Reads and applies the pages that are left. @returns true when an operator cancelled the run. */
async function listAll(deps: SyncDeps, stream: Stream, run: LeasedRun, signal: AbortSignal): Promise<boolean> {
  const from = await prepare(deps, stream, run);
  if (from.isListed) return false;
  const leaving = new AbortController();
  const pages = stream.client.listPages(stream.list, {
    params: sinceQuery(stream, from.since),
    cursor: from.cursor,
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
      if (await writePage(deps, stream, run, value, page, signal)) return true;
      page++;
    }
  } finally {
    // A page that still travels is of no use any more.
    leaving.abort();
    next.catch(() => {});
    await pages.return();
  }
  return false;
}

type Fetched = { value: Page | undefined; done: boolean };
const read = async (pages: AsyncGenerator<Page, void, undefined>): Promise<Fetched> => {
  const result = await pages.next();
  return { value: result.value ?? undefined, done: result.done ?? false };
};

type Start = { since: bigint | null; cursor: string | null; pages: number; isListed: boolean };

/** Where to read from: the run's checkpoint where its cursor outlives the process, else the run's own beginning. */
async function prepare(deps: SyncDeps, stream: Stream, run: LeasedRun): Promise<Start> {
  const canResume = isResumable(stream.list.pagination);
  const isFresh = run.pages === 0;
  if (!isFresh && (canResume || run.isListed)) {
    return { since: run.startCursor, cursor: run.pageCursor, pages: run.pages, isListed: run.isListed };
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

/** Applies one page together with its checkpoint. @returns true when the run was cancelled. */
async function writePage(
  deps: SyncDeps,
  stream: Stream,
  run: LeasedRun,
  page: Page,
  number: number,
  signal: AbortSignal,
): Promise<boolean> {
  await deps.crashPoint('C8');
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt >= MAX_PAGE_ATTEMPTS;
    const written = await inRun(deps, run, async (tx, isCancelRequested) => {
      if (isCancelRequested) return 'cancelled' as const;
      const now = await readDatabaseNow(tx);
      const result = run.isDryRun
        ? await previewPage(tx, stream, run, page, now)
        : await applyPage(tx, stream, run, page, { isLastAttempt: isLast, now });
      if (result.deferred.length > 0 && stream.get === null && !isLast) throw new PageHeldError();
      await deps.crashPoint('C9');
      await checkpoint(tx, stream, run, page, number, result);
      return result;
    }).catch((error: unknown) => {
      if (error instanceof PageHeldError || (!isLast && isContention(error))) return null;
      throw error;
    });
    if (written === 'cancelled') return true;
    if (written !== null) {
      await deps.crashPoint('C10');
      deps.tally.runPage(stream.key, run, written.counts);
      return false;
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
    pageCursor: page.nextCursor,
    isListed: page.nextCursor === null,
    isIdsComplete: result.isIdsComplete,
    // A full list is in no order of change: only what its first page shows had surely happened before the rest was read.
    maxKey: run.mode === 'full' && number > 0 ? null : result.maxKey,
    counts: result.counts,
  });
}

/** Runs a transaction of this run: its lease is checked and held by the first statement. */
async function inRun<T>(
  deps: SyncDeps,
  run: LeasedRun,
  work: (tx: Db, isCancelRequested: boolean) => Promise<T>,
): Promise<T> {
  return await deps.db.transaction(async (tx) => {
    const held = await renewRun(tx, run, RUN_LEASE_MS);
    if (held === null) throw new LeaseLostError('The run was taken over');
    return await work(tx, held.isCancelRequested);
  });
}

type End = { readonly state: 'succeeded' | 'partial' | 'cancelled' | 'braked'; readonly candidates: number | null };

const END_WORDS: { readonly [state in End['state']]: string | null } = {
  succeeded: null,
  partial: 'what is no longer listed could not be told, so nothing was swept',
  cancelled: 'the run was cancelled',
  braked: 'the sweep would delete too many records and waits for approval',
};

async function finish(deps: SyncDeps, stream: Stream, run: LeasedRun, end: End): Promise<RunReport> {
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

async function failRun(deps: SyncDeps, stream: Stream, run: LeasedRun, error: unknown): Promise<RunReport> {
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

/** Keeps the lease while a page travels; a transaction of the run keeps it by itself. A failed beat is no error: the next transaction checks the lease itself. */
function startHeartbeat(deps: SyncDeps, run: LeasedRun): () => void {
  const timer = setInterval(() => {
    beatRun(deps.db, run, RUN_LEASE_MS).catch(() => {});
  }, HEARTBEAT_MS);
  timer.unref();
  return () => clearInterval(timer);
}
