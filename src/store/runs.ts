import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { sqlState } from '../db/failure.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';
import {
  addCounts,
  COUNT_NAMES,
  type LeasedRun,
  NO_COUNTS,
  type Run,
  type RunCounts,
  type RunMode,
  type RunState,
  type RunTrigger,
} from '../model/run.ts';

const UNIQUE_VIOLATION = '23505';

const COLUMNS =
  sql.raw(`id::text AS id, integration, entity, mode, trigger, is_dry_run, is_backfill, ${instantColumn('since_at')},
  only_ids::text AS only_ids, state, lease_token::text AS lease_token, is_cancel_requested, ${instantColumn('created_at')},
  ${instantColumn('started_at')}, ${instantColumn('finished_at')}, start_cursor::text AS start_cursor, page_cursor, is_listed,
  is_ids_complete, max_key::text AS max_key, pages, ${COUNT_NAMES.join(', ')}, candidates, live_before, approved_by, error_code, error`);

type RunRow = Record<keyof RunCounts, number> & {
  id: string;
  integration: string;
  entity: string;
  mode: RunMode;
  trigger: RunTrigger;
  is_dry_run: boolean;
  is_backfill: boolean;
  since_at: number | null;
  only_ids: string | null;
  state: RunState;
  lease_token: string | null;
  is_cancel_requested: boolean;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  start_cursor: string | null;
  page_cursor: string | null;
  is_listed: boolean;
  is_ids_complete: boolean;
  max_key: string | null;
  pages: number;
  candidates: number | null;
  live_before: number | null;
  approved_by: string | null;
  error_code: string | null;
  error: string | null;
};

export type NewRun = StreamKey & {
  readonly id: string;
  readonly mode: RunMode;
  readonly trigger: RunTrigger;
  readonly isDryRun: boolean;
  readonly since: Instant | null;
  readonly onlyIds: readonly string[] | null;
};

/**
 * Queues a run, unless one that writes is open for the stream: the database's unique index decides, so two replicas
 * that ask at once get one run. Dry runs write nothing and may stand beside it.
 * @returns the new run, or the one under way.
 */
export async function queueRun(db: Db, run: NewRun): Promise<{ kind: 'queued' | 'under_way'; run: Run }> {
  const [queued] = await queryRows<RunRow>(
    db,
    sql`INSERT INTO sync.sync_runs (id, integration, entity, mode, trigger, is_dry_run, since_at, only_ids, is_backfill)
        SELECT ${run.id}::uuid, ${run.integration}, ${run.entity}, ${run.mode}, ${run.trigger}, ${run.isDryRun},
               to_timestamp(${run.since}::float8 / 1e6), ${run.onlyIds === null ? null : JSON.stringify(run.onlyIds)}::text::jsonb,
               s.last_full_started_at IS NULL
        FROM sync.streams s WHERE s.integration = ${run.integration} AND s.entity = ${run.entity}
        ON CONFLICT (integration, entity) WHERE state IN ('queued','running') AND NOT is_dry_run DO NOTHING
        RETURNING ${COLUMNS}`,
  );
  if (queued !== undefined) return { kind: 'queued', run: toRun(queued) };
  const [open] = await queryRows<RunRow>(
    db,
    sql`SELECT ${COLUMNS} FROM sync.sync_runs WHERE integration = ${run.integration} AND entity = ${run.entity}
          AND NOT is_dry_run ORDER BY (state IN ('queued','running')) DESC, created_at DESC LIMIT 1`,
  );
  if (open === undefined) throw new Error(`Stream ${run.integration}/${run.entity} is not registered`);
  return { kind: 'under_way', run: toRun(open) };
}

