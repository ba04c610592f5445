import {
  bearer,
  cursor,
  defineIntegration,
  entity,
  env,
  epochSeconds,
  field,
  secret,
  signatures,
  syncedAt,
} from 'syncline';
import { z } from 'zod';
import { customers, products, subscriptions } from './schema.ts';

const metadataSchema = z.record(z.string(), z.string());

const customerSchema = z.object({
  id: z.string(),
  object: z.literal('customer'),
  email: z.string().nullish(),
  name: z.string().nullish(),
  phone: z.string().nullish(),
  description: z.string().nullish(),
  balance: z.number().nullish(),
  currency: z.string().nullish(),
  delinquent: z.boolean().nullish(),
  metadata: metadataSchema.nullish(),
  created: z.number(),
  deleted: z.boolean().optional(),
});

const productSchema = z.object({
  id: z.string(),
  object: z.literal('product'),
  name: z.string(),
  active: z.boolean(),
  description: z.string().nullish(),
  default_price: z.string().nullish(),
  metadata: metadataSchema.nullish(),
  created: z.number(),
  deleted: z.boolean().optional(),
});

const subscriptionSchema = z.object({
  id: z.string(),
  object: z.literal('subscription'),
  customer: z.string(),
  status: z.string(),
  items: z.object({
    data: z.array(z.object({ price: z.object({ id: z.string() }).nullish(), quantity: z.number().nullish() })),
  }),
  currency: z.string().nullish(),
  cancel_at_period_end: z.boolean().nullish(),
  metadata: metadataSchema.nullish(),
  created: z.number(),
  start_date: z.number().nullish(),
  canceled_at: z.number().nullish(),
  ended_at: z.number().nullish(),
});

/**
 * Nothing in an object orders its versions, and events are stamped in whole seconds and come in any order. So an event
 * only says which object to read, and order follows from when it was read.
 */
const version = { kind: 'none' } as const;

/**
 * Reads and lists show every change at once: of the search endpoint alone Stripe says that it lags behind, and sends
 * those who must read what was just written to the lists (docs.stripe.com/search, "Data freshness").
 */
const readLag = '0s';

/** A deleted customer still answers by its id, as `{ id, object, deleted: true }`. */
const marker = { field: 'deleted', equals: true } as const;

/** Newest first, without deleted objects; nothing filters by the time of a change. */
const list = (path: string, query: Readonly<Record<string, string>> = {}) => ({
  path,
  query,
  items: 'data',
  pagination: cursor({ param: 'starting_after', itemField: 'id', hasMore: 'has_more' }),
  pageSize: { param: 'limit', size: 100 },
});

/** Customers, products and subscriptions of one Stripe account. */
export const stripe = defineIntegration({
  name: 'stripe',
  source: {
    baseUrl: env('STRIPE_API_URL', 'https://api.stripe.com'),
    auth: bearer({ token: secret('STRIPE_API_KEY') }),
  },
  webhook: {
    signature: signatures.stripe({ secrets: [secret('STRIPE_WEBHOOK_SECRET')] }),
    events: {
      // Named one by one: `customer.*` would take `customer.subscription.updated`, `customer.discount.created` and
      // others, whose object is no customer.
      'customer.created': { entity: 'customers', record: 'data.object' },
      'customer.updated': { entity: 'customers', record: 'data.object' },
      'customer.deleted': { entity: 'customers', record: 'data.object', deletes: true },
      'product.created': { entity: 'products', record: 'data.object' },
      'product.updated': { entity: 'products', record: 'data.object' },
      'product.deleted': { entity: 'products', record: 'data.object', deletes: true },
      // `customer.subscription.deleted` means cancelled: the subscription stays, with the status `canceled`.
      'customer.subscription.*': { entity: 'subscriptions', record: 'data.object' },
    },
  },
  entities: {
    customers: entity({
      schema: customerSchema,
      key: 'id',
      version,
      readLag,
      // Stripe makes these ids itself and gives none twice, so that a deletion is final whenever its event comes.
      deletes: { idsReturn: false, marker },
      read: { list: list('/v1/customers'), get: { path: '/v1/customers/{id}' } },
      target: customers,
      mapping: {
        externalId: field('id'),
        email: field('email'),
        name: field('name'),
        phone: field('phone'),
        description: field('description'),
        balance: field('balance'),
        currency: field('currency'),
        isDelinquent: field('delinquent'),
        metadata: field('metadata'),
        createdAt: field('created', epochSeconds),
        syncedAt: syncedAt(),
      },
      reconcile: { full: '7 * * * *' },
    }),

    products: entity({
      schema: productSchema,
      key: 'id',
      version,
      readLag,
      // A product's id may be of one's own choice, and be chosen again.
      deletes: { marker },
      read: { list: list('/v1/products'), get: { path: '/v1/products/{id}' } },
      target: products,
      mapping: {
        externalId: field('id'),
        name: field('name'),
        isActive: field('active'),
        description: field('description'),
        defaultPriceId: field('default_price'),
        metadata: field('metadata'),
        createdAt: field('created', epochSeconds),
        syncedAt: syncedAt(),
      },
      reconcile: { full: '27 * * * *' },
    }),

    subscriptions: entity({
      schema: subscriptionSchema,
      key: 'id',
      version,
      readLag,
      // Without `status` the list leaves out the cancelled ones, and they would look deleted.
      read: { list: list('/v1/subscriptions', { status: 'all' }), get: { path: '/v1/subscriptions/{id}' } },
      target: subscriptions,
      mapping: {
        externalId: field('id'),
        customerId: field('customer'),
        status: field('status'),
        priceId: field('items.data.0.price.id'),
        quantity: field('items.data.0.quantity'),
        currency: field('currency'),
        cancelsAtPeriodEnd: field('cancel_at_period_end'),
        metadata: field('metadata'),
        createdAt: field('created', epochSeconds),
        startedAt: field('start_date', epochSeconds),
        canceledAt: field('canceled_at', epochSeconds),
        endedAt: field('ended_at', epochSeconds),
        syncedAt: syncedAt(),
      },
      reconcile: { full: '47 * * * *' },
    }),
  },
});
