import { deepStrictEqual } from 'node:assert/strict';
import {
  bigint,
  boolean,
  date,
  doublePrecision,
  integer,
  jsonb,
  numeric,
  pgTable,
  real,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';
import fc from 'fast-check';
import { test } from 'tap';
import { z } from 'zod';
import type { EntityDefinition } from '../../src/define/definition.ts';
import { describeTarget } from '../../src/define/target.ts';
import { wayBackOf } from '../../src/define/way-back.ts';
import { canonicalise } from '../../src/mapping/canonical.ts';
import { type FieldMapping, field } from '../../src/mapping/field.ts';
import { createMapper } from '../../src/mapping/mapper.ts';
import { Refusal } from '../../src/mapping/refusal.ts';
import { oneOf } from '../../src/mapping/transforms/choice.ts';
import { codec, json, jsonText } from '../../src/mapping/transforms/custom.ts';
import { cents, minorUnits, toBigint, toBoolean, toDecimal, toNumber } from '../../src/mapping/transforms/number.ts';
import { lowercase, toText, trim } from '../../src/mapping/transforms/text.ts';
import { epochMs, epochSeconds, isoDate, isoDay, isoUtc } from '../../src/mapping/transforms/time.ts';
import { prepareUnmap } from '../../src/mapping/unmap.ts';
import type { JsonValue } from '../../src/model/json.ts';

const NUM_RUNS = 300;

const things = pgTable('things', {
  id: text('id').primaryKey(),
  text: text('text'),
  uuid: uuid('uuid'),
  whole: integer('whole'),
  big: bigint('big', { mode: 'bigint' }),
  amount: numeric('amount', { precision: 20, scale: 2 }),
  exact: numeric('exact'),
  single: real('single'),
  double: doublePrecision('double'),
  isOn: boolean('is_on'),
  at: timestamp('at', { withTimezone: true }),
  second: timestamp('second', { withTimezone: true, precision: 0 }),
  day: date('day'),
  document: jsonb('document'),
});
type Property = Exclude<keyof typeof things.$inferSelect, 'id'>;

const form = (source: z.ZodType, property: Property, mapped: FieldMapping): EntityDefinition => ({
  schema: z.looseObject({ id: z.string(), a: z.looseObject({ b: source.nullish() }).nullish() }),
  key: 'id',
  version: { kind: 'none' },
  read: { list: { path: '/things', items: '', pagination: { kind: 'none' } } },
  target: things,
  mapping: { id: field('id'), [property]: mapped },
});

/** What a column can hold: values from anywhere, in the form in which it stores them. */
const stored = (property: Property, values: fc.Arbitrary<unknown>): fc.Arbitrary<JsonValue> => {
  const column = describeTarget(form(z.unknown(), property, field('a.b'))).columns[property];
  if (column === undefined) throw new TypeError(property);
  return values.map((value) => orNull(() => canonicalise(value, column)));
};

function orNull(read: () => JsonValue): JsonValue {
  try {
    return read();
  } catch (error) {
    if (Refusal.isRefusal(error)) return null;
    throw error;
  }
}

const words = fc.string({ unit: 'grapheme' });
const days = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
const micros = fc
  .tuple(days, fc.integer({ min: 0, max: 999 }))
  .map(([at, rest]) => `${at.toISOString().slice(0, 23)}${String(rest).padStart(3, '0')}Z`);
/** Later than that, a number of seconds has no room for microseconds. */
const near = micros.filter((at) => at < '2200' && at > '1800');
const decimals = fc
  .tuple(fc.bigInt({ min: -(10n ** 17n), max: 10n ** 17n }), fc.integer({ min: 0, max: 99 }))
  .map(([left, right]) => `${left}.${String(right).padStart(2, '0')}`);
const wholes = fc.integer();
const bigs = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const doubles = fc.double({ noNaN: true, noDefaultInfinity: true });
const documents = fc.jsonValue({ maxDepth: 3 });
const dateCodec = codec(
  z.codec(z.string(), z.date(), { decode: (at) => new Date(at), encode: (at) => at.toISOString() }),
);

const CASES: readonly (readonly [string, z.ZodType, Property, FieldMapping, fc.Arbitrary<unknown>])[] = [
  ['text as it is', z.string(), 'text', field('a.b'), words],
  ['a UUID', z.uuid(), 'uuid', field('a.b'), fc.uuid()],
  ['trim', z.string(), 'text', field('a.b', trim), words.map((word) => word.trim())],
  ['lowercase', z.string(), 'text', field('a.b', lowercase), words.map((word) => word.toLowerCase())],
  ['toText of text', z.string(), 'text', field('a.b', toText), words],
  ['toText of numbers', z.number(), 'text', field('a.b', toText), wholes.map(String)],
  ['toText of booleans', z.boolean(), 'text', field('a.b', toText), fc.boolean().map(String)],
  ['a whole number', z.number(), 'whole', field('a.b'), wholes],
  ['a whole number that comes as text', z.string(), 'whole', field('a.b'), wholes],
  ['toNumber of text', z.string(), 'whole', field('a.b', toNumber), wholes],
  ['toNumber of text, into a decimal', z.string(), 'exact', field('a.b', toNumber), doubles],
  ['toNumber of numbers, into a real', z.number(), 'single', field('a.b', toNumber), fc.float({ noNaN: true })],
  ['a double', z.number(), 'double', field('a.b'), doubles],
  ['a double that comes as text', z.string(), 'double', field('a.b'), doubles],
  ['toBigint of text', z.string(), 'big', field('a.b', toBigint), bigs],
  ['toBigint of numbers', z.number(), 'big', field('a.b', toBigint), wholes],
  ['toDecimal of text', z.string(), 'amount', field('a.b', toDecimal), decimals],
  ['toDecimal of numbers', z.number(), 'exact', field('a.b', toDecimal), doubles],
  [
    'cents, as text where a number is too small',
    z.union([z.number(), z.string()]),
    'amount',
    field('a.b', cents),
    decimals,
  ],
  ['minorUnits', z.number(), 'exact', field('a.b', minorUnits(3)), wholes.map((units) => units / 8)],
  ['toBoolean of booleans', z.boolean(), 'isOn', field('a.b', toBoolean), fc.boolean()],
  ['toBoolean of numbers', z.number(), 'isOn', field('a.b', toBoolean), fc.boolean()],
  ['toBoolean of digits', z.enum(['0', '1']), 'isOn', field('a.b', toBoolean), fc.boolean()],
  ['oneOf', z.string(), 'text', field('a.b', oneOf({ x: 'one', y: 'two' })), fc.constantFrom('one', 'two')],
  ['oneOf of numbers', z.number(), 'whole', field('a.b', oneOf({ 10: 1, 20: 2 })), fc.constantFrom(1, 2)],
  ['isoDate', z.string(), 'at', field('a.b', isoDate), micros],
  ['isoDate with milliseconds', z.iso.datetime({ precision: 3 }), 'second', field('a.b', isoDate), micros],
  ['isoUtc', z.string(), 'at', field('a.b', isoUtc), micros],
  ['isoDay', z.iso.date(), 'day', field('a.b', isoDay), days],
  ['epochSeconds', z.number(), 'at', field('a.b', epochSeconds), near],
  ['epochSeconds of whole seconds', z.int(), 'second', field('a.b', epochSeconds), micros],
  ['epochSeconds of text', z.string(), 'at', field('a.b', epochSeconds), micros],
  ['epochMs', z.number(), 'at', field('a.b', epochMs), near],
  ['JSON as it is', z.unknown(), 'document', field('a.b'), documents],
  ['json', z.unknown(), 'document', field('a.b', json), documents],
  [
    'jsonText',
    z.unknown(),
    'text',
    field('a.b', jsonText),
    documents.filter((value) => value !== null).map((value) => jsonText.decode(value)),
  ],
  ['a codec of the user’s own', z.string(), 'second', field('a.b', dateCodec), micros],
];

test('what goes back comes again as it was, whatever the step, the source and the value', async (t) => {
  for (const [name, source, property, mapped, values] of CASES) {
    const definition = form(source, property, mapped);
    const target = describeTarget(definition);
    const { properties } = wayBackOf(definition);
    t.same(properties, [property], `${name} has a way back`);
    const unmap = prepareUnmap({ schema: definition.schema, mapping: definition.mapping, target, properties });
    const { schema, key, version, mapping } = definition;
    const mapper = createMapper({ integration: 'i', entity: 'e', schema, key, version, mapping, target });
    let held = 0;
    fc.assert(
      fc.property(stored(property, values), (value) => {
        const back = unmap({ [property]: value });
        if (!back.ok) throw new Error(`${name}: refused, expected ${back.expected}`);
        const forth = mapper.map({ id: '1', ...back.fields });
        if (forth.kind !== 'mapped') throw new Error(`${name}: ${JSON.stringify(back.fields)} is ${forth.kind}`);
        deepStrictEqual(forth.content[property], value, name);
        deepStrictEqual(back.returns[property], value, name);
        if (value !== null) held += 1;
      }),
      { numRuns: NUM_RUNS },
    );
    t.ok(held > NUM_RUNS / 10, `${name}: values were tried`);
  }
});