/** Takes the oldest run that waits or whose holder's lease ran out. The start time of a run is set once, here. */
export async function claimRun(
  db: Db,
  options: { integrations: readonly string[]; leaseMs: number },
): Promise<LeasedRun | null> {
  const [row] = await queryRows<RunRow>(
    db,
    sql`UPDATE sync.sync_runs SET state = 'running', started_at = coalesce(started_at, clock_timestamp()),
               lease_token = gen_random_uuid(),
               lease_expires_at = clock_timestamp() + ${options.leaseMs}::float8 * interval '1 millisecond'
        WHERE id = (SELECT id FROM sync.sync_runs
                    WHERE state IN ('queued','running') AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
                      AND integration = ANY(${sql.param(options.integrations)}::text[])
                    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING ${COLUMNS}`,
  );
  if (row === undefined) return null;
  const run = toRun(row);
  if (row.lease_token === null || run.startedAt === null) throw new Error('A claimed run has no lease');
  return { ...run, startedAt: run.startedAt, leaseToken: row.lease_token };
}

/**
 * Extends the lease; the first statement of every transaction of a run, whose row lock then keeps rivals out until commit.
 * @returns whether cancelling was asked for, or null when the lease was lost: the caller must roll back and stop.
 */
export async function renewRun(
  tx: Db,
  run: { id: string; leaseToken: string },
  leaseMs: number,
): Promise<{ isCancelRequested: boolean } | null> {
  const [row] = await queryRows<{ is_cancel_requested: boolean }>(
    tx,
    sql`UPDATE sync.sync_runs SET lease_expires_at = clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'
        WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid AND lease_expires_at > clock_timestamp()
          AND state = 'running'
        RETURNING is_cancel_requested`,
  );
  return row === undefined ? null : { isCancelRequested: row.is_cancel_requested };
}

/** Extends the lease, unless a transaction of the run is open: that one extends it, and the beat would wait for its end. */
export async function beatRun(db: Db, run: { id: string; leaseToken: string }, leaseMs: number): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.sync_runs SET lease_expires_at = clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'
        WHERE id = (SELECT id FROM sync.sync_runs
                    WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid
                      AND lease_expires_at > clock_timestamp() AND state = 'running' FOR UPDATE SKIP LOCKED)`,
  );
}

/** Gives a run back without ending it (shutdown): the next worker takes it up at its checkpoint. */
export async function releaseRun(db: Db, run: { id: string; leaseToken: string }): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.sync_runs SET lease_token = NULL, lease_expires_at = NULL
        WHERE id = ${run.id}::uuid AND lease_token = ${run.leaseToken}::uuid AND state = 'running'`,
  );
}

export type Checkpoint = {
  readonly pageCursor: string | null;
  readonly isListed: boolean;
  readonly isIdsComplete: boolean;
  readonly maxKey: bigint | null;
  readonly counts: Partial<RunCounts>;
};

/** Records a page in the transaction that applied it, so that the checkpoint is never ahead of the data. */
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
               max_key = GREATEST(max_key, ${at.maxKey?.toString() ?? null}::numeric), pages = pages + 1, ${sums}
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

/** Ends a run held by its lease. @returns false when the lease was lost. */
export async function endRun(
  tx: Db,
  run: { id: string; leaseToken: string },
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

/**
 * Asks a run to stop: a running one does at its next page; one that waits, for a worker or for approval, ends at once.
 * @returns the state it was found in; null when there is no such run.
 */
export async function requestCancel(db: Db, runId: string): Promise<RunState | null> {
  const [row] = await queryRows<{ state: RunState }>(
    db,
    sql`WITH found AS (SELECT id, state FROM sync.sync_runs WHERE id = ${runId}::uuid FOR UPDATE)
        UPDATE sync.sync_runs AS r SET is_cancel_requested = r.is_cancel_requested OR f.state IN ('queued','running','braked'),
               state = CASE WHEN f.state IN ('queued','braked') THEN 'cancelled' ELSE f.state END,
               finished_at = CASE WHEN f.state IN ('queued','braked') THEN clock_timestamp() ELSE r.finished_at END
        FROM found f WHERE r.id = f.id RETURNING f.state`,
  );
  return row?.state ?? null;
}

/**
 * Queues a braked run again, approved, for its sweep alone. A worker takes it up under a lease like any other run, so a
 * crash does not end it half-way. @returns false when it is not braked, or another run of its stream is open.
 */
export async function approveRun(db: Db, runId: string, approvedBy: string): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`UPDATE sync.sync_runs AS r SET state = 'queued', approved_by = ${approvedBy}, finished_at = NULL
        WHERE id = ${runId}::uuid AND state = 'braked' AND NOT EXISTS (
          SELECT 1 FROM sync.sync_runs o WHERE o.integration = r.integration AND o.entity = r.entity
            AND o.state IN ('queued','running') AND NOT o.is_dry_run)
        RETURNING 1 AS one`,
  ).catch((error: unknown) => {
    // Somebody queued a run of the stream at this very moment.
    if (sqlState(error) === UNIQUE_VIOLATION) return [];
    throw error;
  });
  return rows.length > 0;
}

