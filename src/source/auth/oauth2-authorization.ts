import { createHash } from 'node:crypto';
import { type Environment, readSetting } from '../../lib/setting.ts';
import type { SourceDefinition } from '../definition.ts';
import { readOAuth2Client, readSeed } from './oauth2.ts';
import { createOAuth2Grants } from './oauth2-grants.ts';
import { type AuthSettings, readAll, readUrl } from './settings.ts';
import { hashSeed } from './token-basis.ts';
import type { GrantedTokens } from './token-cache.ts';
import { createTokenRequest } from './token-request.ts';

/** What a person's authorization of one integration takes. */
export type Authorization = {
  /** Where her browser is sent. */
  address(flow: { readonly state: string; readonly redirectUri: string; readonly verifier: string }): URL;
  /** Exchanges the code that her browser brings back. Throws `SourceError`. */
  exchange(
    callback: { readonly code: string; readonly redirectUri: string; readonly verifier: string },
    signal: AbortSignal,
  ): Promise<GrantedTokens>;
  /** Must be among those granted, where the answer names any. */
  readonly scopes: readonly string[];
  /** Of the refresh token given as a setting, which an authorization supersedes; null for none. */
  readonly seedHash: string | null;
};

/** Null for a source that takes no authorization. The definition has been checked with this environment. */
export function prepareAuthorization(
  { auth, baseUrl }: Pick<SourceDefinition, 'auth' | 'baseUrl'>,
  environment: Environment,
  nowMs: () => number,
): Authorization | null {
  if (auth?.kind !== 'oauth2' || auth.grant !== 'authorization_code') return null;
  const settings = settingsOf(environment, baseUrl);
  const client = readOAuth2Client(auth, settings);
  const address = readUrl(settings, 'auth.authorizeUrl', auth.authorizeUrl);
  if (client === null || address === null) throw new TypeError('OAuth without its URLs: definitions are checked first');
  const more = readAll(settings.read, 'auth.authorizeParams', auth.authorizeParams ?? {}, 'query');
  const seed = readSeed(auth, settings);
  const { code } = createOAuth2Grants(client, createTokenRequest({ nowMs }));
  return {
    address: ({ state, redirectUri, verifier }) => {
      const url = new URL(address);
      const own = {
        response_type: 'code',
        client_id: client.clientId,
        redirect_uri: redirectUri,
        ...(client.scopes.length === 0 ? {} : { scope: client.scopes.join(' ') }),
        ...(auth.audience === undefined ? {} : { audience: settings.read('auth.audience', auth.audience, 'query') }),
        state,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      };
      for (const [name, value] of Object.entries({ ...more, ...own })) url.searchParams.set(name, value);
      return url;
    },
    exchange: code,
    scopes: client.scopes,
    seedHash: seed === null ? null : hashSeed(seed),
  };
}

/** As in the check, which has reported by now what there was to report. */
function settingsOf(environment: Environment, baseUrl: SourceDefinition['baseUrl']): AuthSettings {
  const read: AuthSettings['read'] = (_path, setting) => {
    const result = readSetting(setting, environment);
    return result.ok ? result.value : '';
  };
  const base = read('baseUrl', baseUrl, 'url');
  return { read, report: () => {}, baseUrl: URL.canParse(base) ? new URL(base) : null };
}
