import { createHmac, randomUUID } from 'node:crypto';
import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import type { Test } from 'tap';
import { z } from 'zod';
import type { IntegrationDefinition } from '../../src/define/definition.ts';
import { env, secret } from '../../src/lib/setting.ts';
import { field, required, syncedAt } from '../../src/mapping/field.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { handshakes } from '../../src/webhook/handshake.ts';
import { inHeader } from '../../src/webhook/locator.ts';
import { signatures } from '../../src/webhook/signatures.ts';
import { type FakeApi, type SeenRequest, sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';

/** What the tests of whole servers work with: one integration with a signed webhook and an API, as simple as can be. */
export const SHOP_SECRET = `whsec_${Buffer.from('canary-shop-webhook-secret-0001').toString('base64')}`;
export const FORM_SECRET = 'canary-form-webhook-secret-0002';
export const VERIFY_TOKEN = 'canary-verify-token-0003';
export const API_KEY = 'canary-api-key-0004';
export const MAX_BODY_BYTES = 262_144;
export const SMALL_BODY_BYTES = 1_000;

const customers = pgTable('e2e_customers', {
  externalId: text('external_id').primaryKey(),
  email: text('email'),
  amount: integer('amount'),
  updatedAt: timestamp('updated_at', { withTimezone: true, mode: 'string' }),
  lastSyncedAt: timestamp('last_synced_at', { withTimezone: true }),
});
export const CREATE_CUSTOMERS = `CREATE TABLE e2e_customers (external_id text PRIMARY KEY, email text, amount integer,
  updated_at timestamptz, last_synced_at timestamptz)`;

export const shopEnvironment = (apiUrl: string) => ({
  SHOP_API_URL: apiUrl,
  SHOP_API_KEY: API_KEY,
  SHOP_SECRET,
  FORM_SECRET,
  VERIFY_TOKEN,
});

const customersEntity = {
  schema: z.object({
    id: z.string(),
    email: z.string().nullish(),
    amount_cents: z.number(),
    updated_at: z.string(),
  }),
  key: 'id',
  version: { kind: 'timestamp' as const, field: 'updated_at' },
  readLag: '0s' as const,
  read: {
    list: { path: '/customers', items: 'data', pagination: cursor({ param: 'starting_after', next: 'next_cursor' }) },
    changedSince: { param: 'updated_since', overlap: '5s' as const },
    get: { path: '/customers/{id}' },
  },
  target: customers,
  mapping: {
    externalId: field('id'),
    email: field('email'),
    amount: field('amount_cents', required),
    updatedAt: field('updated_at'),
    lastSyncedAt: syncedAt(),
  },
};

export const shopDefinition: IntegrationDefinition = {
  name: 'shop',
  source: { baseUrl: env('SHOP_API_URL') },
  webhook: {
    signature: signatures.standardWebhooks({ secrets: [secret('SHOP_SECRET')] }),
    events: {
      'customer.deleted': { entity: 'customers', record: 'data', deletes: true },
      'customer.*': { entity: 'customers', record: 'data' },
    },
    maxBodyBytes: MAX_BODY_BYTES,
    handshakes: [
      handshakes.meta({ verifyToken: secret('VERIFY_TOKEN') }),
      handshakes.cloudEvents({ allowedOrigins: ['shop.example'] }),
      handshakes.probe(),
    ],
  },
  entities: { customers: customersEntity },
};

/** A second one, for what the first cannot show: forms, a small body limit, no signed delivery id, no handshakes. */
export const formDefinition: IntegrationDefinition = {
  name: 'form',
  source: { baseUrl: env('SHOP_API_URL') },
  webhook: {
    signature: signatures.hmac({
      secrets: [secret('FORM_SECRET')],
      header: 'x-signature',
      deliveryId: inHeader('x-delivery'),
      eventType: [inHeader('x-event')],
    }),
    events: { '*': { entity: 'clients', record: 'data' } },
    maxBodyBytes: SMALL_BODY_BYTES,
  },
  entities: { clients: customersEntity },
};

/** A third without webhooks. */
export const silentDefinition: IntegrationDefinition = {
  name: 'silent',
  source: { baseUrl: env('SHOP_API_URL') },
  entities: { customers: customersEntity },
};

export type Customer = {
  readonly id: string;
  readonly email: string | null;
  readonly amount_cents: number;
  readonly updated_at: string;
};

export const customer = (id: string, changes: Partial<Customer> = {}): Customer => ({
  id,
  email: `${id}@example.com`,
  amount_cents: 100,
  updated_at: new Date().toISOString(),
  ...changes,
});

export type SignOptions = {
  readonly id?: string;
  readonly atMs?: number;
  readonly secret?: string;
  readonly type?: string;
};

/** Headers of a delivery as Standard Webhooks signs it. */
export function signShop(body: string | Buffer, options: SignOptions = {}): Record<string, string> {
  const id = options.id ?? `msg_${randomUUID()}`;
  const timestamp = String(Math.floor((options.atMs ?? Date.now()) / 1000));
  const key = Buffer.from((options.secret ?? SHOP_SECRET).slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  return {
    'content-type': options.type ?? 'application/json',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  };
}

/** Headers of a delivery to `form`. */
export function signForm(body: string | Buffer, options: SignOptions & { readonly event?: string } = {}) {
  return {
    'content-type': options.type ?? 'application/json',
    'x-delivery': options.id ?? randomUUID(),
    'x-event': options.event ?? 'client.updated',
    'x-signature': createHmac('sha256', options.secret ?? FORM_SECRET)
      .update(body)
      .digest('hex'),
  };
}

export const event = (type: string, data: unknown): string => JSON.stringify({ type, data });

const PAGE_SIZE = 10;

export type ShopApi = FakeApi & {
  readonly records: Map<string, Customer>;
  /** Called before each answer; what it returns is awaited. A test holds pages back with it. */
  gate: (request: SeenRequest & { readonly index: number }) => Promise<void> | void;
};

/** The shop's API: a list in pages of ten with a cursor, and single records. */
export async function startShopApi(t: Test): Promise<ShopApi> {
  const records = new Map<string, Customer>();
  const api = await startFakeApi(t, async (response, request) => {
    await shop.gate(request);
    const url = new URL(request.url, 'http://shop');
    if (url.pathname === '/customers') {
      const after = url.searchParams.get('starting_after') ?? '';
      const since = url.searchParams.get('updated_since') ?? '';
      const rest = [...records.values()]
        .filter(({ id, updated_at }) => id > after && updated_at >= since)
        .sort((left, right) => (left.id < right.id ? -1 : 1));
      const page = rest.slice(0, PAGE_SIZE);
      return sendJson(response, { data: page, next_cursor: rest.length > PAGE_SIZE ? page.at(-1)?.id : null });
    }
    const found = records.get(decodeURIComponent(url.pathname.slice('/customers/'.length)));
    if (found === undefined) return sendText(response, 404, '{}', { 'content-type': 'application/json' });
    return sendJson(response, found);
  });
  const shop: ShopApi = Object.assign(api, { records, gate: () => {} });
  return shop;
}

/** The cursors that the list was asked for, in order; '' is the first page. */
export const listedCursors = (api: FakeApi): string[] =>
  api.seen
    .map(({ url }) => new URL(url, 'http://shop'))
    .filter(({ pathname }) => pathname === '/customers')
    .map(({ searchParams }) => searchParams.get('starting_after') ?? '');
