import type { PGlite } from '@electric-sql/pglite';
import { drizzle } from 'drizzle-orm/pglite';
import { DatabaseError } from './errors.ts';
import type { Db } from './query.ts';
import * as schema from './schema.ts';

/** Rows as arrays of values, or as objects by column name. */
export type RowMode = 'array' | 'object';

export type QueryResult = {
  readonly rows: unknown[];
  /** Rows that were inserted, updated or deleted. */
  readonly affectedRows?: number;
  /** What the server says that it did: `SELECT`, `COMMIT`, `ROLLBACK` … */
  readonly command?: string;
};

/** One statement at a time on one session, or on any session. */
export type Queries = {
  query(sql: string, params?: readonly unknown[], options?: { readonly rowMode?: RowMode }): Promise<QueryResult>;
  /** Statements without parameters. */
  exec(sql: string): Promise<QueryResult>;
};

/** What both databases look like from here: the part of PGlite's interface that drizzle uses. */
export type SqlClient = Queries & {
  /** Runs `work` on a session that it has to itself. A rejection rolls back. */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
};

/** drizzle on any client of ours. Its PGlite driver asks for a PGlite and calls only `query` and `transaction`. */
export const openDb = (client: SqlClient): Db => drizzle({ client: client as unknown as PGlite, schema });

/** As PostgreSQL's idle_in_transaction_session_timeout: a session must not be held by code that waits for something else. */
export const IDLE_TRANSACTION_MS = 30_000;

/**
 * BEGIN, the work, COMMIT; ROLLBACK when the work rejects or leaves the session idle for too long. Statements that the work
 * makes after the end are refused. Rejects with `aborted` when a statement had failed and its error was swallowed.
 */
export async function runTransaction<T>(session: Queries, work: (queries: Queries) => Promise<T>): Promise<T> {
  let isOver = false;
  // Not awaited before the work: a session answers in order, so the first statement follows in the same breath.
  const begun = session.exec('BEGIN');
  begun.catch(() => {});
  const watch = createIdleWatch();

  function guarded(statement: () => Promise<QueryResult>): Promise<QueryResult> {
    if (isOver) {
      return Promise.reject(
        new DatabaseError('closed', 'This transaction has ended: its statements must be awaited inside of it'),
      );
    }
    return watch.during(statement());
  }

  try {
    const result = await Promise.race([
      watch.idledOut,
      work({
        query: (sql, params, options) => guarded(() => session.query(sql, params, options)),
        exec: (sql) => guarded(() => session.exec(sql)),
      }),
    ]);
    isOver = true;
    await begun;
    const ended = await session.exec('COMMIT');
    if (ended.command === 'ROLLBACK') {
      throw new DatabaseError('aborted', 'A statement of this transaction had failed: nothing of it was kept');
    }
    return result;
  } catch (error) {
    // After a COMMIT that failed there is no transaction left to roll back.
    if (!isOver) await session.exec('ROLLBACK').catch(() => {});
    isOver = true;
    throw error;
  } finally {
    watch.stop();
  }
}

/** `idledOut` rejects when no statement has been running for `IDLE_TRANSACTION_MS`. */
function createIdleWatch() {
  let running = 0;
  let timer: NodeJS.Timeout | undefined;
  let idleOut: (error: Error) => void = () => {};
  const idledOut = new Promise<never>((_, reject) => {
    idleOut = reject;
  });
  const expire = () =>
    idleOut(
      new DatabaseError(
        'idle_transaction',
        `A transaction did nothing for ${IDLE_TRANSACTION_MS / 1000} s and was rolled back`,
      ),
    );
  const start = () => {
    clearTimeout(timer);
    if (running === 0) timer = setTimeout(expire, IDLE_TRANSACTION_MS);
  };
  start();
  return {
    idledOut,
    async during<T>(statement: Promise<T>): Promise<T> {
      running += 1;
      clearTimeout(timer);
      try {
        return await statement;
      } finally {
        running -= 1;
        start();
      }
    },
    stop() {
      // Keeps a late `start` from arming it again.
      running = Number.POSITIVE_INFINITY;
      clearTimeout(timer);
    },
  };
}
