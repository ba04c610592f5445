import { type Instant, toDate } from '../model/instant.ts';
import type { ListedPush } from '../store/push-list.ts';

/** A push as it is shown to people. */
export const describePush = (push: ListedPush) => ({
  id: push.id,
  integration: push.integration,
  entity: push.entity,
  op: push.op,
  carries: push.carries,
  state: push.state,
  outcome: outcomeOf(push),
  recordId: push.externalId,
  key: push.targetKey,
  properties: push.properties,
  edits: push.edits,
  attempt: push.attempt,
  token: push.token,
  createdAt: iso(push.createdAt),
  editedAt: iso(push.editedAt),
  nextLookAt: push.state === 'ready' || push.state === 'unknown' ? iso(push.runAt) : null,
  firstCallAt: iso(push.firstCallAt),
  finishedAt: iso(push.finishedAt),
  parked: push.parkReason,
  error: push.errorCode === null ? null : { code: push.errorCode, message: push.error },
});

/**
 * How a push ended; null while it has not. `nothing_to_send`: by the time it was claimed nothing differed. `not_done`: the
 * source has not carried it out; what is still to be sent is another push.
 */
function outcomeOf({ state, token }: ListedPush): 'confirmed' | 'nothing_to_send' | 'not_done' | null {
  if (state !== 'done') return null;
  if (token === null) return 'nothing_to_send';
  return token.state === 'confirmed' ? 'confirmed' : 'not_done';
}

const iso = (at: Instant | null): string | null => (at === null ? null : toDate(at).toISOString());
