import { type Test, test } from 'tap';
import { z } from 'zod';
import type { SettingsPatch } from '../../src/testing/settings.ts';
import { startReceiver, startShop, TOKEN } from './shop-setup.ts';

const customerSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  email_domain: z.string(),
  amount_cents: z.number(),
  created_at: z.string(),
  updated_at: z.string(),
});
const countSchema = z.object({ received: z.number(), executed: z.number() });
const countsSchema = z.object({
  byRecord: z.record(z.string(), z.record(z.string(), countSchema)),
  byKey: z.record(z.string(), countSchema),
});
const ADA = { name: '  Ada Lovelace ', email: ' Ada@Example.COM ', amount_cents: 1234.4 };

/** A shop whose clock moves only when it is told to. */
async function startWritable(t: Test, settings: SettingsPatch = {}) {
  let atMs = Date.UTC(2026, 0, 31, 12);
  const shop = await startShop(t, { nowMs: () => atMs, settings });
  const send = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${shop.origin}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      etag: response.headers.get('etag') ?? '',
      body: text === '' ? null : JSON.parse(text),
    };
  };
  return {
    ...shop,
    send,
    pass: (ms: number) => {
      atMs += ms;
    },
    counts: async () => countsSchema.parse((await send('GET', '/_writes')).body),
    size: async () => (await shop.truth('customers')).length,
  };
}

test('what is written is trimmed, put in lower case and rounded, and what follows from it follows', async (t) => {
  const shop = await startWritable(t);
  const created = await shop.send('POST', '/customers', ADA);
  t.equal(created.status, 201);
  const customer = customerSchema.parse(created.body);
  t.match(customer, {
    name: 'Ada Lovelace',
    email: 'ada@example.com',
    email_domain: 'example.com',
    amount_cents: 1234,
  });
  t.strictSame((await shop.send('GET', `/customers/${customer.id}`)).body, customer);

  shop.pass(5_000);
  const changed = await shop.send('PATCH', `/customers/${customer.id}`, {
    address: { line2: 'Floor 2' },
    created_at: 'x',
  });
  t.equal(changed.status, 200);
  t.match(changed.body, {
    ...customer,
    address: { line1: 'unknown', line2: 'Floor 2' },
    updated_at: '2026-01-31T12:00:05Z',
  });
});

test('an If-Match of an earlier state is refused, within one tick too, and changes nothing', async (t) => {
  const shop = await startWritable(t);
  const { body, etag } = await shop.send('POST', '/customers', ADA);
  const path = `/customers/${body.id}`;
  const second = await shop.send('PATCH', path, { name: 'B' }, { 'if-match': etag });
  t.equal(second.status, 200);
  t.equal((await shop.send('PATCH', path, { name: 'C' }, { 'if-match': etag })).status, 412);
  t.equal((await shop.send('DELETE', path, undefined, { 'if-match': etag })).status, 412);
  t.equal((await shop.send('GET', path)).body.name, 'B');
  t.equal((await shop.send('GET', path, undefined, { 'if-none-match': second.etag })).status, 304);
  t.equal((await shop.send('DELETE', path, undefined, { 'if-match': second.etag })).status, 204);
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    t.equal((await shop.send(method, path, method === 'PATCH' ? { name: 'D' } : undefined)).status, 404, method);
  }
});

test('a key stands for one request: its answer comes again until it is forgotten, and another request is refused', async (t) => {
  const shop = await startWritable(t, { idempotencyTtlMs: 60_000 });
  const key = { 'idempotency-key': 'k1' };
  const before = await shop.size();
  const first = await shop.send('POST', '/customers', ADA, key);
  const again = await shop.send('POST', '/customers', ADA, key);
  t.strictSame(again, first);
  t.equal(await shop.size(), before + 1);
  t.equal((await shop.send('POST', '/customers', { ...ADA, name: 'Other' }, key)).status, 422);
  t.equal((await shop.send('PATCH', `/customers/${first.body.id}`, ADA, key)).status, 422);

  shop.pass(60_001);
  const later = await shop.send('POST', '/customers', ADA, key);
  t.equal(later.status, 201);
  t.not(later.body.id, first.body.id);
  t.match((await shop.counts()).byKey, { k1: { received: 5, executed: 2 } });
});

