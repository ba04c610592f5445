import { setTimeout as wait } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import type { ConnectOptions, Database } from './connect.ts';
import { DatabaseError } from './errors.ts';
import { sqlState } from './failure.ts';
import { createPostgresPool, type PostgresPool } from './postgres-pool.ts';
import { assertDatabaseUrl } from './postgres-session.ts';
import { type Db, queryRows } from './query.ts';
import { IDLE_TRANSACTION_MS, openDb } from './session.ts';

const DEFAULT_POOL_SIZE = 10;
const DEFAULT_INGEST_POOL_SIZE = 3;
const LOCK_TIMEOUT_MS = 300;
const STATEMENT_TIMEOUT_MS = 30_000;
const SILENCE_MS = 45_000;
const MIN_SERVER_VERSION = 140_000;
/** While migrating, a statement may wait for those of running servers. */
const EXCLUSIVE_LOCK_TIMEOUT_MS = 10_000;
const EXCLUSIVE_SILENCE_MS = 15 * 60_000;
const EXCLUSIVE_WAIT_MS = 120_000;
const EXCLUSIVE_RETRY_MS = 250;

const COMMON_SETTINGS = { application_name: 'syncline', TimeZone: 'UTC' } as const;
const SESSION_SETTINGS = {
  ...COMMON_SETTINGS,
  lock_timeout: String(LOCK_TIMEOUT_MS),
  statement_timeout: String(STATEMENT_TIMEOUT_MS),
  idle_in_transaction_session_timeout: String(IDLE_TRANSACTION_MS),
  // Prepared for the round trip that it saves. A plan made once would be that of tables that have grown since.
  plan_cache_mode: 'force_custom_plan',
  // Compiling a plan takes 100 ms and more, and the planner's wrong guesses about young tables are what calls for it.
  jit: 'off',
} as const;

/** Opens two pools (general, ingest) on a PostgreSQL server of version 14 or later. */
export async function connectPostgres(options: ConnectOptions & { readonly url: string }): Promise<Database> {
  assertDatabaseUrl(options.url);
  const shared = { url: options.url, settings: SESSION_SETTINGS, silenceMs: SILENCE_MS, nowMs: () => Date.now() };
  const pool = createPostgresPool({ ...shared, maxSessions: options.poolSize ?? DEFAULT_POOL_SIZE });
  const ingestPool = createPostgresPool({ ...shared, maxSessions: options.ingestPoolSize ?? DEFAULT_INGEST_POOL_SIZE });
  const db = openDb(pool);
  const close = async () => {
    await Promise.all([pool.close(), ingestPool.close()]);
  };
  try {
    const serverVersion = await readServerVersion(db);
    return {
      kind: 'postgres',
      db,
      ingestDb: openDb(ingestPool),
      serverVersion,
      exclusively: (name, work) => exclusively(options.url, name, work),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readServerVersion(db: Db): Promise<number> {
  let version: number;
  try {
    const [row] = await queryRows<{ version: number }>(
      db,
      sql`SELECT current_setting('server_version_num')::int AS version`,
    );
    version = row?.version ?? 0;
  } catch (cause) {
    const state = sqlState(cause);
    throw new DatabaseError(
      'unreachable',
      `The database in DATABASE_URL does not answer${state === null ? '' : ` (SQLSTATE ${state})`}: check that the server runs, and the host, port, user, password and database name`,
      { cause },
    );
  }
  if (version < MIN_SERVER_VERSION) {
    throw new DatabaseError(
      'unsupported_version',
      `PostgreSQL ${Math.floor(version / 10_000)} is too old: Syncline needs 14 or later. Upgrade the server, or unset DATABASE_URL to use the embedded database`,
    );
  }
  return version;
}

/** A session-level advisory lock on a connection of its own: it ends with the connection, so a crash leaves nothing behind. */
async function exclusively<T>(url: string, name: string, work: (db: Db) => Promise<T>): Promise<T> {
  const pool = createPostgresPool({
    url,
    settings: { ...COMMON_SETTINGS, lock_timeout: String(EXCLUSIVE_LOCK_TIMEOUT_MS) },
    silenceMs: EXCLUSIVE_SILENCE_MS,
    // It must not be renewed, since the lock is its own.
    nowMs: () => 0,
    maxSessions: 1,
  });
  try {
    await waitForLock(pool, name);
    return await work(openDb(pool));
  } finally {
    await pool.close();
  }
}

async function waitForLock(pool: PostgresPool, name: string): Promise<void> {
  const db = openDb(pool);
  for (let attempt = 0; attempt < EXCLUSIVE_WAIT_MS / EXCLUSIVE_RETRY_MS; attempt += 1) {
    const [row] = await queryRows<{ locked: boolean }>(
      db,
      sql`SELECT pg_try_advisory_lock(hashtextextended(${`syncline:${name}`}::text, 0)) AS locked`,
    );
    if (row?.locked === true) return;
    await wait(EXCLUSIVE_RETRY_MS);
  }
  throw new DatabaseError(
    'migration_busy',
    `Another process has been migrating this database for more than ${EXCLUSIVE_WAIT_MS / 1000} s: wait for it, or stop it`,
  );
}
