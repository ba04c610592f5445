import fc from 'fast-check';
import { test } from 'tap';
import { z } from 'zod';
import { Refusal } from '../../src/mapping/refusal.ts';
import { type Transform, type TwoWay, twoWay } from '../../src/mapping/transform.ts';
import { oneOf } from '../../src/mapping/transforms/choice.ts';
import { codec, json, jsonText, transform } from '../../src/mapping/transforms/custom.ts';
import { cents, minorUnits, toBigint, toBoolean, toDecimal, toNumber } from '../../src/mapping/transforms/number.ts';
import { concat, join, lowercase, toText, trim } from '../../src/mapping/transforms/text.ts';
import { epochMs, epochSeconds, isoDate, isoDay, isoUtc } from '../../src/mapping/transforms/time.ts';

const back = <In, Out>(step: TwoWay<In, Out>, value: Out): In => z.encode(step.codec, value);
/** As the mapper calls it: with whatever the source sent. */
const forth = <In, Out>(step: Transform<In, Out>, value: unknown): unknown => {
  const loose: Transform = step;
  return loose.decode(value);
};

test('transforms give what their names say', async (t) => {
  const cases: [Transform, unknown, unknown][] = [
    [lowercase, 'ÄB@X.de', 'äb@x.de'],
    [trim, ' \t a b\u00a0\n', 'a b'],
    [toText, 5, '5'],
    [toText, true, 'true'],
    [toText, 1.5, '1.5'],
    [toText, 2n ** 70n, '1180591620717411303424'],
    [join(', '), ['a', 1, null, true], 'a, 1, true'],
    [join('-'), [], ''],
    [concat(' '), ['a', null, '', 'b'], 'a b'],
    [concat(' '), [null, ''], null],
    [concat('/'), [1, false], '1/false'],
    [isoDate, '2024-01-01T01:00:00+01:00', '2024-01-01T00:00:00Z'],
    [isoUtc, '2024-01-01 00:00:00', '2024-01-01T00:00:00Z'],
    [isoDay, '2024-01-01T23:30:00-01:00', '2024-01-02'],
    [isoDay, '2024-02-29', '2024-02-29'],
    [epochSeconds, 1700000000, '2023-11-14T22:13:20Z'],
    [epochSeconds, '1700000000.25', '2023-11-14T22:13:20.25Z'],
    [epochMs, 0, '1970-01-01T00:00:00Z'],
    [cents, 1999, '19.99'],
    [cents, -5, '-0.05'],
    [cents, 100, '1'],
    [cents, '900719925474099399', '9007199254740993.99'],
    [cents, 5n, '0.05'],
    [cents, 0, '0'],
    [minorUnits(0), 1234, '1234'],
    [minorUnits(3), 1234, '1.234'],
    [toDecimal, 0.1, '0.1'],
    [toDecimal, '1.50', '1.5'],
    [toNumber, '1.50', 1.5],
    [toBigint, '9007199254740993', 9007199254740993n],
    [toBoolean, 'true', true],
    [toBoolean, 0, false],
    [json, { b: 1, a: [2] }, { a: [2], b: 1 }],
    [jsonText, { b: 1, a: [2] }, '{"a":[2],"b":1}'],
    [oneOf({ active: 'enabled' }, { otherwise: 'unknown' }), 'active', 'enabled'],
    [oneOf({ active: 'enabled' }, { otherwise: 'unknown' }), 'x', 'unknown'],
    [oneOf({ 1: 'one', true: 'yes' }), 1, 'one'],
    [oneOf({ 1: 'one', true: 'yes' }), true, 'yes'],
    [transform((text: string) => text.length), 'abc', 3],
    [codec(z.codec(z.string(), z.number(), { decode: Number, encode: String })), '5', 5],
  ];
  for (const [step, value, wanted] of cases)
    t.strictSame(forth(step, value), wanted, `${step.signature} of ${String(value)}`);
});

