import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import postgres from 'postgres';
import { connectDatabase, type Db } from '../src/db/connect.ts';
import { queryRows } from '../src/db/query.ts';
import { migrateAll } from '../src/server.ts';
import { createPrivatePostgres, skipWithoutPostgres } from '../test/helpers/postgres.ts';

/** A database that a measurement has to itself. */
export type Place = {
  readonly kind: 'postgres' | 'embedded';
  /** What the server's environment needs to use it. */
  readonly environment: Readonly<Record<string, string>>;
  /** True where `pg_xact_commit_timestamp` tells when a row became visible. */
  readonly hasCommitTimes: boolean;
  /** One statement. On the embedded database only while no server runs: one process at a time may have it. */
  query(text: string): Promise<Record<string, unknown>[]>;
  withDb<T>(work: (db: Db) => Promise<T>): Promise<T>;
  remove(): Promise<void>;
};

export type PostgresServer = {
  readonly version: string;
  readonly isPrivate: boolean;
  create(): Promise<Place>;
  remove(): Promise<void>;
};

/**
 * No checkpoint falls into a run: its full-page images would be counted as the run's log. Everything else is as a server
 * comes, durability included: fsync and synchronous_commit are on.
 */
const SETTINGS = [
  'max_wal_size=8GB',
  'checkpoint_timeout=60min',
  'track_commit_timestamp=on',
  'shared_buffers=256MB',
] as const;

/** The server at `url`, or a private one that ends with this process. Null where neither is to be had. */
export async function openPostgres(url: string | undefined): Promise<PostgresServer | null> {
  if (url === undefined && skipWithoutPostgres() !== false) return null;
  const own = url === undefined ? await createPrivatePostgres(SETTINGS) : null;
  const serverUrl = url ?? own?.url ?? '';
  const admin = postgres(serverUrl, { max: 1, onnotice: () => {} });
  const [row] = await admin`SELECT current_setting('server_version') AS version`;
  return {
    version: String(row?.version),
    isPrivate: own !== null,
    create: () => createOnServer(serverUrl, admin, own !== null),
    async remove() {
      await admin.end({ timeout: 5 });
      await own?.remove();
    },
  };
}

async function createOnServer(serverUrl: string, admin: postgres.Sql, hasCommitTimes: boolean): Promise<Place> {
  const name = `syncline_bench_${randomUUID().replaceAll('-', '')}`;
  await admin.unsafe(`CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const client = postgres(url.href, { max: 1, onnotice: () => {} });
  const place: Place = {
    kind: 'postgres',
    environment: { DATABASE_URL: url.href },
    hasCommitTimes,
    query: (text) => client.unsafe(text),
    withDb: (work) => withDatabase({ url: url.href }, work),
    async remove() {
      await client.end({ timeout: 5 });
      await admin.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
  await migrate(place);
  return place;
}

/** An embedded database in a folder of its own. */
export async function createEmbedded(): Promise<Place> {
  const dataDir = mkdtempSync(join(tmpdir(), 'syncline-bench-'));
  const place: Place = {
    kind: 'embedded',
    environment: { DATABASE_URL: '', SYNCLINE_DATA_DIR: dataDir },
    hasCommitTimes: false,
    query: (text) => withDatabase({ dataDir }, (db) => queryRows(db, sql.raw(text))),
    withDb: (work) => withDatabase({ dataDir }, work),
    remove: async () => rmSync(dataDir, { recursive: true, force: true }),
  };
  await migrate(place);
  return place;
}

const migrate = (place: Place): Promise<void> =>
  migrateAll({
    environment: { ...place.environment, SYNCLINE_CONFIG: 'syncline.config.ts', LOG_LEVEL: 'silent' },
    workingFolder: import.meta.dirname,
  });

async function withDatabase<T>(where: { url?: string; dataDir?: string }, work: (db: Db) => Promise<T>): Promise<T> {
  const database = await connectDatabase({
    ...where,
    poolSize: 2,
    ingestPoolSize: 1,
    log: { info() {}, warn() {}, error() {} },
  });
  try {
    return await work(database.db);
  } finally {
    await database.close();
  }
}
