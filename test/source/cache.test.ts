import { type Test, test } from 'tap';
import { createBoundedStore } from '../../src/source/bounded-store.ts';
import { createCache } from '../../src/source/cache.ts';
import type { SourceRequest } from '../../src/source/request.ts';
import { type Answerer, sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, never, setup } from './setup.ts';

const TTL_MS = 60_000;

async function setupCache(t: Test, answer: Answerer) {
  const made = await setup(t, answer, { source: { maxAttempts: 1 } });
  const store = createBoundedStore();
  const cache = createCache({ call: made.client.send, nowMs: () => made.clock.nowMs, store });
  const request = (path: string, over: Partial<SourceRequest> = {}): SourceRequest => ({
    endpoint: `GET ${path}`,
    method: 'GET',
    url: new URL(path, made.api.origin),
    headers: {},
    body: null,
    protocol: 'rest',
    isRepeatable: true,
    ...over,
  });
  const read = (path: string, over: Partial<SourceRequest> = {}, signal = never()) =>
    cache.read(request(path, over), TTL_MS, { lane: 'urgent', signal });
  return { ...made, cache, store, read };
}

test('an answer is served from memory until its time is over, then asked for again', async (t) => {
  const { read, api, clock } = await setupCache(t, (response, { index }) => sendJson(response, { index }));
  t.same(await read('/users'), { index: 0 });
  clock.nowMs += TTL_MS - 1;
  t.same(await read('/users'), { index: 0 });
  clock.nowMs += 1;
  t.same(await read('/users'), { index: 1 });
  t.equal(api.seen.length, 2);
});

test('a clock that is set back does not keep an answer for longer', async (t) => {
  const { read, clock } = await setupCache(t, (response, { index }) => sendJson(response, { index }));
  await read('/users');
  clock.nowMs -= 86_400_000;
  t.same(await read('/users'), { index: 1 });
});

test('what one reader does to an answer no other one sees', async (t) => {
  const { read } = await setupCache(t, (response) => sendJson(response, { name: 'Ada' }));
  const first = await read('/users/1');
  Object.assign(Object(first), { name: 'changed' });
  t.same(await read('/users/1'), { name: 'Ada' });
});

test('query, headers and body are part of what is remembered', async (t) => {
  const { read, api } = await setupCache(t, (response, { index }) => sendJson(response, index));
  t.equal(await read('/users'), 0);
  t.equal(await read('/users?page=2'), 1);
  t.equal(await read('/users', { headers: { 'accept-language': 'de' } }), 2);
  t.equal(await read('/users', { method: 'POST', body: '{}' }), 3);
  t.equal(await read('/users', { method: 'POST', body: '{"a":1}' }), 4);
  t.equal(await read('/users'), 0);
  t.equal(api.seen.length, 5);
});

test('of fifty readers at once one asks, and one that leaves takes nobody along', async (t) => {
  let answer = () => {};
  const asked = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const { read, api } = await setupCache(t, async (response) => {
    await asked;
    sendJson(response, { name: 'Ada' });
  });
  const leaving = new AbortController();
  const left = failure(read('/users', {}, leaving.signal));
  const others = Array.from({ length: 49 }, () => read('/users'));
  await api.requested(1);
  leaving.abort();
  t.equal((await left).code, 'aborted');
  answer();
  t.same(await Promise.all(others), Array(49).fill({ name: 'Ada' }));
  t.equal(api.seen.length, 1);
});

test('when the last reader leaves the request ends, and the next one asks anew', async (t) => {
  const { read, api } = await setupCache(t, (response, { index }) => {
    if (index > 0) sendJson(response, 'new');
  });
  const leaving = new AbortController();
  const left = failure(read('/users', {}, leaving.signal));
  await api.requested(1);
  leaving.abort();
  t.equal((await left).code, 'aborted');
  t.equal(await read('/users'), 'new');
});

test('past its time an answer is asked about by its tag, and a 304 makes it good again', async (t) => {
  const { read, api, clock } = await setupCache(t, (response, { headers }) => {
    if (headers['if-none-match'] === '"v1"') sendText(response, 304, '', { etag: '"v1"' });
    else sendJson(response, { name: 'Ada' }, { etag: '"v1"' });
  });
  await read('/users');
  clock.nowMs += TTL_MS;
  t.same(await read('/users'), { name: 'Ada' });
  t.same(await read('/users'), { name: 'Ada' });
  t.equal(api.seen.length, 2);
  t.equal(api.seen[1]?.headers['if-none-match'], '"v1"');
});

