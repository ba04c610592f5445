import type { Sighted } from '../model/apply.ts';
import { addMs } from '../model/instant.ts';
import type { HeldPush } from '../model/push.ts';
import { blankState } from '../model/record-state.ts';
import { SourceError } from '../source/error.ts';
import type { Claimed } from './claim-pushes.ts';
import { MAX_REJECTIONS } from './decide-answer.ts';
import { acceptToken, applyInstead, followAnswer, type PushFate, settleSafely, withHeld } from './finish-push.ts';
import { dirtyProperties } from './merge.ts';
import { lacksRight, type PushAnswer } from './push-answer.ts';
import type { PushDeps } from './push-deps.ts';
import { backoffMs } from './retry.ts';
import { assumeStored, isSeenThrough, type Seen, seeAnswer, seeRead } from './see-answer.ts';

/**
 * Sends the request of a held push and ends the push as the answer says. Where the source cannot be told which version the
 * request is for, the record is read first, and what has changed there is not written over. Nothing is sent once the
 * deadline is past or another worker has the push.
 */
export async function callPush(deps: PushDeps, claimed: Claimed, signal: AbortSignal): Promise<PushFate> {
  const { push } = claimed;
  const look = await lookFirst(deps, claimed, signal);
  if (look.kind === 'changed') {
    const waitMs = deps.stream.caps.readLagMs + backoffMs(push.attempt, deps.random());
    const words = 'the record has changed at the source since it was last seen';
    if (push.attempt >= MAX_REJECTIONS)
      return await followAnswer(deps, push, { kind: 'conflict', code: 'conflict', words });
    return await applyInstead(deps, push, look.sighted, { code: 'conflict', words, waitMs });
  }
  const answer = look.kind === 'answer' ? look.answer : await send(deps, push, signal);
  await deps.crashPoint('C16');
  if (answer.kind !== 'done') return await followAnswer(deps, push, answer);
  return await settleAnswer(deps, claimed, answer, { isReread: false, signal });
}

/** Sends the saved bytes of a push, if nothing speaks against it at the last moment. */
export const send = async (
  { source, store, stream, log }: PushDeps,
  push: HeldPush,
  signal: AbortSignal,
): Promise<PushAnswer> => {
  const { request, deadline } = push;
  if (request === null || deadline === null) throw new TypeError('A push is called with its request and its deadline');
  const { recordAt = null, idAt = null, failures = [] } = stream.twoWay.writes[push.op] ?? {};
  return await source.send(request, {
    deadline,
    async mayLeave() {
      try {
        return await store.transaction(async (tx) => (await tx.now()) < deadline && (await tx.lockHeld(push)) !== null);
      } catch (error) {
        // Nothing has been sent, and that is known: it must not count as of unknown outcome.
        log.warn(
          { ...stream.key, push: push.id, err: error },
          'push withheld: the database does not say that it is held',
        );
        return false;
      }
    },
    recordAt,
    idAt,
    failures,
    signal,
  });
};

type Look =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'changed'; readonly sighted: Sighted }
  /** It cannot be read: what an answer to the request itself would mean. */
  | { readonly kind: 'answer'; readonly answer: Exclude<PushAnswer, { readonly kind: 'done' }> };

/** Narrows the time in which somebody else's change could be written over; only `If-Match` can close it. */
async function lookFirst(deps: PushDeps, { push, token }: Claimed, signal: AbortSignal): Promise<Look> {
  const { stream, source } = deps;
  const { externalId } = push;
  if (push.ifMatch !== null || externalId === null || !stream.caps.canGet) return { kind: 'unchanged' };
  try {
    const sighted = seeRead(stream, push, externalId, await source.read(externalId, signal));
    if (sighted?.seen.hash != null && sighted.seen.hash === token.preHash) return { kind: 'unchanged' };
    if (sighted !== null)
      return (await isUntouched(deps, push, sighted)) ? { kind: 'unchanged' } : { kind: 'changed', sighted };
    const words = 'read before it is written, the record cannot be made out';
    return { kind: 'answer', answer: { kind: 'conflict', code: 'unreadable', words } };
  } catch (error) {
    return { kind: 'answer', answer: answerToRead(error) };
  }
}

