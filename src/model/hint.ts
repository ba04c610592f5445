import type { Instant } from './instant.ts';
import type { StreamKey } from './observation.ts';

/**
 * States of a hint. A leased one never goes back to ready, because a newer ready one may stand beside it:
 * what is still needed is enqueued anew and the leased row is removed.
 */
export const HINT_TRANSITIONS = {
  ready: { claim: 'leased' },
  leased: { expire: 'leased' },
} as const;

/** `delete`: an event said that the record is gone. */
export type HintReason = 'hook' | 'delete' | 'verify' | 'sweep' | 'reconcile_ids' | 'deferred' | 'replay';

/** A wish to read one record again. */
export type NewHint = {
  readonly externalId: string;
  readonly reason: HintReason;
  readonly needLo: Instant;
  readonly minVersion: bigint | null;
  readonly runAt: Instant;
  readonly attempt: number;
  readonly correlationId: string | null;
  readonly runId: string | null;
  /** Since when the record is known, where that is longer than the hint. */
  readonly knownAt?: Instant;
  /** Default: what no run asked for, and what a person asked for by id. */
  readonly isUrgent?: boolean;
};

/** A hint that this worker holds until `leaseToken` expires. */
export type LeasedHint = StreamKey & {
  readonly id: number;
  readonly externalId: string;
  readonly reason: HintReason;
  readonly needLo: Instant;
  readonly minVersion: bigint | null;
  readonly attempt: number;
  readonly leaseToken: string;
  readonly correlationId: string | null;
  readonly runId: string | null;
  readonly isUrgent: boolean;
  /** When the record was first asked for: it existed then. */
  readonly knownAt: Instant;
};
