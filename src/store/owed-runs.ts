import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import type { StreamKey } from '../model/observation.ts';

/**
 * Streams that owe a full run and have none open. One whose last try failed waits `failedForMs`, one whose last
 * try read everything and could not sweep `partialForMs`; one whose sweep waits for approval is left to its schedule, because trying again would only brake again.
 */
export async function findOwedFullRuns(
  db: Db,
  after: { failedForMs: number; partialForMs: number },
): Promise<StreamKey[]> {
  return await queryRows<StreamKey & Record<string, unknown>>(
    db,
    sql`SELECT s.integration, s.entity FROM sync.streams s
        WHERE s.needs_full_at IS NOT NULL AND s.paused_reason IS NULL AND NOT EXISTS (
          SELECT 1 FROM sync.sync_runs r
          WHERE r.integration = s.integration AND r.entity = s.entity AND NOT r.is_dry_run
            AND (r.state IN ('queued', 'running')
                 OR (r.mode = 'full' AND r.created_at >= s.needs_full_at
                     AND (r.state = 'braked'
                          OR r.finished_at > clock_timestamp() - interval '1 millisecond'
                               * CASE r.state WHEN 'partial' THEN ${after.partialForMs}::float8
                                              ELSE ${after.failedForMs}::float8 END))))`,
  );
}

/** Removes tombstones older than `keepForMs`, at most `limit`; later a very late update could revive such a record. */
export async function expireTombstones(db: Db, options: { keepForMs: number; limit: number }): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.record_states WHERE (integration, entity, external_id) IN (
          SELECT integration, entity, external_id FROM sync.record_states
          WHERE buried_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
          ORDER BY buried_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED) RETURNING 1 AS one`,
  );
  return rows.length;
}
