import type { Instant } from './instant.ts';
import type { Observation } from './observation.ts';

/** An observation with what is needed to set it aside if the database refuses it. */
export type Sighted = {
  readonly seen: Observation;
  /** The source's record as JSON text, for a dead letter; null when the observation is an absence. */
  readonly record: string | null;
  readonly inboxId: number | null;
  readonly correlationId: string | null;
  /** No further attempt will follow: a missing parent row is now the record's own fault. */
  readonly isLastAttempt: boolean;
  /** Somebody named the record then, so it existed; where nobody did, it was first known when it was seen. */
  readonly knownAt?: Instant;
};

/**
 * What became of a sighting. `defer`: somebody holds the row, or a write of ours that may concern it is in flight. `retry`: its
 * parent row is not there yet, or another row still has its unique value. `hold`: its table cannot be written at all for now.
 * `conflict`: accepted as what the source says, and not written: a person decides, or an edit made here stands.
 */
export type Outcome =
  | {
      readonly kind:
        | 'insert'
        | 'update'
        | 'delete'
        | 'noop'
        | 'repair'
        | 'stale'
        | 'verify'
        | 'conflict'
        | 'hold'
        | 'quarantine';
    }
  /** Seen for the first time, with a row in the table already. `differs`: in some value, so that one of the two had to win. */
  | { readonly kind: 'link'; readonly differs: boolean }
  /** `isInFlight`: it waits for our own write, which is nobody's fault and may take longer than a lock is held. */
  | { readonly kind: 'defer'; readonly isInFlight?: true }
  | { readonly kind: 'retry'; readonly reason: 'missing_parent' | 'value_taken' };

/** True for outcomes that changed the target. */
export const isEffective = (outcome: Outcome): boolean =>
  outcome.kind === 'insert' ||
  outcome.kind === 'update' ||
  outcome.kind === 'delete' ||
  outcome.kind === 'repair' ||
  (outcome.kind === 'link' && outcome.differs);
