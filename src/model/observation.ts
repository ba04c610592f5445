import type { Instant } from './instant.ts';
import type { JsonValue } from './json.ts';

/** Where a record lives: one integration, one of its entities. */
export type StreamKey = { readonly integration: string; readonly entity: string };

/** Mapped content in canonical form, keyed by the target table's properties. A missing key is not null. */
export type Content = { readonly [property: string]: JsonValue };

/** How we came to see a record: a delivery, a list row, a read by id, the answer to our own write, a person. */
export type Channel = 'hook' | 'page' | 'get' | 'push' | 'manual';

/** What made us look, for the record's history: shown to people, never used to decide. */
export type Origin =
  | { readonly kind: 'delivery'; readonly id: string }
  | { readonly kind: 'run'; readonly id: string }
  | { readonly kind: 'hint'; readonly id: string; readonly reason: string }
  | { readonly kind: 'dead_letter'; readonly id: string }
  | { readonly kind: 'push'; readonly id: string }
  /** A person or their program, by a route; `id` is what was asked for, such as `edit` or `resolve`. */
  | { readonly kind: 'operator'; readonly id: string };

/**
 * One sighting of one record. `[lo, hi]` holds a moment at which the content was true at the source.
 * Every way in (webhook, list page, read by id, replay) becomes this, and `apply` takes nothing else.
 */
export type Observation = {
  readonly externalId: string;
  /** Null when the record was seen to be absent. */
  readonly content: Content | null;
  /** Hex digest of the content's canonical form; null exactly when `content` is. */
  readonly hash: string | null;
  /** True when `content` holds only the fields that the payload carried. */
  readonly partial: boolean;
  /** The version that a partial payload was made from; without it a partial payload is only a reason to read. */
  readonly previousVersion: bigint | null;
  /** The source's own order for this record: a counter, or a timestamp in microseconds. */
  readonly version: bigint | null;
  readonly etag: string | null;
  readonly lo: Instant;
  readonly hi: Instant;
  readonly channel: Channel;
  /** The source said "deleted", as opposed to answering that it has no such record. */
  readonly isPositiveDelete: boolean;
  /** Id of the write that made the record, where its source carries one along; else null. */
  readonly marker: string | null;
  /** Row of a full run: it must be listed as seen, and it may be repaired. */
  readonly isFullRun: boolean;
  readonly origin: Origin;
};
