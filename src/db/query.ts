import type { SQL } from 'drizzle-orm';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import type * as schema from './schema.ts';

/** A database or an open transaction of one, on either driver. */
export type Db = PgDatabase<PgQueryResultHKT, typeof schema>;

/**
 * Runs one statement and gives its rows. On both drivers: int8 and numeric are text, timestamps and dates are text as
 * PostgreSQL writes them (UTC, microseconds kept), bytea is a Buffer, json is parsed, SQL arrays are arrays (of timestamps: text).
 * Parameters: `${JSON.stringify(o)}::text::jsonb`, `${iso}::timestamptz`, `${sql.param(array)}::text[]`; bytes as Buffer.
 * `T` is the caller's word for what its SQL selects; nothing checks it.
 */
export async function queryRows<T extends Record<string, unknown>>(db: Db, query: SQL): Promise<T[]> {
  const result: unknown = await db.execute(query);
  return hasRows<T>(result) ? result.rows : [];
}

/** Runs one INSERT, UPDATE or DELETE and gives how many rows it changed. */
export async function countAffected(db: Db, query: SQL): Promise<number> {
  const result: unknown = await db.execute(query);
  return typeof result === 'object' && result !== null && 'affectedRows' in result ? Number(result.affectedRows) : 0;
}

const hasRows = <T>(result: unknown): result is { rows: T[] } =>
  typeof result === 'object' && result !== null && 'rows' in result && Array.isArray(result.rows);
