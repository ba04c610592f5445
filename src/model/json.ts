/** A value that JSON can carry. Undefined is never one: a missing key is missing, not undefined. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * The value with another one at a path in it; objects that are missing on the way are made, whatever is no object there
 * gives way to one. Nothing is changed in place.
 */
export function withValueAt(inside: JsonValue | undefined, path: readonly string[], value: JsonValue): JsonValue {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (isList(inside)) {
    const list: JsonValue[] = [...inside];
    list[Number(key)] = withValueAt(list[Number(key)], rest, value);
    return list;
  }
  const object = isObject(inside) ? inside : {};
  // In brackets, so that a key `__proto__` stays a key.
  return { ...object, [key]: withValueAt(Object.hasOwn(object, key) ? object[key] : undefined, rest, value) };
}

export const isObject = (value: JsonValue | undefined): value is { readonly [key: string]: JsonValue } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isList = (value: JsonValue | undefined): value is readonly JsonValue[] => Array.isArray(value);
