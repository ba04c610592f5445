import { SourceError } from '../error.ts';
import type { AuthDeps } from './authenticator.ts';
import {
  type Basis,
  basisOf,
  hashSeed,
  missingScopes,
  refusedTokens,
  type Seed,
  supersedes,
  tokensOf,
} from './token-basis.ts';
import type { Grant, GrantedTokens, TokenCacheOptions } from './token-cache.ts';
import { keepTokens, type Unsaved } from './token-keeping.ts';
import { isInvalidGrant } from './token-refusal.ts';
import type { StoredTokens, TokenSet, TokenStore } from './token-store.ts';

/** Before its end an access token is no longer used: for the way to the source, and for clocks that run apart. */
const REFRESH_BEFORE_MS = 60_000;
/** Of a token's life, where that is short: else it would be refreshed for every request. */
const MAX_SHARE_OF_LIFE = 0.5;
/** Longest for one request to a token endpoint; a grant ends by itself before. */
const GRANT_MS = 25_000;
/** A successor begins when the holder must have its answer or have given it up, and can have stored it. */
const LEASE_MS = 35_000;
/** A holder that was stopped for longer than this after it noted the use does not send: its successor may be at it. */
const MAX_SEND_DELAY_MS = 5_000;
const MAX_WAIT_MS = 2 * LEASE_MS;
const FIRST_POLL_MS = 50;
const MAX_POLL_MS = 1_000;
const MAX_DOUBLINGS = 10;
/** A refresh token that was refused is not presented again for this time, by any replica. */
const REFUSED_FOR_MS = 60_000;

/** `freshUntilMs` is by this process's clock; null for a token that is used until it is refused. */
export type Renewed = { readonly accessToken: string; readonly freshUntilMs: number | null };

type RenewalDeps = AuthDeps & { readonly store: TokenStore };
export type RenewOptions = {
  /** The access token that the source refuses, if it does. */
  readonly refused: () => string | null;
  /** Ends the waiting for others. What has been asked of the source is not ended by it. */
  readonly signal: AbortSignal;
  /** Called when the source is about to be asked. */
  readonly onCommit: () => void;
};

type Held = { readonly lease: string; readonly stored: StoredTokens };
type Asked =
  | { readonly kind: 'granted'; readonly granted: GrantedTokens; readonly sentMs: number }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The lease is another's now; nothing was sent. */
  | { readonly kind: 'lost' };

/**
 * Gets new tokens, or takes those that somebody else got meanwhile. What keeps a refresh token from being lost is the
 * order: lease, read again, note the use, ask, store, use. A process that ends between answer and store leaves the note.
 */
