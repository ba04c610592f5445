import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import type { JsonValue } from '../model/json.ts';

export type KeptLimits = { readonly kept: JsonValue | null; readonly nowMs: number };

type Row = { limits: JsonValue | null; now_ms: number };

const NOW_MS = sql.raw(`floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms`);

/** What is kept of a source's limits, and the database's clock in ms. Locks nothing. */
export async function readSourceLimits(db: Db, integration: string): Promise<KeptLimits> {
  const [row] = await queryRows<Row>(
    db,
    sql`SELECT s.limits, ${NOW_MS} FROM (SELECT 1) AS one
        LEFT JOIN sync.source_states s ON s.integration = ${integration}`,
  );
  return { kept: row?.limits ?? null, nowMs: row?.now_ms ?? 0 };
}

/**
 * The same, locked until the end of the transaction. The clock is read outside of the expression that locks: inside it
 * would be read before the wait for the lock, and one replica's time could run behind what another has written.
 */
export async function lockSourceLimits(tx: Db, integration: string): Promise<KeptLimits> {
  const find = () =>
    queryRows<Row>(
      tx,
      sql`WITH locked AS MATERIALIZED (
            SELECT limits FROM sync.source_states WHERE integration = ${integration} FOR UPDATE)
          SELECT limits, ${NOW_MS} FROM locked`,
    );
  let [row] = await find();
  if (row === undefined) {
    await queryRows(
      tx,
      sql`INSERT INTO sync.source_states (integration) VALUES (${integration}) ON CONFLICT DO NOTHING`,
    );
    [row] = await find();
  }
  if (row === undefined) throw new Error('The row of a source state is gone');
  return { kept: row.limits, nowMs: row.now_ms };
}

/** Keeps them; the caller has locked them. */
export async function saveSourceLimits(tx: Db, integration: string, kept: JsonValue): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.source_states SET limits = ${JSON.stringify(kept)}::text::jsonb WHERE integration = ${integration}`,
  );
}
