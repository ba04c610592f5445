import * as oauth from 'oauth4webapi';
import { SourceError } from '../error.ts';
import { isHeaderValue } from '../header.ts';
import type { Grant, GrantedTokens } from './token-cache.ts';
import { readOAuthErrorCode, refusalOf } from './token-refusal.ts';
import type { TokenRequest } from './token-request.ts';

/** Who we are at a token endpoint. `secret` is null for a client that has none. */
export type OAuth2Client = {
  readonly tokenUrl: URL;
  readonly clientId: string;
  readonly secret: string | null;
  readonly clientAuth: 'basic' | 'post' | 'none';
  readonly scopes: readonly string[];
  /** More fields of each request for tokens. */
  readonly params: Readonly<Record<string, string>>;
};

export type OAuth2Grants = {
  readonly clientCredentials: Grant;
  /** Only ever called with a refresh token. */
  readonly refresh: Grant;
  /** Exchanges the code in the parameters of a callback. */
  readonly code: (
    callback: { readonly code: string; readonly redirectUri: string; readonly verifier: string },
    signal: AbortSignal,
  ) => Promise<GrantedTokens>;
};

const WHAT = 'the token endpoint';
/** So that a span that is really a moment does no harm. */
const MAX_LIFETIME_S = 10 * 365 * 24 * 3_600;
/** How Slack calls bearer tokens, by whose they are. */
const BEARER_ALIASES: ReadonlySet<unknown> = new Set(['bot', 'user']);

/** The grants of RFC 6749. What they throw is `SourceError` and shows of an answer at most a standard error code. */
export function createOAuth2Grants(client: OAuth2Client, request: TokenRequest): OAuth2Grants {
  const { tokenUrl, clientId, scopes, params } = client;
  const server: oauth.AuthorizationServer = { issuer: tokenUrl.origin, token_endpoint: tokenUrl.href };
  const known: oauth.Client = { client_id: clientId };
  const clientAuth = clientAuthOf(client);
  const optionsWith = (signal: AbortSignal) => ({
    signal,
    // As for the source itself: whoever names an http URL in a definition means it.
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: (url: string, { headers, body }: oauth.CustomFetchOptions<'POST', URLSearchParams>) =>
      fetchTokens(request, { url, headers, body: body.toString() }, signal),
  });
  const scope: Record<string, string> = scopes.length === 0 ? {} : { scope: scopes.join(' ') };

  return {
    async clientCredentials(_refreshToken, signal) {
      const granted = await readAnswer(async () => {
        const fields = { ...params, ...scope };
        const options = optionsWith(signal);
        const answer = await oauth.clientCredentialsGrantRequest(server, known, clientAuth, fields, options);
        return oauth.processClientCredentialsResponse(server, known, answer);
      });
      // RFC 6749, 4.4.3: none should come, and there is nothing that it would be better for than asking anew.
      return { ...granted, refreshToken: null };
    },
    refresh: (refreshToken, signal) =>
      readAnswer(async () => {
        if (refreshToken === null) throw new TypeError('A refresh without a refresh token');
        const options = { ...optionsWith(signal), additionalParameters: params };
        const answer = await oauth.refreshTokenGrantRequest(server, known, clientAuth, refreshToken, options);
        return oauth.processRefreshTokenResponse(server, known, answer);
      }),
    code: ({ code, redirectUri, verifier }, signal) =>
      readAnswer(async () => {
        const callback = oauth.validateAuthResponse(
          server,
          known,
          new URLSearchParams({ code }),
          oauth.expectNoState, // it was checked before the code was looked at
        );
        const options = { ...optionsWith(signal), additionalParameters: params };
        const answer = await oauth.authorizationCodeGrantRequest(
          server,
          known,
          clientAuth,
          callback,
          redirectUri,
          verifier,
          options,
        );
        return oauth.processAuthorizationCodeResponse(server, known, answer);
      }),
  };
}

function clientAuthOf({ clientAuth, secret }: OAuth2Client): oauth.ClientAuth {
  if (secret === null || clientAuth === 'none') return oauth.None();
  return clientAuth === 'basic' ? basicAuth(secret) : oauth.ClientSecretPost(secret);
}

/**
 * RFC 6749, 2.3.1, with no more escapes than a form has. The library's own escapes `-`, `_` and `.` too, and most secrets
 * have such: servers that do not decode what they compare would refuse them.
 */
const basicAuth =
  (secret: string): oauth.ClientAuth =>
  (_server, { client_id: clientId }, _body, headers) => {
    const pair = [clientId, secret].map(formEncoded).join(':');
    headers.set('authorization', `Basic ${Buffer.from(pair).toString('base64')}`);
  };

const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);

/** One request on our own transport, with its bounds. Its answer is what oauth4webapi then judges. */
async function fetchTokens(
  request: TokenRequest,
  { url, headers, body }: { url: string; headers: Record<string, string>; body: string },
  signal: AbortSignal,
): Promise<Response> {
  const call = { what: WHAT, method: 'POST', url: new URL(url), headers, body, refusesInJson: true } as const;
  const answer = await request(call, signal);
  return Response.json(normalize(answer.body));
}

/**
 * Lets pass what sources write beside the standard, since to refuse an answer is to lose the refresh token in it: null or
 * an empty text for what is not there, scopes as a list, no token type, no life or one of 0 for tokens without an end. The
 * id token is left out: we use no identity, and would have to refuse tokens for its sake.
 */
function normalize(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw noTokens();
  const fields = Object.fromEntries(
    Object.entries(body).filter(([name, value]) => value !== null && value !== '' && name !== 'id_token'),
  );
  // GitHub and Slack refuse with the status 200.
  if (typeof fields.error === 'string' && fields.access_token === undefined) {
    const code = readOAuthErrorCode(fields.error);
    if (code !== null) throw refusalOf(WHAT, code, 400);
    throw new SourceError('unauthorized', `${WHAT}: refused with a code of its own`, { status: 400 });
  }
  if (fields.token_type === undefined || BEARER_ALIASES.has(fields.token_type)) fields.token_type = 'bearer';
  if (Array.isArray(fields.scope)) fields.scope = fields.scope.join(' ');
  if (typeof fields.scope !== 'string') delete fields.scope;
  const lifetimeS = Number.parseFloat(String(fields.expires_in));
  if (!Number.isFinite(lifetimeS) || lifetimeS <= 0) delete fields.expires_in;
  return fields;
}

async function readAnswer(ask: () => Promise<oauth.TokenEndpointResponse>): Promise<GrantedTokens> {
  let answer: oauth.TokenEndpointResponse;
  try {
    answer = await ask();
  } catch (error) {
    // What the library throws carries the answer, and with it tokens: neither it nor its words go on.
    if (error instanceof oauth.UnsupportedOperationError) throw wrongType();
    if (error instanceof oauth.OperationProcessingError || error instanceof oauth.ResponseBodyError) throw noTokens();
    throw error;
  }
  if (answer.token_type !== 'bearer') throw wrongType();
  if (!isHeaderValue(answer.access_token)) throw noTokens();
  const { expires_in: expiresInS = null, scope = null, refresh_token: refreshToken = null } = answer;
  return {
    accessToken: answer.access_token,
    expiresInS: expiresInS === null ? null : Math.min(expiresInS, MAX_LIFETIME_S),
    refreshToken,
    scope,
  };
}

const wrongType = (): SourceError =>
  new SourceError(
    'invalid_response',
    `${WHAT}: gave a token of another type than Bearer, which is the one that can be used`,
  );
const noTokens = (): SourceError =>
  new SourceError('invalid_response', `${WHAT}: expected an answer with an access_token that a header can carry`);
