import { createHash } from 'node:crypto';
import type { Instant } from '../../model/instant.ts';
import type { GrantedTokens } from './token-cache.ts';
import type { StoredTokens, TokenSet } from './token-store.ts';

/** Scopes that are wanted and that the answer, which names some, does not name. */
export function missingScopes(scope: string | null, wanted: readonly string[]): readonly string[] {
  if (scope === null) return [];
  // By the standard blanks stand between them; GitHub and Slack put commas.
  const given = new Set(scope.split(/[\s,]+/));
  return wanted.filter((name) => !given.has(name));
}

/** What new tokens are asked for with. */
export type Basis = {
  readonly refreshToken: string | null;
  readonly spares: readonly string[];
  readonly family: string;
  readonly seeds: readonly string[];
  readonly isNewSeed: boolean;
  readonly wasAnswerLost: boolean;
};

/** A refresh token given as a setting, and its hash: by that it is known later to be superseded. */
export type Seed = { readonly refreshToken: string; readonly hash: string };

export const hashSeed = (refreshToken: string): string => createHash('sha256').update(refreshToken).digest('base64url');

/** Enough for one process that was slow and one that took over; more are answers of the same kind. */
const MAX_SPARES = 3;
/** So many replaced settings are remembered, for replicas that still run with an older one. */
const MAX_SEEDS = 8;
/** Of tokens that no person has authorized. */
const OWN_FAMILY = 'credentials';

/** Whether what is stored came after the refresh token in the settings. */
export const supersedes = (tokens: TokenSet, seed: Seed | null): boolean =>
  seed === null || tokens.seeds.includes(seed.hash);

export function basisOf({ tokens }: StoredTokens, seed: Seed | null): Basis {
  const known = tokens === 'unreadable' ? null : tokens;
  if (seed !== null && (known === null || !supersedes(known, seed))) {
    return {
      refreshToken: seed.refreshToken,
      spares: [],
      family: seed.hash,
      seeds: [seed.hash, ...(known?.seeds ?? [])].slice(0, MAX_SEEDS),
      isNewSeed: known !== null,
      wasAnswerLost: false,
    };
  }
  return {
    refreshToken: known?.refreshToken ?? null,
    spares: known?.spares ?? [],
    family: known?.family ?? OWN_FAMILY,
    seeds: known?.seeds ?? [],
    isNewSeed: false,
    wasAnswerLost: known?.refused?.isAnswerLost ?? false,
  };
}

/** The tokens of an answer. The spares go: that the source took the one beside them shows which is alive. */
export const tokensOf = (granted: GrantedTokens, basis: Basis, requestedAt: Instant): TokenSet => ({
  accessToken: granted.accessToken,
  requestedAt,
  lifetimeMs: granted.expiresInS === null ? null : granted.expiresInS * 1_000,
  scope: granted.scope,
  refreshToken: granted.refreshToken ?? basis.refreshToken,
  spares: [],
  family: basis.family,
  seeds: basis.seeds,
  refused: null,
});

/** The tokens of a person's authorization: a family of their own, which supersedes the refresh token in the settings. */
export const authorizedTokens = (
  granted: GrantedTokens,
  { requestedAt, family, seeds }: Pick<TokenSet, 'requestedAt' | 'family' | 'seeds'>,
): TokenSet => tokensOf(granted, { ...NOTHING, family, seeds: seeds.slice(0, MAX_SEEDS) }, requestedAt);

const NOTHING: Basis = {
  refreshToken: null,
  spares: [],
  family: OWN_FAMILY,
  seeds: [],
  isNewSeed: false,
  wasAnswerLost: false,
};

/** The same refresh tokens, noted as refused: sources have been known to err, and they are all that there is. */
export const refusedTokens = (basis: Basis, at: Instant, isAnswerLost: boolean): TokenSet => ({
  accessToken: null,
  requestedAt: at,
  lifetimeMs: null,
  scope: null,
  refreshToken: basis.refreshToken,
  spares: basis.spares,
  family: basis.family,
  seeds: basis.seeds,
  refused: { at, isAnswerLost },
});

/**
 * Two sets that came of one generation: a holder was so slow that another took its lease over. Both have what the source
 * gave them, and only one refresh token may be alive. That is the one that was asked for later: the successor sends only
 * when the slow one has had its answer or given it up, so the source made them in this order, and sources that give two
 * at all keep the last. The other becomes a spare. Null when `mine` must go: a person has authorized anew since, and
 * tokens of another authorization may be another account's.
 */
export function mergeTokens(theirs: TokenSet | null, mine: TokenSet): TokenSet | null {
  if (theirs === null) return mine;
  if (theirs.family !== mine.family) return null;
  const isMineLater = mine.refused === null && (theirs.refused !== null || mine.requestedAt >= theirs.requestedAt);
  const [live, other] = isMineLater ? [mine, theirs] : [theirs, mine];
  const offered = other.refused === null ? [other.refreshToken, ...other.spares] : other.spares;
  const spares = [...live.spares, ...offered.filter((token) => token !== null)];
  const distinct = [...new Set(spares)].filter((token) => token !== live.refreshToken);
  return { ...live, spares: distinct.slice(0, MAX_SPARES) };
}
