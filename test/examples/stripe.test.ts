import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stripe } from 'stripe';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { stripe } from '../../examples/stripe/stripe.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { type Delivery, setupExample } from './setup.ts';
import { aCustomer, aProduct, aSubscription, type StripeObject, startFakeStripe } from './stripe-api.ts';

const SECRET = 'whsec_of_this_test';
const NOW_S = 1_767_312_000;
const signer = new Stripe('sk_test_of_this_test').webhooks;

let eventNumber = 0;
/** An event as Stripe sends it, signed by Stripe's own package. Every event of a test has the same second. */
function event(type: string, object: Readonly<Record<string, unknown>>, sign: { at?: number; secret?: string } = {}) {
  eventNumber += 1;
  const payload = JSON.stringify({
    id: `evt_${eventNumber}`,
    object: 'event',
    api_version: '2024-06-20',
    created: NOW_S,
    livemode: false,
    type,
    data: { object },
  });
  const header = signer.generateTestHeaderString({
    payload,
    secret: sign.secret ?? SECRET,
    timestamp: sign.at ?? NOW_S,
  });
  return { body: payload, headers: { 'content-type': 'application/json', 'stripe-signature': header } };
}

async function setup(t: Test) {
  const source = await startFakeStripe(t);
  const example = await setupExample(t, {
    folder: 'stripe',
    definition: stripe,
    environment: { STRIPE_API_URL: source.api.origin, STRIPE_API_KEY: 'sk_test', STRIPE_WEBHOOK_SECRET: SECRET },
    nowMs: () => NOW_S * 1000,
  });
  const send = async (...deliveries: readonly Delivery[]) => {
    for (const delivery of deliveries) t.match(await example.deliver(delivery), { kind: 'accepted' });
    await example.settle();
  };
  const customers = async () =>
    (await example.rows('stripe_customers')).map(({ external_id, name }) => `${external_id} ${name}`);
  return { source, example, send, customers };
}

test('a customer, a product and a subscription end as rows with every column', async (t) => {
  const { source, example, send } = await setup(t);
  const customer = aCustomer('cus_1', { balance: -250, metadata: { tier: 'gold' } });
  const product = aProduct('prod_1', { default_price: 'price_1' });
  const subscription = aSubscription('sub_1');
  for (const object of [customer, product, subscription]) source.put(object);
  await send(
    event('customer.created', customer),
    event('product.created', product),
    event('customer.subscription.created', subscription),
  );

  const createdAt = new Date(1_767_225_600_000).toISOString();
  const plain = async (table: string) =>
    (await example.rows(table)).map(({ synced_at: _, ...row }) => ({
      ...row,
      created_at: new Date(String(row.created_at)).toISOString(),
      ...('started_at' in row ? { started_at: new Date(String(row.started_at)).toISOString() } : {}),
    }));
  t.strictSame(await plain('stripe_customers'), [
    {
      external_id: 'cus_1',
      email: 'cus_1@example.com',
      name: 'Customer cus_1',
      phone: null,
      description: null,
      balance: -250,
      currency: 'usd',
      is_delinquent: false,
      metadata: { tier: 'gold' },
      created_at: createdAt,
    },
  ]);
  t.strictSame(await plain('stripe_products'), [
    {
      external_id: 'prod_1',
      name: 'Product prod_1',
      is_active: true,
      description: null,
      default_price_id: 'price_1',
      metadata: { shelf: '7' },
      created_at: createdAt,
    },
  ]);
  t.strictSame(await plain('stripe_subscriptions'), [
    {
      external_id: 'sub_1',
      customer_id: 'cus_1',
      status: 'active',
      price_id: 'price_1',
      quantity: 2,
      currency: 'usd',
      cancels_at_period_end: false,
      metadata: {},
      created_at: createdAt,
      started_at: createdAt,
      canceled_at: null,
      ended_at: null,
    },
  ]);
});

