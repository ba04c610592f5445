import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';

/** How many pushes of a stream are open, and since when. */
export type OpenPushes = StreamKey & {
  readonly ready: number;
  readonly calling: number;
  readonly unknown: number;
  readonly parked: number;
  /** When the oldest edit that nothing but a worker is waited for was captured: not one that an open conflict holds. */
  readonly oldestReadyAt: Instant | null;
  /** When the oldest request of unknown outcome was sent. */
  readonly oldestUnknownAt: Instant | null;
};

/** Streams without open pushes are not in the list. Each state is read from its own index: the table keeps what is done. */
export async function countOpenPushes(db: Db): Promise<OpenPushes[]> {
  const rows = await queryRows<{
    integration: string;
    entity: string;
    ready: number;
    calling: number;
    unknown: number;
    parked: number;
    oldest_ready_at: Instant | null;
    oldest_unknown_at: Instant | null;
  }>(
    db,
    sql`SELECT integration, entity, ready, calling, unknown, parked, ${sql.raw(instantColumn('oldest_ready_at'))},
               ${sql.raw(instantColumn('oldest_unknown_at'))}
        FROM (SELECT integration, entity,
                     (count(*) FILTER (WHERE state = 'ready'))::int AS ready,
                     (count(*) FILTER (WHERE state = 'calling'))::int AS calling,
                     (count(*) FILTER (WHERE state = 'unknown'))::int AS unknown,
                     (count(*) FILTER (WHERE state = 'parked'))::int AS parked,
                     min(since) FILTER (WHERE state = 'ready' AND run_at <= clock_timestamp()) AS oldest_ready_at,
                     min(first_call_at) FILTER (WHERE state = 'unknown') AS oldest_unknown_at
              FROM (SELECT integration, entity, state, run_at, first_call_at,
                           CASE WHEN EXISTS (SELECT 1 FROM sync.conflicts AS c WHERE c.integration = p.integration
                                  AND c.entity = p.entity AND c.target_key = p.target_key AND c.outcome IS NULL) THEN NULL
                                WHEN p.edited_at = '-infinity' THEN p.created_at ELSE p.edited_at END AS since
                    FROM sync.outbox_pushes AS p WHERE state = 'ready'
                    UNION ALL
                    SELECT integration, entity, state, run_at, first_call_at, NULL FROM sync.outbox_pushes WHERE state IN ('calling','unknown')
                    UNION ALL
                    SELECT integration, entity, state, run_at, first_call_at, NULL FROM sync.outbox_pushes WHERE state = 'parked') AS open
              GROUP BY integration, entity) AS counted`,
  );
  return rows.map(({ oldest_ready_at: oldestReadyAt, oldest_unknown_at: oldestUnknownAt, ...counts }) => ({
    ...counts,
    oldestReadyAt,
    oldestUnknownAt,
  }));
}

/** Why removals are held back, by stream; those that go on are not in the list. */
export async function listHeldDeletes(db: Db): Promise<(StreamKey & { readonly reason: string })[]> {
  return await queryRows<{ integration: string; entity: string; reason: string }>(
    db,
    sql`SELECT integration, entity, held_deletes AS reason FROM sync.streams WHERE held_deletes IS NOT NULL`,
  );
}

/**
 * Of pushes that are over, drops what they carried after `payloadForMs`, and the rest of them after `keepForMs`.
 * @returns how many were changed or removed.
 */
export async function expirePushes(
  db: Db,
  options: { readonly payloadForMs: number; readonly keepForMs: number; readonly limit: number },
): Promise<number> {
  const emptied = await queryRows(
    db,
    sql`UPDATE sync.outbox_pushes SET request = NULL, snapshot = NULL, patch = NULL WHERE id = ANY(ARRAY(
          SELECT id FROM sync.outbox_pushes
          WHERE state = 'done' AND request IS NOT NULL
            AND finished_at < clock_timestamp() - ${options.payloadForMs}::float8 * interval '1 millisecond'
          ORDER BY finished_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS one`,
  );
  const removed = await queryRows(
    db,
    sql`DELETE FROM sync.outbox_pushes WHERE id = ANY(ARRAY(
          SELECT id FROM sync.outbox_pushes
          WHERE state = 'done' AND finished_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
          ORDER BY finished_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS one`,
  );
  return emptied.length + removed.length;
}

/** Removes conflicts that were decided longer ago. @returns how many. */
export async function expireConflicts(
  db: Db,
  options: { readonly keepForMs: number; readonly limit: number },
): Promise<number> {
  const removed = await queryRows(
    db,
    sql`DELETE FROM sync.conflicts WHERE id = ANY(ARRAY(
          SELECT id FROM sync.conflicts
          WHERE created_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
            AND resolved_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
          ORDER BY created_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS one`,
  );
  return removed.length;
}
