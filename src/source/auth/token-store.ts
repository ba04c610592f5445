import { randomUUID } from 'node:crypto';
import { type Instant, instantFromMs } from '../../model/instant.ts';

/** Tokens as they are kept. All times are the store's own clock, so that no two clocks are ever compared. */
export type TokenSet = {
  /** Null where there is only a refresh token yet. */
  readonly accessToken: string | null;
  /** Taken before the request for them was sent. */
  readonly requestedAt: Instant;
  /** From `requestedAt` on; null when the source does not say. */
  readonly lifetimeMs: number | null;
  /** As the answer names them; null when it does not. */
  readonly scope: string | null;
  readonly refreshToken: string | null;
  /** Refresh tokens of the same family that came beside the one above: tried when that one is refused, before giving up. */
  readonly spares: readonly string[];
  /** Which authorization they come from: a new one by a person makes a new family. */
  readonly family: string;
  /** Hashes of the refresh tokens given as settings that these tokens supersede. */
  readonly seeds: readonly string[];
  /** Since when the refresh token is refused; `isAnswerLost`: after a use of it whose answer never arrived. */
  readonly refused: { readonly at: Instant; readonly isAnswerLost: boolean } | null;
};

/** `unreadable`: they are there, sealed under a key that we do not have. */
export type StoredTokens = {
  /** Grows with every save; 0 before the first. */
  readonly generation: number;
  readonly tokens: TokenSet | 'unreadable' | null;
  /** The generation whose refresh token somebody was about to use, and of which no end was noted. */
  readonly usedGeneration: number | null;
  /** The store's clock, for the age of the tokens. */
  readonly now: Instant;
};

/**
 * Where tokens are kept, by integration. Several processes may share it: whoever asks the source for new tokens holds the
 * lease. Its own failures are thrown as they come and mean "later".
 */
export type TokenStore = {
  read(integration: string): Promise<StoredTokens>;
  /** Takes the lease when it is free or has lapsed. Never waits. @returns what is stored then; null when it is held. */
  acquire(
    integration: string,
    leaseMs: number,
  ): Promise<{ readonly lease: string; readonly stored: StoredTokens } | null>;
  /**
   * Notes that the tokens of this generation are about to be used for new ones, and starts the lease's time anew.
   * @returns false when the lease or the generation is gone.
   */
  noteUse(
    integration: string,
    use: { readonly lease: string; readonly generation: number; readonly leaseMs: number },
  ): Promise<boolean>;
  /**
   * Saves over `generation` and no other, ends the note of use, and gives the lease back where it is still held.
   * Without a lease too: tokens that were given to us late must not be lost. @returns false when the generation is gone.
   */
  save(
    integration: string,
    saved: { readonly lease: string | null; readonly generation: number; readonly tokens: TokenSet },
  ): Promise<boolean>;
  /** Gives the lease back, if it is still held. `isUnused` ends the note of use too: the refresh token was not taken. */
  release(integration: string, lease: string, options: { readonly isUnused: boolean }): Promise<void>;
};

type Row = {
  generation: number;
  tokens: TokenSet | null;
  usedGeneration: number | null;
  lease: { readonly token: string; readonly expiresAtMs: number } | null;
};

/** Tokens in this process's memory alone: gone with it, and shared with no replica. */
export function createMemoryTokenStore(nowMs: () => number): TokenStore {
  const rows = new Map<string, Row>();
  const rowOf = (integration: string): Row => {
    const row = rows.get(integration) ?? { generation: 0, tokens: null, usedGeneration: null, lease: null };
    rows.set(integration, row);
    return row;
  };
  const show = ({ generation, tokens, usedGeneration }: Row): StoredTokens => ({
    generation,
    tokens,
    usedGeneration,
    now: instantFromMs(nowMs()),
  });
  const holds = (row: Row, lease: string | null): boolean => row.lease !== null && row.lease.token === lease;

  return {
    read: async (integration) => show(rowOf(integration)),
    async acquire(integration, leaseMs) {
      const row = rowOf(integration);
      if (row.lease !== null && row.lease.expiresAtMs > nowMs()) return null;
      const lease = randomUUID();
      row.lease = { token: lease, expiresAtMs: nowMs() + leaseMs };
      return { lease, stored: show(row) };
    },
    async noteUse(integration, { lease, generation, leaseMs }) {
      const row = rowOf(integration);
      if (!holds(row, lease) || row.generation !== generation) return false;
      row.lease = { token: lease, expiresAtMs: nowMs() + leaseMs };
      row.usedGeneration = generation;
      return true;
    },
    async save(integration, { lease, generation, tokens }) {
      const row = rowOf(integration);
      if (row.generation !== generation) return false;
      row.generation += 1;
      row.tokens = tokens;
      row.usedGeneration = null;
      if (holds(row, lease)) row.lease = null;
      return true;
    },
    async release(integration, lease, { isUnused }) {
      const row = rowOf(integration);
      if (!holds(row, lease)) return;
      row.lease = null;
      if (isUnused) row.usedGeneration = null;
    },
  };
}
