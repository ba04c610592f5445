import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { connectDatabase, type Database, type DatabaseLog, type Db } from '../../src/db/connect.ts';
import { IN_MEMORY } from '../../src/db/embedded.ts';
import { openEmbeddedClient } from '../../src/db/embedded-client.ts';
import { migrateDatabase, ownMigrations } from '../../src/db/migrate.ts';
import { openDb } from '../../src/db/session.ts';
import { borrowEmbedded } from './embedded-pool.ts';

export const silentLog: DatabaseLog = { info() {}, warn() {}, error() {} };

type Teardown = { teardown(work: () => unknown): unknown };
export type TestDatabase = { readonly database: Database; readonly db: Db; readonly url: string | undefined };

/**
 * A migrated, empty database for one test, gone when the test is: on the server in `DATABASE_URL` when that is set, else
 * embedded in memory, in its thread, exactly as the server runs it.
 */
export async function createTestDatabase(
  t: Teardown,
  options: { readonly log?: DatabaseLog; readonly poolSize?: number } = {},
): Promise<TestDatabase> {
  const serverUrl = process.env.DATABASE_URL;
  const log = options.log ?? silentLog;
  if (serverUrl === undefined || serverUrl === '') {
    const database = await borrowEmbedded(migratedDump);
    t.teardown(() => database.close());
    return { database, db: database.db, url: undefined };
  }
  return createOnServer(t, serverUrl, { ...options, log });
}

/** The same on a server that the test names, for tests that need a PostgreSQL of their own. */
export async function createOnServer(
  t: Teardown,
  serverUrl: string,
  options: { readonly log?: DatabaseLog; readonly poolSize?: number } = {},
): Promise<TestDatabase> {
  const name = `syncline_test_${randomUUID().replaceAll('-', '')}`;
  const template = await migratedTemplate(serverUrl);
  await onServer(serverUrl, (client) => client.unsafe(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  const url = withDatabase(serverUrl, name);
  const database = await connectDatabase({
    url,
    poolSize: options.poolSize ?? 4,
    ingestPoolSize: 2,
    log: options.log ?? silentLog,
  });
  t.teardown(async () => {
    await database.close();
    await onServer(serverUrl, (client) => client.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  });
  return { database, db: database.db, url };
}

/** Changes with any migration, so that neither a cached dump nor a template outlives its schema. */
function migrationsHash(): string {
  const hash = createHash('sha256');
  const folder = ownMigrations();
  for (const name of readdirSync(folder).sort()) {
    if (name.endsWith('.sql')) hash.update(readFileSync(join(folder, name)));
  }
  return hash
    .update(TEMPLATES.join())
    .update(readFileSync(join(folder, 'meta', '_journal.json')))
    .digest('hex')
    .slice(0, 16);
}

/** They take two thirds of a dump's time to load, and only `CREATE DATABASE` needs them. */
const TEMPLATES = ['template0', 'template1'];
const WITHOUT_TEMPLATES = `UPDATE pg_database SET datistemplate = false, datallowconn = true`;

/** Made once and kept in the temporary folder: starting from it takes a sixth of the time of starting from nothing. */
export async function migratedDump(): Promise<Uint8Array> {
  const path = join(tmpdir(), `syncline-test-${process.getuid?.() ?? 0}-${migrationsHash()}.tar`);
  if (!existsSync(path)) {
    const client = await openEmbeddedClient({ dataDir: IN_MEMORY, dump: null });
    const db = openDb(client);
    await migrateDatabase({
      kind: 'embedded',
      db,
      ingestDb: db,
      serverVersion: client.serverVersion,
      exclusively: (_name, work) => work(db),
      close: () => client.close(),
    });
    await client.exec(WITHOUT_TEMPLATES);
    for (const name of TEMPLATES) await client.exec(`DROP DATABASE ${name}`);
    const dump = await client.dump();
    await client.close();
    const draft = `${path}.${randomUUID()}`;
    writeFileSync(draft, dump);
    // Another test file may be making the same one: the last rename wins, and they are equal.
    renameSync(draft, path);
  }
  return readFileSync(path);
}

async function migratedTemplate(serverUrl: string): Promise<string> {
  const template = `syncline_template_${migrationsHash()}`;
  await onServer(serverUrl, async (client) => {
    await client`SELECT pg_advisory_lock(hashtextextended('syncline test template', 0))`;
    const [found] = await client`SELECT 1 FROM pg_database WHERE datname = ${template}`;
    if (found !== undefined) return;
    const draft = `${template}_draft`;
    await client.unsafe(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await client.unsafe(`CREATE DATABASE ${draft}`);
    const database = await connectDatabase({
      url: withDatabase(serverUrl, draft),
      poolSize: 1,
      ingestPoolSize: 1,
      log: silentLog,
    });
    await migrateDatabase(database);
    await database.close();
    await client.unsafe(`ALTER DATABASE ${draft} RENAME TO ${template}`);
  });
  return template;
}

async function onServer<T>(serverUrl: string, work: (client: postgres.Sql) => Promise<T>): Promise<T> {
  const client = postgres(serverUrl, { max: 1, onnotice: () => {}, connect_timeout: 10 });
  try {
    return await work(client);
  } finally {
    await client.end({ timeout: 5 });
  }
}

function withDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}