/** Ends the stream's braked runs: a later full run has looked at everything again. */
export async function supersedeBraked(tx: Db, key: StreamKey): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.sync_runs SET state = 'cancelled', finished_at = clock_timestamp()
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND state = 'braked'`,
  );
}

/** One run, or null. */
export async function readRun(db: Db, runId: string): Promise<Run | null> {
  const [row] = await queryRows<RunRow>(db, sql`SELECT ${COLUMNS} FROM sync.sync_runs WHERE id = ${runId}::uuid`);
  return row === undefined ? null : toRun(row);
}

export type RunFilter = {
  readonly integration: string | null;
  readonly entity: string | null;
  readonly state: RunState | null;
  readonly limit: number;
};

/** Runs by filter, newest first. */
export async function listRuns(db: Db, filter: RunFilter): Promise<Run[]> {
  const rows = await queryRows<RunRow>(
    db,
    sql`SELECT ${COLUMNS} FROM sync.sync_runs
        WHERE (${filter.integration}::text IS NULL OR integration = ${filter.integration})
          AND (${filter.entity}::text IS NULL OR entity = ${filter.entity})
          AND (${filter.state}::text IS NULL OR state = ${filter.state})
        ORDER BY sync_runs.created_at DESC, id DESC LIMIT ${filter.limit}`,
  );
  return rows.map(toRun);
}

/** Removes ended runs older than `keepForMs`, at most `limit`, and the candidates of runs that have ended. */
export async function pruneRuns(db: Db, options: { keepForMs: number; limit: number }): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.sync_runs WHERE id IN (
          SELECT id FROM sync.sync_runs WHERE state NOT IN ('queued','running','braked')
            AND finished_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
          LIMIT ${options.limit}) RETURNING 1 AS one`,
  );
  const candidates = await queryRows(
    db,
    sql`DELETE FROM sync.sweep_candidates WHERE (run_id, external_id) IN (
          SELECT c.run_id, c.external_id FROM sync.sweep_candidates c
          WHERE NOT EXISTS (SELECT 1 FROM sync.sync_runs r WHERE r.id = c.run_id AND r.state IN ('queued','running','braked'))
          LIMIT ${options.limit}) RETURNING 1 AS one`,
  );
  return rows.length + candidates.length;
}

function toRun(row: RunRow): Run {
  const counts = { ...NO_COUNTS };
  for (const name of COUNT_NAMES) counts[name] = Number(row[name]);
  return {
    id: row.id,
    integration: row.integration,
    entity: row.entity,
    mode: row.mode,
    trigger: row.trigger,
    isDryRun: row.is_dry_run,
    isBackfill: row.is_backfill,
    since: row.since_at,
    onlyIds: row.only_ids === null ? null : (JSON.parse(row.only_ids) as string[]),
    state: row.state,
    isCancelRequested: row.is_cancel_requested,
    createdAt: Number(row.created_at),
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    startCursor: row.start_cursor === null ? null : BigInt(row.start_cursor),
    pageCursor: row.page_cursor,
    isListed: row.is_listed,
    isIdsComplete: row.is_ids_complete,
    maxKey: row.max_key === null ? null : BigInt(row.max_key),
    pages: Number(row.pages),
    counts,
    candidates: row.candidates,
    liveBefore: row.live_before,
    approvedBy: row.approved_by,
    errorCode: row.error_code,
    error: row.error,
  };
}
