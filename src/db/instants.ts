import { sql } from 'drizzle-orm';
import type { Instant } from '../model/instant.ts';
import type { Db } from './connect.ts';
import { queryRows } from './query.ts';

/** SQL for an instant column as microseconds; the database's infinities come back as null. */
export const instantColumn = (column: string): string =>
  `CASE WHEN isfinite(${column}) THEN (extract(epoch FROM ${column}) * 1000000)::float8 END AS ${column.split('.').at(-1)}`;

/** SQL for a value in microseconds, null meaning "before every moment", as an instant. */
export const instantValue = (expression: string): string =>
  `coalesce(to_timestamp(${expression} / 1e6), '-infinity'::timestamptz)`;

/** The database's clock at this very moment. `now()` would be frozen at the transaction's start. */
export async function readDatabaseNow(db: Db): Promise<Instant> {
  const rows = await queryRows<{ at: number }>(
    db,
    sql`SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::float8 AS at`,
  );
  return Number(rows[0]?.at);
}
