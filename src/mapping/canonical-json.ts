import type { JsonValue } from '../model/json.ts';
import { Refusal } from './refusal.ts';
import { storableText } from './stored-text.ts';

/** Deeper JSON is no record but an attack or a cycle. */
export const MAX_JSON_DEPTH = 200;
/** Values in one JSON column, so that shared branches of a user function's result cannot grow without end. */
export const MAX_JSON_VALUES = 1_000_000;

/**
 * JSON with its keys sorted by code unit, recursively, and without undefined keys: one form for equal values. Dates
 * become ISO text. A `Refusal` for what JSON or PostgreSQL's jsonb cannot carry.
 */
export function canonicalJson(value: unknown): JsonValue {
  const budget = { values: 0 };
  return visit(value, 0, budget);
}

function visit(value: unknown, depth: number, budget: { values: number }): JsonValue {
  budget.values += 1;
  if (budget.values > MAX_JSON_VALUES) throw new Refusal('out_of_range', `JSON of at most ${MAX_JSON_VALUES} values`);
  switch (typeof value) {
    case 'string':
      return storableText(value);
    case 'boolean':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw new Refusal('out_of_range', 'a finite number');
      return value === 0 ? 0 : value; // minus zero is zero
    case 'object':
      if (value === null) return null;
      if (depth >= MAX_JSON_DEPTH) throw new Refusal('out_of_range', `JSON of at most ${MAX_JSON_DEPTH} levels`);
      return visitContainer(value, depth, budget);
    default:
      throw new Refusal('wrong_kind', 'what JSON can carry');
  }
}

function visitContainer(value: object, depth: number, budget: { values: number }): JsonValue {
  if (Array.isArray(value)) return Array.from(value, (item) => visit(item, depth + 1, budget));
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw new Refusal('wrong_kind', 'a plain object');
  const entries: [string, JsonValue][] = [];
  for (const key of Object.keys(value).sort()) {
    const item: unknown = Reflect.get(value, key);
    if (item !== undefined) entries.push([storableText(key), visit(item, depth + 1, budget)]);
  }
  // Not by assignment: a key `__proto__` must stay a key.
  return Object.fromEntries(entries);
}
