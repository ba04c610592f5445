/** Keys from the outside in. Empty: the value itself. */
export type Path = readonly string[];

export type PathRead = { readonly found: true; readonly value: unknown } | { readonly found: false };

export const MAX_PATH_LENGTH = 500;
export const MAX_PATH_SEGMENTS = 32;

/** For messages about text that is no path. */
export const PATH_SYNTAX =
  "keys joined by dots, such as customer.lines.0.id; a key with a dot in it is written ['a.b']";

const NOT_FOUND: PathRead = { found: false };
/** A plain key, an index `[0]`, or a quoted key. Sticky: each match starts where the last one ended. */
const SEGMENT = /([^.[\]]+)|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\]/y;
const ARRAY_INDEX = /^(?:0|[1-9]\d{0,9})$/;

/**
 * Reads a dot path: `data.customer.lines.0.id`, `lines[0].id`, `metadata['a.b']`. Empty text is the value itself.
 * A key that holds a dot or a bracket is written quoted in brackets, with either kind of quote.
 * Null when the text is no path (see `PATH_SYNTAX`).
 */
export function parsePath(text: string): Path | null {
  if (text === '') return [];
  if (text.length > MAX_PATH_LENGTH) return null;
  const segments: string[] = [];
  let position = 0;
  while (position < text.length) {
    if (segments.length === MAX_PATH_SEGMENTS) return null;
    const isBracket = text[position] === '[';
    if (segments.length > 0 && !isBracket) {
      if (text[position] !== '.') return null;
      position += 1;
      if (text[position] === '[') return null;
    }
    SEGMENT.lastIndex = position;
    const match = SEGMENT.exec(text);
    const segment = match?.[1] ?? match?.[2] ?? match?.[3] ?? match?.[4];
    if (match === null || segment === undefined) return null;
    segments.push(segment);
    position = SEGMENT.lastIndex;
  }
  return segments;
}

/**
 * Follows a path through parsed JSON. Only own properties count, so `constructor` or `__proto__` are found only when the
 * JSON really has such a key. In an array a segment must be an index. A key that holds undefined is not there; null is found.
 */
export function readPath(value: unknown, path: Path): PathRead {
  let current = value;
  for (const segment of path) {
    if (Array.isArray(current)) {
      if (!ARRAY_INDEX.test(segment)) return NOT_FOUND;
      current = current[Number(segment)];
    } else if (isRecord(current) && Object.hasOwn(current, segment)) {
      current = current[segment];
    } else {
      return NOT_FOUND;
    }
  }
  return current === undefined ? NOT_FOUND : { found: true, value: current };
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
