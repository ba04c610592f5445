import {
  bearer,
  cents,
  concat,
  constant,
  cursor,
  defineIntegration,
  entity,
  env,
  field,
  fields,
  isoDate,
  join,
  lowercase,
  oneOf,
  secret,
  signatures,
  syncedAt,
  trim,
} from 'syncline';
import { z } from 'zod';
import { customers, orders } from './schema.ts';

const customerSchema = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  status: z.string(),
  amount_cents: z.int(),
  metadata: z.object({ tags: z.array(z.string()) }),
  address: z.object({ line1: z.string(), line2: z.string().nullable() }),
  note: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
});

const orderSchema = z.object({
  id: z.string(),
  customer_id: z.string(),
  number: z.string(),
  status: z.string(),
  total_cents: z.int(),
  currency: z.string(),
  items: z.array(z.object({ sku: z.string(), quantity: z.int() })),
  placed_at: z.string(),
  shipped_at: z.string().nullable(),
  updated_at: z.string(),
});

/** Whole seconds: two changes within one are not ordered by it, and then the record is read again. */
const version = { kind: 'timestamp', field: 'updated_at' } as const;

/** A delete event is stamped later than the record's last update, and the shop gives no id twice. */
const deletes = { events: 'versioned', idsReturn: false } as const;

/** Changes become visible up to some seconds after their stamp: the overlap reads those again. */
const changedSince = { param: 'updated_since', overlap: '5m' } as const;

/**
 * Every minute and every ten, so that the demo's gaps can be seen to close; a real shop needs neither so often. Nor does one
 * delete two fifths of its records within a minute: the brake would rightly hold some of that back.
 */
const reconcile = { incremental: '* * * * *', full: '*/10 * * * *', deletions: { maxShare: 0.1, minimum: 200 } };

const list = (path: string) => ({
  path,
  items: 'data',
  pagination: cursor({ param: 'starting_after', next: 'next_cursor' }),
  pageSize: { param: 'limit', size: 100 },
});

/**
 * Edits of customers go to the shop. Where both sides changed one field the shop wins, but for notes, which are ours. Times and
 * tags stay the shop's own: the mapping knows no way back for tags.
 */
const customerWrites = {
  update: { path: '/customers/{id}', ifMatch: true },
  create: { path: '/customers' },
  delete: { path: '/customers/{id}', ifMatch: true },
  conflict: 'source_wins',
  fields: { note: 'target_wins' },
  readOnly: ['createdDate'],
  localDeletes: 'push',
  idempotency: { header: 'Idempotency-Key', ttl: '24h' },
} as const;

/** Customers and orders of the simulated shop in `simulator/`. */
export const shop = defineIntegration({
  name: 'shop',
  source: { baseUrl: env('SHOP_API_URL'), auth: bearer({ token: secret('SHOP_API_TOKEN') }), timeout: '10s' },
  webhook: {
    signature: signatures.standardWebhooks({ secrets: [secret('SHOP_WEBHOOK_SECRET')] }),
    events: {
      'customer.created': { entity: 'customers', record: 'data' },
      'customer.updated': { entity: 'customers', record: 'data' },
      'customer.deleted': { entity: 'customers', record: 'data', deletes: true },
      'order.created': { entity: 'orders', record: 'data' },
      'order.updated': { entity: 'orders', record: 'data' },
      'order.deleted': { entity: 'orders', record: 'data', deletes: true },
    },
  },
  entities: {
    customers: entity({
      schema: customerSchema,
      key: 'id',
      version,
      deletes,
      readLag: '0s',
      read: { list: list('/customers'), changedSince, get: { path: '/customers/{id}' } },
      target: customers,
      mapping: {
        externalId: field('id'),
        name: field('name'),
        email: field('email', trim, lowercase),
        status: field('status', oneOf({ active: 'enabled', inactive: 'disabled' }, { otherwise: 'unknown' })),
        amount: field('amount_cents', cents),
        tags: field('metadata.tags', join(', ')),
        streetAddress: fields(['address.line1', 'address.line2'], concat(' ')),
        note: field('note'),
        createdDate: field('created_at', isoDate),
        updatedDate: field('updated_at', isoDate),
        syncSource: constant('shop'),
        lastSyncedAt: syncedAt(),
      },
      write: customerWrites,
      reconcile,
    }),
    orders: entity({
      schema: orderSchema,
      key: 'id',
      version,
      deletes,
      readLag: '0s',
      read: { list: list('/orders'), changedSince, get: { path: '/orders/{id}' } },
      target: orders,
      mapping: {
        externalId: field('id'),
        customerId: field('customer_id'),
        number: field('number'),
        status: field('status'),
        total: field('total_cents', cents),
        currency: field('currency'),
        items: field('items'),
        placedAt: field('placed_at', isoDate),
        shippedAt: field('shipped_at', isoDate),
        updatedDate: field('updated_at', isoDate),
        lastSyncedAt: syncedAt(),
      },
      reconcile,
    }),
  },
});
