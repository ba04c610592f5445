import { test } from 'tap';
import { ALL_FAULTS, INITIAL_SETTINGS, parseSettings } from '../../src/testing/settings.ts';
import { startReceiver, startShop } from './shop-setup.ts';

const NOON_MS = Date.UTC(2026, 0, 31, 12);
const SECOND_MS = 1_000;

test('one seed makes one shop, and another seed another', async (t) => {
  const nowMs = () => NOON_MS;
  const contents = [];
  for (const seed of [7, 7, 8]) {
    const shop = await startShop(t, { seed, nowMs });
    await shop.control({ drive: 200 });
    contents.push(await shop.truth('customers'));
  }
  t.strictSame(contents[0], contents[1]);
  t.notSame(contents[0], contents[2]);
});

test('a list in pages gives each record once, in the order of ids', async (t) => {
  const shop = await startShop(t);
  const listed = await shop.list('/customers?limit=3');
  t.strictSame(listed, await shop.truth('customers'));
  t.equal(listed.length, 20);
  const ids = listed.map(({ id }) => id);
  t.strictSame(ids, ids.toSorted());
  t.strictSame(await shop.list('/orders?limit=250'), await shop.truth('orders'));
});

test('updated_since gives what changed at that instant or later, in the order of change, over ties too', async (t) => {
  let nowMs = NOON_MS;
  const shop = await startShop(t, { nowMs: () => nowMs });
  await shop.control({ drive: 40 });
  nowMs += SECOND_MS;
  await shop.control({ drive: 40 });
  const since = async (instant: string) => await shop.list(`/customers?limit=2&updated_since=${instant}`);

  const second = await since('2026-01-31T12:00:01Z');
  const key = ({ updated_at, id }: { updated_at: string; id: string }) => `${updated_at} ${id}`;
  t.ok(second.length > 3, 'several changes share the tick');
  t.strictSame(new Set(second.map((record) => record.updated_at)), new Set(['2026-01-31T12:00:01Z']));
  t.strictSame(second.map(key), second.map(key).toSorted());
  t.strictSame(await since('2026-01-31T12:00:00.001Z'), second);
  t.strictSame(await since('2026-01-31T13:00:01%2B01:00'), second);

  const both = await since('2026-01-31T12:00:00.000Z');
  t.ok(both.length > second.length);
  t.strictSame(
    both.map(({ id }) => id).toSorted(),
    (await shop.truth('customers')).filter(({ updated_at }) => updated_at >= '2026-01-31T12').map(({ id }) => id),
  );
});

test('a query that cannot be understood is refused, and so is a cursor of another order', async (t) => {
  const shop = await startShop(t);
  const { next_cursor: cursor } = await shop.page('/customers?limit=1');
  for (const query of [
    'limit=0',
    'limit=251',
    'limit=x',
    'updated_since=yesterday',
    'starting_after=@@',
    `starting_after=${cursor}&updated_since=2026-01-01T00:00:00Z`,
  ]) {
    t.equal((await shop.get(`/customers?${query}`)).status, 400, query);
  }
});

test('nobody gets in without the token, and no method but those of the API is served', async (t) => {
  const shop = await startShop(t);
  for (const path of ['/customers', '/customers/x', '/_truth/customers', '/_control']) {
    t.equal((await shop.get(path, {})).status, 401, path);
    t.equal((await shop.get(path, { authorization: 'Bearer wrong' })).status, 401, path);
  }
  const posted = await fetch(`${shop.origin}/customers`, {
    method: 'PUT',
    headers: { authorization: 'Bearer canary-shop-token' },
  });
  t.equal(posted.status, 405);
  t.equal((await shop.get('/sellers')).status, 404);
  t.equal(shop.state().counters.api.unauthorized, 4);
});

test('a deleted record answers 404, and its event is stamped later than its last update even within that tick', async (t) => {
  const shop = await startShop(t, { nowMs: () => NOON_MS });
  const receiver = await startReceiver(t);
  await shop.control({ webhookUrl: receiver.url, drive: 400, drain: true });
  const stamps = new Map<string, string>();
  const events = receiver.events();
  for (const { type, data } of events) {
    if (!type.endsWith('.deleted')) stamps.set(data.id, data.updated_at);
  }
  const deleted = events.filter(({ type }) => type.endsWith('.deleted'));
  t.ok(deleted.some(({ data }) => stamps.has(data.id)));
  for (const { type, data } of deleted) {
    t.ok(data.updated_at > (stamps.get(data.id) ?? ''), data.id);
    t.equal((await shop.get(`/${type.split('.')[0]}s/${data.id}`)).status, 404);
  }
  const [living] = await shop.truth('orders');
  t.strictSame(await (await shop.get(`/orders/${living?.id}`)).json(), living);
});

