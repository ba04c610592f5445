import type { Path } from '../lib/path.ts';

/** No key is there, and no null above it: of a partial payload this says nothing about the value. */
export const ABSENT = Symbol('absent');

const ARRAY_INDEX = /^(?:0|[1-9]\d{0,9})$/;

/**
 * The value at a path, by own properties only. Under a null there is nothing, which is known: it reads as null. What is
 * not there reads as `ABSENT`; so does undefined, which JSON has not.
 */
export function readField(record: unknown, path: Path): unknown {
  let current = record;
  for (const key of path) {
    if (current === null) return null;
    if (typeof current !== 'object' || !Object.hasOwn(current, key)) return ABSENT;
    if (Array.isArray(current) && !ARRAY_INDEX.test(key)) return ABSENT;
    current = Reflect.get(current, key);
  }
  return current === undefined ? ABSENT : current;
}

/**
 * Whether a payload as it came leaves a path out: some object or array on the way lacks the key. Where a schema turns a
 * text into an object the payload cannot tell, and what the schema gave decides.
 */
export function leavesOut(raw: unknown, path: Path): boolean {
  let current = raw;
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return false;
    if (!Object.hasOwn(current, key)) return true;
    current = Reflect.get(current, key);
  }
  return false;
}
