import type { ConflictPolicy } from '../model/conflict.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { PushOp } from '../model/push.ts';

/** How one kind of write is sent. */
export type WriteEndpoint = {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `{id}` is the external id. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Only what was edited, or every writable property of the row. */
  readonly sends: 'changes' | 'record';
  /** Dot path in the body under which the fields stand; empty for the body itself. */
  readonly bodyAt: string;
  /** Sent in addition to the fields, in the body. */
  readonly body: Readonly<Record<string, JsonValue>>;
  /** Dot path in the answer to the whole record; null where the answer does not show it, and it is read afterwards. */
  readonly recordAt: string | null;
  /** What the request is bound to: the record's tag, or its version, in `If-Match`. */
  readonly ifMatch: 'etag' | 'version' | null;
  /** In place of REST: the document, and the variables' names for the id and the fields. */
  readonly graphql: {
    readonly query: string;
    readonly idVariable: string | null;
    readonly fieldsVariable: string;
  } | null;
};

/** How the source recognises a repeated write. */
export type Idempotency = { readonly header: string /** How long it remembers. */; readonly ttlMs: number };

/** Where a record carries the id of the write that made it, and how records are searched by it. */
export type Marker = {
  /** Dot path in what is sent, and in what the source shows. */
  readonly field: string;
  /** Query parameter of the list that finds records by it; null where nothing can be searched. */
  readonly searchParam: string | null;
};

/** What makes a stream two-way. Everything checked and with its defaults filled in. */
export type TwoWay = {
  /** Content properties with a way back. All others are read-only: edits of them are undone and kept as conflicts. */
  readonly writable: ReadonlySet<string>;
  readonly writes: { readonly [op in PushOp]: WriteEndpoint | null };
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

export type Unmapped =
  | { readonly ok: true; readonly fields: { readonly [key: string]: JsonValue } }
  | { readonly ok: false; readonly property: string; readonly expected: string };

/**
 * The way back through the mapping: properties of the row to what the source takes, nested as its records are. Pure, never
 * throws: the first property whose value has no way back is named.
 */
export type Unmap = (content: Content) => Unmapped;
