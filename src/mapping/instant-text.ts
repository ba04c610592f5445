import { Refusal } from './refusal.ts';

declare const instantBrand: unique symbol;
declare const dayBrand: unique symbol;

/** A moment as canonical text: UTC, `2024-02-29T12:00:00.123456Z`, without trailing zeros in the fraction. */
export type IsoInstant = string & { readonly [instantBrand]: true };
/** A calendar day as text, `2024-02-29`. */
export type IsoDay = string & { readonly [dayBrand]: true };

/** A moment in two safe integers: bigints cost ten times as much on the hot path. `micros` is 0 to 999. */
export type Moment = { readonly ms: number; readonly micros: number };

const MIN_MS = -62_135_596_800_000; // 0001-01-01T00:00:00Z: PostgreSQL writes earlier years in another form
const MAX_MS = 253_402_300_799_999; // the end of 9999: ISO 8601 needs an agreement for later years
const YEARS_400_MS = 12_622_780_800_000;
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Time of day, offset last; every part bounded by the expression itself. */
const INSTANT =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,30}))?)?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?$/;
const DAY = /^(\d{4})-(\d\d)-(\d\d)$/;

export const INSTANT_SYNTAX = 'an ISO 8601 date and time with its offset, such as 2024-02-29T12:00:00Z';
export const DAY_SYNTAX = 'a day such as 2024-02-29';

type InstantOptions = {
  /** Text without an offset is refused, or taken as UTC. */
  readonly withoutOffset: 'refuse' | 'utc';
  /** What happens to digits beyond the microsecond. Versions are cut, since rounding up could pass a later version. */
  readonly beyondMicros: 'round' | 'cut';
};

/** Reads ISO 8601 text. A leap second is the first moment of the next minute, as in PostgreSQL. Null when it is none. */
export function parseInstant(text: string, { withoutOffset, beyondMicros }: InstantOptions): Moment | null {
  const match = INSTANT.exec(text);
  if (match === null) return null;
  const [, years, months, days, hours, minutes, seconds = '0', fraction = '', utc, sign, offsetHours, offsetMinutes] =
    match;
  if (utc === undefined && sign === undefined && withoutOffset === 'refuse') return null;
  const dayMs = dayStartMs(Number(years), Number(months), Number(days));
  const hour = Number(hours);
  const minute = Number(minutes);
  const second = Number(seconds);
  if (dayMs === null || hour > 23 || minute > 59 || second > 60) return null;
  const offset = Number(offsetHours ?? 0) * 60 + Number(offsetMinutes ?? 0);
  if (offset > 15 * 60 + 59 || Number(offsetMinutes ?? 0) > 59) return null;
  const wholeMs = dayMs + ((hour * 60 + minute - (sign === '-' ? -offset : offset)) * 60 + second) * 1_000;
  const digits = fraction.padEnd(7, '0');
  const roundsUp = beyondMicros === 'round' && digits.charCodeAt(6) >= 53;
  return moment(wholeMs, Number(digits.slice(0, 6)) + (roundsUp ? 1 : 0));
}

/** Seconds or milliseconds since 1970 as exact decimal text, such as `1700000000.123456`. Null when it is none. */
export function parseEpoch(text: string, unit: 's' | 'ms'): Moment | null {
  const match = /^(-?)(\d{1,15})(?:\.(\d{1,30}))?$/.exec(text);
  if (match === null) return null;
  const [, sign, whole = '0', fraction = ''] = match;
  const isNegative = sign === '-';
  const wholeMs = unit === 's' ? Number(whole) * 1_000 : Number(whole);
  const micros = Number(fraction.padEnd(6, '0').slice(0, unit === 's' ? 6 : 3));
  return isNegative ? moment(-wholeMs, -micros) : moment(wholeMs, micros);
}

/** A moment from milliseconds and any number of microseconds beside them; null outside of the years 1 to 9999. */
function moment(ms: number, micros: number): Moment | null {
  const carry = Math.floor(micros / 1_000);
  const wholeMs = ms + carry;
  if (!(wholeMs >= MIN_MS && wholeMs <= MAX_MS)) return null;
  return { ms: wholeMs, micros: micros - carry * 1_000 };
}

export function momentOfDate(date: Date): Moment | null {
  const ms = date.getTime();
  return Number.isInteger(ms) ? moment(ms, 0) : null;
}

export const microsOf = ({ ms, micros }: Moment): bigint => BigInt(ms) * 1_000n + BigInt(micros);

export function momentOfMicros(micros: bigint): Moment | null {
  const rest = ((micros % 1_000n) + 1_000n) % 1_000n;
  return moment(Number((micros - rest) / 1_000n), Number(rest));
}

/** The one text of a moment. */
export function formatInstant({ ms, micros }: Moment): IsoInstant {
  const text = new Date(ms).toISOString();
  if (micros === 0 && text.endsWith('.000Z')) return brand(`${text.slice(0, 19)}Z`);
  const fraction = `${text.slice(20, 23)}${String(micros).padStart(3, '0')}`.replace(/0+$/, '');
  return brand(`${text.slice(0, 19)}.${fraction}Z`);
}

/** A calendar day that exists, in the years 1 to 9999. */
export function parseDay(text: string): IsoDay | null {
  const match = DAY.exec(text);
  return match !== null && dayStartMs(Number(match[1]), Number(match[2]), Number(match[3])) !== null ? day(text) : null;
}

/** The UTC day of a moment. */
export const dayOf = ({ ms }: Moment): IsoDay => day(new Date(ms).toISOString().slice(0, 10));

export function refuseUnlessMoment(found: Moment | null, expected: string): Moment {
  if (found === null) throw new Refusal('bad_value', `${expected}, in the years 1 to 9999`);
  return found;
}

function dayStartMs(year: number, month: number, dayOfMonth: number): number | null {
  const maxDay = DAYS[month - 1];
  if (year < 1 || maxDay === undefined || dayOfMonth < 1 || dayOfMonth > maxDay) return null;
  if (month === 2 && dayOfMonth === 29 && !isLeap(year)) return null;
  // Date.UTC takes the years 0 to 99 for 1900 to 1999; the calendar repeats after 400 years.
  return Date.UTC(year + 400, month - 1, dayOfMonth) - YEARS_400_MS;
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const brand = (text: string): IsoInstant => text as IsoInstant;
const day = (text: string): IsoDay => text as IsoDay;
