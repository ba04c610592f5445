import { setTimeout as wait } from 'node:timers/promises';
import type { Sql } from './database.ts';

const MAX_SETTLE_MS = 180_000;
const POLL_MS = 100;

const LEFT = `
  SELECT * FROM (
    SELECT 'delivery' AS what, count(*)::int AS count, max(next_attempt_at)::text AS until FROM sync.inbox_deliveries WHERE state = 'received'
    UNION ALL SELECT 'read for ' || reason || ', attempt ' || attempt, count(*)::int, max(run_at)::text FROM sync.hints GROUP BY 1
    UNION ALL SELECT 'run, interrupted ' || stalls || ' times: ' || coalesce(error_code, ''), 1, resume_at::text FROM sync.sync_runs WHERE state IN ('queued', 'running')
    UNION ALL SELECT 'edit', count(*)::int, NULL FROM sync.local_changes
    UNION ALL SELECT 'push ' || state || ': ' || coalesce(error, ''), count(*)::int, max(run_at)::text FROM sync.outbox_pushes
      WHERE state IN ('ready', 'calling', 'unknown') GROUP BY 1
  ) AS work WHERE count > 0`;

/** Waits until nothing is left to do: no delivery, no read, no run, no edit, no push. */
export async function settle(sql: Sql): Promise<void> {
  let left = await sql(LEFT);
  for (let waitedMs = 0; waitedMs < MAX_SETTLE_MS && left.length > 0; waitedMs += POLL_MS) {
    await wait(POLL_MS);
    left = await sql(LEFT);
  }
  if (left.length > 0) throw new Error(`Work was left after three minutes: ${JSON.stringify(left)}`);
}
