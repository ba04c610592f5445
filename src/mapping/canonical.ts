import { hash } from 'node:crypto';
import { assertNever } from '../lib/assert-never.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetColumn, TargetTable } from '../model/target.ts';
import { canonicalJson } from './canonical-json.ts';
import { formatDecimal, parseDecimal, roundDecimal } from './decimal.ts';
import {
  DAY_SYNTAX,
  dayOf,
  formatInstant,
  INSTANT_SYNTAX,
  type Moment,
  microsOf,
  momentOfDate,
  momentOfMicros,
  parseDay,
  parseInstant,
  refuseUnlessMoment,
} from './instant-text.ts';
import { Refusal } from './refusal.ts';
import { storableText } from './stored-text.ts';

/**
 * Brings a value that is not null to the one form in which the column stores it, so that equal hashes mean equal rows:
 * numbers and times are rounded as PostgreSQL rounds them. Throws a `Refusal` on what the column cannot hold.
 */
export type Canonicalise = (value: unknown) => JsonValue;

const INTEGER_RANGES: { readonly [sqlType: string]: readonly [bigint, bigint] } = {
  smallint: [-(2n ** 15n), 2n ** 15n - 1n],
  integer: [-(2n ** 31n), 2n ** 31n - 1n],
  bigint: [-(2n ** 63n), 2n ** 63n - 1n],
};
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** PostgreSQL counts from here when it rounds a time, so halves before it round the other way. */
const POSTGRES_EPOCH_US = 946_684_800_000_000n;

export const canonicalise = (value: unknown, column: TargetColumn): JsonValue =>
  value === null ? null : prepareColumn(column)(value);

/** Reads the column's type once; what it returns runs for every record. */
export function prepareColumn(column: TargetColumn): Canonicalise {
  switch (column.kind) {
    case 'text':
      return prepareText(column.sqlType);
    case 'integer':
      return prepareInteger(column.sqlType);
    case 'decimal':
      return prepareDecimal(column.sqlType);
    case 'float':
      return prepareFloat(column.sqlType);
    case 'boolean':
      return canonicalBoolean;
    case 'timestamp':
      return prepareTimestamp(column.sqlType);
    case 'date':
      return canonicalDate;
    case 'json':
    case 'other':
      return canonicalJson;
    default:
      return assertNever(column.kind);
  }
}

function prepareText(sqlType: string): Canonicalise {
  if (sqlType === 'uuid') return canonicalUuid;
  const [, type, length] = /^(varchar|char)\s*\((\d+)\)$/.exec(sqlType) ?? [];
  if (type === undefined) return canonicalText;
  const maxLength = Number(length);
  return (value) => {
    const text = canonicalText(value);
    // Code points count, of which there are never more than code units.
    if (text.length > maxLength && [...text].length > maxLength) {
      throw new Refusal('out_of_range', `text of at most ${maxLength} characters`);
    }
    return type === 'char' ? text.replace(/ +$/, '') : text; // char(n) pads with spaces and ignores them
  };
}

function canonicalText(value: unknown): string {
  if (typeof value !== 'string') throw new Refusal('wrong_kind', 'text (`toText` makes it of numbers and booleans)');
  return storableText(value);
}

function canonicalUuid(value: unknown): string {
  const text = typeof value === 'string' ? value.toLowerCase() : null;
  if (text === null || !UUID.test(text)) throw new Refusal(text === null ? 'wrong_kind' : 'bad_value', 'a UUID');
  return text;
}

function prepareInteger(sqlType: string): Canonicalise {
  const [min, max] = INTEGER_RANGES[sqlType.replace(/^(small|big)serial$/, '$1int').replace(/^serial$/, 'integer')] ??
    INTEGER_RANGES.bigint ?? [0n, 0n];
  const minNumber = Number(min);
  const maxNumber = Math.min(Number(max), Number.MAX_SAFE_INTEGER);
  return (value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= minNumber && value <= maxNumber)
      return value || 0;
    const integer = toInteger(value);
    if (integer < min || integer > max) throw new Refusal('out_of_range', `an integer from ${min} to ${max}`);
    const asNumber = Number(integer);
    return Number.isSafeInteger(asNumber) ? asNumber : String(integer);
  };
}

function toInteger(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return BigInt(value);
    const expected = Number.isInteger(value) ? 'an integer below 2^53, or a larger one as text' : 'an integer';
    throw new Refusal('out_of_range', expected);
  }
  if (typeof value !== 'string') throw new Refusal('wrong_kind', 'an integer');
  const decimal = parseDecimal(value);
  if (decimal === null || decimal.fraction !== '') throw new Refusal('bad_value', 'an integer');
  return BigInt(formatDecimal(decimal));
}

