import type { Unmap } from '../mapping/unmap.ts';
import type { ConflictPolicy } from '../model/conflict.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { PushOp } from '../model/push.ts';
import type { FailureRule } from '../source/failure/definition.ts';

/** How one kind of write is sent. */
export type WriteEndpoint = {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `{id}` is the external id. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Only what was edited, or every property of the row that this kind of write takes. */
  readonly sends: 'changes' | 'record';
  /** What becomes of null: sent as null, which clears a value, or left out, of a create that brings none. */
  readonly nulls: 'send' | 'omit';
  /** Dot path in the body under which the fields stand; empty for the body itself. */
  readonly bodyAt: string;
  /** Constants that the fields are put into: the body, or the variables of `graphql`. */
  readonly body: Readonly<Record<string, JsonValue>>;
  /** Dot path in the answer to the whole record; null where the answer does not show it, and it is read afterwards. */
  readonly recordAt: string | null;
  /** Of a create that does not show the record: dot path in the answer to the new id; null where it shows neither. */
  readonly idAt: string | null;
  /** What the request is bound to, in `If-Match`: the record's tag as it came, or its version as a quoted tag. */
  readonly ifMatch: 'etag' | 'version' | null;
  /** In place of REST: the document, and where among its variables the id and the fields go, as dot paths (`input.id`). */
  readonly graphql: {
    readonly query: string;
    /** Null for a create. */
    readonly idVariable: string | null;
    /** Empty where each field is a variable of its own; null for a delete. */
    readonly fieldsVariable: string | null;
  } | null;
  /** What answers mean where it is not what their status says, asked before the source's rules. */
  readonly failures: readonly FailureRule[];
};

/** How the source recognises a repeated write. */
export type Idempotency = { readonly header: string /** How long it remembers. */; readonly ttlMs: number };

/** Where a record carries the id of the write that made it, and how records are searched by it. */
export type Marker = {
  /** Dot path among the fields that are sent, and in the record as the source shows it. */
  readonly field: string;
  /** Query parameter of the list that finds records by it; null where nothing can be searched. */
  readonly searchParam: string | null;
};

/** What makes a stream two-way. Everything checked and with its defaults filled in. */
export type TwoWay = {
  /**
   * Content properties whose edits are sent; none where the source takes no updates. All others are read-only: edits of
   * them are undone and kept as conflicts.
   */
  readonly writable: ReadonlySet<string>;
  /** Content properties that are sent when a record is created: some can be set then, and never again. */
  readonly creatable: ReadonlySet<string>;
  /** Null for what the source does not take. */
  readonly writes: { readonly [op in PushOp]: WriteEndpoint | null };
  /**
   * What an edit through our own API does first. `target-first`: the row is written, and a push brings it to the source.
   * `source-first`: the source is asked, and its answer is what the row gets.
   */
  readonly mode: 'target-first' | 'source-first';
  /** For what both sides changed, by property. */
  readonly policyOf: (property: string) => ConflictPolicy;
  /** Some property's newest value wins: times of edits are read for that. */
  readonly comparesTimes: boolean;
  /** For records that one side changed and the other deleted. */
  readonly recordPolicy: ConflictPolicy;
  /** Whose values stand where a row existed before its record was first seen. */
  readonly adopt: 'source_wins' | 'target_wins';
  /** What a row removed here means: it is written again, deleted at the source too, or left alone from then on. */
  readonly localDeletes: 'restore' | 'push' | 'detach';
  /** More removals than both of these at once are held back for a person. */
  readonly massDelete: { readonly maxShare: number; readonly minimum: number };
  readonly idempotency: Idempotency | null;
  readonly marker: Marker | null;
  /** A create of unknown outcome is sent again, at the risk of a second record, rather than parked. */
  readonly mayDuplicateCreates: boolean;
  /** How long an edit waits for further ones of the same row. */
  readonly debounceMs: number;
  /** Calls for one record within a time; more are taken for a loop and parked. */
  readonly budget: { readonly calls: number; readonly perMs: number };
  /** How far from the database's clock the source's is taken to be, at most, where the newest value wins. */
  readonly clockSkewMs: number;
  readonly unmap: Unmap;
  /** Content that is the same in every row, for rows that are created by a route. */
  readonly constants?: Content;
};
