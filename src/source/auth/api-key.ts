import { z } from 'zod';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader } from '../header.ts';
import type { Authenticator } from './authenticator.ts';

export const apiKeySchema = z
  .strictObject({
    kind: z.literal('api_key'),
    header: z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`).optional(),
    query: z.string().min(1).optional(),
    value: settingSchema,
    prefix: z.string().optional(),
  })
  .refine((key) => (key.header === undefined) !== (key.query === undefined), {
    message: 'expected either `header` or `query`, the place that the key goes to',
  })
  .refine(({ header, prefix }) => header === undefined || /^[\x20-\x7e]*$/.test(prefix ?? ''), {
    message: 'expected printable text, which a header can carry',
    path: ['prefix'],
  });

type Place = { readonly header: string; readonly query?: never } | { readonly query: string; readonly header?: never };
type KeyOptions = Place & { readonly value: Setting; readonly prefix?: string };
export type ApiKeyDefinition = KeyOptions & { readonly kind: 'api_key' };

/**
 * A fixed key in a header or a query parameter. `prefix` is put before it as it is: `prefix: 'Token '`.
 * Prefer the header: other servers on the way log URLs.
 */
export const apiKey = (options: KeyOptions): ApiKeyDefinition => ({ kind: 'api_key', ...options });

export function createApiKey(place: Place, key: string): Authenticator {
  if (place.header !== undefined) {
    const name = place.header.toLowerCase();
    return {
      authorize: (request) => ({ ...request, headers: { ...request.headers, [name]: key } }),
      renew: async () => false,
      withoutCredentials: (url) => url,
    };
  }
  const parameter = place.query;
  return {
    authorize: (request) => {
      const url = new URL(request.url);
      url.searchParams.set(parameter, key);
      return { ...request, url };
    },
    renew: async () => false,
    withoutCredentials: (url) => {
      const bare = new URL(url);
      bare.searchParams.delete(parameter);
      return bare;
    },
  };
}
