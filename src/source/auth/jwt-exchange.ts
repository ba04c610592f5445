import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { pathSchema } from '../../lib/path-schema.ts';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import type { AuthDeps } from './authenticator.ts';
import { type JwtContent, jwtTimes, signJwt } from './jwt-signer.ts';
import { fieldsSchema, readFields, TYPE, writeBody } from './login-call.ts';
import { type AuthSettings, readUrl } from './settings.ts';
import { readTokens } from './token-answer.ts';
import type { Grant } from './token-cache.ts';
import type { TokenCall, TokenRequest } from './token-request.ts';

export type JwtExchangeDefinition = {
  /** Where the signed token is exchanged. Absolute, or, with a slash in front, a path of the source. */
  readonly url: Setting;
  /**
   * `assertion` (default): as a form under RFC 7523. `bearer`: in the header `Authorization` of a POST, with `params` as
   * JSON, as GitHub Apps do it.
   */
  readonly send?: 'assertion' | 'bearer';
  /** What the access token is to allow; checked when the answer names scopes. */
  readonly scope?: Setting;
  /** More fields of the request's body. */
  readonly params?: Readonly<Record<string, Setting | number | boolean>>;
  /** Dot path to the access token in the answer. Default `access_token`. */
  readonly token?: string;
  /** Dot path to how long it lives, in seconds. Default `expires_in`. */
  readonly expiresIn?: string;
  /** Dot path to when it ends. */
  readonly expiresAt?: string;
};

export const jwtExchangeSchema = z
  .strictObject({
    url: settingSchema,
    send: z.enum(['assertion', 'bearer']).optional(),
    scope: settingSchema.optional(),
    params: fieldsSchema.optional(),
    token: pathSchema.optional(),
    expiresIn: pathSchema.optional(),
    expiresAt: pathSchema.optional(),
  })
  .refine(({ send, scope }) => send !== 'bearer' || scope === undefined, {
    message: "is for an assertion: with 'bearer' put what the source asks for into `params`",
    path: ['scope'],
  });

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const WHAT = "the token's exchange";

/** Looks the settings up. `audience` is what an assertion is for unless the definition says it; `scopes` are those asked for. */
export function prepareJwtExchange(definition: JwtExchangeDefinition, settings: AuthSettings) {
  const { send = 'assertion' } = definition;
  const url = readUrl(settings, 'auth.exchange.url', definition.url);
  const scope = definition.scope === undefined ? null : settings.read('auth.exchange.scope', definition.scope, 'text');
  const params = readFields(settings, 'auth.exchange.params', definition.params ?? {});
  const paths = {
    token: definition.token ?? 'access_token',
    expiresIn: definition.expiresIn ?? 'expires_in',
    expiresAt: definition.expiresAt ?? null,
    refreshToken: null,
    scope: 'scope',
  };

  const callWith = (token: string): TokenCall => {
    if (url === null) throw new TypeError('An exchange without a URL: definitions are checked before they are used');
    if (send === 'bearer') {
      const headers = { authorization: `Bearer ${token}`, ...TYPE.json };
      return { what: WHAT, method: 'POST', url, headers, body: writeBody(params, 'json') };
    }
    const fields = { grant_type: GRANT_TYPE, assertion: token, ...(scope === null ? {} : { scope }), ...params };
    const body = writeBody(fields, 'form');
    return { what: WHAT, method: 'POST', url, headers: TYPE.form, body, refusesInJson: true };
  };

  return {
    scopes: scope?.split(/\s+/).filter((name) => name !== '') ?? [],
    audience: send === 'assertion' ? (url?.href ?? null) : null,
    grant: (content: JwtContent, request: TokenRequest, deps: Pick<AuthDeps, 'nowMs' | 'newNonce'>): Grant => {
      const { nowMs, newNonce = randomUUID } = deps;
      return async (_refreshToken, signal) => {
        // Each exchange has its own token: some sources take one only once.
        const token = await signJwt(content, jwtTimes(nowMs(), content.lifetimeMs), newNonce());
        return readTokens(WHAT, await request(callWith(token), signal), paths, null);
      };
    },
  };
}
