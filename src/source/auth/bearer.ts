import { z } from 'zod';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import type { Authenticator } from './authenticator.ts';

export const bearerSchema = z.strictObject({ kind: z.literal('bearer'), token: settingSchema });
export type BearerDefinition = { readonly kind: 'bearer'; readonly token: Setting };

/** `Authorization: Bearer <token>` on every request (RFC 6750). */
export const bearer = (options: { readonly token: Setting }): BearerDefinition => ({ kind: 'bearer', ...options });

export const createBearer = (token: string): Authenticator => ({
  authorize: (request) => ({ ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } }),
  renew: async () => false,
  withoutCredentials: (url) => url,
});
