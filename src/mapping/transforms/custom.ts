import { z } from 'zod';
import type { JsonValue } from '../../model/json.ts';
import { canonicalJson } from '../canonical-json.ts';
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
    try {
      return JSON.parse(value);
    } catch (cause) {
      throw new Refusal('bad_value', 'JSON', { cause });
    }
  },
});

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
});

/** The source text of a codec's functions, as far as it shows them. */
function describe(schema: z.ZodType): string {
  const def: object = schema._zod.def;
  return ['transform', 'reverseTransform'].map((name) => String(Reflect.get(def, name))).join(' ');
}
