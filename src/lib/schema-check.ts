import { z } from 'zod';
import { kindOf } from './kind.ts';
import { maskedPath } from './schema-path.ts';

export type SchemaCheck =
  | { readonly ok: true; readonly record: unknown }
  | {
      readonly ok: false;
      readonly fieldPath: string | null;
      readonly expected: string;
      readonly received: ReturnType<typeof kindOf>;
    };

/** What can check the fields of a partial payload: schemas that name each field by itself. */
export const canCheckPartial = (schema: z.ZodType): boolean => schema instanceof z.ZodObject;

/** Checks a whole record. May throw what functions in the schema throw. */
export function checkRecord(schema: z.ZodType, raw: unknown): SchemaCheck {
  const result = schema.safeParse(raw);
  return result.success ? { ok: true, record: result.data } : refused(schema, raw, result.error.issues, []);
}

/**
 * Checks only the top-level keys that a partial payload carries, each whole; defaults of the schema fill none of the others.
 * Checks across fields do not run: they could not be answered.
 */
export function checkPartial(schema: z.ZodType, raw: unknown): SchemaCheck {
  if (!(schema instanceof z.ZodObject)) return { ok: true, record: raw };
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    return { ok: false, fieldPath: null, expected: 'an object', received: kindOf(raw) };
  }
  const { shape, catchall } = schema.def;
  const others = catchall === undefined || catchall instanceof z.ZodNever ? null : catchall;
  const entries: [string, unknown][] = [];
  for (const key of Object.keys(raw)) {
    const property = Object.hasOwn(shape, key) ? shape[key] : others;
    if (property === undefined || property === null) continue;
    const value: unknown = Reflect.get(raw, key);
    const result = z.safeParse(property, value);
    if (!result.success) return refused(schema, raw, result.error.issues, [key]);
    entries.push([key, result.data]);
  }
  return { ok: true, record: Object.fromEntries(entries) };
}

function refused(
  schema: z.ZodType,
  raw: unknown,
  issues: readonly z.core.$ZodIssue[],
  at: readonly string[],
): SchemaCheck {
  const [issue] = issues;
  const path = [...at, ...(issue?.path ?? [])];
  return {
    ok: false,
    fieldPath: path.length === 0 ? null : maskedPath(schema, path),
    expected: issue === undefined ? 'what the schema takes' : describeExpected(issue),
    received: kindOf(valueAtKeys(raw, path)),
  };
}

const MAX_NAMED_VALUES = 5;

/** From the issue's own facts, never from its message: a message may quote the value. */
function describeExpected(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return ARTICLES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return `one of ${issue.values.slice(0, MAX_NAMED_VALUES).map(String).join(', ')}${issue.values.length > MAX_NAMED_VALUES ? ', …' : ''}`;
    case 'invalid_format':
      return `text in the format ${issue.format}`;
    case 'too_small':
      return `a ${issue.origin} of ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}`;
    case 'too_big':
      return `a ${issue.origin} of ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}`;
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return 'no other keys than the schema names';
    case 'invalid_union':
      return 'one of the shapes in the schema';
    case 'invalid_key':
    case 'invalid_element':
      return `keys and values that the schema takes`;
    case 'custom':
      return "a value that passes the schema's own check";
  }
}

const ARTICLES: { readonly [type: string]: string } = {
  string: 'text',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
  record: 'an object',
};

function valueAtKeys(raw: unknown, path: readonly PropertyKey[]): unknown {
  let current: unknown = raw;
  for (const key of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined;
    current = Reflect.get(current, key);
  }
  return current;
}
