import type { Instant } from '../model/instant.ts';
import type { SavedRequest } from '../model/push.ts';
import type { Sighting } from '../source/client.ts';
import type { FailureRule } from '../source/failure/definition.ts';

/**
 * What became of one request of a push. Codes and words name the request and what went wrong, never a part of the answer.
 *
 * `unknown` is the one that nobody may retry: it may have been carried out. Of `conflict`, `absent`, `refused`,
 * `unauthorized` and `later` the source surely has carried out nothing.
 */
export type PushAnswer =
  /** Carried out. `record`: as the source then held it, null where the answer does not show it. */
  | {
      readonly kind: 'done';
      readonly record: unknown;
      /** Of a create: the new id where the answer shows it apart from the record. */
      readonly externalId?: string;
      readonly etag: string | null;
      readonly startedAt: Instant;
      readonly endedAt: Instant;
    }
  /** 409 or 412: the record is not as the request expects it. */
  | { readonly kind: 'conflict'; readonly code: string; readonly words: string }
  /** 404 or 410. */
  | { readonly kind: 'absent'; readonly code: string; readonly words: string }
  /** The source does not take this, and would not tomorrow (400, 422 and the like), or does not allow us to (403). */
  | { readonly kind: 'refused'; readonly code: string; readonly words: string }
  /** 401, after the client has renewed its credentials. */
  | { readonly kind: 'unauthorized'; readonly code: string; readonly words: string }
  /** Not sent, or turned away unread. `isLimit`: the source asked for the wait, of all of us. */
  | {
      readonly kind: 'later';
      readonly code: string;
      readonly words: string;
      readonly waitMs: number | null;
      readonly isLimit: boolean;
    }
  | { readonly kind: 'unknown'; readonly code: string; readonly words: string };

export type SendOptions = {
  /** Nothing is sent after it, and nothing is waited for either. */
  readonly deadline: Instant;
  /** Asked at the last moment before the request leaves, each time that it does; when it says no, nothing is sent. */
  readonly mayLeave: () => Promise<boolean>;
  readonly signal: AbortSignal;
  /** Dot path in the answer to the record; null where it does not show it. */
  readonly recordAt: string | null;
  /** Dot path in the answer to a create to the new id, where it shows no record. */
  readonly idAt: string | null;
  /** Asked before the source's own. */
  readonly failures: readonly FailureRule[];
};

/** What pushes ask of a source. None of it throws for what the source does; `read` and `findByMarker` throw `SourceError`. */
export type PushSource = {
  /** Sends a request once. What surely was not carried out may be sent again, before the deadline. */
  readonly send: (request: SavedRequest, options: SendOptions) => Promise<PushAnswer>;
  /** Reads a record by its id. Asked only where the stream can. */
  readonly read: (externalId: string, signal: AbortSignal) => Promise<Sighting>;
  /** Looks for the record that carries a marker. Asked only where it can be searched for. */
  readonly findByMarker: (marker: string, signal: AbortSignal) => Promise<Sighting>;
};

/**
 * What a 403 may mean, and the way out: one record may be locked, one field not ours to write, so it is no word on the
 * credentials.
 */
export const lacksRight = (words: string, to: 'write' | 'read'): string =>
  `${words}; what may be missing: the right to ${to} this record or one of its fields, or a scope of the token. Grant it, then retry`;