test('without a tag the date of the last change is asked about', async (t) => {
  const date = 'Fri, 02 Jan 2026 03:04:05 GMT';
  const { read, api, clock } = await setupCache(t, (response, { headers }) => {
    if (headers['if-modified-since'] === date) sendText(response, 304, '');
    else sendJson(response, 1, { 'last-modified': date });
  });
  await read('/users');
  clock.nowMs += TTL_MS;
  t.equal(await read('/users'), 1);
  t.equal(api.seen[1]?.headers['if-modified-since'], date);
});

test('a 304 that carries another tag is not believed', async (t) => {
  const { read, clock } = await setupCache(t, (response, { headers }) => {
    if (headers['if-none-match'] !== undefined) sendText(response, 304, '', { etag: '"v2"' });
    else sendJson(response, 'whole', { etag: '"v1"' });
  });
  await read('/users');
  clock.nowMs += TTL_MS;
  t.equal(await read('/users'), 'whole');
});

test('what the source forbids to keep is not kept', async (t) => {
  const { read, api } = await setupCache(t, (response, { url, index }) =>
    sendJson(response, index, url === '/a' ? { 'cache-control': 'private, No-Store' } : { vary: '*' }),
  );
  for (const path of ['/a', '/a', '/b', '/b']) await read(path);
  t.equal(api.seen.length, 4);
});

test('errors are neither kept nor hidden behind an old answer', async (t) => {
  let isDown = false;
  const { read, clock } = await setupCache(t, (response) =>
    isDown ? sendText(response, 500, '{}') : sendJson(response, 'good', { etag: '"1"' }),
  );
  await read('/users');
  clock.nowMs += TTL_MS;
  isDown = true;
  t.equal((await failure(read('/users'))).code, 'server_error');
  isDown = false;
  t.equal(await read('/users'), 'good');
});

test('a read that was under way during a write is not kept', async (t) => {
  let answer = () => {};
  const { read, cache, api } = await setupCache(t, async (response, { index }) => {
    if (index === 0) {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
    }
    sendJson(response, index === 0 ? 'before' : 'after');
  });
  const early = read('/users/1');
  await api.requested(1);
  cache.forget(new URL('/users/1', api.origin));
  answer();
  t.equal(await early, 'before');
  t.equal(await read('/users/1'), 'after');
});

test('the memory is bounded by entries and by bytes, and drops what was used longest ago', async (t) => {
  const entry = (text: string) => ({ text, etag: null, lastModified: null, freshUntilMs: 1, pathname: '/' });
  const byCount = createBoundedStore(2, 1_000_000);
  for (const key of ['a', 'b']) byCount.set(key, entry('1'));
  byCount.get('a');
  byCount.set('c', entry('1'));
  t.ok(byCount.get('a'));
  t.equal(byCount.get('b'), null);
  const bySize = createBoundedStore(100, 10_000);
  for (const key of ['a', 'b', 'c', 'd']) bySize.set(key, entry('x'.repeat(1_500)));
  t.equal(bySize.get('a'), null);
  t.ok(bySize.get('d'));
  t.ok(bySize.size().bytes <= 10_000);
  bySize.set('d', entry('x'.repeat(1_000_000)));
  t.equal(bySize.get('d'), null, 'larger than the whole store');
  for (const key of ['b', 'c']) bySize.remove(key);
  t.same(bySize.size(), { entries: 0, bytes: 0 });
});

test('only a GET is asked about by its tag: elsewhere a tag that still holds would be a failure', async (t) => {
  const { read, clock } = await setupCache(t, (response, { headers, index }) =>
    headers['if-none-match'] === undefined
      ? sendJson(response, { index }, { etag: '"1"' })
      : sendText(response, 412, '{}'),
  );
  await read('/graphql', { method: 'POST', body: '{}' });
  clock.nowMs += TTL_MS;
  t.same(await read('/graphql', { method: 'POST', body: '{}' }), { index: 1 });
});

test('headers that come twice do not keep an answer from being read', async (t) => {
  const { read, api } = await setupCache(t, (response) => {
    response.setHeader('vary', ['Accept', '*']);
    response.setHeader('cache-control', ['private', 'no-cache']);
    response.end('{"name":"Ada"}');
  });
  t.same(await read('/users/1'), { name: 'Ada' });
  t.same(await read('/users/1'), { name: 'Ada' });
  t.equal(api.seen.length, 2, 'Vary: * forbids to keep it');
});
