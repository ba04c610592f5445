import type { Db } from '../db/connect.ts';
import { type LeasedRun, RUN_LEASE_MS, type Run } from '../model/run.ts';
import { beatRun, type RunOrders, readRunOrders, renewRun } from '../store/run-progress.ts';
import type { SyncDeps } from './deps.ts';
import { LeaseLostError, RunCancelledError, RunLateError, RunPausedError } from './failures.ts';

const HEARTBEAT_MS = RUN_LEASE_MS / 3;

/** Runs a transaction of this run: its lease is checked and held by the first statement. */
export async function inRun<T>(
  deps: SyncDeps,
  run: LeasedRun,
  work: (tx: Db, orders: RunOrders) => Promise<T>,
): Promise<T> {
  return await deps.db.transaction(async (tx) => {
    const orders = await renewRun(tx, run, RUN_LEASE_MS);
    if (orders === null) throw new LeaseLostError('The run was taken over');
    return await work(tx, orders);
  });
}

/** Throws when a run must stop where it stands: cancelled, past its deadline, or its integration paused. */
export function assertGoesOn({ isCancelRequested, isLate, isPaused }: RunOrders): void {
  if (isCancelRequested) throw new RunCancelledError('The run was cancelled');
  if (isLate) throw new RunLateError('The run is past its deadline');
  if (isPaused) throw new RunPausedError('The integration is paused');
}

/** The same, for waits between transactions. */
export async function checkOrders(deps: SyncDeps, run: Run): Promise<void> {
  const orders = await readRunOrders(deps.db, run.id);
  if (orders !== null) assertGoesOn(orders);
}

/**
 * Keeps the lease while a page travels; a transaction of the run keeps it by itself. A failed beat is no error: the next
 * transaction checks the lease itself. @returns what stops it.
 */
export function startHeartbeat(deps: SyncDeps, run: LeasedRun): () => void {
  const timer = setInterval(() => {
    beatRun(deps.db, run, RUN_LEASE_MS).catch(() => {});
  }, HEARTBEAT_MS);
  timer.unref();
  return () => clearInterval(timer);
}
