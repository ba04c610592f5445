import { test } from 'tap';
import { instantFromMs } from '../../src/model/instant.ts';
import { type GetManyDefinition, getManySchema } from '../../src/source/definition.ts';
import { sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, never, START_MS, setup } from './setup.ts';

const getMany: GetManyDefinition = { path: '/things', idsParam: 'ids', items: 'data', key: 'id', max: 2 };
const NOW = instantFromMs(START_MS);
const found = (record: unknown) => ({ kind: 'found', record, etag: null, startedAt: NOW, endedAt: NOW });
const idsOf = (url: string) => new URL(url, 'http://x').searchParams.getAll('ids');

test('many records are read by requests of a bounded size, each id once', async (t) => {
  const { client, api } = await setup(t, (response, { url }) =>
    sendJson(response, { data: (idsOf(url)[0] ?? '').split(',').map((id) => ({ id })) }),
  );
  const sightings = await client.getRecords(getMany, ['a', 'b', 'c', 'a'], { signal: never() });
  t.same(
    api.seen.map(({ url }) => idsOf(url)),
    [['a,b'], ['c']],
  );
  t.same(
    [...sightings],
    [
      ['a', found({ id: 'a' })],
      ['b', found({ id: 'b' })],
      ['c', found({ id: 'c' })],
    ],
  );
});

test('long ids are asked for in more requests, so that no URL is longer than servers take', async (t) => {
  const ids = Array.from({ length: 20 }, (_, index) => `${index}${'é'.repeat(1_000)}`);
  const { client, api } = await setup(t, (response, { url }) =>
    sendJson(response, { data: (idsOf(url)[0] ?? '').split(',').map((id) => ({ id })) }),
  );
  const sightings = await client.getRecords({ ...getMany, max: 50 }, ids, { signal: never() });
  t.same([...sightings.keys()], ids);
  for (const { url } of api.seen) t.ok(url.length < 8_000, `${url.length}`);
  t.equal(api.seen.length, 20);
});

test('nothing is read where nothing is asked for', async (t) => {
  const { client, api } = await setup(t, (response) => sendJson(response, { data: [] }));
  t.equal((await client.getRecords(getMany, [], { signal: never() })).size, 0);
  t.equal(api.seen.length, 0);
});

test('only what was asked for and shown with its id is in the answer', async (t) => {
  const items = [null, { id: 1 }, { id: 2.5 }, { id: 'x' }, { id: null }, 'text', {}, { id: 2 ** 60 }];
  const { client } = await setup(t, (response) => sendJson(response, { data: items }));
  const wide = { ...getMany, max: 50 };
  const sightings = await client.getRecords(wide, ['1', '2', '2.5', 'y', 'null'], { signal: never() });
  t.same([...sightings], [['1', found({ id: 1 })]]);
});

test('ids are written as the definition says', async (t) => {
  const cases: readonly [Partial<GetManyDefinition>, string, string][] = [
    [{}, '/things?ids=a%2Cb', ''],
    [{ separator: '|' }, '/things?ids=a%7Cb', ''],
    [{ separator: 'repeat' }, '/things?ids=a&ids=b', ''],
    [{ paramsIn: 'body', method: 'POST', idsParam: 'filter.ids' }, '/things', '{"filter":{"ids":["a","b"]}}'],
    [
      { graphql: { query: 'q', variables: { first: 9 } } },
      '/things',
      '{"query":"q","variables":{"first":9,"ids":["a","b"]}}',
    ],
  ];
  for (const [form, url, body] of cases) {
    let sent = '';
    const { client, api } = await setup(t, async (response) => {
      for await (const chunk of response.req) sent += String(chunk);
      sendJson(response, { data: [{ id: 'a' }] });
    });
    t.same([...(await client.getRecords({ ...getMany, ...form }, ['a', 'b'], { signal: never() })).keys()], ['a']);
    t.equal(api.seen[0]?.url, url);
    t.equal(sent, body);
  }
});

test('a record lies where the definition says', async (t) => {
  const { client } = await setup(t, (response) => sendJson(response, { data: [{ node: { meta: { id: 7 } } }, {}] }));
  const nested = { ...getMany, record: 'node', key: 'meta.id' };
  const sightings = await client.getRecords(nested, ['7'], { signal: never() });
  t.same([...sightings], [['7', found({ meta: { id: 7 } })]]);
});

test('a missing endpoint is no evidence about its records', async (t) => {
  for (const [status, code] of [
    [404, 'not_found'],
    [410, 'gone'],
  ] as const) {
    const { client } = await setup(t, (response) => sendText(response, status, ''));
    t.equal((await failure(client.getRecords(getMany, ['1'], { signal: never() }))).code, code);
  }
});

test('an answer without a list of records is refused', async (t) => {
  const { client } = await setup(t, (response) => sendJson(response, { data: { a: 1 } }));
  const error = await failure(client.getRecords(getMany, ['1'], { signal: never() }));
  t.equal(error.code, 'invalid_response');
  t.equal(error.message, 'GET /things: `data`: expected an array, got object');
});

test('a definition that cannot work is refused at its path', async (t) => {
  t.ok(getManySchema.safeParse(getMany).success);
  for (const [form, path] of [
    [{ ...getMany, path: '/things/{id}' }, 'path'],
    [{ ...getMany, key: '' }, 'key'],
    [{ ...getMany, max: 0 }, 'max'],
    [{ ...getMany, separator: '' }, 'separator'],
    [{ ...getMany, method: 'GET', body: {} }, 'method'],
  ] as const) {
    const result = getManySchema.safeParse(form);
    t.equal(result.error?.issues[0]?.path.join('.'), path);
  }
});
