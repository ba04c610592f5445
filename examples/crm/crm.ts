import {
  defineIntegration,
  entity,
  env,
  field,
  isoDate,
  lowercase,
  oauth2,
  offset,
  secret,
  syncedAt,
  trim,
} from 'syncline';
import { z } from 'zod';
import { contacts } from './schema.ts';

const contactSchema = z.object({
  id: z.string(),
  email: z.string().nullable(),
  full_name: z.string(),
  company: z.string().nullable(),
  subscribed: z.boolean(),
  updated_at: z.string(),
});

/**
 * Contacts of a CRM that knows us by OAuth. A person opens `/oauth/crm/start` once; from then on the server renews its
 * tokens by itself, and every replica uses the same ones.
 */
export const crm = defineIntegration({
  name: 'crm',
  source: {
    baseUrl: env('CRM_API_URL'),
    auth: oauth2({
      grant: 'authorization_code',
      authorizeUrl: env('CRM_AUTHORIZE_URL'),
      tokenUrl: env('CRM_TOKEN_URL'),
      clientId: env('CRM_CLIENT_ID'),
      clientSecret: secret('CRM_CLIENT_SECRET'),
      scopes: ['contacts.read'],
    }),
  },
  entities: {
    contacts: entity({
      schema: contactSchema,
      key: 'id',
      version: { kind: 'timestamp', field: 'updated_at', precision: 'millisecond' },
      read: {
        list: {
          path: '/contacts',
          items: 'contacts',
          pagination: offset({ param: 'offset', total: 'total' }),
          pageSize: { param: 'limit', size: 100 },
        },
        changedSince: { param: 'updated_since', overlap: '1m' },
        get: { path: '/contacts/{id}' },
      },
      readLag: '0s',
      target: contacts,
      mapping: {
        externalId: field('id'),
        email: field('email', trim, lowercase),
        fullName: field('full_name', trim),
        company: field('company'),
        isSubscribed: field('subscribed'),
        updatedAt: field('updated_at', isoDate),
        syncedAt: syncedAt(),
      },
      reconcile: { incremental: '* * * * *', full: '0 * * * *' },
    }),
  },
});