test('changes come in every kind, and a record’s stamps never decrease, late ones included', async (t) => {
  let nowMs = NOON_MS;
  const shop = await startShop(t, { nowMs: () => (nowMs += 50) });
  const receiver = await startReceiver(t);
  const settings = { lateCommit: 0.2, lateCommitMaxMs: 40, webhookConcurrency: 1 };
  await shop.control({ webhookUrl: receiver.url, settings, drive: 600, drain: true });
  const last = new Map<string, string>();
  for (const { data } of receiver.events()) {
    t.ok(data.updated_at >= (last.get(data.id) ?? ''), data.id);
    last.set(data.id, data.updated_at);
  }
  const { changes } = shop.state().counters;
  for (const [kind, count] of Object.entries(changes)) t.ok(count > 0, kind);
  t.equal(changes.created + changes.updated + changes.deleted, receiver.received.length);
});

test('each fault of the API is what it says, and is counted', async (t) => {
  const shop = await startShop(t);
  const only = (fault: string) =>
    shop.control({ faults: 'off' }).then(() => shop.control({ settings: { [fault]: 1 } }));

  await only('apiServerError');
  t.equal((await shop.get('/customers')).status, 500);
  await only('apiRateLimit');
  const limited = await shop.get('/customers');
  t.equal(limited.status, 429);
  t.match(limited.headers.get('retry-after'), /^[01]$/);
  await only('apiReset');
  await t.rejects(shop.get('/customers'));
  await only('apiTruncated');
  for (let attempt = 0; attempt < 10; attempt++) {
    await t.rejects(shop.get('/customers').then((response) => response.json()));
  }
  await only('apiSlow');
  await shop.control({ settings: { apiMaxSlowMs: 20 } });
  t.equal((await shop.page('/customers')).data.length, 20);
  t.match(shop.state().counters.api, { serverErrors: 1, rateLimited: 1, reset: 1, truncated: 10, slow: 1 });

  t.equal((await shop.truth('customers')).length, 20, 'its own routes have no faults');
});

test('the shop runs by itself until it is paused, and does not run twice', async (t) => {
  const shop = await startShop(t);
  const created = await startReceiver(t);
  t.equal((await shop.control({ webhookUrl: created.url, generator: 'run' })).generator, 'running');
  t.match(await shop.control({ generator: 'run' }), { generator: 'running' });
  t.match(await shop.unchecked({ drive: 10 }), { ok: false, problem: /pause/ });
  const paused = await shop.control({ generator: 'pause', drain: true });
  t.equal(paused.generator, 'paused');
  t.equal(paused.counters.webhooks.delivered, paused.counters.webhooks.events);
});

test('control by HTTP gives the state, and refuses what it does not know without doing anything', async (t) => {
  const shop = await startShop(t);
  const post = (body: string) =>
    fetch(`${shop.origin}/_control`, {
      method: 'POST',
      headers: { authorization: 'Bearer canary-shop-token' },
      body,
    });
  const before = shop.state();
  for (const body of [
    'no JSON',
    '[]',
    '{"setting":{}}',
    '{"settings":{"webhookLoss":2}}',
    '{"settings":{"webhookLoss":"1"}}',
    '{"settings":{"toString":1}}',
    '{"settings":{"webhookMaxAttempts":0}}',
    '{"drive":0}',
    '{"drain":false}',
    '{"generator":"stop"}',
    '{"faults":"on"}',
    '{"webhookUrl":"http://example.com/"}',
    '{"webhookUrl":"https://127.0.0.1/"}',
    `{"padding":"${'x'.repeat(70_000)}"}`,
  ]) {
    const answer = await post(body).catch(() => null);
    t.equal(answer?.status, 400, body.slice(0, 60));
  }
  t.strictSame(shop.state(), before);
  const driven = await post('{"drive":5,"settings":{"webhookLoss":0.5}}');
  t.equal(driven.status, 200);
  t.match(await driven.json(), { seed: 7, generator: 'paused', settings: { webhookLoss: 0.5 } });
  t.match(await (await shop.get('/_control')).json(), { records: shop.state().records });
});

test('the settings for everything going wrong are settings', async (t) => {
  t.same(parseSettings(ALL_FAULTS), { ok: true, patch: ALL_FAULTS });
  t.same(parseSettings(INITIAL_SETTINGS), { ok: true, patch: INITIAL_SETTINGS });
});
