import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { checkConfig } from '../../src/define/check-config.ts';
import { entity } from '../../src/define/define.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { constant, deletedAt, field, fields } from '../../src/mapping/field.ts';
import { concat, join, lowercase, toText, trim } from '../../src/mapping/transforms/text.ts';
import { isoDate } from '../../src/mapping/transforms/time.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';

const customers = pgTable('customers', {
  id: text('id').primaryKey(),
  email: text('email'),
  name: text('name'),
  tags: text('tags'),
  address: text('address'),
  orders: integer('orders'),
  origin: text('origin'),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
  deletedAt: timestamp('deleted_at', { withTimezone: true }),
});

const write = {
  update: { path: '/customers/{id}', ifMatch: true },
  create: { path: '/customers' },
  delete: { path: '/customers/{id}' },
  conflict: 'merge',
  fields: { email: 'manual', name: { merge: 'newest_wins' } },
  idempotency: { header: 'Idempotency-Key', ttl: '12h' },
  marker: { field: 'metadata.sync', searchParam: 'sync' },
} satisfies WriteDefinition;

const form = entity({
  schema: z.object({
    id: z.string(),
    email: z.string().nullish(),
    name: z.string(),
    tags: z.array(z.string()),
    line1: z.string(),
    line2: z.string(),
    orders: z.number(),
    updated_at: z.string(),
  }),
  key: 'id',
  version: { kind: 'timestamp', field: 'updated_at' },
  read: {
    list: { path: '/customers', items: 'data', pagination: cursor({ param: 'after', next: 'next' }) },
    get: { path: '/customers/{id}', record: 'data' },
  },
  target: customers,
  mapping: {
    id: field('id'),
    email: field('email', trim, lowercase),
    name: field('name'),
    tags: field('tags', join(', ')),
    address: fields(['line1', 'line2'], concat(' ')),
    orders: field('orders'),
    origin: constant('shop'),
    updatedAt: field('updated_at', isoDate),
    deletedAt: deletedAt(),
  },
  write,
});

const W = 'write';
/** By path within the entity. */
const problemsOf = (change: object): Record<string, string> => {
  const source = { baseUrl: 'https://shop.example', params: { owner: 'me' } };
  const customer = { ...form, ...change };
  const result = checkConfig({ integrations: [{ name: 'shop', source, entities: { customer } }] }, {});
  if (result.ok) return {};
  const inside = 'integrations[0].entities.customer.';
  return Object.fromEntries(result.problems.map(({ path, problem }) => [path.replace(inside, ''), problem]));
};
const withWrite = (change: object) => problemsOf({ write: { ...write, ...change } });

test('a two-way entity that fits together is sound, also with a table that keeps deleted rows', async (t) => {
  t.strictSame(problemsOf({}), {});
  t.strictSame(withWrite({ create: undefined, marker: undefined }), {});
  t.strictSame(withWrite({ localDeletes: 'push', mode: 'source-first', debounce: '0s', adopt: 'target_wins' }), {});
  t.strictSame(withWrite({ massDelete: { maxShare: 0.5 }, budget: { calls: 5, per: '1m' }, clockSkew: '5s' }), {});
  t.strictSame(withWrite({ readOnly: ['name'], createOnly: ['orders'], fields: {}, onUnknownCreate: 'retry' }), {});
  t.strictSame(withWrite({ update: { path: '/x/{owner}/{id}', sends: 'record', bodyAt: 'data', body: { v: 1 } } }), {});
});

test('a write of nothing, or without reads by id, is told with the way out', async (t) => {
  t.match(problemsOf({ write: {} })[W], /at least one of update, create and delete/);
  t.match(problemsOf({ read: { list: form.read.list } })[W], /needs read\.get/);
});

