import { pgTable, text } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { checkConfig } from '../../src/define/check-config.ts';
import { entity } from '../../src/define/define.ts';
import { field } from '../../src/mapping/field.ts';
import { lookup } from '../../src/mapping/lookup.ts';
import { endpoint } from '../../src/source/endpoint.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { none } from '../../src/source/pagination/none.ts';
import { offset } from '../../src/source/pagination/offset.ts';
import { relay } from '../../src/source/pagination/relay.ts';

const tickets = pgTable('tickets', { id: text('id').primaryKey(), owner: text('owner') });
const list = { path: '/tickets', items: '', pagination: none() };
const ticketsWith = (name: string, by = 'id') =>
  entity({
    schema: z.object({ id: z.string(), owner_id: z.string() }),
    key: 'id',
    version: { kind: 'none' },
    read: { list },
    target: tickets,
    mapping: { id: field('id'), owner: field('owner_id', lookup(name, { by, take: 'name' })) },
  });

/** What is wrong with an integration, by place. */
function problemsOf(endpoints: object, form: object = ticketsWith('users')): Record<string, string> {
  const source = { baseUrl: 'https://desk.example', params: { account: 'acme' } };
  const result = checkConfig({ integrations: [{ name: 'desk', source, endpoints, entities: { tickets: form } }] }, {});
  if (result.ok) return {};
  return Object.fromEntries(
    result.problems.map(({ path, problem }) => [
      path.replace('integrations[0].', '').replace('endpoints.', ''),
      problem,
    ]),
  );
}
const users = endpoint({ path: '/{account}/users', cache: 'lookup', list: {} });
const body = z.object({ id: z.string() });

test('sound endpoints pass, and so does a lookup in one of them or in an entity', async (t) => {
  t.same(problemsOf({ users }), {});
  t.same(problemsOf({}, ticketsWith('tickets')), {});
});

test('every problem of every endpoint is told at once', async (t) => {
  const found = problemsOf({
    users,
    'no-name': endpoint({ path: '/x' }),
    then: endpoint({ path: '/x' }),
    plain: { path: '/x' },
    cachedWrite: endpoint({ method: 'POST', path: '/x', cache: 'lookup' }),
    cachedMutation: endpoint({ path: '/x', graphql: { query: 'mutation { x }' }, cache: '5m' }),
    readWithBody: endpoint({ path: 'x', body, ifMatch: true, idempotencyHeader: 'host' }),
    openList: endpoint({ path: '/{org}/x', list: {} }),
    batchWithout: endpoint({ method: 'POST', path: '/x', batch: { max: 0 } }),
    batchUnkeyed: endpoint({ method: 'POST', path: '/x', body, batch: { max: 1, failures: { at: 'a', key: 'b' } } }),
    twice: endpoint({ path: '/{id}', params: z.object({ id: z.string() }) }),
    own: endpoint({ path: '/{body}' }),
    taggedBatch: endpoint({ method: 'POST', path: '/x', body, batch: { max: 1 }, ifMatch: true }),
    writtenList: endpoint({ method: 'POST', path: '/x', list: {} }),
    odd: { ...endpoint({ path: '/x' }), cahce: 'lookup' },
  });
  t.same(Object.keys(found).sort(), [
    'batchUnkeyed.batch.failures',
    'batchWithout.batch',
    'batchWithout.batch.max',
    'cachedMutation.cache',
    'cachedWrite.cache',
    "endpoints['no-name']",
    'odd.cahce',
    'openList.path',
    'own.path',
    'plain.kind',
    'readWithBody.body',
    'readWithBody.idempotencyHeader',
    'readWithBody.ifMatch',
    'readWithBody.path',
    'taggedBatch.ifMatch',
    'then',
    'twice.params',
    'writtenList.list',
  ]);
});

test("an endpoint's list is checked as an entity's is", async (t) => {
  const size = { param: 'limit', size: 100 };
  const found = problemsOf({
    users,
    overlapping: endpoint({ path: '/x', list: { pagination: offset({ param: 'skip' }) } }),
    sized: endpoint({ path: '/x', list: { pageSize: size } }),
    shrunk: endpoint({
      path: '/x',
      list: { pagination: cursor({ param: 'a', next: 'n' }), pageSize: { ...size, min: 200 } },
    }),
    huge: endpoint({ path: '/x', list: { pageSize: { ...size, size: 1e9 }, maxPages: 1e9 } }),
    relayed: endpoint({ path: '/x', data: 'nodes', list: { pagination: relay({ connection: 'data.x' }) } }),
  });
  t.same(Object.keys(found).sort(), [
    'huge.list.maxPages',
    'huge.list.pageSize.size',
    'overlapping.list.pageSize',
    'relayed.data',
    'relayed.list.pagination',
    'shrunk.list.pageSize.min',
    'sized.list.pageSize',
  ]);
});

test('a key cannot go where something else goes, and what only looks like a schema is none', async (t) => {
  const write = { method: 'POST', path: '/x', body } as const;
  const found = problemsOf({
    users,
    authorized: endpoint({ ...write, idempotencyHeader: 'Authorization' }),
    twice: endpoint({ ...write, idempotencyHeader: 'Idempotency-Key', headers: { 'idempotency-key': 'fixed' } }),
    fake: { ...endpoint(write), body: { _zod: {} } },
    sound: endpoint({ ...write, idempotencyHeader: 'Idempotency-Key', headers: { prefer: 'x' } }),
  });
  t.same(Object.keys(found).sort(), ['authorized.idempotencyHeader', 'fake.body', 'twice.idempotencyHeader']);
});

test('a lookup must name a list that can be read as it stands', async (t) => {
  const place = 'entities.tickets.mapping.owner';
  const told = (forms: object, form?: object) => problemsOf(forms, form)[place];
  t.match(told({}), /names neither an endpoint nor an entity/);
  t.match(told({ users: endpoint({ method: 'DELETE', path: '/users' }) }), /needs an endpoint that reads a list/);
  t.match(told({ users: endpoint({ path: '/{org}/users' }) }), /\{org\} has no value/);
  t.match(told({ users: endpoint({ path: '/users', params: z.object({ team: z.string() }) }) }), /may all be left out/);
  t.match(told({ users }, ticketsWith('users', '')), /needs paths/);
});
