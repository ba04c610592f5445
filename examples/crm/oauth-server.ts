import { createHash, randomBytes } from 'node:crypto';

/** What a browser or a client is answered. */
export type OauthAnswer =
  | { readonly kind: 'page'; readonly html: string }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'json'; readonly status: number; readonly body: Readonly<Record<string, unknown>> };

export type OauthServer = {
  /** `GET /oauth/authorize`: asks the person, who is already signed in. */
  ask(params: URLSearchParams): OauthAnswer;
  /** `POST /oauth/authorize`: the person allowed it. */
  allow(params: URLSearchParams): OauthAnswer;
  /** `POST /oauth/token`. */
  token(params: URLSearchParams, authorization: string | undefined): OauthAnswer;
  isValid(accessToken: string): boolean;
  /** How often tokens were given, by grant. */
  readonly grants: { code: number; refresh: number };
  /** Ends all access tokens, as if their time were over. */
  expireAll(): void;
};

type Code = { readonly redirectUri: string; readonly challenge: string };

/**
 * A small authorization server: authorization code with PKCE, access tokens of short life, and refresh tokens that are
 * used once. One that is presented again ends the whole grant, as real servers do, since it may have been stolen.
 */
export function createOauthServer(options: {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly lifetimeS: number;
}): OauthServer {
  const codes = new Map<string, Code>();
  const refreshTokens = new Map<string, { isUsed: boolean }>();
  const accessTokens = new Map<string, number>();
  const grants = { code: 0, refresh: 0 };
  const isClient = (authorization: string | undefined): boolean => {
    const pair = Buffer.from(/^Basic (.+)$/.exec(authorization ?? '')?.[1] ?? '', 'base64').toString();
    // RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
    const [id, secret] = pair.split(':').map((part) => new URLSearchParams(`value=${part}`).get('value'));
    return id === options.clientId && secret === options.clientSecret;
  };

  const grantTokens = (): OauthAnswer => {
    const accessToken = newSecret();
    const refreshToken = newSecret();
    accessTokens.set(accessToken, Date.now() + options.lifetimeS * 1_000);
    refreshTokens.set(refreshToken, { isUsed: false });
    return json(200, {
      access_token: accessToken,
      token_type: 'Bearer',
      expires_in: options.lifetimeS,
      refresh_token: refreshToken,
      scope: 'contacts.read',
    });
  };

  const takeCode = (params: URLSearchParams): boolean => {
    const code = codes.get(params.get('code') ?? '');
    codes.delete(params.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(params.get('code_verifier') ?? '')
      .digest('base64url');
    return code !== undefined && code.redirectUri === params.get('redirect_uri') && code.challenge === challenge;
  };

  const takeRefreshToken = (text: string): boolean => {
    const token = refreshTokens.get(text);
    if (token === undefined) return false;
    if (token.isUsed) {
      refreshTokens.clear();
      accessTokens.clear();
      return false;
    }
    token.isUsed = true;
    return true;
  };

  return {
    grants,
    isValid: (accessToken) => (accessTokens.get(accessToken) ?? 0) > Date.now(),
    expireAll: () => accessTokens.clear(),
    ask(params) {
      const isSound = params.get('client_id') === options.clientId && params.get('code_challenge_method') === 'S256';
      if (!isSound) return json(400, { error: 'invalid_request' });
      const fields = ['redirect_uri', 'state', 'code_challenge'].map(
        (name) => `<input type="hidden" name="${name}" value="${escapeHtml(params.get(name) ?? '')}">`,
      );
      return {
        kind: 'page',
        html: `<!doctype html><title>CRM</title><p>Syncline asks to read your contacts.</p><form method="post" action="/oauth/authorize">${fields.join('')}<button>Allow</button></form>`,
      };
    },
    allow(params) {
      const code = newSecret();
      const redirectUri = params.get('redirect_uri') ?? '';
      if (!URL.canParse(redirectUri)) return json(400, { error: 'invalid_request' });
      codes.set(code, { redirectUri, challenge: params.get('code_challenge') ?? '' });
      const location = new URL(redirectUri);
      location.searchParams.set('code', code);
      location.searchParams.set('state', params.get('state') ?? '');
      return { kind: 'redirect', location: location.href };
    },
    token(params, authorization) {
      if (!isClient(authorization)) return json(401, { error: 'invalid_client' });
      if (params.get('grant_type') === 'authorization_code') {
        if (!takeCode(params)) return json(400, { error: 'invalid_grant' });
        grants.code += 1;
        return grantTokens();
      }
      if (params.get('grant_type') !== 'refresh_token') return json(400, { error: 'unsupported_grant_type' });
      if (!takeRefreshToken(params.get('refresh_token') ?? '')) return json(400, { error: 'invalid_grant' });
      grants.refresh += 1;
      return grantTokens();
    },
  };
}

const newSecret = (): string => randomBytes(24).toString('base64url');
const json = (status: number, body: Readonly<Record<string, unknown>>): OauthAnswer => ({ kind: 'json', status, body });
const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
