import { z } from 'zod';
import { formatDecimal, parseDecimal, shiftDecimal } from '../decimal.ts';
import {
  DAY_SYNTAX,
  dayOf,
  formatInstant,
  INSTANT_SYNTAX,
  type IsoDay,
  type IsoInstant,
  type Moment,
  microsOf,
  momentOfDate,
  parseDay,
  parseEpoch,
  parseInstant,
  refuseUnlessMoment,
} from '../instant-text.ts';
import { Refusal } from '../refusal.ts';
import { type TwoWay, twoWay } from '../transform.ts';

const instantSchema = z.custom<IsoInstant>((value) => typeof value === 'string' && readIso(value, 'refuse') !== null);

/** ISO 8601 with an offset, to UTC; microseconds are kept. Days without a time and times without an offset are refused. */
export const isoDate: TwoWay<string, IsoInstant> = twoWay({
  signature: 'isoDate',
  givesInstant: true,
  from: z.string(),
  to: instantSchema,
  decode: (value) => formatInstant(toMoment(value, 'refuse')),
  encode: (value) => formatInstant(toMoment(value, 'refuse')),
});

/** As `isoDate`, for sources that leave the offset out and mean UTC. */
export const isoUtc: TwoWay<string, IsoInstant> = twoWay({
  signature: 'isoUtc',
  givesInstant: true,
  from: z.string(),
  to: instantSchema,
  decode: (value) => formatInstant(toMoment(value, 'utc')),
  encode: (value) => formatInstant(toMoment(value, 'refuse')),
});

/**
 * A day as it stands (`2024-02-29`), or the UTC day of a time. It has a way back where the schema takes days alone
 * (`z.iso.date()`): a day written over a time would lose the hour.
 */
export const isoDay: TwoWay<string, IsoDay> = twoWay<string, IsoDay>({
  signature: 'isoDay',
  from: z.string(),
  to: z.custom<IsoDay>((value) => typeof value === 'string' && parseDay(value) !== null),
  decode(value) {
    const day = typeof value === 'string' ? parseDay(value) : null;
    return day ?? dayOf(toMoment(value, 'refuse'));
  },
  encode(value) {
    const day = typeof value === 'string' ? parseDay(value) : null;
    if (day === null) throw new Refusal('bad_value', DAY_SYNTAX);
    return day;
  },
  isAmbiguous: (takes) => TIMES.some(takes),
});

const TIMES = ['2024-02-29T12:00:00Z', '2024-02-29T12:00:00.123Z', '2024-02-29T12:00:00+01:00'];

/** Seconds since 1970, as a number or as text; fractions are exact to the microsecond. */
export const epochSeconds: TwoWay<number | string, IsoInstant> = epoch('epochSeconds', 's', 6);

/** Milliseconds since 1970. */
export const epochMs: TwoWay<number | string, IsoInstant> = epoch('epochMs', 'ms', 3);

function epoch(signature: string, unit: 's' | 'ms', places: number): TwoWay<number | string, IsoInstant> {
  const expected = `${unit === 's' ? 'seconds' : 'milliseconds'} since 1970`;
  return twoWay<number | string, IsoInstant>({
    signature,
    givesInstant: true,
    from: z.union([z.number(), z.string()]),
    to: instantSchema,
    decode(value) {
      if (typeof value !== 'number' && typeof value !== 'string') throw new Refusal('wrong_kind', expected);
      return formatInstant(refuseUnlessMoment(parseEpoch(String(value), unit), expected));
    },
    encode(value) {
      const micros = parseDecimal(String(microsOf(toMoment(value, 'refuse'))));
      const text = micros === null ? '' : formatDecimal(shiftDecimal(micros, places));
      // Microseconds of the far future have more digits than a number holds.
      return String(Number(text)) === text ? Number(text) : text;
    },
  });
}

const readIso = (text: string, withoutOffset: 'refuse' | 'utc'): Moment | null =>
  parseInstant(text, { withoutOffset, beyondMicros: 'round' });

function toMoment(value: unknown, withoutOffset: 'refuse' | 'utc'): Moment {
  if (value instanceof Date) return refuseUnlessMoment(momentOfDate(value), 'a valid Date');
  if (typeof value !== 'string') throw new Refusal('wrong_kind', INSTANT_SYNTAX);
  return refuseUnlessMoment(readIso(value, withoutOffset), INSTANT_SYNTAX);
}
