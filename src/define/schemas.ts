import { is } from 'drizzle-orm';
import { PgTable } from 'drizzle-orm/pg-core';
import { validate as isCron } from 'node-cron';
import { z } from 'zod';
import { durationMs } from '../lib/duration.ts';
import { pathSchema } from '../lib/path-schema.ts';
import type { ColumnMapping } from '../mapping/field.ts';
import { getManySchema, getSchema, listSchema } from '../source/definition.ts';
import { durationSchema, fieldPathSchema } from './value-schemas.ts';
import { writeSchema } from './write-schema.ts';

/** Names stand in URLs, logs and tables. */
export const NAME = /^[a-z][a-z0-9_-]{0,62}$/;
export const NAME_SYNTAX =
  'expected a name of small letters, digits, _ and -, that begins with a letter, of at most 63 characters';

/** Shorter than a page may take with its retries would fail every run. */
const MIN_DEADLINE_MS = 60_000;
const MAX_DEADLINE_MS = 7 * 24 * 3_600_000;

const cronSchema = z
  .string()
  .refine((text) => isCron(text), { error: 'expected a cron expression, such as */5 * * * *' });

const versionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('timestamp'),
    field: fieldPathSchema,
    format: z.enum(['iso', 'epoch_s', 'epoch_ms']).optional(),
    precision: z.enum(['second', 'millisecond', 'microsecond']).optional(),
    skew: durationSchema.optional(),
  }),
  z.strictObject({ kind: z.literal('counter'), field: fieldPathSchema }),
  z.strictObject({ kind: z.literal('none') }),
]);

const changedSinceSchema = z.strictObject({
  param: z.string().min(1),
  format: z.enum(['iso', 'epoch_s', 'epoch_ms', 'raw']).optional(),
  overlap: durationSchema.optional(),
  query: z.record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()])).optional(),
});

const deletesSchema = z.strictObject({
  events: z.enum(['versioned', 'unversioned']).optional(),
  idsReturn: z.boolean().optional(),
  marker: z
    .strictObject({ field: fieldPathSchema, equals: z.union([z.string(), z.number(), z.boolean(), z.null()]) })
    .optional(),
});

const reconcileSchema = z.strictObject({
  incremental: cronSchema.optional(),
  full: cronSchema.optional(),
  deletions: z
    .strictObject({ maxShare: z.number().min(0).max(1).optional(), minimum: z.int().min(0).optional() })
    .optional(),
  repair: z.boolean().optional(),
  deadline: durationSchema
    .refine((text) => durationMs(text) >= MIN_DEADLINE_MS && durationMs(text) <= MAX_DEADLINE_MS, {
      error: 'expected a duration from 1m to 7d',
    })
    .optional(),
});

const stepSchema = z.union([
  z.looseObject({ kind: z.literal('transform'), signature: z.string(), decode: z.function() }),
  z.strictObject({ kind: z.literal('required') }),
  z.strictObject({ kind: z.literal('default'), value: z.json() }),
]);

const mappingShapeSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('field'), path: pathSchema, steps: z.array(stepSchema) }),
  z.strictObject({ kind: z.literal('fields'), paths: z.array(pathSchema).min(1), steps: z.array(stepSchema).min(1) }),
  z.strictObject({ kind: z.literal('constant'), value: z.json() }),
  z.strictObject({ kind: z.literal('synced_at') }),
  z.strictObject({ kind: z.literal('deleted_at') }),
]);

/** One column's mapping, as it came: a copy would lose what the steps close over. */
export const columnMappingSchema = z.custom<ColumnMapping>().superRefine((mapping, context) => {
  const result = mappingShapeSchema.safeParse(mapping);
  if (result.success) return;
  const [issue] = result.error.issues;
  const isUnknown = issue?.code === 'invalid_union' || issue?.code === 'invalid_type';
  const message =
    isUnknown && issue.path.length <= 1
      ? 'expected field(…), fields(…), constant(…), syncedAt() or deletedAt()'
      : issue?.message;
  context.addIssue({ code: 'custom', message: message ?? 'expected a mapping', path: issue?.path.slice(0, 1) ?? [] });
});

/** Parts of an entity, each to be checked by itself, so that one mistake hides no other. */
export const ENTITY_PARTS = {
  schema: z.custom<z.ZodType>((value) => typeof value === 'object' && value !== null && '_zod' in value, {
    error: 'expected a zod schema (of zod 4)',
  }),
  key: fieldPathSchema,
  targetKey: z.string().min(1).optional(),
  version: versionSchema,
  only: z
    .custom<(record: unknown) => boolean>((value) => typeof value === 'function', { error: 'expected a function' })
    .optional(),
  read: z.strictObject({
    list: listSchema,
    changedSince: changedSinceSchema.optional(),
    get: getSchema.optional(),
    getMany: getManySchema.optional(),
  }),
  deletes: deletesSchema.optional(),
  readLag: durationSchema.optional(),
  target: z.custom<PgTable>((value) => is(value, PgTable), { error: 'expected a table of drizzle-orm/pg-core' }),
  /** Each column by itself, with `columnMappingSchema`. */
  mapping: z.record(z.string(), z.unknown(), { error: 'expected an object: columns of the table, by property' }),
  reconcile: reconcileSchema.optional(),
  write: writeSchema.optional(),
} as const;
