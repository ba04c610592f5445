import { z } from 'zod';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import type { AuthDeps, Authenticator } from './authenticator.ts';
import { createOAuth2Grants, type OAuth2Client } from './oauth2-grants.ts';
import { type AuthSettings, readAll, readUrl } from './settings.ts';
import { createTokenCache } from './token-cache.ts';
import { BEARER, createTokenAuth } from './token-header.ts';
import { createTokenRequest } from './token-request.ts';

/** How the token endpoint knows us: HTTP Basic, fields of the form, or the client's id alone. */
const CLIENT_AUTHS = ['basic', 'post', 'none'] as const;
/** RFC 6749, 3.3: what a scope's name is made of. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,500}$/;
const MAX_SCOPES = 100;

type SharedOptions = {
  /** Where tokens are asked for. Absolute, or, with a slash in front, a path of the source. */
  readonly tokenUrl: Setting;
  readonly clientId: Setting;
  /** What the tokens must allow. Checked when the answer names scopes. */
  readonly scopes?: readonly string[];
  /** Default `basic` with a secret, `none` without. */
  readonly clientAuth?: (typeof CLIENT_AUTHS)[number];
  /** Whom the tokens are for, where the source asks for it (Auth0 does). */
  readonly audience?: Setting;
  /** More fields of each request for tokens. */
  readonly params?: Readonly<Record<string, Setting>>;
};
export type ClientCredentialsOptions = SharedOptions & {
  readonly grant: 'client_credentials';
  readonly clientSecret: Setting;
};
export type AuthorizationCodeOptions = SharedOptions & {
  readonly grant: 'authorization_code';
  /** Where a person's browser is sent. */
  readonly authorizeUrl: Setting;
  readonly clientSecret?: Setting;
  /** More parameters of that address, such as `access_type: 'offline'`. */
  readonly authorizeParams?: Readonly<Record<string, Setting>>;
  /** One that is there already. Used while nothing newer is stored: sources replace it at the first use. */
  readonly refreshToken?: Setting;
};
export type OAuth2Options = ClientCredentialsOptions | AuthorizationCodeOptions;
export type OAuth2Definition = OAuth2Options & { readonly kind: 'oauth2' };

/**
 * Bearer tokens under OAuth 2.0. `client_credentials`: we are the account. `authorization_code`: a person allows it once,
 * in a browser, at `GET /oauth/:integration/start`; from then on the refresh token is what we have, so it is kept sealed in
 * the database, which needs `SYNCLINE_ENCRYPTION_KEY`.
 */
export const oauth2 = (options: OAuth2Options): OAuth2Definition => ({ kind: 'oauth2', ...options });

const shared = {
  kind: z.literal('oauth2'),
  tokenUrl: settingSchema,
  clientId: settingSchema,
  scopes: z.array(z.string().regex(SCOPE, 'expected the name of one scope, without blanks')).max(MAX_SCOPES).optional(),
  clientAuth: z.enum(CLIENT_AUTHS).optional(),
  audience: settingSchema.optional(),
  params: z.record(z.string().min(1), settingSchema).optional(),
};

/** What the protocol sets itself. */
const OWN_PARAMS: ReadonlySet<string> = new Set([
  'grant_type',
  'client_id',
  'client_secret',
  'scope',
  'audience',
  'refresh_token',
  'code',
  'code_verifier',
  'code_challenge',
  'code_challenge_method',
  'redirect_uri',
  'response_type',
  'state',
]);

const grants = z.discriminatedUnion('grant', [
  z.strictObject({ ...shared, grant: z.literal('client_credentials'), clientSecret: settingSchema }),
  z.strictObject({
    ...shared,
    grant: z.literal('authorization_code'),
    authorizeUrl: settingSchema,
    clientSecret: settingSchema.optional(),
    authorizeParams: z.record(z.string().min(1), settingSchema).optional(),
    refreshToken: settingSchema.optional(),
  }),
]);

export const oauth2Schema = grants.superRefine((definition, context) => {
  const add = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
  const more = definition.grant === 'authorization_code' ? { authorizeParams: definition.authorizeParams } : {};
  for (const [option, params] of Object.entries({ params: definition.params, ...more })) {
    for (const name of Object.keys(params ?? {})) {
      if (OWN_PARAMS.has(name)) add([option, name], 'is set by the protocol, or by an option of its own');
    }
  }
  const needsSecret = definition.clientAuth === 'basic' || definition.clientAuth === 'post';
  if (needsSecret && definition.clientSecret === undefined)
    add(['clientSecret'], `is needed for ${definition.clientAuth}`);
});

/** Looks the settings of both grants up. Null where they cannot be used, which is reported. */
export function readOAuth2Client(definition: OAuth2Definition, settings: AuthSettings): OAuth2Client | null {
  const { read } = settings;
  const tokenUrl = readUrl(settings, 'auth.tokenUrl', definition.tokenUrl);
  const clientId = read('auth.clientId', definition.clientId, 'text');
  const { clientSecret, audience, clientAuth } = definition;
  const secret = clientSecret === undefined ? null : read('auth.clientSecret', clientSecret, 'text');
  const params = {
    ...(audience === undefined ? {} : { audience: read('auth.audience', audience, 'text') }),
    ...readAll(read, 'auth.params', definition.params ?? {}, 'text'),
  };
  if (tokenUrl === null) return null;
  const scopes = definition.scopes ?? [];
  return { tokenUrl, clientId, secret, clientAuth: clientAuth ?? (secret === null ? 'none' : 'basic'), scopes, params };
}

/** Looks the settings up. */
export function prepareOAuth2(definition: OAuth2Definition, settings: AuthSettings): (deps: AuthDeps) => Authenticator {
  const client = readOAuth2Client(definition, settings);
  const { scopes = [] } = definition;
  if (definition.grant === 'authorization_code') {
    readUrl(settings, 'auth.authorizeUrl', definition.authorizeUrl);
    readAll(settings.read, 'auth.authorizeParams', definition.authorizeParams ?? {}, 'query');
    const seed = readSeed(definition, settings);
    return (deps) => {
      const { refresh } = createOAuth2Grants(mustBe(client), createTokenRequest(deps));
      return createTokenAuth(createTokenCache(deps, refresh, { basis: 'authorization', seed, scopes }), BEARER);
    };
  }
  return (deps) => {
    const { clientCredentials } = createOAuth2Grants(mustBe(client), createTokenRequest(deps));
    return createTokenAuth(createTokenCache(deps, clientCredentials, { scopes }), BEARER);
  };
}

/** The refresh token that the settings give; null for none. */
export function readSeed(definition: OAuth2Definition, { read }: Pick<AuthSettings, 'read'>): string | null {
  if (definition.grant !== 'authorization_code' || definition.refreshToken === undefined) return null;
  return read('auth.refreshToken', definition.refreshToken, 'text');
}

function mustBe(client: OAuth2Client | null): OAuth2Client {
  if (client === null) throw new TypeError('OAuth without a token URL: definitions are checked before they are used');
  return client;
}
