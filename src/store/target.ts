import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import {
  columnOf,
  comparable,
  contentColumns,
  keyColumn,
  keyRows,
  populated,
  quote,
  tableName,
} from '../db/target-sql.ts';
import type { Content } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';

/**
 * Inserts or updates the rows of the given contents, by the table's key. Rows that hold these values already are not
 * written. Columns that the mapping does not name are left alone. Data and constraint errors pass through.
 * @returns how many rows were written.
 */
export async function writeRows(tx: Db, table: TargetTable, contents: readonly Content[]): Promise<number> {
  if (contents.length === 0) return 0;
  const content = contentColumns(table);
  const stamped = table.syncedAtProperties.map((property) => columnOf(table, property));
  const deletedAt = table.deletedAtProperty === null ? [] : [columnOf(table, table.deletedAtProperty)];
  const names = [...content, ...stamped, ...deletedAt].map((column) => quote(column.name));
  const values = [
    ...content.map((column) => `p.${quote(column.name)}`),
    ...stamped.map(() => 'clock_timestamp()'),
    ...deletedAt.map(() => 'NULL'),
  ];
  const differs = [
    `(${content.map((column) => comparable('t', column)).join(', ')})
      IS DISTINCT FROM (${content.map((column) => comparable('excluded', column)).join(', ')})`,
    ...deletedAt.map((column) => `t.${quote(column.name)} IS NOT NULL`),
  ].join(' OR ');
  const rows = await queryRows<{ one: number }>(
    tx,
    sql`${sql.raw(`INSERT INTO ${tableName(table)} AS t (${names.join(', ')}) SELECT ${values.join(', ')} FROM `)}
      ${populated(table, contents)}
      ${sql.raw(`ON CONFLICT (${quote(keyColumn(table).name)}) DO UPDATE
        SET ${names.map((name) => `${name} = excluded.${name}`).join(', ')} WHERE ${differs} RETURNING 1 AS one`)}`,
  );
  return rows.length;
}

/** Removes rows by key, or stamps them as deleted where the table keeps them. @returns how many rows changed. */
export async function removeRows(tx: Db, table: TargetTable, keys: readonly string[]): Promise<number> {
  if (keys.length === 0) return 0;
  const key = quote(keyColumn(table).name);
  const wanted = sql`(SELECT ${sql.raw(`p.${key}`)} FROM ${populated(table, keyRows(table, keys))})`;
  const name = sql.raw(`${tableName(table)} AS t`);
  const match = sql`${sql.raw(`t.${key}`)} IN ${wanted} RETURNING 1 AS one`;
  if (table.deletedAtProperty === null) return (await queryRows(tx, sql`DELETE FROM ${name} WHERE ${match}`)).length;
  const deletedAt = quote(columnOf(table, table.deletedAtProperty).name);
  const assignments = [deletedAt, ...table.syncedAtProperties.map((property) => quote(columnOf(table, property).name))]
    .map((column) => `${column} = clock_timestamp()`)
    .join(', ');
  const rows = await queryRows(
    tx,
    sql`UPDATE ${name} SET ${sql.raw(assignments)} WHERE ${sql.raw(`t.${deletedAt} IS NULL`)} AND ${match}`,
  );
  return rows.length;
}

/**
 * Places, counted from 0, of those contents whose row is missing or holds other values: damage, or someone else's edit.
 * One look-up by key for each, so that no missing statistics lead to reading the whole table.
 */
export async function findDamagedRows(db: Db, table: TargetTable, contents: readonly Content[]): Promise<number[]> {
  if (contents.length === 0) return [];
  const key = quote(keyColumn(table).name);
  const columns = contentColumns(table);
  const conditions = [
    `t.${key} IS NULL`,
    `(${columns.map((column) => comparable('t', column)).join(', ')})
      IS DISTINCT FROM (${columns.map((column) => comparable('p', column)).join(', ')})`,
  ];
  if (table.deletedAtProperty !== null) {
    conditions.push(`t.${quote(columnOf(table, table.deletedAtProperty).name)} IS NOT NULL`);
  }
  const rows = await queryRows<{ place: number }>(
    db,
    sql`SELECT p.ordinality::int AS place FROM ${populated(table, contents, ' WITH ORDINALITY')}
        LEFT JOIN LATERAL ${sql.raw(`(SELECT * FROM ${tableName(table)} AS r WHERE r.${key} = p.${key} LIMIT 1) AS t ON true
        WHERE ${conditions.join(' OR ')}`)}`,
  );
  return rows.map((row) => Number(row.place) - 1);
}

/** One row by key as JSON, column names as keys, or null. */
export async function readRow(db: Db, table: TargetTable, key: string): Promise<Record<string, unknown> | null> {
  const column = quote(keyColumn(table).name);
  const rows = await queryRows<{ row: string }>(
    db,
    sql`SELECT to_jsonb(t)::text AS row FROM ${sql.raw(`${tableName(table)} AS t`)}
        WHERE ${sql.raw(`t.${column}`)} IN (SELECT ${sql.raw(`p.${column}`)} FROM ${populated(table, keyRows(table, [key]))})`,
  );
  const [found] = rows;
  return found === undefined ? null : JSON.parse(found.row);
}

export type TargetProblem = { readonly table: string; readonly problem: string };

/** What would keep Syncline from writing to this table: it is missing, lacks a column or a right, or its key is not unique. */
export async function checkTarget(db: Db, table: TargetTable): Promise<TargetProblem[]> {
  const name = `${table.schema}.${table.name}`;
  const columns = await queryRows<{ name: string }>(
    db,
    sql`SELECT a.attname AS name FROM pg_attribute a
        WHERE a.attrelid = to_regclass(${tableName(table)}) AND a.attnum > 0 AND NOT a.attisdropped`,
  );
  if (columns.length === 0) {
    return [{ table: name, problem: 'does not exist; create it with your migrations' }];
  }
  const present = new Set(columns.map((column) => column.name));
  const problems = Object.values(table.columns)
    .filter((column) => !present.has(column.name))
    .map((column) => ({ table: name, problem: `has no column ${column.name}; the mapping writes it` }));
  if (!(await isWritable(db, table))) {
    problems.push({
      table: name,
      problem: 'must be readable and writable by the database user: grant SELECT, INSERT, UPDATE and DELETE',
    });
  }
  if (!(await isUnique(db, table))) {
    const key = keyColumn(table).name;
    problems.push({
      table: name,
      problem: `needs a primary key or unique index on ${key} alone; rows are found by it`,
    });
  }
  return problems;
}

async function isWritable(db: Db, table: TargetTable): Promise<boolean> {
  const rights = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map((right) => `has_table_privilege(c.oid, '${right}')`);
  const rows = await queryRows(
    db,
    sql`SELECT 1 AS one FROM pg_class c WHERE c.oid = to_regclass(${tableName(table)}) AND ${sql.raw(rights.join(' AND '))}`,
  );
  return rows.length > 0;
}

async function isUnique(db: Db, table: TargetTable): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`SELECT 1 AS one FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass(${tableName(table)}) AND i.indisunique AND i.indnkeyatts = 1
          AND i.indpred IS NULL AND a.attname = ${keyColumn(table).name}`,
  );
  return rows.length > 0;
}
