import type { Instant } from './instant.ts';
import type { Content } from './observation.ts';

/**
 * States of a push, the intent to bring one record's edits to its source. `ready`: waits for its time; its content is
 * computed when it is claimed, so later edits of the row join it. `calling`: a worker holds it by lease and the request may
 * be under way. `unknown`: the request may have been carried out, and nobody knows; only `resolve` moves it, never a blind
 * retry. `parked`: waits for a person, and is shown; one that the source has carried out goes back to `unknown`, to be
 * settled. `done`: over, whatever became of it: what is still to be sent is then another push, because a ready one of the
 * same row may stand beside a push in flight.
 */
export const PUSH_TRANSITIONS = {
  ready: { claim: 'calling', drop: 'done', park: 'parked' },
  calling: { settle: 'done', requeue: 'done', lose: 'unknown', park: 'parked' },
  unknown: { settle: 'done', requeue: 'done', park: 'parked' },
  parked: { requeue: 'done', discard: 'done', resolve: 'unknown' },
  done: {},
} as const;

export type PushState = keyof typeof PUSH_TRANSITIONS;
export type PushOp = 'create' | 'update' | 'delete';

/** Which of those that wait are taken first. */
export type Order = 'oldest' | 'newest';

/** What names a push and its row, as it was found. */
export type NamedPush = Pick<Push, 'id' | 'targetKey'>;

/** Which of a stream's parked pushes; null: any. */
export type ParkedFilter = { readonly reason: ParkReason | null; readonly errorCode: string | null };

/** Why a push waits for a person. */
export type ParkReason =
  /** The source refuses what it holds (400, 422 and the like), or does not allow it to us (403); the row keeps the edit. */
  | 'refused'
  /** Nobody can say whether the record was created at the source, and asking again could make a second one. Seen by its marker, it is linked. */
  | 'create_unknown'
  /** More calls for one record than its budget allows: something edits the row at each of our writes. */
  | 'loop_suspected'
  /** So many rows were removed at once that it may be a mistake. */
  | 'mass_delete'
  /** A value has no way back through the mapping. */
  | 'unmappable'
  /**
   * The table or the source does not allow what is needed next, for example a row that cannot take its new key; or the
   * source has created the record and does not show which one it is.
   */
  | 'cannot_settle';

/** Error code of a push that was sent again though nobody knows what became of it: such ones are counted, and bounded. */
export const SENT_AGAIN = 'sent_again';

/** Kept as the error code of a push that a person has let go on though a loop was suspected: calls before it count no more. */
export const LOOP_RETRIED = 'loop_retried';

/** The request of a push, byte for byte: a repeat under the same key must be the same. Credentials are not in it. */
export type SavedRequest = {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path template and what fills it. */
  readonly path: string;
  readonly values: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly protocol: 'rest' | 'graphql';
};

/** One push of one record of a stream. */
export type Push = {
  readonly id: string;
  readonly op: PushOp;
  /**
   * Whose values it brings. `row`: what differs in the row when it is claimed. `request`: those of a caller of a stream that
   * writes source-first; the row is as it was until the source has confirmed them. It begins as `calling` with its patch, is
   * never `ready`, and a refusal ends it: nothing here has changed.
   */
  readonly carries: 'row' | 'request';
  /** Null for a create whose record has no id yet. */
  readonly externalId: string | null;
  readonly targetKey: string;
  readonly state: PushState;
  /** How many captured edits it stands for. */
  readonly edits: number;
  /** The row when it was claimed, in canonical form; null for a delete, and before the claim. */
  readonly snapshot: Content | null;
  /** What is sent of it: the writable properties that differed from the shadow. */
  readonly patch: Content | null;
  readonly request: SavedRequest | null;
  /** The version that the request is bound to by `If-Match`, where it is. */
  readonly ifMatch: string | null;
  /** The record's version when it was claimed. */
  readonly preVersion: bigint | null;
  readonly tokenId: string | null;
  /** When its request was first sent; null before. An idempotent replay returns an answer of that time. */
  readonly firstCallAt: Instant | null;
  /** Nothing may be sent after it. */
  readonly deadline: Instant | null;
  readonly runAt: Instant;
  /** When the latest edit in it was captured; null where nobody knows. */
  readonly editedAt: Instant | null;
  readonly attempt: number;
  readonly leaseToken: string | null;
  readonly parkReason: ParkReason | null;
  readonly errorCode: string | null;
  readonly error: string | null;
};

/** A push that this worker holds: without the token nobody may finish it. */
export type HeldPush = Push & { readonly leaseToken: string };

/** A row that is to be looked at: whether anything of it has to be pushed is decided when the push is claimed. */
export type PushWish = {
  readonly targetKey: string;
  readonly externalId: string | null;
  readonly edits: number;
  /** Not before. */
  readonly runAt: Instant;
  /** When the row was last edited, and never when it was looked at; null where nobody knows. */
  readonly editedAt: Instant | null;
  /** The row was removed, as far as the edits tell: counted, so that many at once are noticed, and never relied upon. */
  readonly isRemoval?: boolean;
};
