import { bigint, boolean, date, integer, jsonb, numeric, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { entity } from '../../src/define/define.ts';
import { constant, deletedAt, field, fields, required, syncedAt, withDefault } from '../../src/mapping/field.ts';
import { lookup } from '../../src/mapping/lookup.ts';
import { oneOf } from '../../src/mapping/transforms/choice.ts';
import { codec, json, jsonText, transform } from '../../src/mapping/transforms/custom.ts';
import { cents, toBigint, toDecimal } from '../../src/mapping/transforms/number.ts';
import { concat, join, lowercase, toText, trim } from '../../src/mapping/transforms/text.ts';
import { epochSeconds, isoDate, isoDay } from '../../src/mapping/transforms/time.ts';

// The compiler is the test: a line under `@ts-expect-error` that compiles fails the type check, and so does a valid line
// that does not. At run time only the shapes are looked at.

const customers = pgTable('customers', {
  id: text('id').primaryKey(),
  email: text('email'),
  createdAt: timestamp('created_at', { withTimezone: true }),
  day: date('day'),
  amount: numeric('amount', { precision: 10, scale: 2 }),
  orders: integer('orders'),
  views: bigint('views', { mode: 'bigint' }),
  status: text('status', { enum: ['enabled', 'disabled', 'unknown'] }),
  tags: text('tags'),
  labels: jsonb('labels').$type<string[]>(),
  metadata: jsonb('metadata'),
  isActive: boolean('is_active'),
  syncedAt: timestamp('synced_at', { withTimezone: true, mode: 'string' }),
  deletedAt: timestamp('deleted_at', { withTimezone: true }),
  source: text('source').notNull().default('none'),
  serial: integer('serial').generatedAlwaysAsIdentity(),
});
const strict = pgTable('strict', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  goneAt: timestamp('gone_at').notNull().defaultNow(),
});

const schema = z.object({
  id: z.string(),
  email: z.string().nullish(),
  created: z.number(),
  created_at: z.string(),
  cents: z.number(),
  orders: z.number().nullable(),
  status: z.string(),
  tags: z.array(z.string()),
  active: z.boolean(),
  address: z.object({ line1: z.string().nullable(), line2: z.string().optional() }).optional(),
  lines: z.array(z.object({ sku: z.string(), count: z.number() })),
  metadata: z.record(z.string(), z.string()),
  anything: z.unknown(),
});

const read = { list: { path: '/customers', items: 'data', pagination: { kind: 'none' } } } as const;
const base = { schema, key: 'id', version: { kind: 'none' }, read, target: customers } as const;
const id = field('id');

test('a mapping that fits its table and schema compiles', async (t) => {
  const made = entity({
    schema,
    key: 'id',
    version: { kind: 'timestamp', field: 'created_at', precision: 'second' },
    only: (record) => record.active && record.tags.length > 0,
    read,
    deletes: { marker: { field: 'deleted', equals: true } },
    target: customers,
    targetKey: 'id',
    mapping: {
      id,
      email: field('email', lowercase, trim),
      createdAt: field('created', epochSeconds),
      day: field('created_at', isoDay),
      amount: field('cents', cents),
      orders: field('orders', withDefault(0)),
      views: field('cents', toBigint),
      status: field('status', oneOf({ active: 'enabled', inactive: 'disabled' }, { otherwise: 'unknown' })),
      tags: field('tags', join(', ')),
      labels: field('tags'),
      metadata: field('metadata'),
      isActive: field('active', required),
      syncedAt: syncedAt(),
      deletedAt: deletedAt(),
      source: constant('shop'),
    },
  });
  t.equal(made.mapping.email?.kind, 'field');

  entity({ ...base, mapping: { id, createdAt: field('created_at', isoDate), syncedAt: field('created_at') } });
  entity({ ...base, mapping: { id, email: fields(['address.line1', 'address.line2'], concat(' ')) } });
  entity({ ...base, mapping: { id, email: field('lines.0.sku') } });
  entity({ ...base, mapping: { id, email: field('lines[0].sku') } });
  entity({ ...base, mapping: { id, email: field('metadata.any_key') } });
  entity({ ...base, mapping: { id, email: field('anything.at.all'), orders: field('anything') } });
  entity({ ...base, mapping: { id, email: field('created', toText), amount: field('created', toDecimal) } });
  entity({ ...base, mapping: { id, email: field('metadata', jsonText), metadata: field('tags', json) } });
  entity({
    ...base,
    mapping: {
      id,
      orders: field(
        'lines',
        transform((lines: readonly { count: number }[]) => lines.length),
      ),
    },
  });
  entity({
    ...base,
    mapping: {
      id,
      orders: field('status', codec(z.codec(z.string(), z.number(), { decode: Number, encode: String }))),
    },
  });
  entity({ ...base, mapping: { id, email: constant(null), labels: constant(['a']) } });
  entity({ ...base, schema: z.looseObject({ id: z.string() }), mapping: { id, email: field('undeclared') } });
  entity({
    ...base,
    schema: z.union([z.object({ id: z.string(), a: z.string() }), z.object({ id: z.string() })]),
    mapping: { id, email: field('a') },
  });
  t.throws(
    () =>
      entity(
        Object.create(null, {
          mapping: {
            get: () => {
              throw new Error('read');
            },
          },
        }),
      ).mapping,
  );
});

