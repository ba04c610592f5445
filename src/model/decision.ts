import type { Instant } from './instant.ts';
import type { Content } from './observation.ts';
import type { RecordState } from './record-state.ts';

/** The read that would settle a decision: a sighting not older than `needLo`, best made at `readAt`, when it can tell. */
export type Need = { readonly needLo: Instant; readonly readAt: Instant };

/** Why an observation was refused. Kept in the record's history, so the words are for people too. */
export type StaleReason = 'older_version' | 'older_sighting' | 'same_version' | 'deleted';
export type VerifyReason =
  | 'not_ordered'
  | 'same_version'
  | 'partial_gap'
  | 'older_in_full_run'
  | 'first_sight'
  | 'regression';

/** What to do with one observation. Pure data: `apply` carries it out. `next` is the record's state afterwards. */
export type Decision =
  | {
      readonly kind: 'noop';
      readonly next: RecordState | null;
      /** It is older than what we hold, so it shows nothing about the record as it is now. */
      readonly isOlder: boolean;
    }
  | { readonly kind: 'stale'; readonly reason: StaleReason }
  | { readonly kind: 'verify'; readonly reason: VerifyReason; readonly need: Need; readonly next: RecordState | null }
  | {
      readonly kind: 'upsert';
      readonly isInsert: boolean;
      readonly content: Content;
      readonly next: RecordState;
      /** Applied without proof of order, because the source can neither order it nor be asked. */
      readonly isWeak: boolean;
      /** Applied at once and to be confirmed by a read. */
      readonly verify: Need | null;
    }
  | { readonly kind: 'delete'; readonly next: RecordState; readonly isWeak: boolean };
