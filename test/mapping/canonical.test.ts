import fc from 'fast-check';
import { test } from 'tap';
import { canonicalise, hashValues, prepareContentHash } from '../../src/mapping/canonical.ts';
import { MAX_JSON_DEPTH } from '../../src/mapping/canonical-json.ts';
import type { JsonValue } from '../../src/model/json.ts';
import type { ColumnKind, TargetColumn, TargetTable } from '../../src/model/target.ts';

const column = (kind: ColumnKind, sqlType: string): TargetColumn => ({
  name: 'c',
  sqlType,
  kind,
  isNotNull: false,
  hasDefault: false,
});
const COLUMNS = {
  text: column('text', 'text'),
  varchar: column('text', 'varchar(3)'),
  char: column('text', 'char(5)'),
  uuid: column('text', 'uuid'),
  smallint: column('integer', 'smallint'),
  integer: column('integer', 'integer'),
  bigint: column('integer', 'bigint'),
  numeric: column('decimal', 'numeric'),
  money: column('decimal', 'numeric(10, 2)'),
  whole: column('decimal', 'numeric(3)'),
  tiny: column('decimal', 'numeric(2, 4)'),
  real: column('float', 'real'),
  double: column('float', 'double precision'),
  boolean: column('boolean', 'boolean'),
  instant: column('timestamp', 'timestamp with time zone'),
  second: column('timestamp', 'timestamp (0) with time zone'),
  millisecond: column('timestamp', 'timestamp(3)'),
  date: column('date', 'date'),
  json: column('json', 'jsonb'),
  array: column('other', 'text[]'),
} as const;
type Name = keyof typeof COLUMNS;
const made = (name: Name, value: unknown): JsonValue => canonicalise(value, COLUMNS[name]);

test('values become the form in which the column stores them', async (t) => {
  const cases: [Name, unknown, JsonValue][] = [
    ['text', ' Ünï ', ' Ünï '],
    ['varchar', '😀😀😀', '😀😀😀'],
    ['char', 'ab   ', 'ab'],
    ['uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['integer', -0, 0],
    ['integer', '42.0', 42],
    ['integer', 7n, 7],
    ['bigint', '9223372036854775807', '9223372036854775807'],
    ['bigint', '9007199254740991', 9007199254740991],
    ['numeric', 1.0, '1'],
    ['numeric', '-0', '0'],
    ['numeric', 1e21, '1000000000000000000000'],
    ['numeric', 1.5e-7, '0.00000015'],
    ['money', '1.005', '1.01'],
    ['money', '-1.005', '-1.01'],
    ['money', 12.5, '12.5'],
    ['money', '99999999.994', '99999999.99'],
    ['whole', '999.4', '999'],
    ['tiny', '0.00994', '0.0099'],
    ['real', 0.1, 0.1],
    ['real', 16777217, 16777216],
    ['double', '0.1', 0.1],
    ['double', -0, 0],
    ['boolean', false, false],
    ['instant', '2024-01-01T00:00:00.1234565+01:00', '2023-12-31T23:00:00.123457Z'],
    ['instant', new Date(0), '1970-01-01T00:00:00Z'],
    ['second', '2024-01-01T00:00:00.5Z', '2024-01-01T00:00:01Z'],
    ['second', '2024-01-01T00:00:00.499999Z', '2024-01-01T00:00:00Z'],
    ['second', '1999-01-01T00:00:00.5Z', '1999-01-01T00:00:00Z'],
    ['millisecond', '2024-01-01T00:00:00.0005Z', '2024-01-01T00:00:00.001Z'],
    ['date', '2024-02-29', '2024-02-29'],
    ['date', new Date(0), '1970-01-01'],
    [
      'json',
      { b: [1, -0, { d: null, c: undefined }], a: new Date(0) },
      { a: '1970-01-01T00:00:00.000Z', b: [1, 0, { d: null }] },
    ],
    ['array', ['b', 'a'], ['b', 'a']],
  ];
  for (const [name, value, wanted] of cases) t.strictSame(made(name, value), wanted, `${name}: ${String(value)}`);
  for (const name of Object.keys(COLUMNS) as Name[]) t.equal(made(name, null), null);
});

test('what the column cannot hold is refused with a code', async (t) => {
  const cases: [Name, unknown, string][] = [
    ['text', 5, 'wrong_kind'],
    ['text', 'a\0b', 'bad_text'],
    ['text', '\ud800', 'bad_text'],
    ['text', 'x\udc00x', 'bad_text'],
    ['varchar', 'abcd', 'out_of_range'],
    ['uuid', 'x', 'bad_value'],
    ['uuid', 5, 'wrong_kind'],
    ['smallint', 32768, 'out_of_range'],
    ['integer', 2147483648, 'out_of_range'],
    ['integer', 1.5, 'out_of_range'],
    ['integer', '1.5', 'bad_value'],
    ['integer', true, 'wrong_kind'],
    ['integer', Number.NaN, 'out_of_range'],
    ['bigint', 2 ** 53, 'out_of_range'],
    ['bigint', '9223372036854775808', 'out_of_range'],
    ['numeric', Number.POSITIVE_INFINITY, 'out_of_range'],
    ['numeric', 'NaN', 'bad_value'],
    ['numeric', '1e5000', 'out_of_range'],
    ['money', '99999999.995', 'out_of_range'],
    ['whole', '999.5', 'out_of_range'],
    ['tiny', '0.01', 'out_of_range'],
    ['real', 1e39, 'out_of_range'],
    ['real', 1e-60, 'out_of_range'],
    ['double', Number.NaN, 'out_of_range'],
    ['double', '1e400', 'out_of_range'],
    ['boolean', 1, 'wrong_kind'],
    ['boolean', 'true', 'wrong_kind'],
    ['instant', 1700000000, 'wrong_kind'],
    ['instant', '2024-01-01', 'bad_value'],
    ['instant', new Date(Number.NaN), 'bad_value'],
    ['second', '9999-12-31T23:59:59.5Z', 'bad_value'],
    ['date', '2023-02-29', 'bad_value'],
    ['date', '2024-01-01T00:00:00Z', 'bad_value'],
    ['json', { a: '\0' }, 'bad_text'],
    ['json', { '\ud800': 1 }, 'bad_text'],
    ['json', [1n], 'wrong_kind'],
    ['json', [undefined], 'wrong_kind'],
    ['json', () => 1, 'wrong_kind'],
    ['json', [Number.NaN], 'out_of_range'],
    ['json', new Map(), 'wrong_kind'],
  ];
  for (const [name, value, code] of cases) t.throws(() => made(name, value), { code }, `${name}: ${typeof value}`);
});

test('JSON that is cyclic, deeper than any record, or shared without end is refused', async (t) => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  t.throws(() => made('json', cycle), { code: 'out_of_range' });
  let deep: unknown = 1;
  for (let level = 0; level < MAX_JSON_DEPTH; level += 1) deep = [deep];
  t.doesNotThrow(() => made('json', deep));
  t.throws(() => made('json', [deep]), { code: 'out_of_range' });
  let shared: unknown = 1;
  for (let level = 0; level < 60; level += 1) shared = [shared, shared];
  t.throws(() => made('json', shared), { code: 'out_of_range' });
});