test('what is wrong with a body is told by field, nothing is written, and the key is free for a better one', async (t) => {
  const shop = await startWritable(t);
  const key = { 'idempotency-key': 'k1' };
  const wrong = await shop.send('POST', '/customers', { name: ' ', email: 'nobody', amount_cents: 'many' }, key);
  t.equal(wrong.status, 422);
  const problems = z.array(z.object({ field: z.string() })).parse(wrong.body.problems);
  t.same(
    problems.map(({ field }) => field),
    ['name', 'email', 'amount_cents'],
  );
  t.equal(await shop.size(), 20);
  t.equal((await shop.send('POST', '/customers', ADA, key)).status, 201);
  const [order] = await shop.truth('orders');
  t.equal((await shop.send('PATCH', `/orders/${order?.id}`, { items: [] })).status, 422);
  t.match((await shop.send('PATCH', `/orders/${order?.id}`, { status: 'shipped' })).body, { shipped_at: String });
  t.equal((await shop.send('DELETE', `/orders/${order?.id}`)).status, 405);
  t.equal((await shop.send('POST', '/orders', {})).status, 405);
});

test('of each fault the shop knows whether the write was done, and counts it', async (t) => {
  const shop = await startWritable(t, { writeMaxHoldMs: 20, writeZombieAfterMs: 0 });
  const attempt = async (fault: string, status: number | null, isDone: boolean) => {
    const { body } = await shop.send('POST', '/customers', ADA);
    await shop.control({ settings: { [fault]: 1 } });
    const name = `after ${fault}`;
    const answer = await shop.send('PATCH', `/customers/${body.id}`, { name }).catch(() => null);
    t.equal(answer?.status ?? null, status, fault);
    await shop.control({ faults: 'off' });
    t.equal((await shop.send('GET', `/customers/${body.id}`)).body.name === name, isDone, fault);
    const executed = isDone ? 2 : 1;
    t.match((await shop.counts()).byRecord.customers?.[body.id], { received: 1, executed }, fault);
  };
  await attempt('writeServerErrorBefore', 500, false);
  await attempt('writeServerErrorAfter', 500, true);
  await attempt('writeRateLimit', 429, false);
  await attempt('writeTimeoutBefore', null, false);
  await attempt('writeTimeoutAfter', null, true);
  await attempt('writeZombie', null, true);
  await attempt('writeTruncated', null, true);
  await attempt('writeReset', null, true);
  const { writes } = shop.state().counters;
  t.match(writes, {
    received: 16,
    executed: 13,
    serverErrorsBefore: 1,
    serverErrorsAfter: 1,
    rateLimited: 1,
    timedOutBefore: 1,
    timedOutAfter: 1,
    zombies: 1,
    truncated: 1,
    reset: 1,
  });
});

test('a write comes back as one event, or as several, or stamped again, as the settings say', async (t) => {
  const shop = await startWritable(t, { writeTouchMaxMs: 1 });
  const receiver = await startReceiver(t);
  await shop.control({ webhookUrl: receiver.url });
  const { body } = await shop.send('POST', '/customers', ADA);
  await shop.control({ drain: true });
  t.match(receiver.events(), [{ type: 'customer.created', data: { id: body.id } }]);

  await shop.control({ settings: { writeEcho: 1, writeTouch: 1 } });
  await shop.send('PATCH', `/customers/${body.id}`, { name: 'B' });
  await shop.control({ drain: true });
  const { echoes, touched } = shop.state().counters.writes;
  t.ok(echoes >= 1);
  t.equal(touched, 1);
  t.equal(receiver.received.length, 1 + 1 + echoes + touched);
  t.equal(new Set(receiver.ids()).size, receiver.received.length, 'each is an event of its own');
});
