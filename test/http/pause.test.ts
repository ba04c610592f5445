import { performance } from 'node:perf_hooks';
import { type Test, test } from 'tap';
import { field } from '../../src/mapping/field.ts';
import { lookup } from '../../src/mapping/lookup.ts';
import { saveBreaker } from '../../src/store/source-states.ts';
import { expectProblem, startTestApp, type TestApp, until } from '../app/setup.ts';
import { type Customer, customer, event, shopDefinition, signShop, silentDefinition } from '../app/shop.ts';
import { sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';

const STOP_MS = 1_000;
const GET_ONLY = {
  ...shopDefinition,
  webhook: {
    ...shopDefinition.webhook,
    events: {
      'customer.touched': { entity: 'customers', record: 'data.id', payload: 'id' },
      'customer.*': { entity: 'customers', record: 'data' },
    },
  },
} as typeof shopDefinition;

type Refusal = { readonly status: number; readonly headers?: Record<string, string> } | null;

/** A shop with one page of customers, which refuses everything while `refusal` stands. */
async function startShop(t: Test) {
  const records = new Map<string, Customer>();
  const shop = { records, refusal: null as Refusal };
  const api = await startFakeApi(t, (response, { url }) => {
    if (shop.refusal !== null) return sendText(response, shop.refusal.status, '{}', shop.refusal.headers ?? {});
    const path = new URL(url, 'http://shop').pathname;
    if (path === '/customers') return sendJson(response, { data: [...records.values()], next_cursor: null });
    const found = records.get(path.slice('/customers/'.length));
    return found === undefined ? sendText(response, 404, '{}') : sendJson(response, found);
  });
  return Object.assign(shop, { origin: api.origin, api });
}

const json = async <T>(response: Promise<Response>): Promise<T> => (await (await response).json()) as T;
type RunDocument = {
  id: string;
  state: string;
  stalls: number;
  resumeAt: string | null;
  error: { code: string } | null;
};

async function startRun(app: TestApp, integration: string): Promise<string> {
  const body = JSON.stringify({ integration, mode: 'full' });
  const { runs } = await json<{ runs: RunDocument[] }>(app.post('/sync/reconcile', body));
  return runs[0]?.id ?? '';
}
const readRun = (app: TestApp, id: string) => json<RunDocument>(app.get(`/sync/runs/${id}`));

async function deliver(t: Test, app: TestApp, type: string, data: unknown): Promise<void> {
  const body = event(type, data);
  t.equal((await app.post('/webhooks/shop', body, signShop(body))).status, 202);
}

const hasRow = async (app: TestApp, id: string) =>
  (await app.sql(`SELECT 1 AS one FROM e2e_customers WHERE external_id = '${id}'`)).length > 0;

test('refused credentials pause an integration, visibly; deliveries are taken, and a resume catches up', async (t) => {
  const shop = await startShop(t);
  shop.records.set('listed', customer('listed'));
  shop.records.set('touched', customer('touched'));
  const app = await startTestApp(t, { apiUrl: shop.origin, definitions: [GET_ONLY] });
  shop.refusal = { status: 401 };
  const id = await startRun(app, 'shop');
  type Status = { state: string; source: { paused: { reason: string } | null } };
  const status = () => json<Status>(app.get('/status/shop'));
  await until('it is paused', async () => (await status()).source.paused?.reason === 'auth');
  t.match(await status(), { state: 'paused', source: { breaker: { state: 'closed' } } });
  await until(
    'the run is given back',
    async () => (await app.sql('SELECT 1 AS one FROM sync.sync_runs WHERE lease_token IS NULL')).length > 0,
  );
  t.match(await readRun(app, id), { state: 'running', stalls: 0 });

  const asked = shop.api.seen.length;
  await deliver(t, app, 'customer.updated', customer('hooked'));
  await deliver(t, app, 'customer.touched', { id: 'touched' });
  await until('what needs no read is applied', () => hasRow(app, 'hooked'));
  await until('the other one waits', async () => (await app.sql('SELECT 1 AS one FROM sync.hints')).length === 1);
  t.equal(shop.api.seen.length, asked, 'nothing is asked of the source');

  shop.refusal = null;
  t.match(await json(app.post('/integrations/shop/resume', '', {})), { integration: 'shop', paused: null });
  await until('the run goes on', async () => (await readRun(app, id)).state === 'succeeded');
  await until('what waited is read', () => hasRow(app, 'touched'));
  t.ok(await hasRow(app, 'listed'));
});

test('who waits for a run is answered at once while its integration is paused, with the run as it stands', async (t) => {
  const shop = await startShop(t);
  const app = await startTestApp(t, { apiUrl: shop.origin });
  await app.post('/integrations/shop/pause', '', {});
  const body = JSON.stringify({ integration: 'shop', mode: 'full' });
  const answer = await app.post('/sync/reconcile?wait=true', body);
  t.equal(answer.status, 202, 'it has not ended');
  t.match(await answer.json(), { runs: [{ state: 'queued' }] });
});

test('an operator pauses and resumes, as often as she likes, what there is', async (t) => {
  const app = await startTestApp(t);
  const pause = (body: string) =>
    json(app.post('/integrations/shop/pause', body, body === '' ? {} : { 'content-type': 'application/json' }));
  const first = await pause('{"reason":"maintenance"}');
  t.match(first, { paused: { reason: 'operator', detail: 'maintenance', since: String } });
  t.same(await pause('{"reason":"maintenance"}'), first);
  t.match(await pause(''), { paused: { reason: 'operator', detail: null } });
  for (const round of [1, 2])
    t.match(await json(app.post('/integrations/shop/resume', '', {})), { paused: null }, `${round}`);
  await expectProblem(t, await app.post('/integrations/nobody/pause', '', {}), 404);
  await expectProblem(t, await app.post('/integrations/nobody/resume', '', {}), 404);
  const wrong = [
    '0',
    'false',
    '[]',
    '"x"',
    '{"why":""}',
    '{"reason":""}',
    '{"reason":"\\u0000"}',
    '{"reason":"\\u001b[2J"}',
  ];
  for (const body of wrong) await expectProblem(t, await app.post('/integrations/shop/pause', body), 422);
  const long = JSON.stringify({ reason: 'x'.repeat(501) });
  await expectProblem(t, await app.post('/integrations/shop/pause', long), 422);
  t.match(await json(app.get('/status/shop')), { source: { paused: null } });
});

test('a Retry-After of an hour holds no loop: the runs of others end, and deliveries are applied', async (t) => {
  const shop = await startShop(t);
  shop.records.set('c1', customer('c1'));
  const app = await startTestApp(t, { apiUrl: shop.origin, definitions: [shopDefinition, silentDefinition] });
  shop.refusal = { status: 429, headers: { 'retry-after': '3600' } };
  const id = await startRun(app, 'shop');
  await until('it is given back', async () => (await readRun(app, id)).stalls === 1);
  const stalled = await readRun(app, id);
  t.match(stalled, { state: 'running', error: { code: 'rate_limited' }, resumeAt: String });
  t.ok(Date.parse(stalled.resumeAt ?? '') - Date.now() > 3_500_000);
  const again = () => app.post('/sync/reconcile', JSON.stringify({ integration: 'shop', mode: 'full' }));
  const inTheWay = await expectProblem(t, await again(), 409);
  t.match(inTheWay, { runs: [id] });
  t.ok(
    inTheWay.detail?.includes(`${id} was interrupted`) &&
      inTheWay.detail.includes(`at ${stalled.resumeAt}: rate_limited`),
  );
  await app.post('/integrations/shop/pause', '{}');
  t.match((await expectProblem(t, await again(), 409)).detail, /goes on when its integration is resumed/);
  await app.post('/integrations/shop/resume', '{}');
  shop.refusal = null;
  const other = await startRun(app, 'silent');
  await until('another run ends', async () => (await readRun(app, other)).state === 'succeeded');
  await deliver(t, app, 'customer.updated', customer('hooked'));
  await until('a delivery is applied', () => hasRow(app, 'hooked'));
  t.match(await readRun(app, id), { state: 'running', stalls: 1 });
  t.equal((await app.post(`/sync/runs/${id}/cancel`, '', {})).status, 202);
  t.match(await readRun(app, id), { state: 'cancelled', resumeAt: null });
});

test('while the breaker is open deliveries are stored and applied, and status says since when', async (t) => {
  const app = await startTestApp(t);
  await saveBreaker(app.db, 'shop', { state: 'open', reason: 'network: refused' });
  await deliver(t, app, 'customer.updated', customer('hooked'));
  await until('it is applied', () => hasRow(app, 'hooked'));
  t.match(await json(app.get('/status')), {
    integrations: [
      { integration: 'shop', source: { breaker: { state: 'open', since: String, reason: 'network: refused' } } },
    ],
  });
});

test('a server that waits for a rate limit stops within a second, and its run is free for the next', async (t) => {
  const shop = await startShop(t);
  const source = { ...shopDefinition.source, rateLimits: [{ requests: 1, per: '30s' as const }] };
  const app = await startTestApp(t, { apiUrl: shop.origin, definitions: [{ ...shopDefinition, source }] });
  const first = await startRun(app, 'shop');
  await until('the budget is used', async () => (await readRun(app, first)).state === 'succeeded');
  const id = await startRun(app, 'shop');
  await until('the run is worked on', async () => (await readRun(app, id)).state === 'running');
  t.match(await json(app.get('/status/shop')), { source: { limits: [{ used: 1 }] } });
  const startedAt = performance.now();
  await app.app.stop();
  t.ok(performance.now() - startedAt < STOP_MS);
  t.equal(shop.api.seen.length, 1, 'nothing was sent meanwhile');
  t.match(await app.sql(`SELECT state, lease_token, stalls FROM sync.sync_runs WHERE id = '${id}'`), [
    { state: 'running', lease_token: null, stalls: 0 },
  ]);
});

test('a server that waits for a list for lookups stops within a second, and its run is free for the next', async (t) => {
  const api = await startFakeApi(t, () => {}); // never answers
  const { customers } = shopDefinition.entities;
  if (customers === undefined) throw new Error('The shop has no customers');
  const mapping = { ...customers.mapping, email: field('id', lookup('customers', { by: 'id', take: 'email' })) };
  const definition = { ...shopDefinition, entities: { customers: { ...customers, mapping } } };
  const app = await startTestApp(t, { apiUrl: api.origin, definitions: [definition] });
  const id = await startRun(app, 'shop');
  await api.requested(1);
  const startedAt = performance.now();
  await app.app.stop();
  t.ok(performance.now() - startedAt < STOP_MS);
  t.match(await app.sql(`SELECT state, lease_token, stalls FROM sync.sync_runs WHERE id = '${id}'`), [
    { state: 'running', lease_token: null, stalls: 0 },
  ]);
});

test('a server that waits for its source stops within a second, and its run is free for the next', async (t) => {
  const shop = await startShop(t);
  const app = await startTestApp(t, { apiUrl: shop.origin });
  shop.refusal = { status: 503, headers: { 'retry-after': '30' } };
  const id = await startRun(app, 'shop');
  await shop.api.requested(1);
  await until('the client waits before it tries again', () => app.logged().includes('will retry'));
  const startedAt = performance.now();
  await app.app.stop();
  t.ok(performance.now() - startedAt < STOP_MS);
  t.match(await app.sql(`SELECT state, lease_token, stalls FROM sync.sync_runs WHERE id = '${id}'`), [
    { state: 'running', lease_token: null, stalls: 0 },
  ]);
});
