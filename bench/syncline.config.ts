import { z } from 'zod';
import type { ConfigDefinition } from '../src/define/definition.ts';
import { env } from '../src/lib/setting.ts';
import { field, syncedAt } from '../src/mapping/field.ts';
import { cents } from '../src/mapping/transforms/number.ts';
import { lowercase } from '../src/mapping/transforms/text.ts';
import { isoDate } from '../src/mapping/transforms/time.ts';
import { signatures } from '../src/webhook/signatures.ts';
import { ENTITY, INTEGRATION, WEBHOOK_SECRET } from './records.ts';
import { customers } from './schema.ts';

const customerSchema = z.object({
  id: z.string(),
  object: z.literal('customer'),
  email: z.string(),
  name: z.string(),
  phone: z.string().nullish(),
  description: z.string().nullish(),
  amount_cents: z.number(),
  orders: z.number(),
  status: z.enum(['active', 'inactive']),
  active: z.boolean(),
  address: z.object({ city: z.string() }).nullish(),
  tags: z.array(z.string()),
  created_at: z.string(),
  updated_at: z.string(),
});

const config: ConfigDefinition = {
  migrations: './drizzle',
  integrations: [
    {
      name: INTEGRATION,
      source: { baseUrl: env('BENCH_API_URL', 'http://127.0.0.1:9') },
      webhook: {
        signature: signatures.github({ secrets: [WEBHOOK_SECRET] }),
        events: { 'customer.*': { entity: ENTITY, record: 'data.object' } },
      },
      entities: {
        [ENTITY]: {
          schema: customerSchema,
          key: 'id',
          // The list below is strongly consistent: what a run reads is what there is.
          readLag: '0s',
          version:
            process.env.BENCH_VERSION === 'none'
              ? { kind: 'none' }
              : { kind: 'timestamp', field: 'updated_at', precision: 'millisecond' },
          read: {
            list: {
              path: '/customers',
              items: 'data',
              pagination: { kind: 'cursor', param: 'cursor', next: 'next' },
              pageSize: { param: 'limit', size: Number(process.env.BENCH_PAGE_SIZE ?? 100) },
            },
            get: { path: '/customers/{id}' },
          },
          target: customers,
          mapping: {
            externalId: field('id'),
            email: field('email', lowercase),
            name: field('name'),
            phone: field('phone'),
            description: field('description'),
            amount: field('amount_cents', cents),
            orders: field('orders'),
            status: field('status'),
            isActive: field('active'),
            city: field('address.city'),
            tags: field('tags'),
            createdAt: field('created_at', isoDate),
            updatedAt: field('updated_at', isoDate),
            syncedAt: syncedAt(),
          },
          ...(process.env.BENCH_WRITE === 'on'
            ? { write: { update: { path: '/customers/{id}', ifMatch: true } } }
            : {}),
        },
      },
    },
  ],
};

export default config;