test('what a kind of write lacks, or cannot have, is told at its place', async (t) => {
  const cases: [object, string, RegExp][] = [
    [{ update: { path: '/customers' } }, `${W}.update.path`, /expected `\{id\}`/],
    [{ update: { path: '/x/{shop}/{id}' } }, `${W}.update.path`, /\{shop\} has no value/],
    [{ update: { path: '/x/{id}', method: 'DELETE' } }, `${W}.update.method`, /expected one of/],
    [{ update: { path: '/x/{id}', ifMatch: 'version' } }, `${W}.update.ifMatch`, /a counter.*'etag'/],
    [{ update: { path: '/x/{id}', record: 'a', answers: 'nothing' } }, `${W}.update.record`, /beside answers/],
    [{ update: { path: '/x/{id}', nulls: 'omit' } }, `${W}.update.nulls`, /no option/],
    [{ create: { path: '/x/{id}' } }, `${W}.create.path`, /the source gives the record its id/],
    [{ create: { path: '/x', id: 'id', record: 'data' } }, `${W}.create.id`, /beside `record`/],
    [{ create: { path: '/x', ifMatch: true } }, `${W}.create.ifMatch`, /no option/],
    [{ delete: { path: '/x' } }, `${W}.delete.path`, /expected `\{id\}`/],
    [{ delete: { path: '/x/{id}', sends: 'record' } }, `${W}.delete.sends`, /no option/],
    [{ localDeletes: 'push', delete: undefined }, `${W}.localDeletes`, /needs write\.delete/],
    [{ conflict: 'last_wins' }, `${W}.conflict`, /expected one of/],
    [{ conflict: { merge: 'merge' } }, `${W}.conflict`, /expected one of/],
    [{ debounce: '2h' }, `${W}.debounce`, /up to 1h/],
    [{ idempotency: { header: 'x-key', ttl: '0s' } }, `${W}.idempotency.ttl`, /over 0/],
    [{ budget: { calls: 0, per: '10m' } }, `${W}.budget.calls`, /./],
    [{ confilct: 'manual' }, `${W}.confilct`, /no option here/],
  ];
  for (const [change, path, problem] of cases) t.match(withWrite(change)[path], problem, path);
});

test('a word that is none of the choices is told with the choices and its kind, and never repeated', async (t) => {
  const cases: [object, string, string][] = [
    [{ adopt: 'secret' }, 'adopt', 'expected one of source_wins, target_wins, got string'],
    [{ mode: 'secret' }, 'mode', 'expected one of target-first, source-first, got string'],
    [{ mode: null }, 'mode', 'expected one of target-first, source-first, got null'],
    [{ localDeletes: 7 }, 'localDeletes', 'expected one of restore, push, detach, got number'],
    [
      { update: { path: '/x/{id}', method: 'secret' } },
      'update.method',
      'expected one of PATCH, PUT, POST, got string',
    ],
    [
      { update: { path: '/x/{id}', ifMatch: 'secret' } },
      'update.ifMatch',
      'expected boolean or one of etag, version, got string',
    ],
    [{ massDelete: { maxShare: 7 } }, 'massDelete.maxShare', 'expected a number of at most 1, got number'],
    [{ massDelete: { minimum: 1.5 } }, 'massDelete.minimum', 'expected a whole number, got number'],
    [{ massDelete: 'secret' }, 'massDelete', 'expected object, got string'],
    [{ budget: { calls: 0, per: '10m' } }, 'budget.calls', 'expected a number of at least 1, got number'],
    [{ budget: { calls: 5 } }, 'budget.per', 'expected a duration from 1s to 1d, such as 10m'],
    [{ onUnknownCreate: 'secret' }, 'onUnknownCreate', 'expected one of park, retry, got string'],
  ];
  for (const [change, inside, problem] of cases) t.same(withWrite(change), { [`${W}.${inside}`]: problem });
  t.same(problemsOf({ version: { kind: 'secret' } })['version.kind'], 'expected one of timestamp, counter, none');
});

test('the newest value wins only where the source tells when it changed something', async (t) => {
  const version = { kind: 'none' };
  t.match(problemsOf({ version })[`${W}.fields.name`], /needs a version that is a timestamp.*'none'/);
  t.match(problemsOf({ version, write: { ...write, conflict: 'newest_wins' } })[`${W}.conflict`], /timestamp/);
});

test('a property of a list or policy must be there, and be one that is sent', async (t) => {
  const found = withWrite({
    fields: { nope: 'manual', tags: 'manual' },
    readOnly: ['nothing'],
    createOnly: ['email', 'address'],
  });
  t.match(found, {
    [`${W}.fields.nope`]: /no property of this name/,
    [`${W}.fields.tags`]: /read-only.*join has no way back/,
    [`${W}.readOnly[0]`]: /no property of this name/,
    [`${W}.createOnly[1]`]: /read-only: it is made of several fields/,
  });
  t.match(withWrite({ create: undefined, marker: undefined, createOnly: ['email'] }), {
    [`${W}.createOnly`]: 'needs write.create',
  });
});

