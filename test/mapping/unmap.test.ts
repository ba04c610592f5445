import { bigint, boolean, date, integer, jsonb, numeric, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import type { EntityDefinition } from '../../src/define/definition.ts';
import { describeTarget } from '../../src/define/target.ts';
import { wayBackOf } from '../../src/define/way-back.ts';
import { constant, field, fields, required, syncedAt, withDefault } from '../../src/mapping/field.ts';
import { lookup } from '../../src/mapping/lookup.ts';
import { oneOf } from '../../src/mapping/transforms/choice.ts';
import { codec, json, jsonText, transform } from '../../src/mapping/transforms/custom.ts';
import { cents, toBigint, toBoolean, toDecimal, toNumber } from '../../src/mapping/transforms/number.ts';
import { concat, join, lowercase, toText, trim } from '../../src/mapping/transforms/text.ts';
import { epochSeconds, isoDate, isoDay } from '../../src/mapping/transforms/time.ts';
import { prepareUnmap } from '../../src/mapping/unmap.ts';
import { findOverlaps } from '../../src/mapping/way-back.ts';

const things = pgTable('things', {
  id: text('id').primaryKey(),
  a: text('a'),
  b: text('b'),
  amount: numeric('amount', { precision: 12, scale: 2 }),
  whole: integer('whole'),
  big: bigint('big', { mode: 'bigint' }),
  isOn: boolean('is_on'),
  at: timestamp('at', { withTimezone: true }),
  day: date('day'),
  document: jsonb('document'),
  syncedAt: timestamp('synced_at', { withTimezone: true }),
});

const schema = z.object({
  id: z.string(),
  revision: z.number(),
  text: z.string().nullish(),
  number: z.number().nullish(),
  either: z.union([z.string(), z.number()]),
  flag: z.boolean(),
  digit: z.enum(['0', '1']),
  stamp: z.string(),
  seconds: z.number(),
  day: z.iso.date(),
  lines: z.array(z.object({ sku: z.string() })),
  tags: z.array(z.string()).nullish(),
  address: z.object({ line1: z.string().nullish(), city: z.string().nullish() }).nullish(),
  metadata: z.looseObject({ tags: z.string().nullish() }).nullish(),
  upper: z.string().transform((value) => value.toUpperCase()),
  coerced: z.coerce.number(),
  anything: z.unknown(),
});

const formOf = (mapping: EntityDefinition['mapping'], change: Partial<EntityDefinition> = {}): EntityDefinition => ({
  schema,
  key: 'id',
  version: { kind: 'counter', field: 'revision' },
  read: { list: { path: '/things', items: '', pagination: { kind: 'none' } } },
  target: things,
  mapping: { id: field('id'), ...mapping },
  ...change,
});
const unmapOf = (mapping: EntityDefinition['mapping'], change: Partial<EntityDefinition> = {}) => {
  const form = formOf(mapping, change);
  const { properties } = wayBackOf(form);
  return prepareUnmap({ schema: form.schema, mapping: form.mapping, target: describeTarget(form), properties });
};
const fieldsOf = (mapping: EntityDefinition['mapping'], content: Parameters<ReturnType<typeof unmapOf>>[0]) => {
  const result = unmapOf(mapping)(content);
  return result.ok ? result.fields : { refused: result.property, expected: result.expected };
};
const reasonsOf = (mapping: EntityDefinition['mapping'], change: Partial<EntityDefinition> = {}) =>
  Object.fromEntries(wayBackOf(formOf(mapping, change)).readOnly);

test('each property goes back to its place, and nothing else is sent', async (t) => {
  const mapping = { a: field('metadata.tags'), b: field('text'), amount: field('number', cents), whole: constant(1) };
  t.strictSame(fieldsOf(mapping, { a: 'x, y' }), { metadata: { tags: 'x, y' } });
  t.strictSame(fieldsOf(mapping, { a: null, b: 'b', amount: '19.99' }), {
    metadata: { tags: null },
    text: 'b',
    number: 1999,
  });
  t.strictSame(fieldsOf(mapping, {}), {});
});

test('two properties within one object of the source share it', async (t) => {
  const mapping = { a: field('address.line1'), b: field('address.city') };
  t.strictSame(fieldsOf(mapping, { a: '1', b: null }), { address: { line1: '1', city: null } });
});

test('a key that looks like a prototype stays a key', async (t) => {
  const made = unmapOf(
    { a: field('__proto__.x') },
    { schema: z.looseObject({ id: z.string(), revision: z.number() }) },
  )({ a: 'v' });
  t.equal(made.ok && JSON.stringify(made.fields), '{"__proto__":{"x":"v"}}');
});

test('what has no way back is read-only, and told why', async (t) => {
  const reasons = reasonsOf({
    a: fields(['address.line1', 'address.city'], concat(' ')),
    b: field('tags', join(', ')),
    amount: constant(1),
    whole: field('revision'),
    big: field('coerced', toBigint),
    isOn: field('text', toBoolean),
    at: field('lines.0.sku', isoDate),
    day: field('stamp', isoDay),
    document: field('address'),
    syncedAt: syncedAt(),
  });
  t.strictSame(reasons, {
    id: "it is the record's id",
    a: 'it is made of several fields',
    b: 'join has no way back',
    amount: 'it is the same in every row',
    whole: "the source alone sets the record's version",
    big: 'the schema changes it on the way in: a codec in the mapping can go both ways',
    isOn: 'the schema takes several forms that toBoolean reads, and does not tell which one the source writes',
    at: 'it stands within a list',
    day: 'the schema takes several forms that isoDay reads, and does not tell which one the source writes',
    document: 'the schema drops keys in it, which the source would lose: z.looseObject keeps them',
  });
  const more = reasonsOf(
    {
      a: field('upper'),
      b: field('text', lookup('users', { by: 'id', take: 'name' })),
      big: field('id', toBigint),
      document: field('', json),
      isOn: field('flag'),
      whole: field(
        'number',
        transform((value: number) => value + 1),
      ),
      amount: field('number', codec(z.number().transform((value) => value + 1))),
      at: field('stamp', isoDate),
    },
    { deletes: { marker: { field: 'flag', equals: true } }, write: { readOnly: ['at'] } },
  );
  t.match(more, {
    a: /schema changes it/,
    b: 'lookup has no way back',
    big: "the source alone sets the record's id",
    document: 'it is the whole record',
    isOn: 'the source alone sets the mark of deletion',
    whole: 'transform has no way back',
    amount: 'codec has no way back: its schema holds a one-way transform',
    at: 'the definition says so',
  });
});

test('a value is written as the schema declares that the source writes it', async (t) => {
  const all = { a: field('number', toText), b: field('text', toText), whole: field('text', toNumber) };
  t.strictSame(fieldsOf(all, { a: '12.5', b: '12.5', whole: 3 }), { number: 12.5, text: '3' }, 'the last one stands');
  t.strictSame(fieldsOf({ whole: field('digit', oneOf({ 0: 5, 1: 6 })) }, { whole: 6 }), { digit: '1' });
  t.strictSame(fieldsOf({ a: field('seconds', oneOf({ 1: 'one', 2: 'two' })) }, { a: 'two' }), { seconds: 2 });
  t.strictSame(fieldsOf({ isOn: field('digit', toBoolean) }, { isOn: false }), { digit: '0' });
  t.strictSame(fieldsOf({ isOn: field('flag', toBoolean) }, { isOn: false }), { flag: false });
  t.strictSame(fieldsOf({ isOn: field('number', toBoolean) }, { isOn: true }), { number: 1 });
  t.strictSame(fieldsOf({ amount: field('number') }, { amount: '0.1' }), { number: 0.1 });
  t.strictSame(fieldsOf({ amount: field('text', toDecimal) }, { amount: '0.1' }), { text: '0.1' });
  t.strictSame(fieldsOf({ big: field('text', toBigint) }, { big: '9007199254740993' }), { text: '9007199254740993' });
  t.strictSame(fieldsOf({ at: field('seconds', epochSeconds) }, { at: '2024-01-01T00:00:00Z' }), {
    seconds: 1704067200,
  });
  t.strictSame(fieldsOf({ day: field('day', isoDay) }, { day: '2024-02-29' }), { day: '2024-02-29' });
});

test('a codec of the user’s own gets what drizzle inserts, where it does not take the canonical text', async (t) => {
  const asDate = codec(
    z.codec(z.string(), z.date(), { decode: (value) => new Date(value), encode: (value) => value.toISOString() }),
  );
  const asNumber = codec(z.codec(z.string(), z.number(), { decode: Number, encode: (value) => `n${value}` }));
  const asBigint = codec(z.codec(z.string(), z.bigint(), { decode: BigInt, encode: (value) => `${value}` }));
  t.strictSame(fieldsOf({ at: field('stamp', asDate) }, { at: '2024-01-01T00:00:00Z' }), {
    stamp: '2024-01-01T00:00:00.000Z',
  });
  t.strictSame(fieldsOf({ big: field('stamp', asBigint) }, { big: 5 }), { stamp: '5' });
  t.match(
    fieldsOf({ amount: field('stamp', asNumber) }, { amount: '1.5' }),
    { refused: 'amount' },
    'n1.5 is no number',
  );
});

test('a value that no name gives back is refused by property, with what would do', async (t) => {
  const status = oneOf({ active: 'enabled', closed: 'off', gone: 'off' }, { otherwise: 'unknown' });
  const unmap = unmapOf({ a: field('text', status), b: field('stamp') });
  t.strictSame(unmap({ b: 'fine', a: 'unknown' }), {
    ok: false,
    property: 'a',
    expected: 'one of enabled, each of which one name gives',
  });
  t.match(unmap({ a: 'off' }), { ok: false });
  t.match(unmap({ a: 'enabled' }), { ok: true, fields: { text: 'active' } });
});

test('what the mapping or the schema would refuse is not sent', async (t) => {
  t.match(fieldsOf({ a: field('text', required) }, { a: null }), { refused: 'a', expected: /^a value/ });
  t.match(fieldsOf({ a: field('stamp') }, { a: null }), { refused: 'a', expected: /no null/ });
  t.match(fieldsOf({ a: field('seconds', toText) }, { a: 'secret' }), { refused: 'a', expected: /schema/ });
  t.match(fieldsOf({ a: field('stamp', isoDate) }, { a: 'secret' }), { refused: 'a', expected: /ISO 8601/ });
  t.match(fieldsOf({ a: field('anything', jsonText) }, { a: 'null' }), { refused: 'a' });
  t.match(fieldsOf({ a: field('anything', jsonText) }, { a: '[12345678901234567890]' }), { refused: 'a' });
  t.match(fieldsOf({ a: field('anything', jsonText) }, { a: '{"secret' }), { refused: 'a', expected: 'JSON' });
});

test('what will come back is told, where a step settles on one spelling or a default stands in', async (t) => {
  const unmap = unmapOf({ a: field('text', trim, lowercase), whole: field('number', withDefault(7)) });
  t.strictSame(unmap({ a: ' Ab ', whole: null }), {
    ok: true,
    fields: { text: ' Ab ', number: null },
    returns: { a: 'ab', whole: 7 },
  });
});

test('properties that would write the same place are found', async (t) => {
  const { mapping } = formOf({
    a: field('text'),
    b: field('text'),
    document: field('metadata'),
    whole: field('number'),
  });
  t.strictSame(findOverlaps(mapping, ['a', 'b', 'document', 'whole']), [{ outer: 'a', inner: 'b' }]);
  const nested = formOf({ a: field('metadata.tags'), document: field('metadata'), b: field('metadata_tags') }).mapping;
  t.strictSame(findOverlaps(nested, ['a', 'document', 'b']), [{ outer: 'document', inner: 'a' }]);
});
