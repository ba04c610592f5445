import type { PgTable } from 'drizzle-orm/pg-core';
import type { z } from 'zod';
import type { Duration } from '../lib/duration.ts';
import type { Setting } from '../lib/setting.ts';
import type { Mapping } from '../mapping/field.ts';
import type { MarkerForm, VersionForm } from '../mapping/identity.ts';
import type { GetDefinition, GetManyDefinition, ListDefinition, SourceDefinition } from '../source/definition.ts';
import type { AnyEndpoints, Endpoints } from '../source/endpoint.ts';
import type { WebhookDefinition } from '../webhook/definition.ts';
import type { WriteDefinition } from './write.ts';

/** How the source orders the versions of one record. */
export type VersionDefinition = VersionForm & {
  /** Of timestamps: versions closer than this are not ordered. For sources that stamp with several clocks. Default 0. */
  readonly skew?: Duration;
};

/** How the list is asked for what changed since a version. */
export type ChangedSinceDefinition = {
  /** Query parameter that takes the version. */
  readonly param: string;
  /** How the version is written there. Default: as `version` reads it. */
  readonly format?: 'iso' | 'epoch_s' | 'epoch_ms' | 'raw';
  /** How far before the cursor to read again. Default 0s; only of timestamps. */
  readonly overlap?: Duration;
  /** Sent in addition to the list's own query. */
  readonly query?: Readonly<Record<string, string | number | boolean>>;
};

export type ReadDefinition = {
  readonly list: ListDefinition;
  readonly changedSince?: ChangedSinceDefinition;
  readonly get?: GetDefinition;
  /** Several records by one request, where deliveries ask for many at once. Needs `get`, which alone shows an absence. */
  readonly getMany?: GetManyDefinition;
};

/** What deletions look like. Left out, everything is taken at its weakest: that costs reads, never data. */
export type DeletesDefinition = {
  /** Whether a delete event carries a version newer than the record's last update. Default `unversioned`. */
  readonly events?: 'versioned' | 'unversioned';
  /** Whether an id can come back after its deletion. Default true. */
  readonly idsReturn?: boolean;
  /** Where a record itself says that it is deleted, in lists, reads and events: `{ field: 'deleted', equals: true }`. */
  readonly marker?: MarkerForm;
};

export type ReconcileDefinition = {
  /** Cron expressions; left out, such a run is never scheduled. */
  readonly incremental?: string;
  readonly full?: string;
  /** The brake: a full run that would delete more than both waits for approval. Defaults 0.1 of the records, 20. */
  readonly deletions?: { readonly maxShare?: number; readonly minimum?: number };
  /** Full runs also compare unchanged records with the target's rows, and mend those. Default true. */
  readonly repair?: boolean;
  /**
   * How long one run may take, waits for the source included, the time of pauses not. Past it the run fails. From 1m to
   * 7d. Default 24h.
   */
  readonly deadline?: Duration;
};

/** One entity as `entity()` gives it: the shape without its type parameters. */
export type EntityDefinition = {
  readonly schema: z.ZodType;
  /** Dot path to the record's id in what the source sends. */
  readonly key: string;
  /** Property of the target that holds the id. Default: the one mapped by `field(key)`. */
  readonly targetKey?: string;
  readonly version: VersionDefinition;
  only?(record: unknown): boolean;
  readonly read: ReadDefinition;
  readonly deletes?: DeletesDefinition;
  /** A read may miss changes younger than this. Default 5s; `0s` where the source documents strong consistency. */
  readonly readLag?: Duration;
  readonly target: PgTable;
  readonly mapping: Mapping;
  readonly reconcile?: ReconcileDefinition;
  /** Makes the entity two-way. Left out, its rows are a mirror: edits of them are overwritten. */
  readonly write?: WriteDefinition;
};

export type IntegrationDefinition = {
  /** In URLs, logs and tables: small letters, digits, `_` and `-`. */
  readonly name: string;
  readonly source: SourceDefinition;
  /** By name, as `endpoint()` gives them: for `createClient` and for `lookup`. */
  readonly endpoints?: Endpoints;
  readonly webhook?: WebhookDefinition;
  /** By name, in the same letters. */
  readonly entities: { readonly [name: string]: EntityDefinition };
};

/** An integration whose endpoints, and whose source's `params` by name, the types know. */
export type TypedIntegration<Forms extends AnyEndpoints, Given extends string> = Omit<
  IntegrationDefinition,
  'source' | 'endpoints'
> & {
  readonly source: Omit<SourceDefinition, 'params'> & { readonly params?: { readonly [name in Given]: Setting } };
  readonly endpoints?: Forms;
};

/** What a config file exports. */
export type ConfigDefinition = {
  readonly integrations: readonly IntegrationDefinition[];
  /** Folder of drizzle migrations that make the target tables, from the config file on. Applied at start and by `migrate`. */
  readonly migrations?: string | URL;
};
