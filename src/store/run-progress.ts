import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import { addCounts, COUNT_NAMES, NO_COUNTS, type RunCounts, type RunState } from '../model/run.ts';

/** A run as its holder names it: without the token nobody may move it. */
type Held = { readonly id: string; readonly leaseToken: string };

/** What asks a run to stop before its end. */
export type RunOrders = {
  readonly isCancelRequested: boolean;
  /** Its integration is paused. */
  readonly isPaused: boolean;
  /** Its deadline is past; never said while its integration is paused, which moves the deadline. */
  readonly isLate: boolean;
};

const ORDERS = sql.raw(`is_cancel_requested, coalesce(deadline_at < clock_timestamp(), false) AS is_late,
  EXISTS (SELECT 1 FROM sync.source_states p WHERE p.integration = r.integration AND p.paused IS NOT NULL) AS is_paused`);

type OrdersRow = { is_cancel_requested: boolean; is_late: boolean; is_paused: boolean };
const toOrders = (row: OrdersRow): RunOrders => ({
  isCancelRequested: row.is_cancel_requested,
  isPaused: row.is_paused,
  isLate: row.is_late && !row.is_paused,
});

/**
 * Extends the lease; the first statement of every transaction of a run, whose row lock then keeps rivals out until commit.
 * @returns what asks the run to stop, or null when the lease was lost: the caller must roll back and stop.
 */
export async function renewRun(tx: Db, run: Held, leaseMs: number): Promise<RunOrders | null> {
  const [row] = await queryRows<OrdersRow>(
    tx,
    sql`UPDATE sync.sync_runs AS r SET lease_expires_at = clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'
        WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid AND lease_expires_at > clock_timestamp()
          AND state = 'running'
        RETURNING ${ORDERS}`,
  );
  return row === undefined ? null : toOrders(row);
}

/** What asks a run to stop, without touching it: for waits. Null when there is no such run. */
export async function readRunOrders(db: Db, runId: string): Promise<RunOrders | null> {
  const [row] = await queryRows<OrdersRow>(
    db,
    sql`SELECT ${ORDERS} FROM sync.sync_runs AS r WHERE id = ${runId}::uuid`,
  );
  return row === undefined ? null : toOrders(row);
}

/** Sets how long a run may take, once, when it is first worked on; the time of pauses does not count. */
export async function saveDeadline(tx: Db, runId: string, deadlineMs: number): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET deadline_at = clock_timestamp() + ${deadlineMs}::float8 * interval '1 millisecond'
        WHERE id = ${runId}::uuid AND deadline_at IS NULL`,
  );
}

/** Extends the lease, unless a transaction of the run is open: that one extends it, and the beat would wait for its end. */
export async function beatRun(db: Db, run: Held, leaseMs: number): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.sync_runs SET lease_expires_at = clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'
        WHERE id = (SELECT id FROM sync.sync_runs
                    WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid
                      AND lease_expires_at > clock_timestamp() AND state = 'running' FOR UPDATE SKIP LOCKED)`,
  );
}

/** Gives a run back without ending it (shutdown, a pause): the next worker takes it up at its checkpoint. */
export async function releaseRun(db: Db, run: Held): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.sync_runs SET lease_token = NULL, lease_expires_at = NULL
        WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid AND state = 'running'`,
  );
}

/**
 * Gives back a run that its source interrupted: nobody takes it up for `waitMs`, or past its deadline, which ends it.
 * @returns false when the lease was lost.
 */
export async function stallRun(
  tx: Db,
  run: Held,
  stall: { readonly waitMs: number; readonly errorCode: string; readonly error: string },
): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET lease_token = NULL, lease_expires_at = NULL, stalls = stalls + 1,
               resume_at = LEAST(clock_timestamp() + ${stall.waitMs}::float8 * interval '1 millisecond', deadline_at),
               error_code = ${stall.errorCode}, error = ${stall.error}
        WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid AND state = 'running' RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

export type Checkpoint = {
  readonly pageCursor: string | null;
  readonly isListed: boolean;
  readonly isIdsComplete: boolean;
  readonly maxKey: bigint | null;
  readonly counts: Partial<RunCounts>;
};

/**
 * Records a page in the transaction that applied it, so that the checkpoint is never ahead of the data. A page beyond all
 * that this run has reached is progress: the interruptions before it no longer count.
 */
export async function saveCheckpoint(tx: Db, runId: string, at: Checkpoint): Promise<void> {
  const counts = addCounts(NO_COUNTS, at.counts);
  const sums = sql.join(
    COUNT_NAMES.map((name) => sql`${sql.raw(name)} = ${sql.raw(name)} + ${counts[name]}`),
    sql`, `,
  );
  await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET page_cursor = ${at.pageCursor}, is_listed = ${at.isListed},
               is_ids_complete = is_ids_complete AND ${at.isIdsComplete},
               max_key = GREATEST(max_key, ${at.maxKey?.toString() ?? null}::numeric), pages = pages + 1,
               most_pages = GREATEST(most_pages, pages + 1),
               stalls = CASE WHEN pages >= most_pages THEN 0 ELSE stalls END,
               error_code = CASE WHEN pages < most_pages THEN error_code END,
               error = CASE WHEN pages < most_pages THEN error END, ${sums}
        WHERE id = ${runId}::uuid`,
  );
}

/** Begins the listing anew: its pages so far no longer count. */
export async function restartListing(tx: Db, runId: string): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET page_cursor = NULL, is_listed = false, is_ids_complete = true, pages = 0,
               ${sql.raw(COUNT_NAMES.map((name) => `${name} = 0`).join(', '))}
        WHERE id = ${runId}::uuid`,
  );
}

/** Notes, before any request, where an incremental run starts and how many records were live. */
export async function saveRunStart(
  tx: Db,
  runId: string,
  at: { startCursor: bigint | null; liveBefore: number | null },
): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET start_cursor = ${at.startCursor?.toString() ?? null}::numeric, live_before = ${at.liveBefore}
        WHERE id = ${runId}::uuid`,
  );
}

/** Notes how many candidates a sweep found; from then on a run that is taken up again goes on with those that are left. */
export async function saveCandidateCount(tx: Db, runId: string, candidates: number): Promise<void> {
  await queryRows(tx, sql`UPDATE sync.sync_runs SET candidates = ${candidates} WHERE id = ${runId}::uuid`);
}

/** Notes how many rows of the table no record was found for. */
export async function saveUnmatched(tx: Db, runId: string, unmatched: number): Promise<void> {
  await queryRows(tx, sql`UPDATE sync.sync_runs SET unmatched = ${unmatched} WHERE id = ${runId}::uuid`);
}

/** Ends a run held by its lease. @returns false when the lease was lost. */
export async function endRun(
  tx: Db,
  run: Held,
  end: { state: RunState; candidates: number | null; errorCode: string | null; error: string | null },
): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET state = ${end.state}, finished_at = clock_timestamp(), lease_token = NULL, lease_expires_at = NULL,
               candidates = coalesce(${end.candidates}::int, candidates), error_code = ${end.errorCode}, error = ${end.error}
        WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid AND state = 'running' RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/** Adds to a run's counters outside its lease: deletions that its sweep's reads brought about. */
export async function addRunDeletions(tx: Db, runId: string, deleted: number): Promise<void> {
  await queryRows(tx, sql`UPDATE sync.sync_runs SET deleted = deleted + ${deleted} WHERE id = ${runId}::uuid`);
}
