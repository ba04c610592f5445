import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';

export type JsonObject = { readonly [key: string]: JsonValue };

/** What stands at a dot path; undefined when nothing does. */
export function valueAt(value: unknown, path: string): unknown {
  const read = readPath(value, mustParsePath(path));
  return read.found ? read.value : undefined;
}

/** A copy with a value put at a dot path; objects that are missing are made. */
export const withValueAt = (value: JsonValue | undefined, path: string, put: JsonValue): JsonValue =>
  place(value, mustParsePath(path), put);

function place(inside: JsonValue | undefined, [key, ...rest]: readonly string[], put: JsonValue): JsonValue {
  if (key === undefined) return put;
  if (Array.isArray(inside)) {
    const list: JsonValue[] = [...inside];
    list[Number(key)] = place(list[Number(key)], rest, put);
    return list;
  }
  const object = isJsonObject(inside) ? inside : {};
  return { ...object, [key]: place(object[key], rest, put) };
}

/** As sources change a record: objects key by key, everything else as a whole. */
export function mergeJson(base: JsonValue | undefined, change: JsonValue): JsonValue {
  if (!isJsonObject(base) || !isJsonObject(change)) return change;
  const merged: { [key: string]: JsonValue } = { ...base };
  for (const [key, value] of Object.entries(change)) merged[key] = mergeJson(base[key], value);
  return merged;
}

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every text in it trimmed. */
export function trimTexts(value: JsonValue): JsonValue {
  if (typeof value === 'string') return value.trim();
  if (Array.isArray(value)) return value.map(trimTexts);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, trimTexts(one)]));
}
