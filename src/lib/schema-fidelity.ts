import { z } from 'zod';
import type { Path } from './path.ts';
import { innerSchemas, keySchemas } from './schema-path.ts';

/**
 * What a schema does to a value on its way through. `kept`: what it gives is what came (normalised text at most). `changed`: it
 * gives another value. `cut`: it drops keys that it does not name.
 */
export type Fidelity = 'kept' | 'changed' | 'cut';

/** What a schema does to the value at a path, and to all that stands in it. What surrounds it does not count, unless it moves it. */
export const fidelityOf = (schema: z.ZodType, path: Path): Fidelity => fidelity(schema, path, new Set());

type Schema = z.core.$ZodType;

/** `seen`: schemas that are being looked at whole, since schemas may refer to themselves. */
function fidelity(schema: Schema, path: Path, seen: Set<Schema>): Fidelity {
  if (path.length === 0) {
    if (seen.has(schema)) return 'kept';
    seen.add(schema);
  }
  if (isChange(schema)) return 'changed';
  if (schema instanceof z.core.$ZodPipe) {
    return worst([schema._zod.def.in, schema._zod.def.out].map((side) => fidelity(side, path, seen)));
  }
  const inside = innerSchemas(schema, 'output');
  if (inside !== null) return worst(inside.map((part) => fidelity(part, path, seen)));
  const [key, ...rest] = path;
  if (key !== undefined) return worst(keySchemas(schema, key).map((part) => fidelity(part, rest, seen)));
  return worst([dropsKeys(schema) ? 'cut' : 'kept', ...partsOf(schema).map((part) => fidelity(part, [], seen))]);
}

const worst = (found: readonly Fidelity[]): Fidelity =>
  found.includes('changed') ? 'changed' : found.includes('cut') ? 'cut' : 'kept';

const CHANGING = new Set(['transform', 'success', 'map', 'set', 'promise']);

function isChange(schema: Schema): boolean {
  const { def } = schema._zod;
  return CHANGING.has(def.type) || schema instanceof z.core.$ZodCodec || ('coerce' in def && def.coerce === true);
}

const dropsKeys = (schema: Schema): boolean =>
  schema instanceof z.core.$ZodObject && schema._zod.def.catchall === undefined;

/** What stands within a value of a container. */
function partsOf(schema: Schema): readonly Schema[] {
  if (schema instanceof z.core.$ZodObject) {
    const { shape, catchall } = schema._zod.def;
    return [...Object.values(shape), ...(catchall === undefined ? [] : [catchall])];
  }
  if (schema instanceof z.core.$ZodRecord) return [schema._zod.def.keyType, schema._zod.def.valueType];
  if (schema instanceof z.core.$ZodArray) return [schema._zod.def.element];
  if (schema instanceof z.core.$ZodTuple) {
    const { items, rest } = schema._zod.def;
    return rest === null ? items : [...items, rest];
  }
  return [];
}

/** Whether a schema can run backwards: nothing in it is a one-way transform. */
export const isReversible = (schema: Schema): boolean => canReverse(schema, new Set());

function canReverse(schema: Schema, seen: Set<Schema>): boolean {
  if (seen.has(schema)) return true;
  seen.add(schema);
  const { def } = schema._zod;
  if (def.type === 'transform' || def.type === 'success') return false;
  const sides = schema instanceof z.core.$ZodPipe ? [schema._zod.def.in, schema._zod.def.out] : null;
  return (sides ?? innerSchemas(schema, 'output') ?? partsOf(schema)).every((part) => canReverse(part, seen));
}
