import { getTableConfig, type PgColumn, type PgTable } from 'drizzle-orm/pg-core';

/**
 * Statements that make a table as its definition describes it: columns, types, keys, and enums that are not there yet. Without
 * foreign keys, indexes and defaults that are expressions: for a try-out, where the real migrations are not at hand.
 */
export function createTableSql(table: PgTable): readonly string[] {
  const { name, schema, columns, primaryKeys } = getTableConfig(table);
  const place = schema === undefined ? quote(name) : `${quote(schema)}.${quote(name)}`;
  const keys = primaryKeys.map((key) => `PRIMARY KEY (${key.columns.map((column) => quote(column.name)).join(', ')})`);
  const parts = [...columns.map(columnSql), ...keys];
  return [
    ...(schema === undefined ? [] : [`CREATE SCHEMA IF NOT EXISTS ${quote(schema)}`]),
    ...columns.flatMap(enumSql),
    `CREATE TABLE ${place} (${parts.join(', ')})`,
  ];
}

function columnSql(column: PgColumn): string {
  const type = isEnum(column) ? quote(column.getSQLType()) : column.getSQLType();
  const { default: fallback } = column;
  const isPlain = typeof fallback === 'string' || typeof fallback === 'number' || typeof fallback === 'boolean';
  return [
    quote(column.name),
    type,
    ...(column.primary ? ['PRIMARY KEY'] : []),
    ...(column.isUnique ? ['UNIQUE'] : []),
    ...(column.notNull && !column.primary ? ['NOT NULL'] : []),
    ...(isPlain ? [`DEFAULT ${literal(String(fallback))}`] : []),
  ].join(' ');
}

function enumSql(column: PgColumn): string[] {
  if (!isEnum(column)) return [];
  const values = (column.enumValues ?? []).map(literal).join(', ');
  const make = `CREATE TYPE ${quote(column.getSQLType())} AS ENUM (${values})`;
  return [`DO $make$ BEGIN ${make}; EXCEPTION WHEN duplicate_object THEN NULL; END $make$`];
}

/** A text column may list its values for TypeScript alone. */
const isEnum = (column: PgColumn): boolean => column.columnType === 'PgEnumColumn';

const quote = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
