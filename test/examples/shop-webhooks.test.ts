import { Webhook } from 'standardwebhooks';
import { test } from 'tap';
import { type ReceivedDelivery, SECRET, startReceiver, startShop } from './shop-setup.ts';

const verify = ({ body, headers }: ReceivedDelivery) => new Webhook(SECRET).verify(body, { ...headers });
const isTrue = (delivery: ReceivedDelivery) => {
  try {
    verify(delivery);
    return true;
  } catch {
    return false;
  }
};

test('every change is delivered once and signed, and the last event of each record is what the shop holds', async (t) => {
  const shop = await startShop(t);
  const receiver = await startReceiver(t);
  const before = await shop.truth('customers');
  const settings = { webhookConcurrency: 1 };
  const state = await shop.control({ webhookUrl: receiver.url, settings, drive: 500, drain: true });

  for (const delivery of receiver.received) t.ok(isTrue(delivery));
  t.equal(new Set(receiver.ids()).size, receiver.received.length);
  t.equal(state.counters.webhooks.delivered, receiver.received.length);
  const held = new Map<string, unknown>(before.map((record) => [record.id, record]));
  for (const { type, data } of receiver.events()) {
    if (!type.startsWith('customer.')) continue;
    if (type === 'customer.deleted') held.delete(data.id);
    else held.set(data.id, data);
  }
  t.strictSame(held, new Map((await shop.truth('customers')).map((record) => [record.id, record])));
});

test('a refused delivery comes again under its id, freshly signed, and not for ever', async (t) => {
  const shop = await startShop(t);
  const receiver = await startReceiver(t, (_delivery, index) => (index < 2 ? 503 : 202));
  const settings = { webhookBackoffMs: 1, webhookMaxAttempts: 3 };
  const healed = await shop.control({ webhookUrl: receiver.url, settings, drive: 1, drain: true });
  t.equal(new Set(receiver.ids()).size, 1);
  t.ok(receiver.received.length === 3 && receiver.received.every(isTrue));
  t.match(healed.counters.webhooks, { attempts: 3, failedAttempts: 2, delivered: 1, gaveUp: 0 });

  const deaf = await startReceiver(t, () => 500);
  const { webhooks } = (await shop.control({ webhookUrl: deaf.url, drive: 1, drain: true })).counters;
  t.equal(webhooks.gaveUp, webhooks.events - 1);
  t.equal(deaf.received.length, 3 * webhooks.gaveUp);
  t.equal(webhooks.delivered, 1);
});

test('a delivery that nobody answers fails in time, and one to nobody fails at once', async (t) => {
  const shop = await startShop(t);
  const silent = await startReceiver(t, () => new Promise<number>(() => {}));
  const settings = { webhookMaxAttempts: 1, webhookTimeoutMs: 30 };
  const timedOut = await shop.control({ webhookUrl: silent.url, settings, drive: 1, drain: true });
  const { events, attempts, gaveUp } = timedOut.counters.webhooks;
  t.ok(events > 0 && attempts === events && gaveUp === events);
  const nobody = await shop.control({ webhookUrl: 'http://127.0.0.1:1/', drive: 1, drain: true });
  t.equal(nobody.counters.webhooks.gaveUp, nobody.counters.webhooks.events);
  t.ok(nobody.counters.webhooks.events > events);
});

test('without a receiver nothing is kept, and the shop forgets what waits when the receiver goes', async (t) => {
  const shop = await startShop(t);
  t.match((await shop.control({ drive: 50, drain: true })).counters.webhooks, { events: 0, attempts: 0 });
  const settings = { webhookDelay: 1, webhookMaxDelayMs: 60_000 };
  const receiver = await startReceiver(t);
  const waiting = await shop.control({ webhookUrl: receiver.url, settings, drive: 50 });
  t.ok(waiting.pendingDeliveries > 0);
  t.equal((await shop.control({ webhookUrl: null, drain: true })).pendingDeliveries, 0);
});

test('lost webhooks are never sent, doubled ones come twice under one id', async (t) => {
  const shop = await startShop(t);
  const receiver = await startReceiver(t);
  const lost = await shop.control({ webhookUrl: receiver.url, settings: { webhookLoss: 1 }, drive: 20, drain: true });
  t.equal(receiver.received.length, 0);
  t.equal(lost.counters.webhooks.lost, lost.counters.webhooks.events);

  const settings = { webhookDuplicate: 1, webhookMaxDelayMs: 5 };
  await shop.control({ faults: 'off' });
  await shop.control({ settings, drive: 20, drain: true });
  const times = new Map<unknown, number>();
  for (const id of receiver.ids()) times.set(id, (times.get(id) ?? 0) + 1);
  t.ok(times.size >= 20 && [...times.values()].every((count) => count === 2));
});

test('reordered and delayed webhooks all come, out of order', async (t) => {
  for (const settings of [{ webhookReorder: 0.5 }, { webhookDelay: 0.5, webhookMaxDelayMs: 100 }]) {
    const shop = await startShop(t, { tickMs: 1 });
    const receiver = await startReceiver(t);
    await shop.control({ settings: { ...settings, webhookConcurrency: 1 } });
    await shop.control({ webhookUrl: receiver.url, drive: 300, drain: true });
    const { webhooks } = shop.state().counters;
    t.equal(receiver.received.length, webhooks.events);
    t.ok(webhooks.reordered + webhooks.delayed > 50);
    const last = new Map<string, string>();
    let inversions = 0;
    for (const { data } of receiver.events()) {
      if (data.updated_at < (last.get(data.id) ?? '')) inversions++;
      last.set(data.id, data.updated_at);
    }
    t.ok(inversions > 0, JSON.stringify(settings));
  }
});

test('forged and stale webhooks come beside the true ones, fail verification, and are noticed when taken', async (t) => {
  const shop = await startShop(t);
  const gullible = await startReceiver(t);
  const settings = { webhookForged: 1, webhookStale: 1 };
  const taken = await shop.control({ webhookUrl: gullible.url, settings, drive: 20, drain: true });
  const { events, forged, stale, wronglyAccepted } = taken.counters.webhooks;
  t.strictSame([forged, stale, wronglyAccepted], [events, events, 2 * events]);
  t.equal(gullible.received.filter(isTrue).length, events);
  t.equal(gullible.received.length, 3 * events);
  for (const delivery of gullible.received.filter((one) => one.body.includes('FORGED'))) {
    t.throws(() => verify(delivery), /No matching signature|timestamp too old/);
  }

  const careful = await startReceiver(t, (delivery) => (isTrue(delivery) ? 202 : 401));
  const refused = await shop.control({ webhookUrl: careful.url, drive: 20, drain: true });
  t.equal(refused.counters.webhooks.wronglyAccepted, wronglyAccepted);
  t.equal(refused.counters.webhooks.failedAttempts, 0, 'they are not tried again');
});
