import { type Test, test } from 'tap';
import { z } from 'zod';
import { createClient } from '../../src/client.ts';
import { defineIntegration } from '../../src/define/define.ts';
import { instantFromMs } from '../../src/model/instant.ts';
import { type BatchForm, groupItems, readResults } from '../../src/source/batch.ts';
import { createCache } from '../../src/source/cache.ts';
import { callBatch } from '../../src/source/call-batch.ts';
import { endpoint } from '../../src/source/endpoint.ts';
import { createRequests } from '../../src/source/requests.ts';
import { type CallAnswer, type SeenCall, startSource } from '../client-setup.ts';
import { failure, mustResolve, never } from './setup.ts';

const item = z.object({ id: z.string(), email: z.string().optional() });

async function setup(t: Test, batch: BatchForm, answer: (call: SeenCall, index: number) => CallAnswer | null) {
  const source = await startSource(t, answer);
  const integration = defineIntegration({
    name: 'crm',
    source: { baseUrl: source.baseUrl, maxAttempts: 1 },
    entities: {},
    endpoints: {
      update: endpoint({
        method: 'POST',
        path: '/batch',
        body: item,
        response: item,
        batch,
        idempotencyHeader: 'idempotency-key',
      }),
    },
  });
  const client = createClient(integration, { environment: {} });
  t.teardown(() => client.close());
  return { update: client.update, seen: source.seen };
}

const ids = (count: number) => Array.from({ length: count }, (_, place) => ({ id: String(place) }));
const inputsOf = ({ body }: SeenCall): { id: string }[] => Object(body).inputs;

test('items go in as few requests as their number allows, and each gets its result in order', async (t) => {
  const { update, seen } = await setup(t, { max: 100, items: 'inputs', results: 'results' }, (call) => ({
    status: 207,
    body: { results: inputsOf(call).map(({ id }) => ({ id, email: `${id}@example.com` })) },
  }));
  const results = await update({ items: ids(250) });
  t.same(
    seen.map((call) => inputsOf(call).length),
    [100, 100, 50],
  );
  t.equal(new Set(seen.map(({ headers }) => headers['idempotency-key'])).size, 3);
  t.same(
    results.map((one) => (one.ok ? one.value.id : null)),
    ids(250).map(({ id }) => id),
  );
});

test('results are found by their key, whatever their order', async (t) => {
  const form = { max: 10, items: 'inputs', results: 'results', key: { item: 'id', result: 'id' } };
  const { update } = await setup(t, form, (call) => ({ body: { results: inputsOf(call).toReversed() } }));
  const results = await update({ items: ids(3) });
  t.same(
    results.map((one) => (one.ok ? one.value.id : null)),
    ['0', '1', '2'],
  );
});

test('an item that the answer does not name is unknown, never done', async (t) => {
  const byKey = { max: 10, items: 'inputs', results: 'results', key: { item: 'id', result: 'id' } };
  const keyed = await setup(t, byKey, (call) => ({ body: { results: inputsOf(call).slice(1) } }));
  t.match(await keyed.update({ items: ids(3) }), [{ ok: false, code: 'unknown' }, { ok: true }, { ok: true }]);
  const byPlace = { max: 10, items: 'inputs', results: 'results' };
  const placed = await setup(t, byPlace, (call) => ({ body: { results: inputsOf(call).slice(1) } }));
  t.ok(
    (await placed.update({ items: ids(3) })).every((one) => !one.ok && one.code === 'unknown'),
    'whose they are is unclear',
  );
  const silent = await setup(t, byPlace, () => ({ status: 204 }));
  t.ok((await silent.update({ items: ids(3) })).every((one) => !one.ok && one.code === 'unknown'));
});

test('an answer in part is told item by item: by status, by error, and by a list of failures', async (t) => {
  const byStatus = { max: 10, items: '', results: '', status: 'status', value: 'data' };
  const one = await setup(t, byStatus, () => ({
    status: 207,
    body: [{ status: 200, data: { id: '0' } }, { status: '409' }, { status: 'odd' }],
  }));
  t.match(await one.update({ items: ids(3) }), [
    { ok: true, value: { id: '0' } },
    { ok: false, code: 'refused', status: 409 },
    { ok: false, code: 'unknown' },
  ]);
  t.ok(Array.isArray(one.seen[0]?.body), 'the body is the array');
  const byError = { max: 10, results: 'results', error: 'error' };
  const two = await setup(t, byError, () => ({
    body: { results: [{ id: '0', error: null }, { error: { message: 'no' } }] },
  }));
  t.match(await two.update({ items: ids(2) }), [{ ok: true }, { ok: false, code: 'refused' }]);
  const hubspot = {
    max: 100,
    items: 'inputs',
    results: 'results',
    key: { item: 'id', result: 'id' },
    failures: { at: 'errors', key: 'context.ids' },
  };
  const three = await setup(t, hubspot, () => ({
    status: 207,
    body: { status: 'COMPLETE', results: [{ id: '1' }], errors: [{ status: 'error', context: { ids: ['0'] } }] },
  }));
  t.match(await three.update({ items: ids(3) }), [{ code: 'refused' }, { ok: true }, { code: 'unknown' }]);
});

