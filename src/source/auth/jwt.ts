import { z } from 'zod';
import { type Duration, durationMs } from '../../lib/duration.ts';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import type { AuthDeps } from './authenticator.ts';
import { type JwtExchangeDefinition, jwtExchangeSchema, prepareJwtExchange } from './jwt-exchange.ts';
import { JWT_ALGORITHMS, type JwtAlgorithm, readJwtKey } from './jwt-key.ts';
import type { JwtContent } from './jwt-signer.ts';
import { type KeyEncoding, keyEncodingSchema } from './key-bytes.ts';
import { lifetimeSchema } from './lifetime.ts';
import { fieldsSchema, readFields } from './login-call.ts';
import type { AuthSettings } from './settings.ts';
import type { Grant } from './token-cache.ts';
import type { TokenRequest } from './token-request.ts';

type JwtOptions = {
  readonly algorithm: JwtAlgorithm;
  /** RS256, ES256: the private key in PEM (PKCS #8, PKCS #1, SEC 1). HS256: the shared text. */
  readonly key: Setting;
  /** How an HS256 key's bytes are written. Default `utf8`. */
  readonly keyEncoding?: KeyEncoding;
  /** `kid` of the header. */
  readonly keyId?: Setting;
  readonly issuer?: Setting;
  readonly subject?: Setting;
  /** Default: the URL of the exchange, where the token is exchanged as an assertion. */
  readonly audience?: Setting;
  /** More claims. */
  readonly claims?: Readonly<Record<string, Setting | number | boolean>>;
  /** From `iat` to `exp`. Default `10m`. */
  readonly lifetime?: Duration;
  /** Left out, the token itself goes with every request. */
  readonly exchange?: JwtExchangeDefinition;
};
export type JwtDefinition = JwtOptions & { readonly kind: 'jwt' };

/**
 * A token that we sign, anew before each one ends. It goes with every request as `Authorization: Bearer`, or is exchanged
 * for an access token that does (RFC 7523, GitHub Apps). From a lifetime of 8m on, clocks may be 2 minutes apart.
 */
export const jwt = (options: JwtOptions): JwtDefinition => ({ kind: 'jwt', ...options });

/** These have options of their own, or are ours to set. */
const OWN_CLAIMS = ['iss', 'sub', 'aud', 'iat', 'exp', 'jti'];

export const jwtSchema = z
  .strictObject({
    kind: z.literal('jwt'),
    algorithm: z.enum(JWT_ALGORITHMS),
    key: settingSchema,
    keyEncoding: keyEncodingSchema.optional(),
    keyId: settingSchema.optional(),
    issuer: settingSchema.optional(),
    subject: settingSchema.optional(),
    audience: settingSchema.optional(),
    claims: fieldsSchema
      .refine((claims) => !OWN_CLAIMS.some((name) => Object.hasOwn(claims, name)), {
        message: `cannot hold ${OWN_CLAIMS.join(', ')}: use issuer, subject, audience and lifetime`,
      })
      .optional(),
    lifetime: lifetimeSchema.optional(),
    exchange: jwtExchangeSchema.optional(),
  })
  .refine(({ exchange, issuer }) => exchange === undefined || issuer !== undefined, {
    message: 'is needed for an exchange: it says who we are',
    path: ['issuer'],
  })
  .refine(({ algorithm, keyEncoding }) => algorithm === 'HS256' || keyEncoding === undefined, {
    message: 'is for HS256 alone: other keys are PEM',
    path: ['keyEncoding'],
  });

const DEFAULT_LIFETIME: Duration = '10m';

export type JwtPlan = {
  readonly content: JwtContent;
  /** Null where the token itself is sent. */
  readonly exchange: {
    readonly grant: (request: TokenRequest, deps: Pick<AuthDeps, 'nowMs' | 'newNonce'>) => Grant;
    readonly scopes: readonly string[];
  } | null;
};

/** Looks the settings up. */
export function prepareJwt(definition: JwtDefinition, settings: AuthSettings): JwtPlan {
  const { algorithm, exchange, lifetime = DEFAULT_LIFETIME } = definition;
  const optional = (name: 'keyId' | 'issuer' | 'subject' | 'audience'): string | null => {
    const setting = definition[name];
    return setting === undefined ? null : settings.read(`auth.${name}`, setting, 'text');
  };
  const text = settings.read('auth.key', definition.key, 'text');
  const key = readJwtKey(algorithm, text, definition.keyEncoding ?? 'utf8');
  if (!key.ok && text !== '') settings.report('auth.key', key.problem);
  const prepared = exchange === undefined ? null : prepareJwtExchange(exchange, settings);
  const named = {
    iss: optional('issuer'),
    sub: optional('subject'),
    aud: optional('audience') ?? prepared?.audience ?? null,
  };
  const content: JwtContent = {
    algorithm,
    key: key.ok ? key.key : new Uint8Array(),
    keyId: optional('keyId'),
    claims: {
      ...readFields(settings, 'auth.claims', definition.claims ?? {}),
      ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== null)),
    },
    lifetimeMs: durationMs(lifetime),
  };
  if (prepared === null) return { content, exchange: null };
  const { grant, scopes } = prepared;
  return { content, exchange: { scopes, grant: (request, deps) => grant(content, request, deps) } };
}
