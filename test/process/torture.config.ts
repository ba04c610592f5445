import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { z } from 'zod';
import type { ConfigDefinition } from '../../src/define/definition.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { env, secret } from '../../src/lib/setting.ts';
import { field } from '../../src/mapping/field.ts';
import { bearer } from '../../src/source/auth/bearer.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { signatures } from '../../src/webhook/signatures.ts';

/**
 * A two-way entity with everything that writes can have; each of its fields has another policy. `TORTURE_KEYS=none`: the
 * source knows no idempotency keys, and a created record is found by its marker.
 */
const items = pgTable('torture_items', {
  externalId: text('external_id').primaryKey(),
  ref: text('ref'),
  name: text('name'),
  amount: integer('amount'),
  note: text('note'),
  label: text('label'),
  updatedAt: timestamp('updated_at', { withTimezone: true, mode: 'string' }),
});

/** Whoever writes the row may be another user than ours. */
export const CREATE_ITEMS = `CREATE TABLE torture_items (external_id text PRIMARY KEY, ref text UNIQUE, name text,
  amount integer, note text, label text, updated_at timestamptz)`;

const recognised: Pick<WriteDefinition, 'idempotency' | 'marker'> =
  process.env.TORTURE_KEYS === 'none'
    ? { marker: { field: 'client_ref', searchParam: 'client_ref' } }
    : { idempotency: { header: 'Idempotency-Key', ttl: '24h' } };

export default {
  integrations: [
    {
      name: 'torture',
      source: {
        baseUrl: env('TORTURE_API_URL'),
        auth: bearer({ token: secret('TORTURE_TOKEN') }),
        timeout: '3s',
        maxAttempts: 4,
      },
      webhook: {
        signature: signatures.standardWebhooks({ secrets: [secret('TORTURE_SECRET')] }),
        events: {
          'items.deleted': { entity: 'items', record: 'data', deletes: true },
          'items.*': { entity: 'items', record: 'data' },
        },
      },
      entities: {
        items: {
          schema: z.object({
            id: z.string(),
            ref: z.string(),
            name: z.string(),
            amount: z.int(),
            note: z.string().nullable(),
            label: z.string().nullable(),
            updated_at: z.string(),
          }),
          key: 'id',
          version: { kind: 'timestamp', field: 'updated_at' },
          deletes: { events: 'versioned', idsReturn: false },
          readLag: '0s',
          read: {
            list: {
              path: '/items',
              items: 'data',
              pagination: cursor({ param: 'starting_after', next: 'next_cursor' }),
              pageSize: { param: 'limit', size: 50 },
            },
            changedSince: { param: 'updated_since', overlap: '30s' },
            get: { path: '/items/{id}' },
          },
          target: items,
          mapping: {
            externalId: field('id'),
            ref: field('ref'),
            name: field('name'),
            amount: field('amount'),
            note: field('note'),
            label: field('label'),
            updatedAt: field('updated_at'),
          },
          reconcile: { deletions: { maxShare: 0.9, minimum: 10_000 } },
          write: {
            create: { path: '/items' },
            update: { path: '/items/{id}', ifMatch: true },
            delete: { path: '/items/{id}', ifMatch: true },
            createOnly: ['ref'],
            conflict: 'source_wins',
            fields: { note: 'target_wins', amount: 'newest_wins', label: 'manual' },
            localDeletes: 'push',
            massDelete: { maxShare: 0.9, minimum: 10_000 },
            debounce: '50ms',
            budget: { calls: 1_000, per: '10m' },
            ...recognised,
          },
        },
      },
    },
  ],
} satisfies ConfigDefinition;