test('an event about a subscription, a discount or a source of a customer is not taken for the customer', async (t) => {
  const { source, example, send, customers } = await setup(t);
  source.put(aCustomer('cus_1'));
  await send(event('customer.created', aCustomer('cus_1')));
  const before = await example.rows('stripe_customers');

  const paused = aSubscription('sub_1', { status: 'paused' });
  source.put(paused);
  await send(
    event('customer.subscription.updated', paused),
    event('customer.discount.created', { id: 'di_1', object: 'discount', customer: 'cus_1' }),
    event('customer.source.deleted', { id: 'card_1', object: 'card', customer: 'cus_1' }),
    event('customer.tax_id.created', { id: 'txi_1', object: 'tax_id', customer: 'cus_1' }),
  );
  t.strictSame(await customers(), ['cus_1 Customer cus_1']);
  t.strictSame(await example.rows('stripe_customers'), before);
  t.match(await example.rows('stripe_subscriptions'), [{ external_id: 'sub_1', status: 'paused' }]);
  t.strictSame(await example.deadLetters(), []);
  t.strictSame(
    (await example.outcomes()).map(({ outcome }) => outcome).filter((outcome) => outcome === 'unknown_type').length,
    3,
  );
});

test("events of one second end as Stripe's own answer, in either order", async (t) => {
  const { source, example, send, customers } = await setup(t);
  const first = aCustomer('cus_1', { name: 'First' });
  const second = aCustomer('cus_1', { name: 'Second' });
  const types = ['customer.created', 'customer.updated', 'customer.updated'];
  for (const order of [
    [first, first, second],
    [second, first, first],
    [first, second, first],
  ]) {
    await example.reset();
    source.put(second);
    await send(...order.map((object, index) => event(types[index] ?? 'customer.updated', object)));
    t.strictSame(await customers(), ['cus_1 Second']);
  }
});

test('a deletion is final, although the deleted customer still answers and a late update follows', async (t) => {
  const { source, example, send, customers } = await setup(t);
  const customer = aCustomer('cus_1');
  for (const late of ['before', 'after'] as const) {
    await example.reset();
    source.put(customer);
    await send(event('customer.created', customer));
    t.strictSame(await customers(), ['cus_1 Customer cus_1']);
    source.remove('cus_1');
    const update = event('customer.updated', { ...customer, name: 'Late' });
    const deletion = event('customer.deleted', customer);
    await send(...(late === 'before' ? [update, deletion] : [deletion, update]));
    t.strictSame(await customers(), [], `the late update ${late} the deletion`);
  }
});

test('a cancelled subscription stays, and a full run does not take it for deleted', async (t) => {
  const { source, example, send } = await setup(t);
  source.put(aSubscription('sub_1'));
  await send(event('customer.subscription.created', aSubscription('sub_1')));
  const canceled = aSubscription('sub_1', { status: 'canceled', ended_at: NOW_S, canceled_at: NOW_S });
  source.put(canceled);
  await send(event('customer.subscription.deleted', canceled));
  t.match(await example.rows('stripe_subscriptions'), [{ external_id: 'sub_1', status: 'canceled' }]);
  const before = source.api.seen.length;
  t.match(await example.reconcile('subscriptions'), { state: 'succeeded' });
  t.match(await example.rows('stripe_subscriptions'), [{ external_id: 'sub_1', status: 'canceled' }]);
  t.match(
    source.api.seen.slice(before).map(({ url }) => url),
    [/^\/v1\/subscriptions\?.*status=all/],
    'the list showed it, so that nothing had to be read',
  );
});

test('customers created, changed and deleted without an event are found by a full run, and counted as drift', async (t) => {
  const { source, example, customers } = await setup(t);
  for (const number of [1, 2, 3, 4, 5]) source.put(aCustomer(`cus_${number}`, { created: NOW_S + number }));
  t.match(await example.reconcile('customers'), { state: 'succeeded' });
  t.equal((await customers()).length, 5);
  const unchanged = (await example.rows('stripe_customers')).find(({ external_id }) => external_id === 'cus_5');
  example.takeDrift('customers');

  source.put(aCustomer('cus_6', { created: NOW_S + 6 }));
  source.put(aCustomer('cus_2', { created: NOW_S + 2, name: 'Changed' }));
  source.remove('cus_3');
  source.remove('cus_4');
  t.match(await example.reconcile('customers'), { state: 'succeeded' });
  t.strictSame(await customers(), [
    'cus_1 Customer cus_1',
    'cus_2 Changed',
    'cus_5 Customer cus_5',
    'cus_6 Customer cus_6',
  ]);
  t.strictSame(example.takeDrift('customers'), { driftMissing: 1, driftStale: 1, driftDeleted: 2 });
  t.strictSame(
    (await example.rows('stripe_customers')).find(({ external_id }) => external_id === 'cus_5'),
    unchanged,
    'what did not change is not written',
  );
  const lists = source.api.seen.filter(({ url }) => url.startsWith('/v1/customers?'));
  t.match(lists[1]?.url, 'starting_after=cus_4', 'the second page follows the last of the first');
  t.match(lists[0]?.url, 'limit=100');
});

