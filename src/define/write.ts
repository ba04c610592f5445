import type { Duration } from '../lib/duration.ts';
import type { ConflictPolicy } from '../model/conflict.ts';
import type { JsonValue } from '../model/json.ts';
import type { FailureRule } from '../source/failure/definition.ts';

/** What every kind of write has. */
type WriteForm = {
  /** From the base URL's path on; `{id}` is the record's id. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  /** Sent beside the source's. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Constants that the fields are put into: the body, or the variables of `graphql`. */
  readonly body?: { readonly [name: string]: JsonValue };
  /** Rules for the answer, asked before the source's. */
  readonly failures?: readonly FailureRule[];
};

/** What a write has that sends fields. */
type FieldsForm = {
  /** Only what was edited, or all that can be sent of the row. Default: changes of an update, the record of a create. */
  readonly sends?: 'changes' | 'record';
  /** Dot path in the body under which the fields go. Default: the body itself. */
  readonly bodyAt?: string;
  /** Dot path in the answer to the whole record. Default: as `read.get` has it; with `graphql` it must be given. */
  readonly record?: string;
  /** `nothing`: the answer does not show the whole record, so it is read afterwards. */
  readonly answers?: 'record' | 'nothing';
};

type IfMatchForm = {
  /** What the write is bound to, in `If-Match`: the record's tag (`true` or `'etag'`), or its version. Default: nothing. */
  readonly ifMatch?: boolean | 'etag' | 'version';
};

export type UpdateDefinition = WriteForm &
  FieldsForm &
  IfMatchForm & {
    /** Default PATCH; POST with `graphql`. */
    readonly method?: 'PATCH' | 'PUT' | 'POST';
    readonly graphql?: {
      readonly query: string;
      /** Dot path among the variables to where the id goes, such as `id` or `input.id`. */
      readonly idVariable: string;
      /** Dot path among the variables to where the fields go; left out, each field is a variable of its own. */
      readonly fieldsVariable?: string;
    };
  };

export type CreateDefinition = WriteForm &
  FieldsForm & {
    /** Default POST. */
    readonly method?: 'POST' | 'PUT';
    readonly graphql?: { readonly query: string; readonly fieldsVariable?: string };
    /** Whether a property that is null is sent as null, or left to the source. Default `omit`. */
    readonly nulls?: 'send' | 'omit';
    /** Dot path in the answer to the new record's id, where the answer does not show the whole record. */
    readonly id?: string;
  };

export type DeleteDefinition = WriteForm &
  IfMatchForm & {
    /** Default DELETE; POST with `graphql`. */
    readonly method?: 'DELETE' | 'POST' | 'PUT' | 'PATCH';
    readonly graphql?: { readonly query: string; readonly idVariable: string };
  };

/**
 * What stands when both sides changed a property. `merge` says the same as its fallback, `source_wins` if none is named:
 * what only one side changed is never in conflict, whatever the policy.
 */
export type PolicyChoice = ConflictPolicy | 'merge' | { readonly merge: ConflictPolicy };

/** Makes an entity two-way: how edits of its rows reach the source, and what happens when both sides change. */
export type WriteDefinition<Property extends string = string> = {
  readonly update?: UpdateDefinition;
  readonly create?: CreateDefinition;
  readonly delete?: DeleteDefinition;
  /** Default `source_wins`. */
  readonly conflict?: PolicyChoice;
  /** Policies of single properties. */
  readonly fields?: { readonly [property in Property]?: PolicyChoice };
  /** Properties that are never sent, although their mapping could. */
  readonly readOnly?: readonly Property[];
  /** Properties that are sent when a record is created, and never again. */
  readonly createOnly?: readonly Property[];
  /** Whose values stand where a row existed before its record was first seen. Default `source_wins`. */
  readonly adopt?: 'source_wins' | 'target_wins';
  /** What the removal of a row means. Default `restore`: it is written again. `push` needs `delete`. */
  readonly localDeletes?: 'restore' | 'push' | 'detach';
  /** More removals than both at once wait for a person. Defaults 0.1 of the records, 20. */
  readonly massDelete?: { readonly maxShare?: number; readonly minimum?: number };
  /** What an edit through the API writes first. Default `target-first`. */
  readonly mode?: 'target-first' | 'source-first';
  /** How long an edit waits for further ones of the same row. Up to 1h. Default 200ms. */
  readonly debounce?: Duration;
  /** Header that takes a key made once for each write, and how long the source remembers it. Default of `ttl` 24h. */
  readonly idempotency?: { readonly header: string; readonly ttl?: Duration };
  /** Where a created record keeps the key of its write, among its fields, and the list's parameter that finds it by that. */
  readonly marker?: { readonly field: string; readonly searchParam?: string };
  /** What follows when nobody can say whether a record was created. Default `park`: it waits for a person. */
  readonly onUnknownCreate?: 'park' | 'retry';
  /** Calls for one record within a time; more are taken for a loop. Default 10 per 10m. */
  readonly budget?: { readonly calls: number; readonly per: Duration };
  /** How far apart the clocks are taken to be, for `newest_wins`. Default 2s. */
  readonly clockSkew?: Duration;
};
