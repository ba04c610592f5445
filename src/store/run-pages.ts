import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';

/** Notes the ids that a page of a full run listed: "it was listed" holds whatever was decided about the record. */
export async function savePage(tx: Db, runId: string, page: number, ids: readonly string[]): Promise<void> {
  await queryRows(
    tx,
    sql`INSERT INTO sync.run_pages (run_id, page, ids) VALUES (${runId}::uuid, ${page}, ${sql.param(ids)}::text[])
        ON CONFLICT (run_id, page) DO UPDATE SET ids = excluded.ids`,
  );
}

/** How many pages are noted. Fewer than the run counted means a database crash emptied the (unlogged) table. */
export async function countPages(tx: Db, runId: string): Promise<number> {
  const [row] = await queryRows<{ n: string }>(
    tx,
    sql`SELECT count(*)::text AS n FROM sync.run_pages WHERE run_id = ${runId}::uuid`,
  );
  return Number(row?.n ?? 0);
}

/** Forgets a run's pages. */
export async function dropPages(tx: Db, runId: string): Promise<void> {
  await queryRows(tx, sql`DELETE FROM sync.run_pages WHERE run_id = ${runId}::uuid`);
}

/**
 * Collects the live records that a complete full run did not list and that nothing shows to have existed since
 * `aliveBefore`. Kept as the run's candidate list, so that an approval sweeps exactly what was shown.
 * @returns how many there are.
 */
export async function collectCandidates(
  tx: Db,
  run: StreamKey & { id: string },
  aliveBefore: Instant,
): Promise<number> {
  await queryRows(tx, sql`DELETE FROM sync.sweep_candidates WHERE run_id = ${run.id}::uuid`);
  // Nobody can tell the planner how many ids the arrays hold. Taking them for few, it compares each record with each id:
  // hours at 200,000 records, where hashing takes half a second.
  await queryRows(tx, sql`SELECT set_config('enable_nestloop', 'off', true)`);
  const rows = await queryRows<{ n: string }>(
    tx,
    sql`WITH listed AS MATERIALIZED (
          SELECT DISTINCT unnest(ids) AS external_id FROM sync.run_pages WHERE run_id = ${run.id}::uuid
        ), added AS (
          INSERT INTO sync.sweep_candidates (run_id, external_id)
          SELECT ${run.id}::uuid, r.external_id FROM sync.record_states r
          WHERE r.integration = ${run.integration} AND r.entity = ${run.entity} AND r.status = 'live'
            -- Evidence from the future is damage: it must not keep a record for ever.
            AND (r.alive_at < to_timestamp(${aliveBefore}::float8 / 1e6) OR r.alive_at > clock_timestamp())
            AND NOT EXISTS (SELECT 1 FROM listed l WHERE l.external_id = r.external_id)
            AND NOT EXISTS (SELECT 1 FROM sync.hints h WHERE h.integration = r.integration AND h.entity = r.entity
                              AND h.external_id = r.external_id)
          RETURNING 1
        ) SELECT count(*)::text AS n FROM added`,
  );
  await queryRows(tx, sql`SELECT set_config('enable_nestloop', 'on', true)`);
  return Number(rows[0]?.n ?? 0);
}

/** Up to `limit` candidates after `after`, in the order of their ids. */
export async function readCandidates(
  db: Db,
  runId: string,
  options: { after: string; limit: number },
): Promise<string[]> {
  const rows = await queryRows<{ external_id: string }>(
    db,
    sql`SELECT external_id FROM sync.sweep_candidates
        WHERE run_id = ${runId}::uuid AND external_id COLLATE "C" > ${options.after}
        ORDER BY external_id COLLATE "C" LIMIT ${options.limit}`,
  );
  return rows.map((row) => row.external_id);
}

/** Forgets candidates that have been dealt with, in the transaction that did. */
export async function takeCandidates(tx: Db, runId: string, ids: readonly string[]): Promise<void> {
  await queryRows(
    tx,
    sql`DELETE FROM sync.sweep_candidates
        WHERE run_id = ${runId}::uuid AND external_id = ANY(${sql.param(ids)}::text[])`,
  );
}

/** Forgets the candidates of a run. */
export async function dropCandidates(tx: Db, runId: string): Promise<void> {
  await queryRows(tx, sql`DELETE FROM sync.sweep_candidates WHERE run_id = ${runId}::uuid`);
}

/**
 * Counts one more complete run that did not list these records, except for those that something has shown to exist since
 * `aliveBefore`. @returns those absent from at least `enough` runs.
 */
export async function countAbsence(
  tx: Db,
  key: StreamKey,
  ids: readonly string[],
  { enough, aliveBefore }: { enough: number; aliveBefore: Instant },
): Promise<string[]> {
  await lockInOrder(tx, key, ids);
  const rows = await queryRows<{ external_id: string }>(
    tx,
    sql`WITH counted AS (
          UPDATE sync.record_states SET absent_runs = LEAST(absent_runs + 1, 1000)
          WHERE integration = ${key.integration} AND entity = ${key.entity}
            AND external_id = ANY(${sql.param(ids)}::text[]) AND status = 'live'
            AND (alive_at < to_timestamp(${aliveBefore}::float8 / 1e6) OR alive_at > clock_timestamp())
          RETURNING external_id, absent_runs)
        SELECT external_id FROM counted WHERE absent_runs >= ${enough}`,
  );
  return rows.map((row) => row.external_id);
}

/** Records that a page listed again are absent no longer. */
export async function clearAbsence(tx: Db, key: StreamKey, ids: readonly string[]): Promise<void> {
  const absent = await queryRows<{ external_id: string }>(
    tx,
    sql`SELECT external_id FROM sync.record_states
        WHERE integration = ${key.integration} AND entity = ${key.entity}
          AND external_id = ANY(${sql.param(ids)}::text[]) AND absent_runs > 0
        ORDER BY external_id COLLATE "C" FOR UPDATE`,
  );
  if (absent.length === 0) return;
  await queryRows(
    tx,
    sql`UPDATE sync.record_states SET absent_runs = 0
        WHERE integration = ${key.integration} AND entity = ${key.entity}
          AND external_id = ANY(${sql.param(ids)}::text[]) AND absent_runs > 0`,
  );
}

/** Locks records in the order in which everybody does: an update takes them in whatever order its plan finds them. */
async function lockInOrder(tx: Db, key: StreamKey, ids: readonly string[]): Promise<void> {
  await queryRows(
    tx,
    sql`SELECT 1 AS one FROM sync.record_states
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND external_id = ANY(${sql.param(ids)}::text[])
        ORDER BY external_id COLLATE "C" FOR UPDATE`,
  );
}