test('a product whose id is used again is a row again', async (t) => {
  const { source, example, send } = await setup(t);
  source.put(aProduct('mug'));
  await send(event('product.created', aProduct('mug')));
  source.remove('mug');
  await send(event('product.deleted', aProduct('mug')));
  t.strictSame(await example.rows('stripe_products'), []);
  source.put(aProduct('mug', { name: 'Another mug' }));
  await send(event('product.created', aProduct('mug', { name: 'Another mug' })));
  t.match(await example.rows('stripe_products'), [{ external_id: 'mug', name: 'Another mug' }]);
});

test('an event counts once, in time, and only as Stripe signed it', async (t) => {
  const { source, example, customers } = await setup(t);
  source.put(aCustomer('cus_1'));
  const good = event('customer.created', aCustomer('cus_1'));
  const flipped = { ...good, body: good.body.replace('Customer cus_1', 'Customer cus_l') };
  const refused: readonly (readonly [string, Delivery])[] = [
    ['a changed byte', flipped],
    ['a wrong secret', event('customer.created', aCustomer('cus_1'), { secret: 'whsec_other' })],
    ['signed too long ago', event('customer.created', aCustomer('cus_1'), { at: NOW_S - 301 })],
    ['no signature', { ...good, headers: {} }],
  ];
  for (const [why, delivery] of refused) t.match(await example.deliver(delivery), { kind: 'rejected' }, why);
  await example.settle();
  t.strictSame(await customers(), []);
  t.equal((await example.outcomes()).length, 0, 'nothing of it is kept');

  t.match(await example.deliver(good), { kind: 'accepted' });
  t.match(await example.deliver(good), { kind: 'duplicate' });
  await example.settle();
  t.strictSame(await customers(), ['cus_1 Customer cus_1']);
});

const FIXTURES = join(packageRoot(), '../shared/fixtures/stripe/fixtures3.json');
const objectSchema = z.looseObject({ id: z.string(), object: z.string(), created: z.number() });
const fixturesSchema = z.object({
  resources: z.looseObject({
    customer: objectSchema,
    product: objectSchema,
    subscription: objectSchema,
    deleted_customer: z.looseObject({ id: z.string(), object: z.string(), deleted: z.literal(true) }),
  }),
});

test("Stripe's own sample objects become rows, by event and by list", {
  skip: existsSync(FIXTURES) ? false : "needs Stripe's sample objects in ../shared/fixtures/stripe",
}, async (t) => {
  const { source, example, send } = await setup(t);
  const { customer, product, subscription } = fixturesSchema.parse(
    JSON.parse(readFileSync(FIXTURES, 'utf8')),
  ).resources;
  const objects: readonly StripeObject[] = [customer, product, subscription];
  const read = () =>
    Promise.all(['customers', 'products', 'subscriptions'].map((name) => example.rows(`stripe_${name}`)));
  for (const object of objects) source.put(object);
  await send(
    event('customer.updated', customer),
    event('product.updated', product),
    event('customer.subscription.updated', subscription),
  );
  const byEvent = await read();
  t.match(byEvent, [
    [{ external_id: customer.id, balance: customer.balance, email: null }],
    [{ external_id: product.id, name: product.name, default_price_id: product.default_price }],
    [
      {
        external_id: subscription.id,
        customer_id: subscription.customer,
        status: subscription.status,
        price_id: /^price_/,
      },
    ],
  ]);
  for (const entity of ['customers', 'products', 'subscriptions']) {
    t.match(await example.reconcile(entity), { state: 'succeeded' });
  }
  t.strictSame(await read(), byEvent, 'the list shows what the events had shown');
  source.remove(customer.id);
  t.match(await example.reconcile('customers'), { state: 'braked' }, 'an empty list waits for approval');
  t.strictSame(await example.deadLetters(), []);
});
