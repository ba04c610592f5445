import { z } from 'zod';
import type { JsonValue } from '../../model/json.ts';
import { canonicalJson } from '../canonical-json.ts';
import { formatDecimal, parseDecimal } from '../decimal.ts';
import { Refusal } from '../refusal.ts';
import { oneWay, type Transform, type TwoWay, twoWay } from '../transform.ts';

/** Any JSON, as it is, for json columns. */
export const json: TwoWay<unknown, JsonValue> = twoWay<unknown, JsonValue>({
  signature: 'json',
  from: z.unknown(),
  to: z.custom<JsonValue>(() => true),
  decode: (value) => canonicalJson(value),
  encode: (value) => value,
});

/** Any JSON as text, keys sorted, for text columns. */
export const jsonText: TwoWay<unknown, string> = twoWay<unknown, string>({
  signature: 'jsonText',
  from: z.unknown(),
  to: z.string(),
  decode: (value) => JSON.stringify(canonicalJson(value)),
  encode(value) {
    const parsed = parseJson(value);
    // Null would come back as NULL, and numbers that lose digits as others.
    if (parsed === null || !keepsDigits(value)) throw new Refusal('bad_value', 'JSON that comes back as it is');
    return canonicalJson(parsed);
  },
});

function parseJson(text: unknown): unknown {
  if (typeof text !== 'string') throw new Refusal('wrong_kind', 'JSON as text');
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal('bad_value', 'JSON'); // the parser's own words quote it
  }
}

/** Texts of JSON, in which anything may stand, or its numbers. */
const TEXTS_AND_NUMBERS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

function keepsDigits(text: string): boolean {
  return [...text.matchAll(TEXTS_AND_NUMBERS)].every(([token]) => {
    if (token.startsWith('"')) return true;
    const written = parseDecimal(token);
    const read = parseDecimal(String(Number(token)));
    return written !== null && read !== null && formatDecimal(written) === formatDecimal(read);
  });
}

/**
 * A function of your own, one-way. It must be pure: the same value always gives the same result. What it throws sets that
 * one record aside; it never sees null or a missing value.
 */
export const transform = <In, Out>(run: (value: In) => Out): Transform<In, Out> =>
  oneWay(`transform(${Function.prototype.toString.call(run)})`, run);

/** A zod codec of your own: `decode` is the way from the source to the column, `encode` the way back. */
export const codec = <In, Out>(schema: z.ZodType<Out, In>): TwoWay<In, Out> => ({
  kind: 'transform',
  signature: `codec(${describe(schema)})`,
  codec: schema,
  decode(value) {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    throw new Refusal('bad_value', 'a value that the codec takes');
  },
  encode(value) {
    const result = z.safeEncode(schema, value);
    if (result.success) return result.data;
    throw new Refusal('bad_value', 'a value that the codec takes on the way back');
  },
});

/** The source text of a codec's functions, as far as it shows them. */
function describe(schema: z.ZodType): string {
  const def: object = schema._zod.def;
  return ['transform', 'reverseTransform'].map((name) => String(Reflect.get(def, name))).join(' ');
}
