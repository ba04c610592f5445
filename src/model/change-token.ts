import type { Instant } from './instant.ts';
import type { Observation } from './observation.ts';

/**
 * `pending`: the write may be under way or unknown. `confirmed`: the source has it. `rejected`: it surely has not, or nobody
 * looks for it any more: its push was ended by a person, or sent again at the risk of a second record.
 */
export const TOKEN_STATES = ['pending', 'confirmed', 'rejected'] as const;
export type TokenState = (typeof TOKEN_STATES)[number];

/** Longer than sources go on repeating what they tell of a change. */
export const TOKEN_TTL_MS = 7 * 86_400_000;

/**
 * A write of ours whose reflection may come back, any number of times. It labels and settles; it never decides alone that
 * something is ours, because the same value may have been written by somebody else since.
 */
export type ChangeToken = {
  /** Also the idempotency key and the marker, where the source takes one. */
  readonly id: string;
  readonly state: TokenState;
  readonly externalId: string | null;
  readonly targetKey: string;
  /** Hash of the base before the write; null for a create. */
  readonly preHash: string | null;
  /** Hash of each pushed property's value, by property. */
  readonly fieldHashes: Readonly<Record<string, string>>;
  /** Hash of the whole record, its version and tag as the source's answer showed them. */
  readonly resultHash: string | null;
  readonly resultVersion: bigint | null;
  readonly resultEtag: string | null;
  /** The first observation that matched while the write was in flight: it settles an unknown outcome. */
  readonly echo: Observation | null;
  readonly seenCount: number;
  readonly createdAt: Instant;
  /** Null while pending: those are resolved, never forgotten. */
  readonly expiresAt: Instant | null;
};