export function createTokenRenewal(deps: RenewalDeps, grant: Grant, options: TokenCacheOptions) {
  const { store, name } = deps;
  const needsPerson = options.basis === 'authorization';
  const seed = seedOf(options.seed ?? null);
  const where = `at GET /oauth/${name}/start`;
  /** Given to us and not stored yet: nothing is asked for before they are. */
  let unsaved: Unsaved | null = null;

  async function renew({ refused, signal, onCommit }: RenewOptions): Promise<Renewed> {
    const startedMs = deps.nowMs();
    for (let poll = 1; ; poll++) {
      if (unsaved !== null) await keep(unsaved, null);
      const askedMs = deps.nowMs();
      const found = usable(await reach(store.read(name)), refused(), askedMs);
      if (found !== null) return found;
      assertWaited(startedMs, signal);
      const claim = await reach(store.acquire(name, LEASE_MS));
      if (claim !== null) {
        const renewed = await useClaim({ ...claim }, refused(), { signal, onCommit });
        if (renewed !== null) return renewed;
      }
      assertWaited(startedMs, signal);
      const pollMs = Math.min(MAX_POLL_MS, FIRST_POLL_MS * 2 ** Math.min(poll - 1, MAX_DOUBLINGS));
      await deps.sleep(pollMs * (0.5 + deps.random() / 2), signal).catch(() => {});
    }
  }

  /** Null when there is nothing to show for it and another look helps. Gives the lease back, but for tokens that are not stored. */
  async function useClaim(
    held: Held,
    refused: string | null,
    { signal, onCommit }: Pick<RenewOptions, 'signal' | 'onCommit'>,
  ): Promise<Renewed | null> {
    const { stored, lease } = held;
    // An earlier use may have been taken, whatever this one meets.
    const isUncertain = stored.usedGeneration === stored.generation;
    let isUnused = false;
    try {
      if (signal.aborted) return null;
      const found = usable(stored, refused, deps.nowMs());
      if (found !== null) return found;
      onCommit();
      const basis = basisOf(stored, seed);
      const asked = await ask(held, basis);
      if (asked.kind === 'lost') return null;
      if (asked.kind === 'failed') {
        isUnused = !isUncertain && isPlainRefusal(asked.error);
        const failure = await describe(asked.error, held, basis);
        if (failure === null) return null;
        throw failure;
      }
      const tokens = tokensOf(asked.granted, basis, stored.now);
      unsaved = { generation: stored.generation, tokens };
      if (!(await keep(unsaved, lease))) return null;
      assertScopes(tokens);
      return { accessToken: asked.granted.accessToken, freshUntilMs: freshUntil(tokens, asked.sentMs) };
    } finally {
      // With tokens in hand that are not stored it is kept: a successor would use up what they came for. A release that
      // fails is not worth failing for: the lease lapses by itself.
      if (unsaved === null) await store.release(name, lease, { isUnused }).catch(() => {});
    }
  }

  /** Asks the source with the refresh tokens there are, in turn, and at last without. */
  async function ask({ lease, stored: { generation } }: Held, basis: Basis): Promise<Asked> {
    const known = [basis.refreshToken, ...basis.spares].filter((token) => token !== null);
    let error: unknown = new SourceError('unauthorized', `${name}: not authorized yet: authorize ${where}`);
    const tries = needsPerson ? known : [...known, null];
    for (const refreshToken of tries) {
      const notedMs = deps.nowMs();
      if (!(await reach(store.noteUse(name, { lease, generation, leaseMs: LEASE_MS })))) return { kind: 'lost' };
      const sentMs = deps.nowMs();
      if (sentMs - notedMs > MAX_SEND_DELAY_MS) return { kind: 'lost' };
      try {
        return { kind: 'granted', granted: await grant(refreshToken, AbortSignal.timeout(GRANT_MS)), sentMs };
      } catch (thrown) {
        error = thrown;
        // Any other failure says nothing about this refresh token, and the next one would only meet it too.
        const isTokenRefused = needsPerson ? isInvalidGrant(thrown) : isUnauthorized(thrown);
        if (!isTokenRefused) break;
      }
    }
    return { kind: 'failed', error };
  }

  /** Notes for all replicas that the refresh token is refused, and says so. Null when somebody has stored another since. */
  async function describe(error: unknown, { lease, stored }: Held, basis: Basis): Promise<unknown> {
    if (!needsPerson || basis.refreshToken === null || !isInvalidGrant(error)) return error;
    const isAnswerLost = basis.wasAnswerLost || (stored.usedGeneration === stored.generation && !basis.isNewSeed);
    const tokens = refusedTokens(basis, stored.now, isAnswerLost);
    const isNoted = await reach(store.save(name, { lease, generation: stored.generation, tokens }));
    return isNoted ? refusal(isAnswerLost, error) : null;
  }

  /** @returns whether they are the live ones now. */
  async function keep(given: Unsaved, lease: string | null): Promise<boolean> {
    const isLive = await reach(keepTokens({ ...deps, store }, given, lease));
    unsaved = null;
    return isLive;
  }

  function usable({ tokens, now }: StoredTokens, refused: string | null, askedMs: number): Renewed | null {
    if (tokens === 'unreadable' && needsPerson) throw unreadable();
    if (tokens === null || tokens === 'unreadable' || !supersedes(tokens, seed)) return null;
    // Never below zero: the database may have moved to a machine whose clock is behind.
    const ageMs = Math.max(0, (now - tokens.requestedAt) / 1_000);
    const freshUntilMs = freshUntil(tokens, askedMs - ageMs);
    const isFresh = freshUntilMs === null || deps.nowMs() < freshUntilMs;
    const { accessToken } = tokens;
    if (
      accessToken !== null &&
      accessToken !== refused &&
      isFresh &&
      missingScopes(tokens.scope, options.scopes ?? []).length === 0
    )
      return { accessToken, freshUntilMs };
    if (tokens.refused !== null && (now - tokens.refused.at) / 1_000 < REFUSED_FOR_MS)
      throw refusal(tokens.refused.isAnswerLost);
    return null;
  }

  function assertScopes(tokens: TokenSet): void {
    const missing = missingScopes(tokens.scope, options.scopes ?? []);
    if (missing.length === 0) return;
    const wayOut = needsPerson ? `authorize again ${where}` : 'let the source grant them';
    throw new SourceError('unauthorized', `${name}: the token lacks the scopes ${missing.join(', ')}: ${wayOut}`);
  }

  function assertWaited(startedMs: number, signal: AbortSignal): void {
    if (signal.aborted) throw new SourceError('aborted', `${name}: aborted while a token was got`);
    if (deps.nowMs() - startedMs > MAX_WAIT_MS)
      throw new SourceError('timeout', `${name}: another process has been getting a token for over ${MAX_WAIT_MS} ms`);
  }

  const refusal = (isAnswerLost: boolean, cause?: unknown): SourceError => {
    const what = isAnswerLost
      ? 'the answer to a refresh was lost before it could be stored, and the refresh token that it replaced is refused (invalid_grant)'
      : 'the refresh token is refused (invalid_grant)';
    return new SourceError('unauthorized', `${name}: ${what}: authorize again ${where}`, { cause });
  };

  const unreadable = (): SourceError =>
    new SourceError(
      'unauthorized',
      `${name}: no key in SYNCLINE_ENCRYPTION_KEY opens the stored tokens: put the key back, behind a comma, or authorize again ${where}`,
    );

  async function reach<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      if (cause instanceof SourceError) throw cause;
      throw new SourceError('network', `${name}: where tokens are stored cannot be reached`, { cause });
    }
  }

  return { renew };
}

const seedOf = (refreshToken: string | null): Seed | null =>
  refreshToken === null ? null : { refreshToken, hash: hashSeed(refreshToken) };

/** By the clock that `requestedMs` is of. */
function freshUntil({ lifetimeMs }: TokenSet, requestedMs: number): number | null {
  if (lifetimeMs === null) return null;
  return requestedMs + lifetimeMs - Math.min(REFRESH_BEFORE_MS, lifetimeMs * MAX_SHARE_OF_LIFE);
}

const isUnauthorized = (error: unknown): boolean => error instanceof SourceError && error.code === 'unauthorized';

/** The source has read the request and given nothing for it. After any other failure it may have. */
const isPlainRefusal = (error: unknown): boolean =>
  error instanceof SourceError &&
  error.status !== null &&
  error.status >= 400 &&
  error.status < 500 &&
  error.status !== 408;