test('an entity of which nothing can be sent is told why, property by property', async (t) => {
  const found = problemsOf({
    mapping: { id: field('id'), tags: field('tags', join(', ')) },
    write: { update: write.update },
  });
  t.match(found[W], /sends nothing.*id: it is the record's id; tags: join has no way back/);
  t.strictSame(
    problemsOf({ mapping: { id: field('id') }, write: { delete: write.delete } }),
    {},
    'a delete needs none',
  );
});

test('two properties that would write one place are told, unless one is read-only', async (t) => {
  const mapping = { ...form.mapping, address: field('name') };
  t.match(problemsOf({ mapping })[W], /name and address would write the same place/);
  t.strictSame(problemsOf({ mapping, write: { ...write, readOnly: ['address'] } }), {});
});

test('a constant of the body, or the marker, where a property goes is told', async (t) => {
  const body = { data: { name: 'x' } };
  t.match(withWrite({ update: { path: '/x/{id}', bodyAt: 'data', body } }), {
    [`${W}.update.body`]: /a constant where name goes/,
  });
  t.match(withWrite({ update: { path: '/x/{id}', bodyAt: 'data', body: { data: 'x' } } }), {
    [`${W}.update.body`]: /leads into a string of the body/,
  });
  t.match(withWrite({ marker: { field: 'name' } }), { [`${W}.marker.field`]: /is where name goes as well/ });
});

test('the header of the idempotency key carries nothing else', async (t) => {
  const words = /carries something else already/;
  t.match(withWrite({ idempotency: { header: 'If-Match' } })[`${W}.idempotency.header`], words);
  const create = { path: '/customers', headers: { 'X-Key': 'fixed' } };
  t.match(withWrite({ create, idempotency: { header: 'x-key' } })[`${W}.idempotency.header`], words);
});

test('what only creates have is told where there are none', async (t) => {
  const found = withWrite({ create: undefined, onUnknownCreate: 'retry' });
  t.match(found[`${W}.marker`], /no write\.create/);
  t.match(found[`${W}.onUnknownCreate`], /no write\.create/);
});

test('a create whose answer shows nothing needs another way to the new record', async (t) => {
  const create = { path: '/customers', answers: 'nothing' };
  t.match(withWrite({ create, marker: { field: 'metadata.sync' } })[`${W}.create.answers`], /create\.id, or a marker/);
  t.strictSame(withWrite({ create }), {}, 'a search by the marker');
  t.strictSame(withWrite({ create: { path: '/customers', id: 'data.id' }, marker: undefined }), {}, 'the id alone');
});

test('GraphQL variables that the document does not declare are told', async (t) => {
  const query = 'mutation ($id: ID!, $input: In!) { update(id: $id, input: $input) { id } }';
  const graphql = { query, idVariable: 'id', fieldsVariable: 'input' };
  const update = { path: '/graphql', record: 'data.update', graphql };
  t.strictSame(withWrite({ update }), {});
  t.strictSame(withWrite({ update: { ...update, graphql: { ...graphql, idVariable: 'input.id' } } }), {});
  t.match(withWrite({ update: { ...update, graphql: { ...graphql, idVariable: 'key' } } }), {
    [`${W}.update.graphql.idVariable`]: /no variable \$key/,
  });
  t.match(withWrite({ update: { ...update, graphql: { query, idVariable: 'id' } } }), {
    [`${W}.update.graphql.query`]: /no variable \$/,
  });
  t.match(withWrite({ update: { path: '/graphql', graphql, method: 'PUT', bodyAt: 'x' } }), {
    [`${W}.update.record`]: /is missing/,
    [`${W}.update.method`]: /sent as POST/,
    [`${W}.update.bodyAt`]: /fieldsVariable/,
  });
  t.match(withWrite({ update: { ...update, path: '/graphql/{id}' } }), { [`${W}.update.path`]: /idVariable/ });
});

test('the key must find its row by the record’s id alone', async (t) => {
  const words = /so that each record has a row of its own/;
  const lower = { ...form.mapping, id: field('id', lowercase) };
  t.match(problemsOf({ mapping: lower })['mapping.id'], words);
  const byName = { ...form.mapping, id: field('name'), name: field('email'), email: field('id') };
  t.match(problemsOf({ mapping: byName, targetKey: 'id' })['mapping.id'], words);
  t.strictSame(problemsOf({ mapping: { ...form.mapping, id: field('id', toText) } }), {});
});

test('a mirror is asked for none of this', async (t) => {
  t.strictSame(problemsOf({ write: undefined, read: { list: form.read.list } }), {});
});