test('transforms refuse what they do not take, and say what they do', async (t) => {
  const cases: [Transform, unknown, string][] = [
    [lowercase, 5, 'wrong_kind'],
    [trim, {}, 'wrong_kind'],
    [toText, 2 ** 53, 'out_of_range'],
    [toText, Number.NaN, 'out_of_range'],
    [toText, [], 'wrong_kind'],
    [join(','), 'a', 'wrong_kind'],
    [join(','), [{}], 'wrong_kind'],
    [join(','), [Number.NaN], 'wrong_kind'],
    [concat(','), [[]], 'wrong_kind'],
    [isoDate, '2024-01-01', 'bad_value'],
    [isoDate, '2024-01-01T00:00:00', 'bad_value'],
    [isoDate, 5, 'wrong_kind'],
    [isoDay, '2024-02-30', 'bad_value'],
    [epochSeconds, true, 'wrong_kind'],
    [epochSeconds, 'soon', 'bad_value'],
    [epochSeconds, 1e18, 'bad_value'],
    [epochMs, Number.NaN, 'bad_value'],
    [cents, 19.99, 'bad_value'],
    [cents, '19.99', 'bad_value'],
    [cents, 2 ** 53, 'bad_value'],
    [cents, null, 'wrong_kind'],
    [cents, '1e9999', 'out_of_range'],
    [cents, 'x', 'bad_value'],
    [toNumber, '9007199254740993', 'out_of_range'],
    [toNumber, '1e400', 'out_of_range'],
    [toBigint, 1.5, 'bad_value'],
    [toBigint, '1.5', 'bad_value'],
    [toBoolean, 'yes', 'bad_value'],
    [oneOf({ active: 'enabled' }), 'x', 'bad_value'],
    [oneOf({ active: 'enabled' }), 'constructor', 'bad_value'],
    [oneOf({ active: 'enabled' }), ['active'], 'wrong_kind'],
    [json, 1n, 'wrong_kind'],
    [jsonText, '\0', 'bad_text'],
    [codec(z.codec(z.string(), z.number(), { decode: Number, encode: String })), 5, 'bad_value'],
  ];
  for (const [step, value, code] of cases)
    t.throws(() => forth(step, value), { code }, `${step.signature} of ${typeof value}`);
});

test('cents are exact there and back, whatever their size', async () => {
  fc.assert(
    fc.property(fc.bigInt(), (units) => String(back(cents, cents.decode(String(units)))) === String(units)),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(fc.maxSafeInteger(), (units) => back(cents, cents.decode(units)) === (units === 0 ? 0 : units)),
    { numRuns: 1_000 },
  );
});

test('two-way transforms know the way back, and refuse it where it is not one', async (t) => {
  const status = oneOf({ active: 'on', live: 'on', off: 'off' }, { otherwise: 'unknown' });
  t.equal(back(status, 'off'), 'off');
  t.throws(() => back(status, 'on'), z.ZodError);
  t.throws(() => back(status, 'unknown'), z.ZodError);
  t.throws(() => back(cents, toDecimal.decode('0.001')), z.ZodError);
  t.equal(back(epochSeconds, isoDate.decode('2024-01-01T00:00:00Z')), 1704067200);
  t.equal(back(epochMs, isoDate.decode('2024-01-01T00:00:00.123Z')), 1704067200123);
  t.strictSame(back(jsonText, '{"a":1}'), { a: 1 });
  t.throws(() => back(jsonText, '{'), z.ZodError);
});

test('a codec decodes by the same function as the fast path', async (t) => {
  let calls = 0;
  const step = twoWay<string, number>({
    signature: 'count',
    from: z.string(),
    to: z.number(),
    decode: (text) => {
      calls += 1;
      if (text === '') throw new Refusal('bad_value', 'text');
      return text.length;
    },
    encode: (count) => 'x'.repeat(count),
  });
  t.equal(step.decode('ab'), z.decode(step.codec, 'ab'));
  t.equal(calls, 2);
  t.equal(z.safeDecode(step.codec, '').success, false);
});

test('a refusal names no part of the value', async (t) => {
  const secret = 'hunter2-secret';
  for (const step of [
    isoDate,
    isoDay,
    epochSeconds,
    cents,
    toNumber,
    toBoolean,
    oneOf({ active: 1 }),
    minorUnits(3),
  ] as Transform[]) {
    try {
      step.decode(secret);
      t.fail(`${step.signature} took it`);
    } catch (error) {
      t.ok(Refusal.isRefusal(error));
      t.notMatch(String(error), secret);
    }
  }
});

test('digits that no currency has are a mistake in the definition', async (t) => {
  for (const digits of [-1, 1.5, 13, Number.NaN]) t.throws(() => minorUnits(digits), RangeError);
});
