import type { ChangeToken } from '../model/change-token.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { Observation } from '../model/observation.ts';
import type { Push } from '../model/push.ts';
import { backoffMs } from './retry.ts';
import type { TwoWay } from './two-way.ts';

/** Of the time that a source remembers a key, the end is not counted on: its clock is not ours. */
const TTL_MARGIN_MS = 60_000;
/** Replays of one request; by then a read, a search or a person is to tell. */
export const MAX_REPLAYS = 20;
/** How long the record of a create may take to be seen, where it carries our marker and cannot be searched for. */
const ECHO_WAIT_MS = 600_000;

/** Kept as the push's error code, because the way of finding out goes on from it. */
export const REPLAY_REFUSED = 'replay_refused';
export const ABSENT_ONCE = 'absent_once';

export type UnknownInput = {
  readonly push: Push;
  /** Null where it was lost: then only reading can tell. */
  readonly token: ChangeToken | null;
  readonly twoWay: Pick<TwoWay, 'idempotency' | 'marker' | 'mayDuplicateCreates' | 'budget'>;
  /** Creates of its row that were sent again though nobody knew what had become of them. */
  readonly sentAgain: number;
  readonly canGet: boolean;
  readonly readLagMs: number;
  readonly now: Instant;
};

/** How to find out what became of a request. */
export type Resolution =
  /** It came back by itself. */
  | { readonly kind: 'echo'; readonly echo: Observation }
  /** The same bytes under the same key: the source answers as it did the first time, or carries it out now. */
  | { readonly kind: 'replay' }
  /** Reads by this id: nothing of ours can be carried out any more. `isAccepted`: the source has said that it did it. */
  | { readonly kind: 'read'; readonly externalId: string; readonly isAccepted: boolean }
  | { readonly kind: 'search'; readonly marker: string; readonly wasAbsent: boolean; readonly isAccepted: boolean }
  | { readonly kind: 'wait'; readonly until: Instant }
  /** Looked at anew, by what differs then: it can do no harm to send it twice, or the definition allows it. */
  | { readonly kind: 'again' }
  | { readonly kind: 'park'; readonly code: 'create_unknown' | 'created_unseen'; readonly words: string };

/**
 * Decides how a push of unknown outcome is resolved. Pure. It is sent anew where that can do no harm, or where the definition
 * allows doubles; a create that the source has confirmed never is.
 */
export function decideUnknown(input: UnknownInput): Resolution {
  const { push, token, twoWay, canGet, readLagMs, now } = input;
  if (token?.echo != null) return { kind: 'echo', echo: token.echo };
  const isAccepted = token?.state === 'confirmed';
  if (isAccepted && push.externalId !== null && canGet)
    return { kind: 'read', externalId: push.externalId, isAccepted };
  if (isAccepted && push.op === 'create' && push.externalId === null) return decideUnseen(input);
  const readableAt = addMs(push.deadline ?? now, readLagMs);
  if (mayReplay(input)) return { kind: 'replay' };
  if (now <= readableAt) return { kind: 'wait', until: readableAt + 1 };
  if (push.externalId !== null) {
    return canGet ? { kind: 'read', externalId: push.externalId, isAccepted } : { kind: 'again' };
  }
  if (push.op !== 'create') return { kind: 'again' };
  if (twoWay.marker !== null && push.tokenId !== null) {
    if (twoWay.marker.searchParam !== null)
      return { kind: 'search', marker: push.tokenId, wasAbsent: push.errorCode === ABSENT_ONCE, isAccepted };
    const until = addMs(push.deadline ?? now, ECHO_WAIT_MS);
    if (now < until) return { kind: 'wait', until };
  }
  // "At the risk of a second record" does not say: of any number.
  if (twoWay.mayDuplicateCreates && input.sentAgain + 1 < twoWay.budget.calls) return { kind: 'again' };
  const words = 'nobody can tell whether the source has created the record; sent again, it might create a second one';
  return { kind: 'park', code: 'create_unknown', words };
}

/** The record is there, and its id is not known: the answer to a repeat would be the same, so only its marker can tell. */
function decideUnseen({ push, twoWay: { marker }, now }: UnknownInput): Resolution {
  const wasAbsent = push.errorCode === ABSENT_ONCE;
  const until = addMs(push.deadline ?? now, ECHO_WAIT_MS);
  if (marker !== null && push.tokenId !== null) {
    if (marker.searchParam !== null && (now < until || !wasAbsent))
      return { kind: 'search', marker: push.tokenId, wasAbsent, isAccepted: true };
    if (now < until) return { kind: 'wait', until };
  }
  const words = 'the source has created the record, and which one it is cannot be told; it is not created again';
  return { kind: 'park', code: 'created_unseen', words };
}

/** A refused replay says nothing of the first request; where something else can tell, it is asked then. */
function mayReplay({ push, twoWay, canGet, now }: UnknownInput): boolean {
  if (twoWay.idempotency === null || push.request === null || push.firstCallAt === null) return false;
  const isKnown = now < addMs(push.firstCallAt, twoWay.idempotency.ttlMs - TTL_MARGIN_MS);
  if (!isKnown || push.attempt > MAX_REPLAYS) return false;
  if (push.errorCode !== REPLAY_REFUSED && push.errorCode !== ABSENT_ONCE) return true;
  const canAskOtherwise = push.op === 'create' ? twoWay.marker?.searchParam != null : canGet;
  return !canAskOtherwise;
}

/** When a push whose resolution brought nothing is looked at next. */
export const nextLookAt = ({
  push,
  now,
  random,
}: Pick<UnknownInput, 'push' | 'now'> & { readonly random: number }): Instant =>
  addMs(now, MIN_LOOK_MS + backoffMs(push.attempt, random));

const MIN_LOOK_MS = 500;
