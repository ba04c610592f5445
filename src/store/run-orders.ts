import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { sqlState } from '../db/failure.ts';
import { waitForLocks } from '../db/lock-wait.ts';
import { queryRows } from '../db/query.ts';
import type { StreamKey } from '../model/observation.ts';
import type { RunState } from '../model/run.ts';

const UNIQUE_VIOLATION = '23505';

/** The state a run was found in, and whether the order to cancel has ended it at once. */
export type CancelAnswer = { readonly found: RunState; readonly isEnded: boolean };

/**
 * Asks a run to stop: one that is worked on does at its next page; one that nobody holds (it waits for a worker, its source
 * or an approval, or its holder is gone) ends at once. Waits up to 10 s for the transaction of a page.
 * @returns null when there is no such run.
 */
export async function requestCancel(tx: Db, runId: string): Promise<CancelAnswer | null> {
  await waitForLocks(tx);
  const [row] = await queryRows<{ state: RunState; is_idle: boolean }>(
    tx,
    sql`WITH found AS (
          SELECT id, state, state IN ('queued','braked')
                   OR (state = 'running' AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())) AS is_idle
          FROM sync.sync_runs WHERE id = ${runId}::uuid FOR UPDATE)
        UPDATE sync.sync_runs AS r SET is_cancel_requested = r.is_cancel_requested OR f.state IN ('queued','running','braked'),
               state = CASE WHEN f.is_idle THEN 'cancelled' ELSE f.state END,
               finished_at = CASE WHEN f.is_idle THEN clock_timestamp() ELSE r.finished_at END,
               lease_token = CASE WHEN f.is_idle THEN NULL ELSE r.lease_token END,
               lease_expires_at = CASE WHEN f.is_idle THEN NULL ELSE r.lease_expires_at END,
               resume_at = CASE WHEN f.is_idle THEN NULL ELSE r.resume_at END,
               error_code = CASE WHEN f.is_idle THEN NULL ELSE r.error_code END,
               error = CASE WHEN f.is_idle THEN NULL ELSE r.error END
        FROM found f WHERE r.id = f.id RETURNING f.state, f.is_idle`,
  );
  return row === undefined ? null : { found: row.state, isEnded: row.is_idle };
}

/**
 * Queues a braked run again, approved, for its sweep alone. A worker takes it up under a lease like any other run, so a
 * crash does not end it half-way, and with a deadline of its own. @returns false when it is not braked, or another run of its stream is open.
 */
export async function approveRun(db: Db, runId: string, approvedBy: string): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`UPDATE sync.sync_runs AS r SET state = 'queued', approved_by = ${approvedBy}, finished_at = NULL,
               deadline_at = NULL, stalls = 0
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
