import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import type { PgliteDatabase } from 'drizzle-orm/pglite';
import { migrate } from 'drizzle-orm/pglite/migrator';
import { packageRoot } from '../lib/package-root.ts';
import type { Database } from './connect.ts';
import { DatabaseError } from './errors.ts';
import { type Db, queryRows, withoutStatement } from './query.ts';
import type * as schema from './schema.ts';

const MIGRATIONS_SCHEMA = 'sync';
const OWN_TABLE = 'migrations';

/** `newer`: the database holds a migration that this code does not know. */
export type MigrationState = 'current' | 'pending' | 'newer';

/**
 * Brings Syncline's own schema up to date. Safe to repeat and to run in several processes at once: one migrates, the
 * others wait. Each call is one transaction. Throws `DatabaseError`: `schema_newer`, `migration_busy`; what the database refuses passes through.
 */
export const migrateDatabase = (database: Database): Promise<void> =>
  migrateFolder(database, ownMigrations(), OWN_TABLE);

/**
 * Applies a folder written by drizzle-kit, for the tables of one user or example. What was applied is kept in the table
 * `sync.<tableName>`, which must be the folder's own: lower-case letters, digits and underscores.
 */
export async function migrateFolder(database: Database, folder: string, tableName: string): Promise<void> {
  if ((await folderState(database.db, folder, tableName)) === 'current') return;
  await database.exclusively('migrate', async (db) => {
    // Again, under the lock: another process may have done it, or be a newer version.
    const state = await folderState(db, folder, tableName);
    if (state === 'current') return;
    if (state === 'newer') throw newerError(folder);
    const options = { migrationsFolder: folder, migrationsSchema: MIGRATIONS_SCHEMA, migrationsTable: tableName };
    // Either database speaks through drizzle's PGlite driver; see `openDb`.
    await withoutStatement(migrate(db as PgliteDatabase<typeof schema>, options));
  });
}

/** For readiness: one small read. */
export const migrationState = (db: Db): Promise<MigrationState> => folderState(db, ownMigrations(), OWN_TABLE);

export const ownMigrations = (): string => join(packageRoot(), 'drizzle');

async function folderState(db: Db, folder: string, tableName: string): Promise<MigrationState> {
  const known = readMigrationFiles({ migrationsFolder: folder }).map(
    ({ folderMillis, hash }) => `${folderMillis} ${hash}`,
  );
  const applied = await readApplied(db, tableName);
  // By content too: a database made by an edited migration is not the one this code was written for.
  if (applied.some((migration) => !known.includes(migration))) return 'newer';
  return applied.length === known.length ? 'current' : 'pending';
}

async function readApplied(db: Db, tableName: string): Promise<string[]> {
  const table = sql`${sql.identifier(MIGRATIONS_SCHEMA)}.${sql.identifier(tableName)}`;
  const [found] = await queryRows<{ exists: boolean }>(
    db,
    sql`SELECT to_regclass(${`${MIGRATIONS_SCHEMA}.${tableName}`}::text) IS NOT NULL AS exists`,
  );
  if (found?.exists !== true) return [];
  const rows = await queryRows<{ hash: string; created_at: string }>(db, sql`SELECT hash, created_at FROM ${table}`);
  return rows.map((row) => `${row.created_at} ${row.hash}`);
}

const newerError = (folder: string) =>
  new DatabaseError(
    'schema_newer',
    `The database was migrated by a newer or different version (it holds a migration that ${folder} does not have): start that version, or restore a backup from before`,
  );
