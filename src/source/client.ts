import type { Log } from '../lib/log.ts';
import type { Instant } from '../model/instant.ts';
import type { GetDefinition, ListDefinition } from './definition.ts';

export type SourceDeps = {
  /** The database's clock: page and read times order observations. */
  readonly now: () => Promise<Instant>;
  /** Even over [0, 1). */
  readonly random: () => number;
  /** Waits `ms`, or less when the signal fires; whether it then rejects or resolves does not matter. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Wall clock, for Retry-After dates and for how long the source is left alone. */
  readonly nowMs: () => number;
  readonly log: Log;
};

/** One page of a list. What it shows was true at some moment in `[startedAt, endedAt]`. */
export type Page = {
  readonly items: readonly unknown[];
  /** Taken before the request was first sent. */
  readonly startedAt: Instant;
  /** Taken after the whole answer was read. */
  readonly endedAt: Instant;
  /** The page's own cursor; null for the first page. */
  readonly cursor: string | null;
  /** Where to go on from, also in a later process; null on the last page. */
  readonly nextCursor: string | null;
};

/** One read by id. Only 404 and 410 are evidence of absence. */
export type Sighting =
  | {
      readonly kind: 'found';
      readonly record: unknown;
      readonly etag: string | null;
      readonly startedAt: Instant;
      readonly endedAt: Instant;
    }
  | { readonly kind: 'absent'; readonly startedAt: Instant; readonly endedAt: Instant };

export type SourceClient = {
  /**
   * The pages of a list, from `cursor` or from the start; `query` is added to the list's own (it does not apply where
   * the cursor is a link, which carries its query). A page is requested when it is asked for, never ahead.
   * Throws `SourceError`, after the retries where a retry can help.
   */
  listPages(
    list: ListDefinition,
    options: {
      readonly query?: Readonly<Record<string, string>>;
      readonly cursor?: string | null;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<Page, void, undefined>;
  /** Reads one record by its id. Throws `SourceError`; `bad_id` when the id cannot stand in a path. */
  getRecord(get: GetDefinition, id: string, options: { readonly signal: AbortSignal }): Promise<Sighting>;
  /** Ends all connections. What is still under way fails with `aborted`; end it by its signal first. */
  close(): Promise<void>;
};
