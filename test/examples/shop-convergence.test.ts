import { test } from 'tap';
import { compareRows } from '../../examples/shop/compare-rows.ts';
import { expectedCustomer, expectedOrder } from '../../examples/shop/expected-rows.ts';
import { shop as definition } from '../../examples/shop/shop.ts';
import { ALL_FAULTS } from '../../src/testing/settings.ts';
import { setupExample } from './setup.ts';
import { SECRET, startReceiver, startShop, TOKEN } from './shop-setup.ts';

test('with every fault on, the tables end equal to the shop, record by record', async (t) => {
  const shop = await startShop(t, {
    settings: { changesPerSecond: 500, webhookMaxDelayMs: 300, lateCommitMaxMs: 200 },
  });
  const example = await setupExample(t, {
    folder: 'shop',
    definition,
    environment: { SHOP_API_URL: shop.origin, SHOP_API_TOKEN: TOKEN, SHOP_WEBHOOK_SECRET: SECRET },
  });
  const receiver = await startReceiver(t, async (delivery) => {
    const { kind } = await example.deliver(delivery);
    return kind === 'accepted' ? 202 : kind === 'duplicate' ? 200 : 401;
  });
  const differences = async () => [
    ...compareRows((await shop.truth('customers')).map(expectedCustomer), await example.rows('shop_customers')),
    ...compareRows((await shop.truth('orders')).map(expectedOrder), await example.rows('shop_orders')),
  ];

  t.equal((await differences()).length, 40, 'nothing is there before the first run');
  for (const entity of ['customers', 'orders']) t.match(await example.reconcile(entity), { state: 'succeeded' });
  t.same(await differences(), []);

  await shop.control({ settings: { ...ALL_FAULTS, webhookLoss: 0.2 }, webhookUrl: receiver.url, drive: 400 });
  const { counters } = await shop.control({ faults: 'off', drain: true });
  await example.settle();
  t.ok(counters.webhooks.lost > 0);
  t.not((await differences()).length, 0, 'what was lost is missing');

  for (const entity of ['customers', 'orders']) t.match(await example.reconcile(entity), { state: 'succeeded' });
  t.same(await differences(), []);
  t.equal(shop.state().counters.webhooks.wronglyAccepted, 0);
  t.same(await example.deadLetters(), []);
});
