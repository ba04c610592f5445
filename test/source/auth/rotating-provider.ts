import type { GrantedTokens } from '../../../src/source/auth/token-cache.ts';
import { TokenRefusal } from '../../../src/source/auth/token-refusal.ts';
import { SourceError } from '../../../src/source/error.ts';

export type RotatingProvider = {
  /** Takes a refresh token as strict servers do: each once; one that comes again ends the whole family. */
  present(refreshToken: string | null): GrantedTokens;
  /** Every refresh token that was presented, in order. */
  readonly presented: (string | null)[];
  /** How often one came again that had been taken. One that comes again after it was refused changes nothing. */
  readonly reused: () => number;
  /** The refresh token that is good now; null after a revocation. */
  readonly live: () => string | null;
  readonly isGood: (accessToken: string) => boolean;
  /** A person authorizes anew. */
  authorize(): GrantedTokens;
};

/** Tokens `access-1` and `refresh-1`, then with 2, and so on. */
export function createRotatingProvider({ expiresInS = 3_600 as number | null } = {}): RotatingProvider {
  const presented: (string | null)[] = [];
  let count = 0;
  let live: string | null = null;
  let reused = 0;
  const refused = new Set<string | null>();
  const issue = (): GrantedTokens => {
    count += 1;
    live = `refresh-${count}`;
    return { accessToken: `access-${count}`, expiresInS, refreshToken: live, scope: null };
  };
  return {
    presented,
    reused: () => reused,
    live: () => live,
    isGood: (accessToken) => live !== null && accessToken === `access-${count}`,
    authorize: issue,
    present(refreshToken) {
      if (presented.includes(refreshToken) && !refused.has(refreshToken)) reused += 1;
      presented.push(refreshToken);
      if (refreshToken !== null && refreshToken === live) return issue();
      live = null;
      refused.add(refreshToken);
      throw refusedGrant();
    },
  };
}

/** As the token endpoint's refusal reaches the cache. */
export const refusedGrant = (): SourceError =>
  new SourceError('unauthorized', 'the token endpoint: refused with invalid_grant', {
    status: 400,
    cause: new TokenRefusal('invalid_grant'),
  });
