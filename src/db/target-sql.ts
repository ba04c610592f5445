import { type SQL, sql } from 'drizzle-orm';
import type { Content } from '../model/observation.ts';
import type { TargetColumn, TargetTable } from '../model/target.ts';

/** Parts of statements about a user's table, whose names are known only when the configuration is read. */

/** Rows typed by the table itself, so that every column type a user has is cast as PostgreSQL would on insert. */
export const populated = (table: TargetTable, contents: readonly Content[], suffix = ''): SQL =>
  sql`jsonb_populate_recordset(${sql.raw(`NULL::${tableName(table)}`)}, ${toColumnJson(table, contents)}::text::jsonb)
      ${sql.raw(suffix)} AS p`;

function toColumnJson(table: TargetTable, contents: readonly Content[]): string {
  const renames = Object.entries(table.columns);
  const rows = contents.map((content) => {
    const row: Record<string, unknown> = {};
    for (const [property, column] of renames) if (property in content) row[column.name] = content[property];
    return row;
  });
  return JSON.stringify(rows);
}

export const keyRows = (table: TargetTable, keys: readonly string[]): Content[] =>
  keys.map((key) => ({ [table.keyProperty]: key }));

export function columnOf(table: TargetTable, property: string): TargetColumn {
  const column = table.columns[property];
  if (column === undefined) throw new TypeError(`No column for property ${property} of ${table.name}`);
  return column;
}

export const keyColumn = (table: TargetTable): TargetColumn => columnOf(table, table.keyProperty);
export const contentColumns = (table: TargetTable): TargetColumn[] =>
  table.contentProperties.map((property) => columnOf(table, property));

/** A row's key as text, as the mapping writes it: a number without zeros at its end. The same in every session. */
export function keyText(alias: string, table: TargetTable): string {
  const key = keyColumn(table);
  const column = `${alias}.${quote(key.name)}`;
  return key.kind === 'decimal' ? `trim_scale(${column})::text` : `${column}::text`;
}

/** Types without an equality operator of their own are compared as text. */
export function comparable(alias: string, column: TargetColumn): string {
  const name = `${alias}.${quote(column.name)}`;
  if (column.kind === 'other' || column.sqlType === 'json') return `${name}::text`;
  return name;
}

export const quote = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
export const tableName = (table: TargetTable): string => `${quote(table.schema)}.${quote(table.name)}`;
