import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { entity } from '../../src/define/define.ts';
import { describeTarget } from '../../src/define/target.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { constant, field } from '../../src/mapping/field.ts';
import { lowercase } from '../../src/mapping/transforms/text.ts';
import type { Content } from '../../src/model/observation.ts';
import type { PushOp } from '../../src/model/push.ts';
import { prepareTwoWay } from '../../src/sync/prepare-two-way.ts';
import { makePushRequest } from '../../src/sync/push-request.ts';
import type { TwoWay } from '../../src/sync/two-way.ts';

const people = pgTable('people', {
  id: text('id').primaryKey(),
  name: text('name'),
  email: text('email'),
  tags: text('tags'),
  visits: integer('visits'),
  origin: text('origin'),
});

const prepared = (write: WriteDefinition<'name' | 'email' | 'tags' | 'visits'>): TwoWay => {
  const form = entity({
    schema: z.object({
      id: z.string(),
      name: z.string().nullish(),
      email: z.string().nullish(),
      metadata: z.looseObject({ tags: z.string().nullish() }).nullish(),
      visits: z.number().nullish(),
    }),
    key: 'id',
    version: { kind: 'none' },
    read: {
      list: { path: '/people', items: '', pagination: { kind: 'none' } },
      get: { path: '/people/{id}', record: 'data' },
    },
    target: people,
    mapping: {
      id: field('id'),
      name: field('name'),
      email: field('email', lowercase),
      tags: field('metadata.tags'),
      visits: field('visits'),
      origin: constant('crm'),
    },
    write,
  });
  const twoWay = prepareTwoWay(form, describeTarget(form));
  if (twoWay === null) throw new TypeError('It has a write');
  return twoWay;
};

const update = { path: '/people/{id}' };
const create = { path: '/people' };
const made = (twoWay: TwoWay, op: PushOp, content: Content | null) => {
  const externalId = op === 'create' ? null : 'p1';
  const result = makePushRequest(twoWay, { op, externalId, content, ifMatch: null, tokenId: 'token' });
  if (!result.ok) throw new Error(result.words);
  return result;
};
const bodyOf = (twoWay: TwoWay, op: PushOp, content: Content | null): unknown => {
  const { body } = made(twoWay, op, content).request;
  return body === null ? null : JSON.parse(body);
};

test('what a definition leaves out has the defaults that the documents tell', async (t) => {
  const { writes, ...rest } = prepared({ update, create, delete: update });
  t.match(rest, {
    mode: 'target-first',
    recordPolicy: 'source_wins',
    comparesTimes: false,
    adopt: 'source_wins',
    localDeletes: 'restore',
    massDelete: { maxShare: 0.1, minimum: 20 },
    idempotency: null,
    marker: null,
    mayDuplicateCreates: false,
    debounceMs: 200,
    budget: { calls: 10, perMs: 600_000 },
    clockSkewMs: 2_000,
    constants: { origin: 'crm' },
  });
  t.match(writes, {
    update: { method: 'PATCH', sends: 'changes', nulls: 'send', recordAt: 'data', ifMatch: null },
    create: { method: 'POST', sends: 'record', nulls: 'omit', recordAt: 'data', idAt: null },
    delete: { method: 'DELETE', recordAt: null, ifMatch: null },
  });
  t.equal(prepared({ update, idempotency: { header: 'X-Key' } }).idempotency?.ttlMs, 86_400_000);
});

test('each property has its own policy, else the entity’s, and merge stands for its fallback', async (t) => {
  const { policyOf, recordPolicy, comparesTimes } = prepared({
    update,
    conflict: { merge: 'target_wins' },
    fields: { name: 'manual', email: 'merge', tags: { merge: 'newest_wins' } },
  });
  t.strictSame(['name', 'email', 'tags', 'visits'].map(policyOf), [
    'manual',
    'source_wins',
    'newest_wins',
    'target_wins',
  ]);
  t.equal(recordPolicy, 'target_wins');
  t.equal(comparesTimes, true);
});

test('edits go only where the source takes updates, and new rows where it takes creates', async (t) => {
  const sent = ({ writable, creatable }: TwoWay) => [[...writable], [...creatable]];
  const all = ['name', 'email', 'tags', 'visits'];
  t.strictSame(sent(prepared({ update, create })), [all, all]);
  t.strictSame(sent(prepared({ update })), [all, []]);
  t.strictSame(sent(prepared({ create })), [[], all]);
  t.strictSame(sent(prepared({ update, create, readOnly: ['tags'], createOnly: ['name'] })), [
    ['email', 'visits'],
    ['name', 'email', 'visits'],
  ]);
});

test('a request sends the edited places, nested, beside constants of any depth', async (t) => {
  const twoWay = prepared({ update: { ...update, bodyAt: 'data', body: { data: { metadata: { by: 'us' } }, v: 2 } } });
  t.strictSame(bodyOf(twoWay, 'update', { tags: 'a', name: null }), {
    data: { metadata: { by: 'us', tags: 'a' }, name: null },
    v: 2,
  });
  t.strictSame(bodyOf(prepared({ delete: update }), 'delete', null), null);
  t.strictSame(bodyOf(prepared({ delete: { ...update, body: { archived: true } } }), 'delete', null), {
    archived: true,
  });
});

test('a create leaves out what is null, and carries its marker among the fields', async (t) => {
  const row = { name: 'Ann', email: null, tags: null, visits: 3 };
  const marker = { field: 'metadata.ref' };
  t.strictSame(bodyOf(prepared({ create, marker }), 'create', row), {
    name: 'Ann',
    visits: 3,
    metadata: { ref: 'token' },
  });
  t.strictSame(bodyOf(prepared({ create: { ...create, nulls: 'send' } }), 'create', row), {
    name: 'Ann',
    email: null,
    metadata: { tags: null },
    visits: 3,
  });
});

test('echoes are known by what the mapping will give, not by what was written', async (t) => {
  const twoWay = prepared({ update });
  t.strictSame(made(twoWay, 'update', { email: 'Ann@X.example' }).returns, { email: 'ann@x.example' });
  t.strictSame(bodyOf(twoWay, 'update', { email: 'Ann@X.example' }), { email: 'Ann@X.example' });
  t.strictSame(made(prepared({ create }), 'create', { name: 'Ann', tags: null }).returns, { name: 'Ann' });
});

test('GraphQL gets id and fields at their paths among the variables', async (t) => {
  const query = 'mutation ($input: In!, $id: ID, $name: String) { update { id } }';
  const form = { path: '/graphql', record: 'data.update' };
  const content = { name: 'Ann' };
  const variables = (graphql: object, body = {}) => {
    const twoWay = prepared({ update: { ...form, body, graphql: { query, idVariable: 'id', ...graphql } } });
    return bodyOf(twoWay, 'update', content);
  };
  t.strictSame(variables({ idVariable: 'input.id', fieldsVariable: 'input' }, { input: { by: 'us' } }), {
    query,
    variables: { input: { by: 'us', name: 'Ann', id: 'p1' } },
  });
  t.strictSame(variables({}), { query, variables: { name: 'Ann', id: 'p1' } });
  const removal = prepared({ delete: { path: '/graphql', graphql: { query, idVariable: 'id' } } });
  t.strictSame(bodyOf(removal, 'delete', null), { query, variables: { id: 'p1' } });
  t.match(made(removal, 'delete', null).request, { method: 'POST', protocol: 'graphql' });
});
