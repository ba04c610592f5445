import fc from 'fast-check';
import { test } from 'tap';
import {
  formatDecimal,
  MAX_DECIMAL_DIGITS,
  parseDecimal,
  roundDecimal,
  shiftDecimal,
} from '../../src/mapping/decimal.ts';

const normal = (text: string): string | null => {
  const decimal = parseDecimal(text);
  return decimal === null ? null : formatDecimal(decimal);
};
const decimalOf = (text: string) => {
  const decimal = parseDecimal(text);
  if (decimal === null) throw new Error('unreadable');
  return decimal;
};
const rounded = (text: string, scale: number): string => {
  const decimal = parseDecimal(text);
  return decimal === null ? '' : formatDecimal(roundDecimal(decimal, scale));
};

test('a number has one text, however it was written', async (t) => {
  const same: [string, string][] = [
    ['1.0', '1'],
    ['-0', '0'],
    ['-0.00', '0'],
    ['+5', '5'],
    ['007', '7'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['1e3', '1000'],
    ['1.5E-3', '0.0015'],
    ['-12.50e1', '-125'],
    ['0e999999', '0'],
    ['123e-3', '0.123'],
    ['1e-7', '0.0000001'],
    ['9007199254740993.10', '9007199254740993.1'],
  ];
  for (const [given, wanted] of same) t.equal(normal(given), wanted, given);
});

test('text that is no decimal number is none', async (t) => {
  for (const text of [
    '',
    '.',
    '-',
    'abc',
    '1,5',
    '0x10',
    '1e',
    '1e5.5',
    ' 1',
    '1 ',
    'NaN',
    'Infinity',
    '--1',
    '1_000',
    '१',
    '1\n',
  ]) {
    t.equal(normal(text), null, JSON.stringify(text));
  }
});

test('a number too long to write out is refused, not written out', async (t) => {
  for (const text of ['1e1001', '1e-1001', '9e999999', '1'.repeat(MAX_DECIMAL_DIGITS + 1), '1'.repeat(1_000_000)]) {
    t.throws(() => parseDecimal(text), { code: 'out_of_range' });
  }
  t.equal(normal(`1e${MAX_DECIMAL_DIGITS - 1}`)?.length, MAX_DECIMAL_DIGITS);
});

test('halves round away from zero, as numeric does', async (t) => {
  const cases: [string, number, string][] = [
    ['0.5', 0, '1'],
    ['-0.5', 0, '-1'],
    ['1.5', 0, '2'],
    ['2.5', 0, '3'],
    ['0.49999', 0, '0'],
    ['-0.4', 0, '0'],
    ['1.005', 2, '1.01'],
    ['1.0049', 2, '1'],
    ['9.995', 2, '10'],
    ['99.999', 2, '100'],
    ['0.0049', 2, '0'],
    ['0.005', 2, '0.01'],
    ['15', -1, '20'],
    ['14', -1, '10'],
    ['5', -1, '10'],
    ['4', -1, '0'],
    ['-949', -2, '-900'],
    ['50', -3, '0'],
    ['500', -3, '1000'],
  ];
  for (const [text, scale, wanted] of cases) t.equal(rounded(text, scale), wanted, `${text} to ${scale}`);
});

test('rounding agrees with whole-number arithmetic', async () => {
  const scaled = fc.record({
    units: fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }),
    digits: fc.integer({ min: 0, max: 12 }),
    scale: fc.integer({ min: -4, max: 12 }),
  });
  fc.assert(
    fc.property(scaled, ({ units, digits, scale }) => {
      const exact = shiftDecimal(decimalOf(String(units)), digits);
      const cut = 10n ** BigInt(Math.max(digits - scale, 0));
      const magnitude = units < 0n ? -units : units;
      const kept = ((magnitude * 2n + cut) / (cut * 2n)) * cut * (units < 0n ? -1n : 1n);
      const wanted = shiftDecimal(decimalOf(String(kept)), digits);
      return formatDecimal(roundDecimal(exact, scale)) === formatDecimal(wanted);
    }),
    { numRuns: 2_000 },
  );
});

test('moving the point there and back changes nothing', async () => {
  fc.assert(
    fc.property(fc.bigInt(), fc.integer({ min: -20, max: 20 }), (units, places) => {
      const decimal = parseDecimal(String(units));
      return decimal !== null && formatDecimal(shiftDecimal(shiftDecimal(decimal, places), -places)) === String(units);
    }),
  );
});
