import { DatabaseError } from './errors.ts';
import { openPostgresSession, type PostgresSession, type SessionOptions } from './postgres-session.ts';
import { type QueryResult, runTransaction, type SqlClient } from './session.ts';

/** More statements than this waiting for a connection: the server is no longer followed. */
const MAX_WAITING = 10_000;
/** A statement that found no free connection in this time is given up. */
const MAX_WAIT_MS = 30_000;
/** Connections are renewed after this long, so that memory the server holds for a session is given back. */
const MAX_SESSION_AGE_MS = 30 * 60_000;
const CLOSE_TIMEOUT_MS = 3_000;

type Waiter = { give(session: PostgresSession): void; fail(error: Error): void };

export type PostgresPool = SqlClient & {
  /** Refuses new statements, lets open ones finish for a few seconds, then ends all connections. Safe to repeat. */
  close(): Promise<void>;
};

export type PoolOptions = Omit<SessionOptions, 'onLost'> & { readonly maxSessions: number };

/**
 * Up to `maxSessions` connections, opened when needed. A statement or transaction has one to itself; the others wait in the
 * order in which they came. A connection that was lost is forgotten, and the next statement opens a new one.
 */
export function createPostgresPool(options: PoolOptions): PostgresPool {
  /** Free and standing; the one used last is used next, so that the server's caches stay warm. */
  const idle: PostgresSession[] = [];
  const busy = new Set<PostgresSession>();
  const waiters: Waiter[] = [];
  let onceUnused: (() => void) | null = null;
  let closing: Promise<void> | null = null;

  function open(): PostgresSession {
    const session: PostgresSession = openPostgresSession({
      ...options,
      onLost: () => {
        const index = idle.indexOf(session);
        if (index >= 0) idle.splice(index, 1);
      },
    });
    return session;
  }

  function acquire(): Promise<PostgresSession> {
    if (closing !== null) return Promise.reject(new DatabaseError('closed', 'The database is closed'));
    if (busy.size < options.maxSessions) {
      const session = idle.pop() ?? open();
      busy.add(session);
      return Promise.resolve(session);
    }
    if (waiters.length >= MAX_WAITING) {
      return Promise.reject(
        new DatabaseError('busy', `${MAX_WAITING} statements wait for a connection to the database`),
      );
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        give(session) {
          clearTimeout(timer);
          resolve(session);
        },
        fail(error) {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        waiters.splice(waiters.indexOf(waiter), 1);
        reject(new DatabaseError('busy', `No connection to the database was free for ${MAX_WAIT_MS / 1000} s`));
      }, MAX_WAIT_MS);
      waiters.push(waiter);
    });
  }

  function release(session: PostgresSession): void {
    busy.delete(session);
    const isWorn = options.nowMs() - session.openedAtMs > MAX_SESSION_AGE_MS;
    if (isWorn) session.end();
    const waiter = waiters.shift();
    if (waiter !== undefined) {
      const next = session.isLost() ? open() : session;
      busy.add(next);
      waiter.give(next);
    } else if (!session.isLost()) {
      idle.push(session);
    }
    if (busy.size === 0) onceUnused?.();
  }

  async function use<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    const session = await acquire();
    try {
      return await work(session);
    } finally {
      release(session);
    }
  }

  async function endAll(): Promise<void> {
    for (const waiter of waiters.splice(0)) waiter.fail(new DatabaseError('closed', 'The database is closed'));
    if (busy.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
        onceUnused = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const session of [...idle, ...busy]) session.end();
  }

  return {
    query: (sql, params, rowMode): Promise<QueryResult> => use((session) => session.query(sql, params, rowMode)),
    exec: (sql) => use((session) => session.exec(sql)),
    transaction: (work) => use((session) => runTransaction(session, work)),
    close() {
      closing ??= endAll();
      return closing;
    },
  };
}