test('when a request fails its items fail with its code, and after what others would meet too nothing more is sent', async (t) => {
  const form = { max: 1, results: '' };
  const refused = await setup(t, form, ({ body }, index) =>
    index === 1 ? { status: 422, body: {} } : { body: Object(body) },
  );
  t.match(await refused.update({ items: ids(3) }), [
    { ok: true },
    { ok: false, code: 'bad_request', status: 422 },
    { ok: true },
  ]);
  const broken = await setup(t, form, (_, index) => (index === 0 ? null : { body: [{ id: '0' }] }));
  t.match(await broken.update({ items: ids(3) }), [{ code: 'network' }, { code: 'not_sent' }, { code: 'not_sent' }]);
  t.equal(broken.seen.length, 1);
});

test('an item that its schema refuses, or that is too large, is not sent, and keeps no other back', async (t) => {
  const { update, seen } = await setup(t, { max: 10, maxBytes: 100, results: '' }, ({ body }) => ({
    body: Object(body),
  }));
  const items = [{ id: '0' }, JSON.parse('{"id":7}'), { id: '2', email: 'x'.repeat(200) }, { id: '3' }];
  t.match(await update({ items }), [{ ok: true }, { code: 'bad_request' }, { code: 'too_large' }, { ok: true }]);
  t.same(
    seen.map(({ body }) => body),
    [[{ id: '0' }, { id: '3' }]],
  );
  t.equal((await failure(update({ items: ids(10_001) }))).code, 'bad_request');
});

test('groups keep to number and size', async (t) => {
  t.same(groupItems(ids(5), { max: 2 }), [[0, 1], [2, 3], [4]]);
  t.same(groupItems([{ a: 'xxxx' }, null, { a: 'xxxx' }, 'x'.repeat(99)], { max: 9, maxBytes: 20 }), [[0], [2]]);
});

test('items of one key get their results in order; where it is not clear whose is whose, they are unknown', async (t) => {
  const form = { max: 9, results: '', key: { item: 'id', result: 'id' }, status: 'status' };
  const twins = [{ id: '1' }, { id: '2' }, { id: '1' }];
  const done = (id: string, n: number) => ({ id, n, status: 200 });
  const kindsOf = (results: unknown[]) => readResults(twins, results, form).map(({ kind }) => kind);
  t.match(readResults(twins, [done('1', 1), done('1', 3), done('2', 2)], form), [
    { value: { n: 1 } },
    { value: { n: 2 } },
    { value: { n: 3 } },
  ]);
  const refused = { id: '1', status: 409 };
  t.same(kindsOf([done('1', 1), done('2', 2)]), ['unknown', 'done', 'unknown'], 'one result for two');
  t.same(kindsOf([done('1', 1), refused, done('2', 2)]), ['unknown', 'done', 'unknown'], 'one done, one refused');
  t.same(kindsOf([done('2', 1), { id: '2', status: 500 }]), ['unknown', 'unknown', 'unknown'], 'two results for one');
});

test('an item among the failures is not done, whatever else the answer repeats of it', async (t) => {
  const form = {
    max: 9,
    results: 'items',
    key: { item: 'id', result: 'id' },
    failures: { at: 'failed', key: 'id' },
  };
  const answer = { items: [{ id: '1' }, { id: '2' }], failed: [{ id: '2' }] };
  t.same(
    readResults(answer.items, answer, form).map(({ kind }) => kind),
    ['done', 'refused'],
  );
});

test('an empty list of errors says that there were none', async (t) => {
  const form = { max: 9, results: '', error: 'errors' };
  const answer = [{ errors: [] }, { errors: ['no'] }];
  t.same(
    readResults(answer, answer, form).map(({ kind }) => kind),
    ['done', 'refused'],
  );
});

test('when something else than the source fails between requests, what was done before is still told', async (t) => {
  let sent = 0;
  const request = { endpoint: 'POST /batch', method: 'POST', url: new URL('http://127.0.0.1/batch') } as const;
  const times = { startedAt: instantFromMs(0), endedAt: instantFromMs(0) };
  const answer = { status: 200, url: request.url, headers: {}, body: [{ id: '0' }] };
  const deps = {
    client: {
      send: async () => {
        sent += 1;
        if (sent === 2) throw new TypeError('the database is gone');
        return { kind: 'answered' as const, answer, ...times };
      },
      listPages: async function* () {},
    },
    requests: createRequests(mustResolve({ baseUrl: 'http://127.0.0.1' })),
    cache: createCache({ call: async () => Promise.reject(new TypeError('not cached')), nowMs: Date.now }),
    newKey: () => 'key',
  };
  const form = { ...endpoint({ method: 'POST', path: '/batch', body: item }), batch: { max: 1 } };
  const results = await callBatch(deps, form, { items: ids(3) }, { signal: never() });
  t.match(results, [{ ok: true }, { ok: false, code: 'unknown' }, { ok: false, code: 'not_sent' }]);
  sent = 1;
  await t.rejects(callBatch(deps, form, { items: ids(3) }, { signal: never() }), TypeError, 'nothing to tell yet');
});
