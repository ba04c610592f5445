import { getTableColumns } from 'drizzle-orm';
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core';
import type { z } from 'zod';
import { mustParsePath } from '../lib/path-schema.ts';
import { reachOf } from '../lib/schema-path.ts';
import { isContent, prepareReader } from '../mapping/column.ts';
import type { ColumnMapping, Mapping } from '../mapping/field.ts';
import { Refusal } from '../mapping/refusal.ts';
import { checkShape, type Place } from './problems.ts';
import { columnMappingSchema } from './schemas.ts';
import { describeColumn, findKeyProperty } from './target.ts';

type MappingParts = {
  /** Unchecked. */
  readonly mapping: { readonly [property: string]: unknown };
  readonly target: PgTable | null;
  readonly schema: z.ZodType | null;
  readonly key: string | null;
  readonly targetKey: string | null;
};

/**
 * Checks a mapping against its table and schema, as far as those are sound; what types have checked already is checked
 * again. @returns the properties whose mapping is one at all.
 */
export function checkMapping(parts: MappingParts, entity: Place): Mapping {
  const { target, schema, key, targetKey } = parts;
  const place = entity.at('mapping');
  const mapping: Record<string, ColumnMapping> = {};
  for (const [property, given] of Object.entries(parts.mapping)) {
    const one = checkShape(columnMappingSchema, given, place.at(property));
    if (one === null) continue;
    mapping[property] = one;
    if (schema !== null) checkPaths(one, schema, place.at(property));
    if (target !== null) checkColumn(property, one, target, place.at(property));
  }
  if (target !== null) checkNeeded(parts.mapping, target, place);
  if (Object.values(mapping).filter(({ kind }) => kind === 'deleted_at').length > 1) {
    place.add('has deletedAt() more than once; rows are stamped in one column');
  }
  checkKey({ mapping, key, targetKey }, entity);
  return mapping;
}

function checkPaths(mapping: ColumnMapping, schema: z.ZodType, place: Place): void {
  const paths = mapping.kind === 'field' ? [mapping.path] : mapping.kind === 'fields' ? mapping.paths : [];
  for (const path of paths) {
    if (reachOf(schema, mustParsePath(path), 'output') === 'absent') {
      place.add(`the schema gives nothing at ${path}; declare it there, since undeclared keys are dropped`);
    }
  }
}

function checkColumn(property: string, mapping: ColumnMapping, target: PgTable, place: Place): void {
  const column = columnsOf(target)[property];
  if (column === undefined) {
    place.add(`the table has no property of this name; it has ${Object.keys(columnsOf(target)).join(', ')}`);
    return;
  }
  if (!isWritable(column)) {
    place.add('the database makes the values of this column itself; leave it out');
    return;
  }
  const described = describeColumn(column);
  if (isContent(mapping)) {
    if (mapping.kind === 'constant' && mapping.value === null && described.isNotNull)
      place.add('the column cannot be null');
    try {
      prepareReader(property, mapping, described);
    } catch (error) {
      if (!Refusal.isRefusal(error)) throw error;
      place.add(`the column of type ${described.sqlType} does not take this value: expected ${error.expected}`);
    }
    return;
  }
  if (described.kind !== 'timestamp') place.add(`expected a timestamp column, got ${described.sqlType}`);
  if (mapping.kind === 'deleted_at' && described.isNotNull) {
    place.add('expected a column that can be null: it is, as long as the record lives');
  }
}

function checkNeeded(mapping: MappingParts['mapping'], target: PgTable, place: Place): void {
  for (const [property, column] of Object.entries(columnsOf(target))) {
    if (Object.hasOwn(mapping, property) || !column.notNull || !isWritable(column)) continue;
    if (describeColumn(column).hasDefault) continue;
    place.at(property).add('the column is NOT NULL without a default: map it');
  }
}

function checkKey(
  { mapping, key, targetKey }: { mapping: Mapping; key: string | null; targetKey: string | null },
  entity: Place,
): void {
  if (targetKey === null) {
    if (key !== null && findKeyProperty(mapping, key) === null) {
      entity.at('mapping').add(`has no field('${key}') for the record's id; map it, or name its property in targetKey`);
    }
    return;
  }
  const mapped = Object.hasOwn(mapping, targetKey) ? mapping[targetKey] : undefined;
  if (mapped === undefined || !isContent(mapped) || mapped.kind === 'constant') {
    entity.at('targetKey').add('expected a property that the mapping fills from the record');
  }
}

const columnsOf = (target: PgTable): { readonly [property: string]: PgColumn } => getTableColumns(target);

const isWritable = (column: PgColumn): boolean =>
  column.generated === undefined && column.generatedIdentity?.type !== 'always';
