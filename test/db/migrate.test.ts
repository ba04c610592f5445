import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { connectDatabase } from '../../src/db/connect.ts';
import { migrateDatabase, migrateFolder, migrationState, ownMigrations } from '../../src/db/migrate.ts';
import { queryRows } from '../../src/db/query.ts';
import { createTestDatabase, silentLog } from '../helpers/database.ts';

test('migrating twice, and several times at once, applies each migration once', async (t) => {
  const { database, db } = await createTestDatabase(t);
  t.equal(await migrationState(db), 'current');
  await db.execute(sql`DROP SCHEMA sync CASCADE`);
  t.equal(await migrationState(db), 'pending');
  await Promise.all([migrateDatabase(database), migrateDatabase(database), migrateDatabase(database)]);
  t.equal(await migrationState(db), 'current');
  const [applied] = await queryRows<{ count: number }>(db, sql`SELECT count(*)::int AS count FROM sync.migrations`);
  const journal: { entries: unknown[] } = JSON.parse(
    readFileSync(join(ownMigrations(), 'meta', '_journal.json'), 'utf8'),
  );
  t.equal(applied?.count, journal.entries.length);
});

test('a database migrated by a newer version is refused, with the way out', async (t) => {
  const { database, db } = await createTestDatabase(t);
  await db.execute(sql`INSERT INTO sync.migrations (hash, created_at) VALUES ('unknown', 99999999999999)`);
  t.equal(await migrationState(db), 'newer');
  await t.rejects(migrateDatabase(database), { code: 'schema_newer', message: 'start that version' });
});

test('a migration that fails leaves nothing of its folder behind', async (t) => {
  const { database, db } = await createTestDatabase(t);
  const folder = writeFolder(t.testdir(), ['CREATE TABLE made (id int)', 'CREATE TABLE made (id int)']);
  await t.rejects(migrateFolder(database, folder, 'migrations_shop'));
  t.same(await queryRows(db, sql`SELECT to_regclass('made') AS made`), [{ made: null }]);
});

test("a user's folder is migrated beside our own, step by step, and keeps its own account", async (t) => {
  const { database, db } = await createTestDatabase(t);
  const folder = t.testdir();
  const whole = writeFolder(join(folder, 'whole'), [
    'CREATE TABLE made (id int)',
    'ALTER TABLE made ADD COLUMN name text',
  ]);
  const part = writeFolder(join(folder, 'part'), ['CREATE TABLE made (id int)']);
  await migrateFolder(database, part, 'migrations_shop');
  await migrateFolder(database, whole, 'migrations_shop');
  await migrateFolder(database, whole, 'migrations_shop');
  await db.execute(sql`INSERT INTO made (id, name) VALUES (1, 'x')`);
  t.same(await queryRows(db, sql`SELECT count(*)::int AS count FROM sync.migrations_shop`), [{ count: 2 }]);
  t.equal(await migrationState(db), 'current');
  await t.rejects(migrateFolder(database, part, 'migrations_shop'), { code: 'schema_newer' });
});

test('the tables are stored as the hot paths need it', async (t) => {
  const { db } = await createTestDatabase(t);
  const rows = await queryRows(
    db,
    sql`SELECT relpersistence AS kind FROM pg_class WHERE oid = 'sync.run_pages'::regclass`,
  );
  t.same(rows, [{ kind: 'u' }]);
});

test('two servers that start at once on one empty database both come up', async (t) => {
  const { url } = await createTestDatabase(t);
  if (url === undefined) return t.pass('an embedded database has one process');
  const databases = await Promise.all(
    Array.from({ length: 3 }, () => connectDatabase({ url, log: silentLog, poolSize: 2, ingestPoolSize: 1 })),
  );
  t.teardown(() => Promise.all(databases.map((database) => database.close())));
  await databases[0]?.db.execute(sql`DROP SCHEMA sync CASCADE`);
  await Promise.all(databases.map(migrateDatabase));
  for (const { db } of databases) t.equal(await migrationState(db), 'current');
});

/** A folder as drizzle-kit writes it: one migration for each statement, at one second after another. */
function writeFolder(folder: string, statements: readonly string[]): string {
  mkdirSync(join(folder, 'meta'), { recursive: true });
  const entries = statements.map((statement, idx) => {
    writeFileSync(join(folder, `000${idx}_step.sql`), statement);
    return { idx, version: '7', when: 1_700_000_000_000 + idx * 1000, tag: `000${idx}_step`, breakpoints: true };
  });
  writeFileSync(
    join(folder, 'meta', '_journal.json'),
    JSON.stringify({ version: '7', dialect: 'postgresql', entries }),
  );
  return folder;
}
