import { z } from 'zod';
import type { Path } from './path.ts';

/** Whether a path can lead to a value in what a schema gives: surely not, or as far as the schema tells. */
export type SchemaReach = 'absent' | 'possible';

/** Schemas may refer to themselves. */
const MAX_STEPS = 500;

/**
 * Whether there can be a value at the path, in what the schema gives (output) or in what the source sends (input). A key
 * that an object schema drops is `absent`.
 */
export function reachOf(schema: z.ZodType, path: Path, side: Side): SchemaReach {
  const budget = { steps: 0 };
  return ends(schema, path, budget, side).length > 0 ? 'possible' : 'absent';
}

/**
 * Whether the source can send a value there, as far as the schema tells. Checks that are asynchronous or throw tell
 * nothing, and neither does a place that the schema does not name.
 */
export function acceptorAt(schema: z.ZodType, path: Path): (value: unknown) => boolean {
  const schemas = ends(schema, path, { steps: 0 }, 'input');
  return (value) => schemas.length === 0 || schemas.some((one) => takes(one, value));
}

function takes(schema: z.core.$ZodType, value: unknown): boolean {
  try {
    return z.core.safeParse(schema, value).success;
  } catch {
    return true;
  }
}

/**
 * A place in a record as text, for messages. Keys that the schema does not name are the source's own words, which may be
 * personal (a map by e-mail address): they show as `*`.
 */
export function maskedPath(schema: z.ZodType, path: readonly PropertyKey[]): string {
  const shown: string[] = [];
  let current: readonly z.core.$ZodType[] = [schema];
  const budget = { steps: 0 };
  for (const key of path) {
    const text = String(key);
    const isNamed = typeof key === 'number' || current.some((part) => namesKey(part, text, budget));
    shown.push(isNamed ? text : '*');
    current = current.flatMap((part) => ends(part, [text], budget, 'input'));
  }
  return shown.join('.');
}

type Budget = { steps: number };
type Side = 'input' | 'output';

/** The schemas of what stands at the path; unknown ones stand for themselves. */
function ends(schema: z.core.$ZodType, path: Path, budget: Budget, side: Side): readonly z.core.$ZodType[] {
  budget.steps += 1;
  if (path.length === 0 || budget.steps > MAX_STEPS) return [schema];
  const inside = innerSchemas(schema, side);
  if (inside !== null) return inside.flatMap((part) => ends(part, path, budget, side));
  const [key = '', ...rest] = path;
  return keySchemas(schema, key).flatMap((part) => ends(part, rest, budget, side));
}

function namesKey(schema: z.core.$ZodType, key: string, budget: Budget): boolean {
  budget.steps += 1;
  if (budget.steps > MAX_STEPS) return false;
  const inside = innerSchemas(schema, 'input');
  if (inside !== null) return inside.some((part) => namesKey(part, key, budget));
  return schema instanceof z.core.$ZodObject && Object.hasOwn(schema._zod.def.shape, key);
}

/** What a schema wraps, where it leaves the shape as it is; null for a schema that has a shape of its own. */
export function innerSchemas(schema: z.core.$ZodType, side: Side): readonly z.core.$ZodType[] | null {
  if (schema instanceof z.core.$ZodPipe) return [side === 'output' ? schema._zod.def.out : schema._zod.def.in];
  if (schema instanceof z.core.$ZodLazy) return [schema._zod.def.getter()];
  if (schema instanceof z.core.$ZodUnion) return schema._zod.def.options;
  if (schema instanceof z.core.$ZodIntersection) return [schema._zod.def.left, schema._zod.def.right];
  if (
    schema instanceof z.core.$ZodOptional ||
    schema instanceof z.core.$ZodNullable ||
    schema instanceof z.core.$ZodDefault ||
    schema instanceof z.core.$ZodPrefault ||
    schema instanceof z.core.$ZodNonOptional ||
    schema instanceof z.core.$ZodReadonly ||
    schema instanceof z.core.$ZodCatch
  ) {
    return [schema._zod.def.innerType];
  }
  return null;
}

const INDEX = /^(?:0|[1-9]\d*)$/;
const SCALARS = new Set([
  'string',
  'number',
  'int',
  'boolean',
  'bigint',
  'null',
  'undefined',
  'date',
  'enum',
  'literal',
  'nan',
  'void',
  'never',
]);

/** The schemas of what stands under a key; none where the schema has no such key. */
export function keySchemas(schema: z.core.$ZodType, key: string): readonly z.core.$ZodType[] {
  if (schema instanceof z.core.$ZodObject) {
    const { shape, catchall } = schema._zod.def;
    const property = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (property !== undefined) return [property];
    return catchall === undefined || catchall instanceof z.core.$ZodNever ? [] : [catchall];
  }
  if (schema instanceof z.core.$ZodRecord) return [schema._zod.def.valueType];
  if (schema instanceof z.core.$ZodArray) return INDEX.test(key) ? [schema._zod.def.element] : [];
  if (schema instanceof z.core.$ZodTuple) {
    const { items, rest } = schema._zod.def;
    const item = INDEX.test(key) ? (items[Number(key)] ?? rest) : null;
    return item === null || item === undefined ? [] : [item];
  }
  return SCALARS.has(schema._zod.def.type) ? [] : [schema];
}
