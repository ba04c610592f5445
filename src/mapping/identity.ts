import type { Path } from '../lib/path.ts';
import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { type Moment, microsOf, parseEpoch, parseInstant } from './instant-text.ts';
import { Refusal } from './refusal.ts';
import { isStorable } from './stored-text.ts';

/** How the source orders the versions of one record, and where the version stands in what it sends. */
export type VersionForm =
  | {
      readonly kind: 'timestamp';
      readonly field: string;
      /** How the source writes it. Default `iso`. */
      readonly format?: 'iso' | 'epoch_s' | 'epoch_ms';
      /** What the source's clock resolves; finer digits are noise, or differ between lists and events. Default: all. */
      readonly precision?: 'second' | 'millisecond' | 'microsecond';
    }
  | { readonly kind: 'counter'; readonly field: string }
  | { readonly kind: 'none' };

/** A record is marked as deleted when the value at `field` is `equals`. */
export type MarkerForm = { readonly field: string; readonly equals: string | number | boolean | null };

/** Ids are keys of index rows. */
export const MAX_ID_LENGTH = 512;
const MAX_COUNTER_DIGITS = 100;
const PRECISION_US = { second: 1_000_000n, millisecond: 1_000n, microsecond: 1n } as const;

/** The id as text: as sent, or the digits of an integer. Throws a `Refusal`. */
export function parseId(value: unknown): string {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return String(value);
    // JSON.parse has rounded it already: two records could share what is left of their ids.
    throw new Refusal('bad_id', 'a text or an integer below 2^53 (ask the source for ids as text)');
  }
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'string' || value === '') throw new Refusal('bad_id', 'a text that is not empty, or an integer');
  if (value.length > MAX_ID_LENGTH) throw new Refusal('bad_id', `at most ${MAX_ID_LENGTH} characters`);
  if (!isStorable(value)) throw new Refusal('bad_id', 'well-formed text without NUL');
  return value;
}

export type VersionReader = {
  /** Of a whole record; null when it has none. */
  readonly read: (raw: unknown) => bigint | null;
  /** Where it stands, for messages; null when the entity has no versions. */
  readonly field: string | null;
  readonly expected: string;
  /** Null when the value is not a version. */
  readonly parse: (value: unknown) => bigint | null;
};

/** Reads versions from records as they came, before any schema: nothing may rewrite the source's own digits. */
export function createVersionReader(form: VersionForm): VersionReader {
  if (form.kind === 'none') return { read: () => null, parse: () => null, field: null, expected: 'no version' };
  const path = mustParsePath(form.field);
  const { parse, expected } = form.kind === 'counter' ? COUNTER : timestampParser(form);
  return { read: (raw) => parse(valueAt(raw, path)), parse, field: form.field, expected };
}

const COUNTER = {
  expected: 'an integer from 0 on (below 2^53, or as text)',
  parse(value: unknown): bigint | null {
    if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null;
    if (typeof value !== 'string' || value.length > MAX_COUNTER_DIGITS || !/^\d+$/.test(value)) return null;
    return BigInt(value);
  },
};

function timestampParser({ format = 'iso', precision = 'microsecond' }: Extract<VersionForm, { kind: 'timestamp' }>) {
  const unit = PRECISION_US[precision];
  const parseMoment =
    format === 'iso' ? isoVersion : (value: unknown) => epochVersion(value, format === 'epoch_s' ? 's' : 'ms');
  const expected =
    format === 'iso'
      ? 'an ISO 8601 time with its offset'
      : `a time in ${format === 'epoch_s' ? 'seconds' : 'milliseconds'} since 1970`;
  return {
    expected,
    parse(value: unknown): bigint | null {
      const moment = parseMoment(value);
      if (moment === null) return null;
      const micros = microsOf(moment);
      return micros - (((micros % unit) + unit) % unit);
    },
  };
}

const isoVersion = (value: unknown): Moment | null =>
  typeof value === 'string' ? parseInstant(value, { withoutOffset: 'refuse', beyondMicros: 'cut' }) : null;

const epochVersion = (value: unknown, unit: 's' | 'ms'): Moment | null =>
  typeof value === 'number' || typeof value === 'string' ? parseEpoch(String(value), unit) : null;

/** Undefined when nothing is there. */
export function valueAt(value: unknown, path: Path): unknown {
  const read = readPath(value, path);
  return read.found ? read.value : undefined;
}
