import { setTimeout as wait } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { addMs, type Instant } from '../model/instant.ts';
import { type LeasedRun, RUN_LEASE_MS, type Run } from '../model/run.ts';
import { countRunHints, enqueueHints } from '../store/hints.ts';
import { hasWaitingDeliveries } from '../store/inbox.ts';
import {
  collectCandidates,
  countAbsence,
  countPages,
  dropCandidates,
  readCandidates,
  takeCandidates,
} from '../store/run-pages.ts';
import { addRunDeletions, renewRun, saveCandidateCount } from '../store/run-progress.ts';
import { readRun } from '../store/runs.ts';
import { applyBatch } from './apply.ts';
import type { SyncDeps } from './deps.ts';
import { LeaseLostError } from './failures.ts';
import { observeAbsence } from './observe.ts';
import { assertGoesOn, checkOrders } from './run-lease.ts';
import type { Stream } from './stream.ts';

/** Candidates of one transaction. */
const SWEEP_BATCH = 200;
/** Without reads by id, a record is deleted only after this many complete runs in a row did not list it. */
const ABSENT_RUNS_TO_DELETE = 2;
/** How long a run waits for the reads it asked for. They are durable: whatever is left goes on without it. */
const MAX_READ_WAIT_MS = 60_000;
/** How long a sweep without reads waits for deliveries that may still speak of its candidates. */
const MAX_DELIVERY_WAIT_MS = 30_000;
const POLL_MS = 100;

export type Swept =
  | {
      readonly kind: 'swept' | 'held';
      readonly state: 'succeeded' | 'partial' | 'braked';
      readonly candidates: number | null;
    }
  | { readonly kind: 'pages_lost' };

/**
 * Removes what a complete full run did not list. Where records can be read by id, each candidate is only read again and
 * its 404 deletes it; where not, two complete runs must have missed it. Nothing is deleted after an incomplete run, nor
 * when the candidates are too many: an empty or cut-off list looks exactly like a mass deletion. A run that is cancelled
 * deletes no further batch.
 */
export async function sweep(
  deps: SyncDeps,
  stream: Stream,
  run: LeasedRun,
  signal: AbortSignal,
  maxDeliveryWaitMs = MAX_DELIVERY_WAIT_MS,
): Promise<Swept> {
  const done = (await readRun(deps.db, run.id)) ?? run;
  if (!done.isIdsComplete) return { kind: 'held', state: 'partial', candidates: null };
  if (stream.get === null && !(await isQuiet(deps, run, signal, maxDeliveryWaitMs))) {
    // An approval is good for a sweep; where none came about the operator is asked again.
    const state = done.approvedBy === null ? 'partial' : 'braked';
    return { kind: 'held', state, candidates: done.candidates };
  }

  const found = done.candidates ?? (await findCandidates(deps, stream, run, done.pages));
  if (found === null) return { kind: 'pages_lost' };
  const mayBrake = done.approvedBy === null && !run.isDryRun;
  if (run.isDryRun || (found === 0 && !(mayBrake && isEmptyList(done)))) {
    await deps.db.transaction((tx) => dropCandidates(tx, run.id));
    if (!run.isDryRun) await waitForReads(deps, run, signal);
    return { kind: 'swept', state: 'succeeded', candidates: found };
  }
  if (mayBrake && isBraked(stream, done, found)) {
    deps.log.warn(
      { run: run.id, ...stream.key, candidates: found, live: done.liveBefore },
      'sweep braked: too many records to delete',
    );
    return { kind: 'held', state: 'braked', candidates: found };
  }
  await sweepCandidates(deps, stream, done, run);
  await waitForReads(deps, run, signal);
  return { kind: 'swept', state: 'succeeded', candidates: found };
}

/** Once a run: counted anew after a crash, an absence would count twice. @returns null when the seen ids were lost. */
async function findCandidates(deps: SyncDeps, stream: Stream, run: LeasedRun, pages: number): Promise<number | null> {
  return await deps.db.transaction(async (tx) => {
    await hold(tx, run);
    if ((await countPages(tx, run.id)) !== pages) return null;
    const found = await collectCandidates(tx, run, aliveBefore(stream, run.startedAt));
    await saveCandidateCount(tx, run.id, found);
    return found;
  });
}

/** What was seen later than this existed, for all that a lagging list may not show. */
const aliveBefore = (stream: Stream, startedAt: Instant): Instant => addMs(startedAt, -stream.caps.readLagMs);

