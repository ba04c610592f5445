import { z } from 'zod';
import { Refusal } from '../refusal.ts';
import { oneWay, type Transform, type TwoWay, twoWay } from '../transform.ts';

/** In small letters, by Unicode's own rules and no country's. The way back sends what the column holds. */
export const lowercase: TwoWay<string, string> = settling('lowercase', (text) => text.toLowerCase());

/** Without white space at its ends. The way back sends what the column holds. */
export const trim: TwoWay<string, string> = settling('trim', (text) => text.trim());

/** One of several spellings of a text. What was edited goes back as it is; the source's answer settles the spelling. */
function settling(signature: string, settle: (text: string) => string): TwoWay<string, string> {
  const text = z.string();
  return twoWay<string, string>({
    signature,
    settles: true,
    from: text,
    to: text,
    decode: (value) => settle(textOnly(value)),
    encode: textOnly,
  });
}

/**
 * Numbers and booleans as text; numbers beyond 2^53 have lost digits already and are refused. The way back writes a number
 * where the schema declares one.
 */
export const toText: TwoWay<string | number | bigint | boolean, string> = twoWay<
  string | number | bigint | boolean,
  string
>({
  signature: 'toText',
  from: z.union([z.string(), z.number(), z.bigint(), z.boolean()]),
  to: z.string(),
  decode(value) {
    if (typeof value === 'string') return value;
    if (
      typeof value === 'number' &&
      !(Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)))
    ) {
      throw new Refusal('out_of_range', 'a number below 2^53 (ask the source for text)');
    }
    if (typeof value !== 'number' && typeof value !== 'boolean' && typeof value !== 'bigint') {
      throw new Refusal('wrong_kind', 'text, a number or a boolean');
    }
    return String(value);
  },
  encode: textOnly,
});

type Scalar = string | number | boolean | null;

/** The items of a list as one text. Null items are left out. */
export const join = (separator: string): Transform<readonly Scalar[], string> =>
  oneWay(`join(${JSON.stringify(separator)})`, (items) => {
    if (!Array.isArray(items)) throw new Refusal('wrong_kind', 'a list');
    return items.flatMap(scalarText).join(separator);
  });

/** For `fields`: several values as one text. What is missing, null or empty leaves no gap; of nothing at all comes null. */
export const concat = (separator: string): Transform<readonly unknown[], string | null> =>
  oneWay(`concat(${JSON.stringify(separator)})`, (values) => {
    const parts = values.flatMap(scalarText).filter((part) => part !== '');
    return parts.length === 0 ? null : parts.join(separator);
  });

function scalarText(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  if (typeof value === 'string' || typeof value === 'boolean') return [String(value)];
  if (typeof value === 'number' && Number.isFinite(value)) return [String(value)];
  throw new Refusal('wrong_kind', 'only text, numbers and booleans');
}

function textOnly(value: unknown): string {
  if (typeof value !== 'string') throw new Refusal('wrong_kind', 'text');
  return value;
}
