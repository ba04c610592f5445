import fc from 'fast-check';
import { test } from 'tap';
import {
  formatInstant,
  microsOf,
  momentOfMicros,
  parseDay,
  parseEpoch,
  parseInstant,
} from '../../src/mapping/instant-text.ts';

const read = (
  text: string,
  beyondMicros: 'round' | 'cut' = 'round',
  withoutOffset: 'refuse' | 'utc' = 'refuse',
): string | null => {
  const moment = parseInstant(text, { withoutOffset, beyondMicros });
  return moment === null ? null : formatInstant(moment);
};

test('a time has one text: UTC, no needless zeros', async (t) => {
  const same: [string, string][] = [
    ['2024-02-29T12:00:00Z', '2024-02-29T12:00:00Z'],
    ['2024-02-29 12:00:00+00', '2024-02-29T12:00:00Z'],
    ['2024-02-29t12:00:00z', '2024-02-29T12:00:00Z'],
    ['2024-02-29T12:00Z', '2024-02-29T12:00:00Z'],
    ['2024-02-29T12:00:00.500000Z', '2024-02-29T12:00:00.5Z'],
    ['2024-02-29T12:00:00.123456Z', '2024-02-29T12:00:00.123456Z'],
    ['2024-02-29T12:00:00,000001Z', '2024-02-29T12:00:00.000001Z'],
    ['2024-03-01T01:30:00+02:30', '2024-02-29T23:00:00Z'],
    ['2023-12-31T23:00:00-0130', '2024-01-01T00:30:00Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
    ['0099-03-01T00:00:00Z', '0099-03-01T00:00:00Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
    ['1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
  ];
  for (const [given, wanted] of same) t.equal(read(given), wanted, given);
});

test('digits beyond the microsecond are rounded in content and cut in versions', async (t) => {
  t.equal(read('2024-01-01T00:00:00.1234565Z', 'round'), '2024-01-01T00:00:00.123457Z');
  t.equal(read('2024-01-01T00:00:00.1234565Z', 'cut'), '2024-01-01T00:00:00.123456Z');
  t.equal(read('2024-01-01T00:00:00.9999999Z', 'round'), '2024-01-01T00:00:01Z');
  t.equal(read('2024-01-01T00:00:00.9999999Z', 'cut'), '2024-01-01T00:00:00.999999Z');
});

test('text that names no moment is refused', async (t) => {
  const none = [
    '',
    '2024',
    '2024-01-01',
    '2024-02-30T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-00-01T00:00:00Z',
    '2024-01-00T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T00:60:00Z',
    '2024-01-01T00:00:61Z',
    '2024-01-01T00:00:00',
    '2024-01-01T00:00:00+16:00',
    '2024-01-01T00:00:00+01:60',
    '0000-01-01T00:00:00Z',
    '10000-01-01T00:00:00Z',
    '+010000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59.9999999Z',
    'infinity',
    'now',
    '2024-01-01T00:00:00Z\n',
    '２０２４-01-01T00:00:00Z',
    `2024-01-01T00:00:00.${'1'.repeat(31)}Z`,
  ];
  for (const text of none) t.equal(read(text), null, JSON.stringify(text));
  t.equal(read('2024-01-01T00:00:00', 'round', 'utc'), '2024-01-01T00:00:00Z');
});

test('every moment survives the way to text and to microseconds and back', async () => {
  const anyMicros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n });
  fc.assert(
    fc.property(anyMicros, (micros) => {
      const moment = momentOfMicros(micros);
      if (moment === null) return false;
      const again = parseInstant(formatInstant(moment), { withoutOffset: 'refuse', beyondMicros: 'cut' });
      return again !== null && microsOf(again) === micros;
    }),
    { numRuns: 2_000 },
  );
});

test('the calendar agrees with the one of JavaScript', async () => {
  fc.assert(
    fc.property(
      fc.date({ noInvalidDate: true, min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z') }),
      (date) => {
        const moment = parseInstant(date.toISOString(), { withoutOffset: 'refuse', beyondMicros: 'cut' });
        return moment?.ms === date.getTime();
      },
    ),
    { numRuns: 2_000 },
  );
});

test('seconds since 1970 are exact to the microsecond, also before 1970', async (t) => {
  const at = (text: string, unit: 's' | 'ms') => {
    const moment = parseEpoch(text, unit);
    return moment === null ? null : formatInstant(moment);
  };
  t.equal(at('1700000000', 's'), '2023-11-14T22:13:20Z');
  t.equal(at('1700000000.123456', 's'), '2023-11-14T22:13:20.123456Z');
  t.equal(at('1700000000123', 'ms'), '2023-11-14T22:13:20.123Z');
  t.equal(at('-1', 's'), '1969-12-31T23:59:59Z');
  t.equal(at('-0.000001', 's'), '1969-12-31T23:59:59.999999Z');
  t.equal(at('-1.5', 'ms'), '1969-12-31T23:59:59.9985Z');
  for (const text of ['', 'x', '1e9', '1700000000123456', '999999999999999', 'NaN', '+1', '1.'])
    t.equal(at(text, 's'), null, text);
});

test('only days that exist are days', async (t) => {
  t.equal(parseDay('2024-02-29'), '2024-02-29');
  for (const text of ['2023-02-29', '2024-2-9', '2024-04-31', '0000-01-01', '2024-01-01T00:00:00Z', '10000-01-01']) {
    t.equal(parseDay(text), null, text);
  }
});