test('a key named __proto__ stays a key', async (t) => {
  const parsed: unknown = JSON.parse('{"__proto__": {"a": 1}, "b": 2}');
  t.equal(JSON.stringify(made('json', parsed)), '{"__proto__":{"a":1},"b":2}');
  t.equal(JSON.stringify(made('json', JSON.parse('{"b": 2, "__proto__": {"a": 1}}'))), '{"__proto__":{"a":1},"b":2}');
});

const valueFor: { readonly [name in Name]: fc.Arbitrary<unknown> } = {
  text: fc.string({ unit: 'grapheme' }),
  varchar: fc.string({ maxLength: 3 }),
  char: fc.string({ maxLength: 5 }),
  uuid: fc.uuid(),
  smallint: fc.integer({ min: -40_000, max: 40_000 }),
  integer: fc.integer(),
  bigint: fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  numeric: fc.double(),
  money: fc.double({ min: -1e9, max: 1e9 }),
  whole: fc.double({ min: -1e4, max: 1e4 }),
  tiny: fc.double({ min: -0.02, max: 0.02 }),
  real: fc.double(),
  double: fc.double(),
  boolean: fc.boolean(),
  instant: fc.date(),
  second: fc.date(),
  millisecond: fc.date(),
  date: fc.date(),
  json: fc.jsonValue(),
  array: fc.array(fc.string()),
};

test('the canonical form of a canonical value is itself, also after the way through JSON', async () => {
  for (const name of Object.keys(COLUMNS) as Name[]) {
    fc.assert(
      fc.property(valueFor[name], (value) => {
        let first: JsonValue;
        try {
          first = made(name, value);
        } catch {
          return true; // refused: nothing to compare
        }
        const text = JSON.stringify(first);
        return JSON.stringify(made(name, first)) === text && JSON.stringify(made(name, JSON.parse(text))) === text;
      }),
      { numRuns: 500 },
    );
  }
});

const target: TargetTable = {
  schema: 'public',
  name: 't',
  keyProperty: 'a',
  isKeyDirect: true,
  syncedAtProperties: [],
  deletedAtProperty: null,
  columns: { a: COLUMNS.text, b: COLUMNS.json },
  contentProperties: ['a', 'b'],
};

test('hashes are equal exactly when contents are', async () => {
  const hashOf = prepareContentHash(target);
  const content = fc.record(
    { a: fc.option(fc.string({ maxLength: 2 })), b: fc.jsonValue({ maxDepth: 1 }) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(content, content, (left, right) => {
      const canonical = ({ a, b }: typeof left) => ({
        ...(a === undefined ? {} : { a }),
        ...(b === undefined ? {} : { b: made('json', b) }),
      });
      const [one, other] = [canonical(left), canonical(right)];
      return (hashOf(one) === hashOf(other)) === (JSON.stringify(one) === JSON.stringify(other));
    }),
    { numRuns: 2_000 },
  );
});

test('a missing property, a null and the text null hash differently; the order of nested keys does not matter', async (t) => {
  const hashOf = prepareContentHash(target);
  const hashes = [
    hashOf({ a: 'x' }),
    hashOf({ a: 'x', b: null }),
    hashOf({ a: 'x', b: 'null' }),
    hashOf({}),
    hashOf({ b: 'x' }),
  ];
  t.equal(new Set(hashes).size, hashes.length);
  t.equal(hashOf({ b: { x: 1, y: { p: 1, q: 2 } } }), hashOf({ b: { y: { q: 2, p: 1 }, x: 1 } }));
  t.match(hashValues(['a', 1]), /^[0-9a-f]{64}$/);
});
