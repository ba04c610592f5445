import type { Instant } from './instant.ts';
import type { Content } from './observation.ts';

/** What happens to a property that both sides changed, and to a record that one side changed and the other deleted. */
export const CONFLICT_POLICIES = ['source_wins', 'target_wins', 'newest_wins', 'manual'] as const;
export type ConflictPolicy = (typeof CONFLICT_POLICIES)[number];

export type ConflictKind =
  /** Both sides changed the same properties. */
  | 'both_changed'
  /** Deleted at the source, edited here. */
  | 'deleted_at_source'
  /** Removed here, changed at the source. */
  | 'deleted_here'
  /** A row that stood in the table before its record was first seen, and differs from it. */
  | 'adopted'
  /** Created here, and deleted at the source before we knew its id. */
  | 'created_and_deleted';

/** Null while it waits for a person. `local` and `remote`: whose value stands; `mixed`: by property. */
export type ConflictOutcome = 'local' | 'remote' | 'mixed' | 'superseded';

/** Values that met. What was overwritten is kept here: nothing is lost silently. */
export type NewConflict = {
  readonly externalId: string | null;
  readonly targetKey: string;
  readonly kind: ConflictKind;
  readonly fields: readonly string[];
  /**
   * Of the named fields, or of the whole record where it was deleted. Of an open one always the whole record, and `remote` is
   * the latest that was seen: its resolution applies just that.
   */
  readonly base: Content | null;
  readonly local: Content | null;
  readonly remote: Content | null;
  readonly remoteVersion: bigint | null;
  readonly policy: ConflictPolicy;
  readonly outcome: ConflictOutcome | null;
};

export type Conflict = NewConflict & {
  readonly id: string;
  readonly createdAt: Instant;
  readonly resolvedAt: Instant | null;
  readonly resolvedBy: string | null;
};