function prepareDecimal(sqlType: string): Canonicalise {
  const [, precisionText, scaleText = '0'] = /^numeric\s*\((\d+)(?:,\s*(-?\d+))?\)$/.exec(sqlType) ?? [];
  const scale = Number(scaleText);
  const maxWholeDigits = Number(precisionText) - scale;
  return (value) => {
    const decimal = toDecimal(value);
    if (precisionText === undefined) return formatDecimal(decimal);
    const rounded = roundDecimal(decimal, scale);
    const wholeDigits = rounded.whole === '' ? leadingZeros(rounded.fraction) : rounded.whole.length;
    if (wholeDigits > maxWholeDigits) throw new Refusal('out_of_range', `a number that fits ${sqlType}`);
    return formatDecimal(rounded);
  };
}

/** For scales beyond the precision, such as numeric(2, 4): below 1 the digits left of the point count negative. */
const leadingZeros = (fraction: string): number =>
  fraction === '' ? Number.NEGATIVE_INFINITY : -fraction.search(/[1-9]/);

function toDecimal(value: unknown) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Refusal('out_of_range', 'a finite number');
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') {
    throw new Refusal('wrong_kind', 'a number, or one as text');
  }
  const decimal = parseDecimal(String(value));
  if (decimal === null) throw new Refusal('bad_value', 'a decimal number');
  return decimal;
}

function prepareFloat(sqlType: string): Canonicalise {
  const isSingle = sqlType === 'real';
  return (value) => {
    const number = typeof value === 'number' ? value : Number(formatDecimal(toDecimal(value)));
    const stored = isSingle ? Math.fround(number) : number;
    if (!Number.isFinite(stored)) throw new Refusal('out_of_range', 'a finite number that the column can hold');
    if (stored === 0 && number !== 0) throw new Refusal('out_of_range', 'a number that is not too close to zero');
    // PostgreSQL shows a real by its shortest digits, and so do we: 0.1, not 0.10000000149011612.
    return stored === 0 ? 0 : isSingle ? shortestSingle(stored) : stored;
  };
}

function shortestSingle(single: number): number {
  for (let digits = 1; digits < 9; digits += 1) {
    const candidate = Number(single.toPrecision(digits));
    if (Math.fround(candidate) === single) return candidate;
  }
  return Number(single.toPrecision(9));
}

function canonicalBoolean(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new Refusal('wrong_kind', 'true or false (`toBoolean` reads text and 0 or 1)');
  return value;
}

/** Whether the column stores every `IsoInstant` as it is. */
export const takesInstants = ({ kind, sqlType }: TargetColumn): boolean =>
  kind === 'timestamp' && precisionOf(sqlType) >= 6;

function precisionOf(sqlType: string): number {
  const [, digits] = /^timestamp\s*\((\d)\)/.exec(sqlType) ?? [];
  return digits === undefined ? 6 : Number(digits);
}

function prepareTimestamp(sqlType: string): Canonicalise {
  const precision = precisionOf(sqlType);
  if (precision >= 6) return (value) => formatInstant(toMoment(value));
  const unit = 10n ** BigInt(6 - precision);
  return (value) => {
    const sinceEpoch = microsOf(toMoment(value)) - POSTGRES_EPOCH_US;
    const half = sinceEpoch < 0n ? -unit / 2n : unit / 2n;
    const rounded = ((sinceEpoch + half) / unit) * unit; // bigint division cuts towards zero
    return formatInstant(refuseUnlessMoment(momentOfMicros(rounded + POSTGRES_EPOCH_US), INSTANT_SYNTAX));
  };
}

function toMoment(value: unknown): Moment {
  if (value instanceof Date) return refuseUnlessMoment(momentOfDate(value), 'a valid Date');
  if (typeof value !== 'string') throw new Refusal('wrong_kind', `${INSTANT_SYNTAX} (\`epochSeconds\` reads numbers)`);
  return refuseUnlessMoment(parseInstant(value, { withoutOffset: 'refuse', beyondMicros: 'round' }), INSTANT_SYNTAX);
}

function canonicalDate(value: unknown): string {
  if (value instanceof Date) return dayOf(refuseUnlessMoment(momentOfDate(value), 'a valid Date'));
  if (typeof value !== 'string') throw new Refusal('wrong_kind', DAY_SYNTAX);
  const day = parseDay(value);
  if (day === null) throw new Refusal('bad_value', DAY_SYNTAX);
  return day;
}

/** SHA-256 in hex over the names and canonical values of the properties that are there, in the given order. */
export function hashValues(named: readonly JsonValue[]): string {
  return hash('sha256', JSON.stringify(named));
}

/** As `hashValues`, of content whose nested keys may have lost their order: jsonb keeps none. */
export function prepareContentHash(target: TargetTable): (content: Content) => string {
  const properties = target.contentProperties.map((name) => {
    const kind = target.columns[name]?.kind;
    return { name, isNested: kind === 'json' || kind === 'other' };
  });
  return (content) => {
    const named: JsonValue[] = [];
    for (const { name, isNested } of properties) {
      const value = content[name];
      if (value !== undefined) named.push(name, isNested ? canonicalJson(value) : value);
    }
    return hashValues(named);
  };
}