/** Looks before a call at which any change is applied first; some records differ at each: they count views, or sign addresses. */
const WHOLE_LOOKS = 3;

/**
 * Whether, of a record that differs again and again, all that an update sends is as it was last seen: what else has changed
 * is not written over, and comes with the answer.
 */
async function isUntouched({ stream, store }: PushDeps, push: HeldPush, { seen }: Sighted): Promise<boolean> {
  const { writes, writable } = stream.twoWay;
  if (push.attempt <= WHOLE_LOOKS || push.op !== 'update' || push.patch === null || seen.content === null) return false;
  // Its sightings wait while it is in flight, so this is the base on which the push was claimed.
  const base = (await store.transaction((tx) => tx.readStates([seen.externalId]))).get(seen.externalId)?.base ?? null;
  const sent = writes.update?.sends === 'record' ? writable : Object.keys(push.patch);
  return base !== null && dirtyProperties(seen.content, base, sent).length === 0;
}

/** A read that failed has changed nothing. */
export function answerToRead(error: unknown): Exclude<PushAnswer, { readonly kind: 'done' }> {
  if (!(error instanceof SourceError)) throw error;
  const { code, message: words, retryAfterMs: waitMs } = error;
  if (code === 'unauthorized') return { kind: 'unauthorized', code, words };
  if (code === 'forbidden') return { kind: 'refused', code, words: lacksRight(words, 'read') };
  // No read will ever get there, nor the write.
  if (code === 'bad_id') return { kind: 'refused', code, words };
  if (error.isRetryable || code === 'aborted')
    return { kind: 'later', code, words, waitMs, isLimit: code === 'rate_limited' };
  return { kind: 'conflict', code, words };
}

/** Ends a push that the source says it has carried out, with the record as the answer or a read shows it. */
export async function settleAnswer(
  deps: PushDeps,
  { push, token }: Claimed,
  answer: Extract<PushAnswer, { readonly kind: 'done' }>,
  { isReread, signal }: { readonly isReread: boolean; readonly signal: AbortSignal },
): Promise<PushFate> {
  const seen = seeAnswer(deps.stream, push, answer);
  const sighted = seen.kind === 'seen' ? seen.sighted : await readBack(deps, { push, token }, seen, answer, signal);
  await deps.crashPoint('C17');
  if (push.op === 'create') await deps.crashPoint('C19');
  if (sighted !== null) return await settleSafely(deps, { push, sighted, isReread });
  const externalId = seen.kind === 'unseen' ? seen.externalId : null;
  return await withHeld(deps, push, async (tx, held) => {
    // A read that begins at `runAt` or later shows it: the source had done it by now.
    const runAt = addMs(await tx.now(), Math.max(deps.stream.caps.readLagMs, MIN_READ_WAIT_MS));
    const words = 'the source has done it, and has not shown the record yet';
    await acceptToken(tx, held, externalId);
    await tx.finishPush(held, { to: 'unknown', runAt, errorCode: 'accepted', error: words });
    return { kind: 'unknown', code: 'accepted', words };
  });
}

const MIN_READ_WAIT_MS = 500;

/** @returns null where what the source made of it cannot be told yet. */
async function readBack(
  deps: PushDeps,
  { push, token }: Claimed,
  { externalId }: Extract<Seen, { kind: 'unseen' }>,
  { endedAt }: Extract<PushAnswer, { readonly kind: 'done' }>,
  signal: AbortSignal,
): Promise<Sighted | null> {
  const { stream, store, source } = deps;
  if (externalId === null) return null;
  if (!stream.caps.canGet) {
    const state = await store.transaction(async (tx) => (await tx.lockStates([externalId])).get(externalId));
    return assumeStored(stream, push, state ?? blankState(externalId), endedAt);
  }
  try {
    const sighted = seeRead(stream, push, externalId, await source.read(externalId, signal));
    return sighted !== null && isSeenThrough(stream, token, sighted) ? sighted : null;
  } catch (error) {
    if (error instanceof SourceError) return null;
    throw error;
  }
}
