import type { JsonValue } from '../model/json.ts';
import type { ColumnKind } from '../model/target.ts';
import { canonicalJson } from './canonical-json.ts';
import { formatDecimal, parseDecimal } from './decimal.ts';

/**
 * Forms in which the last step of a mapping may know a column's canonical value: a codec of the user's own may give what
 * drizzle inserts, a `Date` or a number, where the canonical form is text. The canonical form first.
 */
export function columnSpellings(value: JsonValue, kind: ColumnKind): readonly unknown[] {
  switch (kind) {
    case 'timestamp':
    case 'date':
      return typeof value === 'string' ? [value, new Date(value)] : [value];
    case 'integer':
    case 'decimal':
    case 'float':
      return [value, ...numericSpellings(value)];
    default:
      return [value];
  }
}

function numericSpellings(value: JsonValue): readonly unknown[] {
  if (typeof value !== 'number' && typeof value !== 'string') return [];
  const text = String(value);
  const whole = /^-?\d+$/.test(text) ? [BigInt(text)] : [];
  return typeof value === 'number' ? [...whole, plainText(value)] : [...numberOf(value), ...whole];
}

/**
 * Forms in which a source may write a value, the value's own first: which of them it takes is for its schema to say. Throws
 * a `Refusal` for what JSON cannot carry.
 */
export function sourceSpellings(value: unknown): readonly JsonValue[] {
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? [Number(value), String(value)] : [String(value)];
  }
  const json = canonicalJson(value);
  if (typeof json === 'number') return [json, plainText(json)];
  if (typeof json === 'boolean') return [json, json ? 1 : 0, String(json), json ? '1' : '0'];
  if (json === 'true' || json === 'false') return [json, json === 'true'];
  return typeof json === 'string' ? [json, ...numberOf(json), ...timesOf(json)] : [json];
}

const INSTANT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/;

/** A time in canonical form with three and with six digits of its second: some schemas take a fixed number of them. */
function timesOf(text: string): readonly string[] {
  const [, seconds, fraction = ''] = INSTANT.exec(text) ?? [];
  if (seconds === undefined) return [];
  return [3, 6]
    .filter((digits) => fraction.length <= digits)
    .map((digits) => `${seconds}.${fraction.padEnd(digits, '0')}Z`);
}

/** The number that text stands for, when it is written as we write that number: another spelling may mean something else. */
function numberOf(text: string): readonly number[] {
  const number = Number(text);
  return text !== '' && Number.isFinite(number) && plainText(number) === text ? [number] : [];
}

/** All digits, without an exponent. */
function plainText(number: number): string {
  const decimal = parseDecimal(String(number));
  return decimal === null ? String(number) : formatDecimal(decimal);
}