/** An empty list, or more absences than an operator expects of one night, waits for her word. */
function isBraked(stream: Stream, run: Run, candidates: number): boolean {
  const { minimum, maxShare } = stream.deletions;
  return isEmptyList(run) || candidates > Math.max(minimum, maxShare * (run.liveBefore ?? 0));
}

/** However few candidates there are for now: a list that is suddenly empty proves nothing. */
const isEmptyList = ({ counts, liveBefore }: Run): boolean => counts.seen === 0 && (liveBefore ?? 0) > 0;

/** Works off a run's candidate list in small transactions, each under the run's lease; safe to repeat from anywhere. */
async function sweepCandidates(deps: SyncDeps, stream: Stream, run: Run, leased: LeasedRun): Promise<void> {
  let after = '';
  for (;;) {
    const ids = await readCandidates(deps.db, run.id, { after, limit: SWEEP_BATCH });
    const last = ids.at(-1);
    if (last === undefined) break;
    await deps.db.transaction(async (tx) => {
      await hold(tx, leased);
      if (stream.get !== null) await askAgain(tx, stream, run, ids);
      else await deleteAbsent(deps, tx, stream, run, ids);
      await takeCandidates(tx, run.id, ids);
    });
    await deps.crashPoint('C12');
    after = last;
  }
  await deps.db.transaction((tx) => dropCandidates(tx, run.id));
  deps.wakeHints();
}

async function askAgain(tx: Db, stream: Stream, run: Run, ids: readonly string[]): Promise<void> {
  const now = await readDatabaseNow(tx);
  const hints = ids.map((externalId) => ({
    externalId,
    reason: 'sweep' as const,
    needLo: run.startedAt ?? now,
    minVersion: null,
    runAt: now,
    attempt: 0,
    correlationId: run.id,
    runId: run.id,
  }));
  await enqueueHints(tx, stream.key, hints);
}

async function deleteAbsent(deps: SyncDeps, tx: Db, stream: Stream, run: Run, ids: readonly string[]): Promise<void> {
  const now = await readDatabaseNow(tx);
  const startedAt: Instant = run.startedAt ?? now;
  const gone = await countAbsence(tx, stream.key, ids, {
    enough: run.approvedBy === null ? ABSENT_RUNS_TO_DELETE : 1,
    aliveBefore: aliveBefore(stream, startedAt),
  });
  const sight = {
    channel: 'page',
    origin: { kind: 'run', id: run.id },
    lo: addMs(startedAt, -stream.caps.readLagMs),
    hi: now,
    isFullRun: false,
    isPartial: false,
    previousVersion: null,
    etag: null,
    inboxId: null,
    correlationId: run.id,
    isLastAttempt: true,
  } as const;
  const absences = gone.map((id) => observeAbsence(id, sight, { isPositiveDelete: false, version: null }));
  const outcomes = await applyBatch(tx, stream, absences, { repairs: false });
  const deleted = outcomes.filter(({ kind }) => kind === 'delete').length;
  await addRunDeletions(tx, run.id, deleted);
  deps.tally.drift(stream.key, 'deleted', deleted);
}

async function hold(tx: Db, run: LeasedRun): Promise<void> {
  const orders = await renewRun(tx, run, RUN_LEASE_MS);
  if (orders === null) throw new LeaseLostError('The run was taken over');
  assertGoesOn(orders);
}

/** Waits, bounded, until the reads that a run asked for are done, so that a caller who waits sees their effect. Throws when the run must stop. */
export async function waitForReads(deps: SyncDeps, run: Run, signal: AbortSignal): Promise<void> {
  deps.wakeHints();
  const isDone = async () => {
    await checkOrders(deps, run);
    return (await countRunHints(deps.db, run.id)) === 0;
  };
  await waitUntil(isDone, MAX_READ_WAIT_MS, signal);
}

/** True once no delivery from before now waits: one may carry the very record that the list did not show. */
async function isQuiet(deps: SyncDeps, run: LeasedRun, signal: AbortSignal, maxMs: number): Promise<boolean> {
  const until = await readDatabaseNow(deps.db);
  const isDone = async () => {
    await checkOrders(deps, run);
    return !(await hasWaitingDeliveries(deps.db, run.integration, until));
  };
  return await waitUntil(isDone, maxMs, signal);
}

async function waitUntil(isDone: () => Promise<boolean>, maxMs: number, signal: AbortSignal): Promise<boolean> {
  for (let waited = 0; waited < maxMs; waited += POLL_MS) {
    if (await isDone()) return true;
    await wait(POLL_MS, undefined, { signal });
  }
  return await isDone();
}
