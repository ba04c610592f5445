import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';
import {
  COUNT_NAMES,
  type LeasedRun,
  NO_COUNTS,
  type Run,
  type RunCounts,
  type RunMode,
  type RunState,
  type RunTrigger,
} from '../model/run.ts';

const COLUMNS =
  sql.raw(`id::text AS id, integration, entity, mode, trigger, is_dry_run, is_backfill, ${instantColumn('since_at')},
  only_ids::text AS only_ids, state, lease_token::text AS lease_token, is_cancel_requested, ${instantColumn('created_at')},
  ${instantColumn('started_at')}, ${instantColumn('finished_at')}, start_cursor::text AS start_cursor, page_cursor, is_listed,
  is_ids_complete, max_key::text AS max_key, pages, ${instantColumn('resume_at')}, stalls, ${COUNT_NAMES.join(', ')}, candidates, live_before, approved_by, error_code, error`);

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
  resume_at: number | null;
  stalls: number;
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

/**
 * Takes the oldest run, of the streams named, that waits or whose holder's lease ran out; not before its `resumeAt`, and none
 * of a paused integration unless it was cancelled and only has to end. The start time of a run is set once, here.
 */
export async function claimRun(
  db: Db,
  options: { streams: readonly StreamKey[]; leaseMs: number },
): Promise<LeasedRun | null> {
  const integrations = options.streams.map(({ integration }) => integration);
  const entities = options.streams.map(({ entity }) => entity);
  const [row] = await queryRows<RunRow>(
    db,
    sql`UPDATE sync.sync_runs SET state = 'running', started_at = coalesce(started_at, clock_timestamp()),
               lease_token = gen_random_uuid(), resume_at = NULL,
               lease_expires_at = clock_timestamp() + ${options.leaseMs}::float8 * interval '1 millisecond'
        WHERE id = (SELECT id FROM sync.sync_runs AS r
                    WHERE state IN ('queued','running') AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
                      AND (resume_at IS NULL OR resume_at <= clock_timestamp())
                      AND (integration, entity) IN (
                        SELECT * FROM unnest(${sql.param(integrations)}::text[], ${sql.param(entities)}::text[]))
                      AND (is_cancel_requested
                           OR NOT EXISTS (SELECT 1 FROM sync.source_states p
                                          WHERE p.integration = r.integration AND p.paused IS NOT NULL))
                    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING ${COLUMNS}`,
  );
  if (row === undefined) return null;
  const run = toRun(row);
  if (row.lease_token === null || run.startedAt === null) throw new Error('A claimed run has no lease');
  return { ...run, startedAt: run.startedAt, leaseToken: row.lease_token };
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
    resumeAt: row.resume_at,
    stalls: Number(row.stalls),
    counts,
    candidates: row.candidates,
    liveBefore: row.live_before,
    approvedBy: row.approved_by,
    errorCode: row.error_code,
    error: row.error,
  };
}
