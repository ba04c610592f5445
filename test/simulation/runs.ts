import type { Outcome } from '../../src/model/apply.ts';
import type { NewHint } from '../../src/model/hint.ts';
import { addMs, type Instant } from '../../src/model/instant.ts';
import { type LeasedRun, NO_COUNTS } from '../../src/model/run.ts';
import { SourceError } from '../../src/source/error.ts';
import { observe, type Sight } from '../../src/sync/observe.ts';
import type { Stream } from '../../src/sync/stream.ts';
import { applySeen } from './apply-seen.ts';
import { isHeldRow } from './held.ts';
import type { SeenPage } from './source-reads.ts';
import { KEY } from './stream.ts';
import { isBraked, sweep } from './sweep.ts';
import type { RunRow, Tables } from './tables.ts';
import type { SimulationTx, WorkerDeps } from './worker.ts';

const RUN_LEASE_MS = 30_000;
/** How long a run leaves a source alone that did not answer. */
const STALL_MS = 1_000;
/** More pages than any simulated source has: a listing must end. */
const MAX_PAGES = 1_000;

class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** When a run can be worked on; infinity when none is asked for. */
export function nextRunAt(tables: Tables): Instant {
  const run = tables.run.get();
  if (run !== null) return run.leaseExpiresAt;
  return tables.wish.get() === null ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
}

/** Works runs to their end, by the rules of `runReconcile`: pages with their checkpoints, then the cursor or the sweep. */
export async function runReconcile(deps: WorkerDeps): Promise<never> {
  const { actor, tables, clock, store } = deps;
  for (;;) {
    await actor.idle(() => !tables.progress.get().pausedForAuth && nextRunAt(tables) <= clock.at());
    const run = await store.transaction((tx) => lease(tx, deps));
    if (run === null) continue;
    await actor.gate('C7');
    try {
      const listed = await listAll(deps, run);
      await actor.crashPoint('C11');
      if (listed.mode === 'full') await sweepAndEnd(deps, listed);
      else await inRun(deps, listed, (tx) => end(tx, deps, listed, 'succeeded'));
    } catch (error) {
      if (error instanceof LeaseLostError) continue;
      if (!(error instanceof SourceError) && !isHeldRow(error)) throw error;
      const isRefused = error instanceof SourceError && error.code === 'unauthorized';
      await inRun(deps, run, async (tx, held) => {
        if (isRefused) await tx.pauseForAuth('401');
        tables.run.set({ ...held, leaseExpiresAt: addMs(clock.at(), STALL_MS) });
      }).catch(unlessLost);
    }
  }
}

const unlessLost = (error: unknown): void => {
  if (!(error instanceof LeaseLostError)) throw error;
};

/** Takes up the run that lies there, or begins the one that is asked for. */
async function lease(tx: SimulationTx, { tables, clock, newId }: WorkerDeps): Promise<RunRow | null> {
  const now = clock.read();
  const leaseExpiresAt = addMs(now, RUN_LEASE_MS);
  const open = tables.run.get();
  if (open !== null) {
    if (open.leaseExpiresAt > now) return null;
    const taken = { ...open, fence: open.fence + 1, leaseExpiresAt };
    tables.run.set(taken);
    return taken;
  }
  const mode = tables.wish.get();
  if (mode === null) return null;
  const { cursor } = tables.progress.get();
  const begun: RunRow = {
    id: newId(),
    mode,
    startedAt: now,
    fence: 1,
    leaseExpiresAt,
    since: mode === 'incremental' ? cursor : null,
    pageCursor: null,
    pages: 0,
    isListed: false,
    listed: [],
    maxKey: null,
    liveBefore: await tx.countLive(),
  };
  tables.run.set(begun);
  tables.wish.set(null);
  return begun;
}

/** A transaction under the run's lease, which it renews. */
async function inRun<T>(
  deps: WorkerDeps,
  run: RunRow,
  work: (tx: SimulationTx, held: RunRow) => Promise<T>,
): Promise<T> {
  return await deps.store.transaction(async (tx) => {
    const now = deps.clock.read();
    const held = deps.tables.run.get();
    if (held === null || held.id !== run.id || held.fence !== run.fence || held.leaseExpiresAt <= now)
      throw new LeaseLostError();
    const renewed = { ...held, leaseExpiresAt: addMs(now, RUN_LEASE_MS) };
    deps.tables.run.set(renewed);
    return await work(tx, renewed);
  });
}

async function listAll(deps: WorkerDeps, leased: RunRow): Promise<RunRow> {
  const { actor, tables, reads, rules } = deps;
  let run = leased;
  if (run.isListed) return run;
  const isResumable = deps.stream().list.pagination.kind !== 'offset';
  if (run.pages > 0 && !isResumable) {
    run = { ...run, pages: 0, pageCursor: null, listed: [], maxKey: null };
    await inRun(deps, run, async (_tx, held) => tables.run.set({ ...run, leaseExpiresAt: held.leaseExpiresAt }));
  }
  for (let number = 0; number < MAX_PAGES; number++) {
    // From the beginning is from a key before all others: a list of changes shows deletions, one of records does not.
    const since = run.mode === 'incremental' ? (run.since ?? 0n) : null;
    const page = await reads.list(actor, { since, cursor: run.pageCursor });
    await actor.crashPoint('C8');
    if (rules.savesCheckpointFirst) await inRun(deps, run, async (_tx, held) => checkpoint(deps, held, page));
    run = await inRun(deps, run, async (tx, held) => {
      await applyPage(tx, deps, held, page);
      await actor.crashPoint('C9');
      return rules.savesCheckpointFirst ? held : checkpoint(deps, held, page);
    });
    await actor.crashPoint('C10');
    if (run.isListed) return run;
  }
  throw new Error('The listing does not end');
}

