import { SourceError } from '../error.ts';
import type { AuthDeps } from './authenticator.ts';
import { createTokenRenewal, type Renewed } from './token-renewal.ts';
import { createMemoryTokenStore } from './token-store.ts';

/** Tokens as a token endpoint gives them. */
export type GrantedTokens = {
  readonly accessToken: string;
  /** Counted from when the request for them was sent; null when the source does not say. */
  readonly expiresInS: number | null;
  /** The next refresh token, where it was rotated; null keeps the one there is. */
  readonly refreshToken: string | null;
  /** As the answer names them, separated by blanks; null when it does not. */
  readonly scope: string | null;
};

/** Gets tokens: with the refresh token where there is one. Throws `SourceError`. */
export type Grant = (refreshToken: string | null, signal: AbortSignal) => Promise<GrantedTokens>;

export type TokenCacheOptions = {
  /**
   * What `grant` falls back on when there is no refresh token, or a refused one: `credentials` of our own (the default), or
   * a person's `authorization`, without which nothing is to be had.
   */
  readonly basis?: 'credentials' | 'authorization';
  /** A refresh token given as a setting: used while nothing newer is stored. */
  readonly seed?: string | null;
  /** Must be among those that the answer names, where it names any. */
  readonly scopes?: readonly string[];
};

/**
 * One integration's access token: kept until 60 s before its end, got by one request at a time in this process and among
 * replicas, stored before it is used.
 */
export type TokenCache = {
  /** At once when it is known and fresh, but for a look at the store every 15 s where a person authorizes. Throws `SourceError`; `unauthorized` when only a person can help. */
  get(signal: AbortSignal): string | Promise<string>;
  /** The source refused this token. @returns whether there is another one now. */
  replace(refused: string, signal: AbortSignal): Promise<boolean>;
};

/** A token of a person's authorization may be another account's by now: what is stored is looked at so often. */
const LOOK_AGAIN_MS = 15_000;

type Flight = {
  readonly renewed: Promise<Renewed>;
  readonly abandon: AbortController;
  waiters: number;
  /** A request for tokens has begun: it is seen through even when nobody waits for it, since its answer cannot be had twice. */
  isCommitted: boolean;
};

export function createTokenCache(deps: AuthDeps, grant: Grant, options: TokenCacheOptions = {}): TokenCache {
  const store = deps.tokens ?? createMemoryTokenStore(deps.nowMs);
  const renewal = createTokenRenewal({ ...deps, store }, grant, options);
  let held: Renewed | null = null;
  let lookedMs = deps.nowMs();
  let refused: string | null = null;
  let current: Flight | null = null;

  const fresh = (): string | null =>
    held !== null && held.accessToken !== refused && (held.freshUntilMs === null || deps.nowMs() < held.freshUntilMs)
      ? held.accessToken
      : null;

  function start(): Flight {
    const abandon = new AbortController();
    const renewed = renewal.renew({
      refused: () => refused,
      signal: abandon.signal,
      onCommit: () => {
        flight.isCommitted = true;
      },
    });
    const flight: Flight = { renewed, abandon, waiters: 0, isCommitted: false };
    const end = () => {
      if (current === flight) current = null;
    };
    renewed.then(
      (result) => {
        held = result;
        lookedMs = deps.nowMs();
        end();
      },
      (error: unknown) => {
        end();
        if (flight.waiters === 0 && !abandon.signal.aborted)
          deps.log.warn({ source: deps.name, err: error }, 'new tokens were not to be had');
      },
    );
    current = flight;
    return flight;
  }

  /** Waits for the renewal that is under way, or a new one. Leaving it ends it only while it has not asked the source. */
  async function join(signal: AbortSignal): Promise<string> {
    if (signal.aborted) throw aborted(deps.name);
    const flight = current ?? start();
    flight.waiters += 1;
    let leave = () => {};
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(aborted(deps.name));
    });
    signal.addEventListener('abort', leave, { once: true });
    try {
      return (await Promise.race([flight.renewed, left])).accessToken;
    } finally {
      signal.removeEventListener('abort', leave);
      flight.waiters -= 1;
      if (flight.waiters === 0 && !flight.isCommitted) {
        if (current === flight) current = null;
        flight.abandon.abort();
      }
    }
  }

  const isLookDue = (): boolean => options.basis === 'authorization' && deps.nowMs() - lookedMs >= LOOK_AGAIN_MS;

  /** Takes what is stored now. A fresh token is used all the same where that is not to be had. */
  async function lookAgain(signal: AbortSignal): Promise<string> {
    try {
      return await join(signal);
    } catch (error) {
      lookedMs = deps.nowMs();
      const token = fresh();
      if (token === null || signal.aborted) throw error;
      return token;
    }
  }

  return {
    get: (signal) => (isLookDue() ? lookAgain(signal) : (fresh() ?? join(signal))),
    async replace(token, signal) {
      // Whoever noticed first has renewed it already: a late refusal says nothing about the new one.
      if (held !== null && held.accessToken !== token && fresh() !== null) return true;
      refused = token;
      const first = await join(signal);
      if (first !== token) return true;
      // The renewal had begun before the refusal was known, and found nothing wrong with the token.
      return (await join(signal)) !== token;
    },
  };
}

const aborted = (name: string): SourceError => new SourceError('aborted', `${name}: aborted while a token was got`);
