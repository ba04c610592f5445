import { getTableColumns } from 'drizzle-orm';
import { getTableConfig, type PgColumn } from 'drizzle-orm/pg-core';
import { isContent } from '../mapping/column.ts';
import type { ColumnMapping } from '../mapping/field.ts';
import type { ColumnKind, TargetColumn, TargetTable } from '../model/target.ts';
import type { EntityDefinition } from './definition.ts';

const DEFAULT_SCHEMA = 'public';

/** The target table as plain data, as the mapping uses it. Expects a definition that `checkConfig` accepts. */
export function describeTarget({ target, mapping, key, targetKey }: EntityDefinition): TargetTable {
  const { schema, name } = getTableConfig(target);
  const columns = Object.entries(getTableColumns(target)).filter(([property]) => property in mapping);
  const properties = (accepts: (mapping: ColumnMapping) => boolean) =>
    columns.flatMap(([property]) => {
      const mapped = mapping[property];
      return mapped !== undefined && accepts(mapped) ? [property] : [];
    });
  const described = Object.fromEntries(columns.map(([property, column]) => [property, describeColumn(column)]));
  const keyProperty = targetKey ?? findKeyProperty(mapping, key) ?? '';
  return {
    schema: schema ?? DEFAULT_SCHEMA,
    name,
    columns: described,
    keyProperty,
    isKeyDirect: isDirect(mapping[keyProperty], key) && EXACT_TEXT.test(described[keyProperty]?.sqlType ?? ''),
    contentProperties: properties(isContent),
    syncedAtProperties: properties(({ kind }) => kind === 'synced_at'),
    deletedAtProperty: properties(({ kind }) => kind === 'deleted_at')[0] ?? null,
  };
}

/** Types that keep and compare a text as it is: `char` ignores blanks at its end, `citext` and `uuid` ignore case. */
const EXACT_TEXT = /^(?:text|varchar|character varying)\b(?!.*\[)/;

const isDirect = (mapped: ColumnMapping | undefined, key: string): boolean =>
  mapped?.kind === 'field' && mapped.path === key && mapped.steps.length === 0;

/** The property that takes the entity's key as it is. */
export function findKeyProperty(mapping: EntityDefinition['mapping'], key: string): string | null {
  const found = Object.entries(mapping).find(([, one]) => one.kind === 'field' && one.path === key);
  return found?.[0] ?? null;
}

export function describeColumn(column: PgColumn): TargetColumn {
  const sqlType = column.getSQLType();
  return {
    name: column.name,
    sqlType,
    kind: kindOfType(sqlType),
    isNotNull: column.notNull,
    hasDefault: hasOwnDefault(column),
  };
}

/** What drizzle makes up itself for its own inserts and updates, the database does not. */
const hasOwnDefault = ({ hasDefault, default: value, defaultFn, onUpdateFn }: PgColumn): boolean =>
  hasDefault && (value !== undefined || (defaultFn === undefined && onUpdateFn === undefined));

const KINDS: readonly (readonly [RegExp, ColumnKind])[] = [
  [/\[\]$/, 'other'],
  [/^(?:text|varchar|char|character|citext|uuid)\b/, 'text'],
  [/^(?:smallint|integer|bigint|int[248]?|serial|bigserial|smallserial)\b/, 'integer'],
  [/^(?:numeric|decimal)\b/, 'decimal'],
  [/^(?:real|double precision|float[48]?)\b/, 'float'],
  [/^bool/, 'boolean'],
  [/^timestamp/, 'timestamp'],
  [/^date$/, 'date'],
  [/^jsonb?$/, 'json'],
];

/** How values of a column are brought to canonical form; a type that we do not know is compared as text. */
export const kindOfType = (sqlType: string): ColumnKind => KINDS.find(([form]) => form.test(sqlType))?.[1] ?? 'other';
