import { z } from 'zod';
import { type Decimal, formatDecimal, parseDecimal, shiftDecimal } from '../decimal.ts';
import { Refusal } from '../refusal.ts';
import { type TwoWay, twoWay } from '../transform.ts';

declare const decimalBrand: unique symbol;
/** An exact decimal number as text. */
export type DecimalText = string & { readonly [decimalBrand]: true };

const MAX_MINOR_DIGITS = 12;
const numberForms = z.union([z.number(), z.string(), z.bigint()]);
const decimalSchema = z.custom<DecimalText>((value) => typeof value === 'string');

/**
 * Whole minor units to an exact decimal number: of 2 digits `1999` becomes `19.99`. Never by floating point. Units beyond
 * 2^53 must come as text, since JSON numbers have lost digits by then; the way back gives text for them too.
 */
export function minorUnits(digits: number): TwoWay<number | string | bigint, DecimalText> {
  if (!Number.isInteger(digits) || digits < 0 || digits > MAX_MINOR_DIGITS) {
    throw new RangeError(`minorUnits: expected digits from 0 to ${MAX_MINOR_DIGITS}`);
  }
  return twoWay<number | string | bigint, DecimalText>({
    signature: `minorUnits(${digits})`,
    from: numberForms,
    to: decimalSchema,
    decode: (value) => decimalText(shiftDecimal(wholeUnits(value), digits)),
    encode(value) {
      const units = shiftDecimal(exactDecimal(value), -digits);
      if (units.fraction !== '') throw new Refusal('bad_value', `at most ${digits} digits after the point`);
      const text = formatDecimal(units);
      return Number.isSafeInteger(Number(text)) ? Number(text) : text;
    },
  });
}

/** Cents to a decimal amount, exactly: `1999` becomes `19.99`. Not every currency has cents: see `minorUnits`. */
export const cents: TwoWay<number | string | bigint, DecimalText> = minorUnits(2);

function wholeUnits(value: unknown): Decimal {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    const expected = Number.isInteger(value)
      ? 'whole minor units below 2^53, or larger ones as text'
      : 'whole minor units';
    throw new Refusal('bad_value', expected);
  }
  const units = exactDecimal(value);
  if (units.fraction !== '') throw new Refusal('bad_value', 'whole minor units');
  return units;
}

/** A number as exact decimal text. Text keeps every digit; a JSON number has those that JavaScript shows. */
export const toDecimal: TwoWay<number | string | bigint, DecimalText> = twoWay<number | string | bigint, DecimalText>({
  signature: 'toDecimal',
  from: numberForms,
  to: decimalSchema,
  decode: (value) => decimalText(exactDecimal(value)),
  encode: (value) => decimalText(exactDecimal(value)),
});

/** Text or a number as a number. Text whose digits a number cannot hold is refused. */
export const toNumber: TwoWay<number | string, number> = twoWay<number | string, number>({
  signature: 'toNumber',
  from: z.union([z.number(), z.string()]),
  to: z.number(),
  decode(value) {
    if (typeof value === 'number') return value;
    const text = formatDecimal(exactDecimal(value));
    const number = Number(text);
    const back = Number.isFinite(number) ? parseDecimal(String(number)) : null;
    if (back === null || formatDecimal(back) !== text)
      throw new Refusal('out_of_range', 'digits that a number can hold');
    return number;
  },
  encode(value) {
    if (typeof value === 'number') return value;
    throw new Refusal('wrong_kind', 'a number');
  },
});

/** Text or a number as an integer of any size. */
export const toBigint: TwoWay<number | string | bigint, bigint> = twoWay<number | string | bigint, bigint>({
  signature: 'toBigint',
  from: numberForms,
  to: z.bigint(),
  decode: (value) => BigInt(formatDecimal(wholeNumber(value))),
  encode(value) {
    const text = formatDecimal(wholeNumber(value));
    return Number.isSafeInteger(Number(text)) ? Number(text) : text;
  },
});

/** `true`, `false`, `1` or `0`, each also as text. */
export const toBoolean: TwoWay<boolean | number | string, boolean> = twoWay<boolean | number | string, boolean>({
  signature: 'toBoolean',
  from: z.union([z.boolean(), z.number(), z.string()]),
  to: z.boolean(),
  decode(value) {
    if (value === true || value === 1 || value === 'true' || value === '1') return true;
    if (value === false || value === 0 || value === 'false' || value === '0') return false;
    throw new Refusal('bad_value', 'true, false, 1 or 0');
  },
  encode(value) {
    if (typeof value === 'boolean') return value;
    throw new Refusal('wrong_kind', 'true or false');
  },
  isAmbiguous: (takes) => [true, 1, 'true', '1'].filter(takes).length > 1,
});

function wholeNumber(value: unknown): Decimal {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new Refusal('bad_value', 'an integer below 2^53');
  const decimal = exactDecimal(value);
  if (decimal.fraction !== '') throw new Refusal('bad_value', 'an integer');
  return decimal;
}

function exactDecimal(value: unknown): Decimal {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') {
    throw new Refusal('wrong_kind', 'a number, or one as text');
  }
  const decimal = parseDecimal(String(value));
  if (decimal === null) throw new Refusal('bad_value', 'a decimal number');
  return decimal;
}

const decimalText = (decimal: Decimal): DecimalText => formatDecimal(decimal) as DecimalText;
