import { z } from 'zod';
import { type Duration, durationMs } from '../../lib/duration.ts';
import { pathSchema } from '../../lib/path-schema.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader } from '../header.ts';
import { lifetimeSchema } from './lifetime.ts';
import { type LoginCallDefinition, loginCallShape, prepareLoginCall } from './login-call.ts';
import type { AuthSettings } from './settings.ts';
import { readTokens, type TokenPaths } from './token-answer.ts';
import type { Grant } from './token-cache.ts';
import { BEARER, type TokenHeader } from './token-header.ts';
import type { TokenRequest } from './token-request.ts';

type LoginOptions = LoginCallDefinition & {
  /** Dot path to the token in the answer. */
  readonly token: string;
  /** Dot path to how long it lives, in seconds. */
  readonly expiresIn?: string;
  /** Dot path to when it ends: ISO 8601, or seconds or milliseconds since 1970. */
  readonly expiresAt?: string;
  /** How long it lives when the answer does not say. Left out: until the source refuses it. */
  readonly lifetime?: Duration;
  /** A call that renews the token by another one of the answer's. When that one is refused, we log in again. */
  readonly refresh?: Omit<LoginCallDefinition, 'method'> & {
    /** Default `POST`. */
    readonly method?: 'POST' | 'PUT';
    /** Dot path to the refresh token, in the answers of both calls. Default `refresh_token`. */
    readonly token?: string;
    /** Field of this call's body that takes it. Default `refresh_token`. */
    readonly field?: string;
  };
  /** Where the token goes. Default `Authorization`, with `Bearer ` before it. */
  readonly header?: string;
  /** Put before the token as it is. Nothing when `header` is named. */
  readonly prefix?: string;
};
export type LoginDefinition = LoginOptions & { readonly kind: 'login' };

/** A token that a call of the source's own gives for a name and a password, or whatever it asks for. */
export const login = (options: LoginOptions): LoginDefinition => ({ kind: 'login', ...options });

export const loginSchema = z.strictObject({
  kind: z.literal('login'),
  ...loginCallShape,
  token: pathSchema,
  expiresIn: pathSchema.optional(),
  expiresAt: pathSchema.optional(),
  lifetime: lifetimeSchema.optional(),
  refresh: z
    .strictObject({
      ...loginCallShape,
      method: z.enum(['POST', 'PUT']).optional(),
      token: pathSchema.optional(),
      field: z.string().min(1).optional(),
    })
    .optional(),
  header: z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`).optional(),
  prefix: z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'expected printable text')
    .optional(),
});

/** What a login asks, and how its token is sent. */
export type LoginPlan = { readonly grant: (request: TokenRequest) => Grant; readonly header: TokenHeader };

const DEFAULT_REFRESH_FIELD = 'refresh_token';

/** Looks the settings up. */
export function prepareLogin(definition: LoginDefinition, settings: AuthSettings): LoginPlan {
  const { refresh } = definition;
  const first = prepareLoginCall(definition, settings, 'auth', 'the login');
  const again =
    refresh === undefined ? null : prepareLoginCall(refresh, settings, 'auth.refresh', "the login's refresh");
  const lifetimeS = definition.lifetime === undefined ? null : durationMs(definition.lifetime) / 1_000;
  const paths: TokenPaths = {
    token: definition.token,
    expiresIn: definition.expiresIn ?? null,
    expiresAt: definition.expiresAt ?? null,
    refreshToken: refresh === undefined ? null : (refresh.token ?? DEFAULT_REFRESH_FIELD),
    scope: null,
  };

  const grant =
    (request: TokenRequest): Grant =>
    async (refreshToken, signal) => {
      const call =
        refreshToken === null || again === null
          ? first({})
          : again({ [refresh?.field ?? DEFAULT_REFRESH_FIELD]: refreshToken });
      return readTokens(call.what, await request(call, signal), paths, lifetimeS);
    };
  return { grant, header: headerOf(definition) };
}

const headerOf = ({ header, prefix }: LoginDefinition): TokenHeader => ({
  name: header?.toLowerCase() ?? BEARER.name,
  prefix: prefix ?? (header === undefined ? BEARER.prefix : ''),
});