test('a column that the table does not have does not compile', async (t) => {
  // @ts-expect-error: no column emial
  const made = entity({ ...base, mapping: { id, emial: field('email') } });
  // @ts-expect-error: the database writes identity columns
  entity({ ...base, mapping: { id, serial: field('orders') } });
  t.ok(made);
});

test('a path that the schema does not have does not compile', async (t) => {
  // @ts-expect-error: emial
  const made = entity({ ...base, mapping: { id, email: field('emial') } });
  // @ts-expect-error: address.line3
  entity({ ...base, mapping: { id, email: field('address.line3') } });
  // @ts-expect-error: beyond a text
  entity({ ...base, mapping: { id, email: field('email.local') } });
  // @ts-expect-error: a list has indexes
  entity({ ...base, mapping: { id, email: field('lines.sku') } });
  // @ts-expect-error: one of several
  entity({ ...base, mapping: { id, email: fields(['address.line1', 'address.line3'], concat(' ')) } });
  // @ts-expect-error: the key
  entity({ ...base, key: 'uid', mapping: { id } });
  // @ts-expect-error: the version
  entity({ ...base, version: { kind: 'timestamp', field: 'updated_at' }, mapping: { id } });
  // @ts-expect-error: only sees what the schema gives
  entity({ ...base, only: (record) => record.isActive, mapping: { id } });
  // @ts-expect-error: a property that is not mapped cannot be the key
  entity({ ...base, targetKey: 'email', mapping: { id } });
  t.ok(made);
});

test('a value of the wrong type does not compile', async (t) => {
  // @ts-expect-error: number into text
  const made = entity({ ...base, mapping: { id, email: field('cents') } });
  // @ts-expect-error: text into integer
  entity({ ...base, mapping: { id, orders: field('email') } });
  // @ts-expect-error: cents are a decimal number
  entity({ ...base, mapping: { id, orders: field('cents', cents) } });
  // @ts-expect-error: a text is no time before isoDate
  entity({ ...base, mapping: { id, createdAt: field('created_at') } });
  // @ts-expect-error: a day is no time
  entity({ ...base, mapping: { id, createdAt: field('created_at', isoDay) } });
  // @ts-expect-error: epochSeconds takes no boolean
  entity({ ...base, mapping: { id, createdAt: field('active', epochSeconds) } });
  // @ts-expect-error: lowercase takes no number
  entity({ ...base, mapping: { id, email: field('cents', lowercase) } });
  // @ts-expect-error: cents take no list (steps in the wrong order)
  entity({ ...base, mapping: { id, amount: field('tags', cents, join(',')) } });
  // @ts-expect-error: not one of the column's words
  entity({ ...base, mapping: { id, status: field('status', oneOf({ active: 'on' })) } });
  // @ts-expect-error: a default of another type
  entity({ ...base, mapping: { id, orders: field('orders', withDefault('none')) } });
  // @ts-expect-error: a constant of another type
  entity({ ...base, mapping: { id, email: constant(1) } });
  // @ts-expect-error: numbers are no list of texts
  entity({ ...base, mapping: { id, labels: field('lines') } });
  // @ts-expect-error: a stamp is a time
  entity({ ...base, mapping: { id, orders: syncedAt() } });
  const lengthOf = transform((email: string) => email.length);
  // @ts-expect-error: a function whose result is a number
  entity({ ...base, mapping: { id, email: field('email', lengthOf) } });
  t.ok(made);
});

