import type { Authenticator, OutgoingRequest } from './authenticator.ts';
import type { TokenCache } from './token-cache.ts';

/** How a token is sent. */
export type TokenHeader = {
  /** In lower case. */
  readonly name: string;
  readonly prefix: string;
};

export const BEARER: TokenHeader = { name: 'authorization', prefix: 'Bearer ' };

/** Sends the cache's token, and has it replaced when the source refuses it. */
export function createTokenAuth(tokens: TokenCache, { name, prefix }: TokenHeader): Authenticator {
  const withToken = (request: OutgoingRequest, token: string): OutgoingRequest => ({
    ...request,
    headers: { ...request.headers, [name]: `${prefix}${token}` },
  });
  return {
    authorize(request, signal) {
      const token = tokens.get(signal);
      return typeof token === 'string' ? withToken(request, token) : token.then((known) => withToken(request, known));
    },
    async renew(refused, signal) {
      const value = refused.headers[name];
      return value !== undefined && tokens.replace(value.slice(prefix.length), signal);
    },
    withoutCredentials: (url) => url,
  };
}
