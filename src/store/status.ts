import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';

/** The outcome of a stream's last run, for people who query `sync.sync_status`. */
export type RunSummary = StreamKey & {
  readonly status: 'success' | 'partial' | 'failed';
  readonly mode: string;
  readonly startedAt: Instant;
  readonly freshAsOf: Instant | null;
  readonly recordsSynced: number;
  readonly recordsFailed: number;
  readonly cursor: string | null;
  readonly error: string | null;
};

/** Writes a run's outcome into the stream's status row. */
export async function saveRunSummary(tx: Db, run: RunSummary): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.sync_status SET last_sync_at = clock_timestamp(), last_status = ${run.status}, last_mode = ${run.mode},
               records_synced = ${run.recordsSynced}, records_failed = ${run.recordsFailed}, last_cursor = ${run.cursor},
               last_error = ${run.error},
               duration_ms = LEAST(extract(epoch FROM clock_timestamp()) * 1000 - ${run.startedAt}::float8 / 1000, 2147483647)::int,
               fresh_as_of = GREATEST(fresh_as_of, to_timestamp(${run.freshAsOf}::float8 / 1e6)), updated_at = clock_timestamp()
        WHERE integration = ${run.integration} AND entity = ${run.entity}`,
  );
}

/** What happened to a stream since the counters were last written. */
export type StreamCounters = StreamKey & {
  readonly hookApplied: number;
  readonly lastHookAt: Instant | null;
  readonly driftMissing: number;
  readonly driftStale: number;
  readonly driftDeleted: number;
  readonly driftRepaired: number;
};

/** Adds to the counters of the streams' status rows. */
export async function addCounters(db: Db, counters: readonly StreamCounters[]): Promise<void> {
  if (counters.length === 0) return;
  const rows = counters.map((c) => ({
    integration: c.integration,
    entity: c.entity,
    hook_applied: c.hookApplied,
    last_hook_at: c.lastHookAt,
    missing: c.driftMissing,
    stale: c.driftStale,
    deleted: c.driftDeleted,
    repaired: c.driftRepaired,
  }));
  await queryRows(
    db,
    sql`UPDATE sync.sync_status AS s
        SET hook_applied = s.hook_applied + c.hook_applied,
            last_hook_at = GREATEST(s.last_hook_at, to_timestamp(c.last_hook_at / 1e6)),
            drift_missing = s.drift_missing + c.missing, drift_stale = s.drift_stale + c.stale,
            drift_deleted = s.drift_deleted + c.deleted, drift_repaired = s.drift_repaired + c.repaired,
            updated_at = clock_timestamp()
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS c(integration text, entity text, hook_applied bigint, last_hook_at float8, missing bigint, stale bigint,
               deleted bigint, repaired bigint)
        WHERE s.integration = c.integration AND s.entity = c.entity`,
  );
}

export type DeliveryFate = 'accepted' | 'duplicate' | 'rejected' | 'unknown_type' | 'unreadable';
export type DeliveryCount = { readonly integration: string; readonly fate: DeliveryFate; readonly count: number };

/** Adds to the counts of deliveries. */
export async function addDeliveryCounts(db: Db, counts: readonly DeliveryCount[]): Promise<void> {
  if (counts.length === 0) return;
  await queryRows(
    db,
    sql`INSERT INTO sync.delivery_counts AS d (integration, fate, count)
        SELECT c.integration, c.fate, c.count
        FROM jsonb_to_recordset(${JSON.stringify(counts)}::text::jsonb) AS c(integration text, fate text, count bigint)
        ORDER BY c.integration, c.fate
        ON CONFLICT (integration, fate) DO UPDATE SET count = d.count + excluded.count`,
  );
}

/** All counts of deliveries since the database was made. */
export async function readDeliveryCounts(db: Db): Promise<DeliveryCount[]> {
  return await queryRows<DeliveryCount & Record<string, unknown>>(
    db,
    sql`SELECT integration, fate, count::float8 AS count FROM sync.delivery_counts`,
  );
}

export type StatusRow = StreamKey & {
  readonly lastSyncAt: Instant | null;
  readonly lastStatus: 'success' | 'partial' | 'failed' | null;
  readonly lastMode: string | null;
  readonly recordsSynced: number;
  readonly recordsFailed: number;
  readonly lastCursor: string | null;
  readonly lastError: string | null;
  readonly durationMs: number | null;
  readonly freshAsOf: Instant | null;
  readonly lastHookAt: Instant | null;
  readonly hookApplied: number;
  readonly driftMissing: number;
  readonly driftStale: number;
  readonly driftDeleted: number;
  readonly driftRepaired: number;
};

/** Status rows of all streams, or of one integration's. */
export async function readStatusRows(db: Db, integration: string | null): Promise<StatusRow[]> {
  const rows = await queryRows<Record<string, string | number | null>>(
    db,
    sql`SELECT integration, entity, ${sql.raw(instantColumn('last_sync_at'))}, last_status, last_mode,
               records_synced::float8 AS records_synced, records_failed::float8 AS records_failed, last_cursor, last_error,
               duration_ms, ${sql.raw(instantColumn('fresh_as_of'))}, ${sql.raw(instantColumn('last_hook_at'))},
               hook_applied::float8 AS hook_applied, drift_missing::float8 AS drift_missing,
               drift_stale::float8 AS drift_stale, drift_deleted::float8 AS drift_deleted,
               drift_repaired::float8 AS drift_repaired
        FROM sync.sync_status WHERE ${integration}::text IS NULL OR integration = ${integration}
        ORDER BY integration, entity`,
  );
  const text = (value: string | number | null | undefined): string | null => (value == null ? null : String(value));
  const number = (value: string | number | null | undefined): number | null => (value == null ? null : Number(value));
  return rows.map((row) => ({
    integration: String(row.integration),
    entity: String(row.entity),
    lastSyncAt: number(row.last_sync_at),
    lastStatus: text(row.last_status) as StatusRow['lastStatus'],
    lastMode: text(row.last_mode),
    recordsSynced: Number(row.records_synced),
    recordsFailed: Number(row.records_failed),
    lastCursor: text(row.last_cursor),
    lastError: text(row.last_error),
    durationMs: number(row.duration_ms),
    freshAsOf: number(row.fresh_as_of),
    lastHookAt: number(row.last_hook_at),
    hookApplied: Number(row.hook_applied),
    driftMissing: Number(row.drift_missing),
    driftStale: Number(row.drift_stale),
    driftDeleted: Number(row.drift_deleted),
    driftRepaired: Number(row.drift_repaired),
  }));
}