test('a column that cannot be null must be mapped, and never to null', async (t) => {
  // @ts-expect-error: name is missing
  const made = entity({ ...base, target: strict, mapping: { id } });
  // @ts-expect-error: null
  entity({ ...base, target: strict, mapping: { id, name: constant(null) } });
  // @ts-expect-error: it is null while the record lives
  entity({ ...base, target: strict, mapping: { id, name: field('status'), goneAt: deletedAt() } });
  entity({ ...base, target: strict, mapping: { id, name: field('email'), goneAt: field('created', epochSeconds) } });
  t.ok(made);
});

test('a lookup fits into a column as what it takes', async (t) => {
  const users = { by: 'id', take: 'name' } as const;
  const made = entity({ ...base, mapping: { id, email: field('status', lookup('users', users)) } });
  entity({ ...base, mapping: { id, email: field('cents', lookup('users', users), trim, lowercase) } });
  entity({ ...base, mapping: { id, orders: field('status', lookup('users', { ...users, as: z.number() })) } });
  entity({
    ...base,
    mapping: {
      id,
      status: field('status', lookup('users', { ...users, as: z.enum(['enabled']), otherwise: 'unknown' })),
    },
  });
  // @ts-expect-error: text into integer
  entity({ ...base, mapping: { id, orders: field('status', lookup('users', users)) } });
  // @ts-expect-error: a list is no id
  entity({ ...base, mapping: { id, email: field('tags', lookup('users', users)) } });
  // @ts-expect-error: what stands in is a number
  entity({ ...base, mapping: { id, email: field('status', lookup('users', { ...users, otherwise: 0 })) } });
  // @ts-expect-error: a number into text
  entity({ ...base, mapping: { id, email: field('status', lookup('users', { ...users, as: z.number() })) } });
  t.ok(made);
});

test('a write that names a property which the mapping lacks does not compile', async (t) => {
  const two = { ...base, mapping: { id, email: field('email') } };
  const update = { path: '/customers/{id}' };
  entity({ ...two, write: { update, fields: { email: 'manual' }, readOnly: ['email'], createOnly: ['id'] } });
  entity({ ...two, write: { update, conflict: { merge: 'target_wins' }, debounce: '1s' } });
  // @ts-expect-error the table has it, the mapping does not
  entity({ ...two, write: { update, fields: { orders: 'manual' } } });
  // @ts-expect-error a typing error
  entity({ ...two, write: { update, readOnly: ['emial'] } });
  // @ts-expect-error a typing error
  entity({ ...two, write: { update, createOnly: ['emial'] } });
  // @ts-expect-error no such policy
  entity({ ...two, write: { update, conflict: 'last_wins' } });
  // @ts-expect-error merge has no policy to fall back to but the others
  entity({ ...two, write: { update, conflict: { merge: 'merge' } } });
  // @ts-expect-error a create has no version to be bound to
  entity({ ...two, write: { create: { path: '/customers', ifMatch: true } } });
  // @ts-expect-error a delete sends no fields
  entity({ ...two, write: { delete: { ...update, sends: 'record' } } });
  // @ts-expect-error no unit
  entity({ ...two, write: { update, debounce: '200' } });
  t.pass('the compiler has spoken');
});