function checkpoint({ tables, stream }: WorkerDeps, run: RunRow, page: SeenPage): RunRow {
  const isKeyed = run.mode === 'incremental' || run.pages === 0;
  let maxKey = run.maxKey;
  for (const { version } of page.items)
    if (isKeyed && stream().caps.versionKind !== 'none' && version !== null && (maxKey === null || version > maxKey))
      maxKey = version;
  const next = {
    ...run,
    pageCursor: page.nextCursor,
    isListed: page.nextCursor === null,
    pages: run.pages + 1,
    listed: run.mode === 'full' ? [...run.listed, ...page.items.map(({ id }) => id)] : run.listed,
    maxKey,
  };
  tables.run.set(next);
  return next;
}

async function applyPage(tx: SimulationTx, deps: WorkerDeps, run: RunRow, page: SeenPage): Promise<void> {
  const stream = deps.stream();
  const isFullRun = run.mode === 'full';
  const sight: Sight = {
    channel: 'page',
    origin: { kind: 'run', id: run.id },
    lo: deps.rules.pageLo === 'request' ? addMs(page.startedAt, -stream.caps.readLagMs) : page.endedAt,
    hi: page.endedAt,
    isFullRun,
    isPartial: false,
    previousVersion: null,
    etag: null,
    inboxId: null,
    correlationId: null,
    isLastAttempt: true,
  };
  const latest = new Map(page.items.map((item) => [item.id, item]));
  const sighted = [...latest.values()].flatMap((item) => {
    const observed = observe(stream, item, sight);
    return observed.kind === 'sighted' ? [observed.sighted] : [];
  });
  const outcomes = await applySeen(tx, deps, sighted, { repairs: isFullRun });
  const now = await tx.now();
  await tx.wantReads(
    sighted.flatMap((one, place) => (isDeferred(outcomes[place]) ? [deferredHint(one.seen.externalId, run, now)] : [])),
  );
  if (isFullRun && stream.get === null) for (const { seen } of sighted) deps.tables.absentRuns.remove(seen.externalId);
}

const isDeferred = (outcome: Outcome | undefined): boolean => outcome?.kind === 'defer' || outcome?.kind === 'retry';

const deferredHint = (externalId: string, run: RunRow, now: Instant): NewHint => ({
  externalId,
  reason: 'deferred',
  needLo: now,
  minVersion: null,
  runAt: now,
  attempt: 0,
  correlationId: null,
  runId: run.id,
});

async function sweepAndEnd(deps: WorkerDeps, run: RunRow): Promise<void> {
  await inRun(deps, run, async (tx, held) => {
    const candidates = findCandidates(deps, held);
    const isHeld = isBraked(deps.stream().deletions, held, candidates.length);
    deps.figures.count(isHeld ? 'braked sweeps' : 'sweeps');
    if (!isHeld) await sweep(tx, deps, held, candidates);
    await end(tx, deps, held, isHeld ? 'braked' : 'succeeded');
  });
  await deps.actor.crashPoint('C12');
}

/** Live records that the list did not show and that nothing shows to have existed since it began. */
function findCandidates({ tables, stream, clock, rules }: WorkerDeps, run: RunRow): string[] {
  const listed = new Set(run.listed);
  const hinted = new Set(tables.hints.values().map(({ externalId }) => externalId));
  const aliveBefore = addMs(run.startedAt, -stream().caps.readLagMs);
  const isOld = (aliveAt: Instant) =>
    rules.sweep === 'deletes_without_evidence' || aliveAt < aliveBefore || aliveAt > clock.at();
  return tables.states
    .values()
    .filter(({ externalId, status, aliveAt }) => status === 'live' && !listed.has(externalId) && isOld(aliveAt))
    .map(({ externalId }) => externalId)
    .filter((id) => !hinted.has(id))
    .sort();
}

async function end(
  _tx: SimulationTx,
  { tables, stream, rules, clock }: WorkerDeps,
  run: RunRow,
  state: 'succeeded' | 'braked',
): Promise<void> {
  const before = tables.progress.get();
  const progress = { ...KEY, ...before, lastFullStartedAt: null, pausedReason: null };
  const settled = rules.settleCursor(stream(), {
    run: asLeased(stream(), run),
    maxKey: run.maxKey,
    progress,
    now: clock.read(),
  });
  const isPaid = run.mode === 'full' && state === 'succeeded' && (before.needsFullAt ?? 0) <= run.startedAt;
  tables.progress.set({ ...before, ...settled, needsFullAt: isPaid ? null : before.needsFullAt });
  tables.run.set(null);
}

const asLeased = ({ key }: Stream, run: RunRow): LeasedRun => ({
  ...key,
  id: run.id,
  mode: run.mode,
  trigger: 'schedule',
  isDryRun: false,
  isBackfill: false,
  since: null,
  onlyIds: null,
  state: 'running',
  isCancelRequested: false,
  createdAt: run.startedAt,
  startedAt: run.startedAt,
  finishedAt: null,
  startCursor: run.since,
  pageCursor: run.pageCursor,
  isListed: run.isListed,
  isIdsComplete: true,
  maxKey: run.maxKey,
  pages: run.pages,
  resumeAt: null,
  stalls: 0,
  counts: NO_COUNTS,
  candidates: null,
  liveBefore: run.liveBefore,
  approvedBy: null,
  errorCode: null,
  error: null,
  leaseToken: String(run.fence),
});
