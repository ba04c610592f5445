import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { waitForLocks } from '../db/lock-wait.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { BreakerState, PauseReason, SourceState } from '../model/source-state.ts';

/**
 * Notes how the breaker of a source stands. Each process has its own, and the last one that changed is the one shown.
 * Without a reason an open or half-open one keeps the words that opened it.
 */
export async function saveBreaker(
  db: Db,
  integration: string,
  change: { readonly state: BreakerState; readonly reason: string | null },
): Promise<void> {
  const { state, reason } = change;
  await queryRows(
    db,
    sql`INSERT INTO sync.source_states AS s (integration, breaker, breaker_at, breaker_reason)
        VALUES (${integration}, ${state}, clock_timestamp(), ${state === 'closed' ? null : reason})
        ON CONFLICT (integration) DO UPDATE
        SET breaker = excluded.breaker,
            breaker_at = CASE WHEN s.breaker = excluded.breaker THEN s.breaker_at ELSE excluded.breaker_at END,
            breaker_reason = CASE WHEN excluded.breaker = 'closed' THEN NULL
                                  ELSE coalesce(excluded.breaker_reason, s.breaker_reason) END`,
  );
}

/**
 * Stops all work with a source but the storing and applying of deliveries. Safe to repeat: the first pause keeps its time,
 * also when another reason follows, because the deadlines of runs move by it.
 * An operator's pause outlasts one for credentials, never the other way round.
 * @returns true when the integration went to work until now.
 */
export async function pauseSource(
  tx: Db,
  integration: string,
  pause: { readonly reason: PauseReason; readonly detail: string | null },
): Promise<boolean> {
  await waitForLocks(tx); // replicas may stand in line for the limits, which are kept in the same row
  const [row] = await queryRows<{ is_new: boolean }>(
    tx,
    sql`WITH before AS (SELECT paused FROM sync.source_states WHERE integration = ${integration})
        INSERT INTO sync.source_states AS s (integration, paused, paused_detail, paused_at)
        VALUES (${integration}, ${pause.reason}, ${pause.detail}, clock_timestamp())
        ON CONFLICT (integration) DO UPDATE
        SET paused = excluded.paused, paused_detail = excluded.paused_detail,
            paused_at = coalesce(s.paused_at, excluded.paused_at)
        WHERE s.paused IS NULL OR excluded.paused = 'operator'
        RETURNING NOT EXISTS (SELECT 1 FROM before WHERE paused IS NOT NULL) AS is_new`,
  );
  return row?.is_new ?? false;
}

/**
 * Lets work go on that was paused for one of `reasons`; the deadlines of its runs move by the time of the pause. A run that
 * somebody is writing to at this moment was hardly held up by it, and is not waited for. @returns whether it was paused.
 */
export async function resumeSource(tx: Db, integration: string, reasons: readonly PauseReason[]): Promise<boolean> {
  await waitForLocks(tx);
  const rows = await queryRows(
    tx,
    sql`WITH found AS (
          SELECT paused_at FROM sync.source_states
          WHERE integration = ${integration} AND paused = ANY(${sql.param(reasons)}::text[]) FOR UPDATE
        ), moved AS (
          UPDATE sync.sync_runs SET deadline_at = deadline_at + (clock_timestamp() - f.paused_at) FROM found f
          WHERE id IN (SELECT id FROM sync.sync_runs
                       WHERE integration = ${integration} AND state = 'running' FOR UPDATE SKIP LOCKED)
        )
        UPDATE sync.source_states SET paused = NULL, paused_detail = NULL, paused_at = NULL
        WHERE integration = ${integration} AND EXISTS (SELECT 1 FROM found) RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/** Nothing is pushed to the source before this moment, by any replica. */
export async function blockSource(tx: Db, integration: string, until: Instant): Promise<void> {
  await waitForLocks(tx);
  await queryRows(
    tx,
    sql`INSERT INTO sync.source_states AS s (integration, blocked_until)
        VALUES (${integration}, to_timestamp(${until}::float8 / 1e6))
        ON CONFLICT (integration) DO UPDATE SET blocked_until = greatest(s.blocked_until, excluded.blocked_until)`,
  );
}

type StateRow = {
  integration: string;
  breaker: BreakerState;
  breaker_at: Instant | null;
  breaker_reason: string | null;
  paused: PauseReason | null;
  paused_detail: string | null;
  paused_at: Instant | null;
};

/** Every source that has ever had something to tell, by integration. */
export async function readSourceStates(db: Db): Promise<ReadonlyMap<string, SourceState>> {
  const rows = await queryRows<StateRow>(
    db,
    sql`SELECT integration, breaker, ${sql.raw(instantColumn('breaker_at'))}, breaker_reason, paused, paused_detail,
               ${sql.raw(instantColumn('paused_at'))}
        FROM sync.source_states`,
  );
  return new Map(
    rows.map((row) => [
      row.integration,
      {
        integration: row.integration,
        breaker: row.breaker,
        breakerAt: row.breaker_at,
        breakerReason: row.breaker_reason,
        paused:
          row.paused === null || row.paused_at === null
            ? null
            : { reason: row.paused, detail: row.paused_detail, since: row.paused_at },
      },
    ]),
  );
}
