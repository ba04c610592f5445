import { DrizzleQueryError, type SQL } from 'drizzle-orm';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import { withoutValues } from './failure.ts';
import type * as schema from './schema.ts';

/** A database or an open transaction of one, on either driver. */
export type Db = PgDatabase<PgQueryResultHKT, typeof schema>;

/**
 * Runs one statement and gives its rows. On both drivers: int8 and numeric are text, timestamps and dates are text as
 * PostgreSQL writes them (UTC, microseconds kept), bytea is a Buffer, json is parsed, SQL arrays are arrays (of timestamps: text).
 * Parameters: `${JSON.stringify(o)}::text::jsonb`, `${iso}::timestamptz`, `${sql.param(array)}::text[]`; bytes as Buffer.
 * `T` is the caller's word for what its SQL selects; nothing checks it. Rejects with `StatementError` or `DatabaseError`.
 */
export async function queryRows<T extends Record<string, unknown>>(db: Db, query: SQL): Promise<T[]> {
  const result: unknown = await withoutStatement(db.execute(query));
  // A plain array: postgres.js gives one of its own making.
  return hasRows<T>(result) ? Array.from(result.rows) : [];
}

/**
 * What drizzle rejects with carries the statement's text and parameters, in its message too: only its cause goes on, which is
 * a `StatementError` or `DatabaseError`.
 */
export async function withoutStatement<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof DrizzleQueryError ? withoutValues(error.cause) : error;
  }
}

const hasRows = <T>(result: unknown): result is { rows: T[] } =>
  typeof result === 'object' && result !== null && 'rows' in result && Array.isArray(result.rows);
