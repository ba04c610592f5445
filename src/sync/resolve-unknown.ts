import { assertNever } from '../lib/assert-never.ts';
import type { Sighted } from '../model/apply.ts';
import type { ChangeToken } from '../model/change-token.ts';
import { addMs } from '../model/instant.ts';
import type { Observation } from '../model/observation.ts';
import { type HeldPush, SENT_AGAIN } from '../model/push.ts';
import type { Sighting } from '../source/client.ts';
import { answerToRead, send, settleAnswer } from './call-push.ts';
import { ABSENT_ONCE, decideUnknown, nextLookAt, REPLAY_REFUSED, type Resolution } from './decide-unknown.ts';
import {
  acceptToken,
  applyInstead,
  moveOf,
  type PushFate,
  rejectToken,
  settleSafely,
  withHeld,
} from './finish-push.ts';
import type { PushAnswer } from './push-answer.ts';
import { LEASE_MARGIN_MS, PUSH_LEASE_MS, type PushDeps } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';
import { seeRead } from './see-answer.ts';
import { showsPushed } from './token-match.ts';

/** An unknown push with something to be done that takes more than the database. */
type Open = {
  readonly push: HeldPush;
  readonly token: ChangeToken | null;
  readonly resolution: Exclude<Resolution, { kind: 'wait' | 'again' | 'park' }>;
};

export type ClaimedUnknown = { readonly claimed: number; readonly open: readonly Open[]; readonly parked: number };

/**
 * Takes up to `limit` pushes whose outcome is unknown, those of workers that died among them, and decides how to find out.
 * What can only wait, be given to a person or be looked at anew is settled here.
 */
export async function claimUnknown(deps: PushDeps, limit: number): Promise<ClaimedUnknown> {
  return await deps.store.transaction(async (tx) => {
    const pushes = await tx.claimUnknown(limit, PUSH_LEASE_MS);
    const open: Open[] = [];
    let parked = 0;
    for (const push of pushes) {
      const token = push.tokenId === null ? null : await tx.readToken(push.tokenId);
      const known = { ...push, externalId: push.externalId ?? token?.externalId ?? null };
      const resolution = decideUnknown({
        push: known,
        token,
        twoWay: deps.stream.twoWay,
        canGet: deps.stream.caps.canGet,
        readLagMs: deps.stream.caps.readLagMs,
        sentAgain: push.op === 'create' ? await tx.countSentAgain(push.targetKey) : 0,
        now: await tx.now(),
      });
      if (resolution.kind === 'park') parked++;
      const opened = await carryOut(tx, deps, { push, token }, resolution);
      if (opened !== null) open.push(opened);
    }
    return { claimed: pushes.length, open, parked };
  });
}

async function carryOut(
  tx: RecordTx,
  { log, stream }: PushDeps,
  { push, token }: Pick<Open, 'push' | 'token'>,
  resolution: Resolution,
): Promise<Open | null> {
  const { errorCode, error } = push;
  switch (resolution.kind) {
    case 'wait':
      await tx.finishPush(push, { to: 'unknown', runAt: resolution.until, errorCode, error });
      return null;
    case 'again': {
      const move = { to: 'again', runAt: await tx.now(), attempt: push.attempt, errorCode, error } as const;
      await tx.finishPush(push, push.carries === 'request' ? moveOf(push, move) : { ...move, errorCode: SENT_AGAIN });
      return null;
    }
    case 'park': {
      const { code, words } = resolution;
      const reason = code === 'create_unknown' ? code : 'cannot_settle';
      const move = { to: 'parked', reason, errorCode: code, error: words } as const;
      await tx.finishPush(push, move);
      log.warn({ ...stream.key, push: push.id, reason: move.reason }, 'push parked');
      return null;
    }
    case 'replay': {
      const deadline = addMs(await tx.now(), PUSH_LEASE_MS - LEASE_MARGIN_MS);
      const isOurs = await tx.moveDeadline(push, deadline);
      return isOurs ? { push: { ...push, deadline }, token, resolution } : null;
    }
    case 'echo':
    case 'read':
    case 'search':
      return { push, token, resolution };
    default:
      return assertNever(resolution);
  }
}

/** Finds out what became of one push, and ends it accordingly, or lets it wait. */
export async function resolvePush(deps: PushDeps, open: Open, signal: AbortSignal): Promise<PushFate> {
  const { push, token, resolution } = open;
  switch (resolution.kind) {
    case 'echo':
      return await settleSafely(deps, { push, sighted: bare(resolution.echo), isReread: true });
    case 'replay':
      return await replay(deps, push, token, signal);
    case 'read':
      return await ask(
        deps,
        push,
        () => deps.source.read(resolution.externalId, signal),
        async (read) => {
          const sighted = seeRead(deps.stream, push, resolution.externalId, read);
          return sighted === null ? null : await conclude(deps, open, sighted, resolution.isAccepted);
        },
      );
    case 'search':
      return await ask(
        deps,
        push,
        () => deps.source.findByMarker(resolution.marker, signal),
        (read) => concludeSearch(deps, push, read, resolution),
      );
    default:
      return assertNever(resolution);
  }
}

/** Of an echo only what it showed was kept. */
const bare = (seen: Observation): Sighted => ({
  seen,
  record: null,
  inboxId: null,
  correlationId: null,
  isLastAttempt: true,
});

/** The same bytes under the same key. What refuses them says nothing of the first time. */
async function replay(
  deps: PushDeps,
  push: HeldPush,
  token: ChangeToken | null,
  signal: AbortSignal,
): Promise<PushFate> {
  const answer = await send(deps, push, signal);
  await deps.crashPoint('C16');
  if (answer.kind !== 'done') {
    const isRefused = answer.kind === 'refused' || answer.kind === 'conflict' || answer.kind === 'absent';
    return await stayUnknown(deps, push, isRefused ? { ...answer, code: REPLAY_REFUSED } : answer);
  }
  if (token !== null) return await settleAnswer(deps, { push, token }, answer, { isReread: true, signal });
  return await stayUnknown(deps, push, { kind: 'refused', code: REPLAY_REFUSED, words: 'its change token is gone' });
}

async function ask(
  deps: PushDeps,
  push: HeldPush,
  read: () => Promise<Sighting>,
  conclusion: (read: Sighting) => Promise<PushFate | null>,
): Promise<PushFate> {
  let seen: Sighting;
  try {
    seen = await read();
  } catch (error) {
    return await stayUnknown(deps, push, answerToRead(error));
  }
  const fate = await conclusion(seen);
  if (fate !== null) return fate;
  const words = 'the record cannot be made out';
  if (push.attempt >= MAX_UNREADABLE) return await parkUnreadable(deps, push, words);
  return await stayUnknown(deps, push, { kind: 'later', code: 'unreadable', words, waitMs: null, isLimit: false });
}

/** Looks at a record that does not map; then a person mends the mapping or the record, and tries again. */
const MAX_UNREADABLE = 10;

async function parkUnreadable(deps: PushDeps, push: HeldPush, error: string): Promise<PushFate> {
  const code = 'unreadable';
  return await withHeld(deps, push, async (tx, held) => {
    // Found by its marker, it is there: to send it again would make a second one.
    if (held.op === 'create') await acceptToken(tx, held, null);
    await tx.finishPush(held, { to: 'parked', reason: 'cannot_settle', errorCode: code, error });
    deps.log.warn({ ...deps.stream.key, push: held.id, externalId: held.externalId, reason: code }, 'push parked');
    return { kind: 'parked', code, words: error };
  });
}

/** A read that began after the last moment at which the request could be carried out. */
async function conclude(
  deps: PushDeps,
  { push, token }: Open,
  sighted: Sighted,
  isAccepted: boolean,
): Promise<PushFate> {
  const { content } = sighted.seen;
  const isDeleted = push.op === 'delete' && content === null;
  const isShown =
    push.op === 'update' &&
    content !== null &&
    token !== null &&
    showsPushed(content, token, deps.stream.mapper.hashOf);
  const isDone = isDeleted || isShown || (isAccepted && (push.op !== 'delete' || content === null));
  await deps.crashPoint(push.op === 'create' ? 'C19' : 'C17');
  if (isDone) return await settleSafely(deps, { push, sighted, isReread: false });
  return await applyInstead(deps, push, sighted, { code: 'not_done', words: 'it was not carried out', waitMs: 0 });
}

async function concludeSearch(
  deps: PushDeps,
  push: HeldPush,
  read: Sighting,
  { wasAbsent, isAccepted }: Extract<Resolution, { kind: 'search' }>,
): Promise<PushFate | null> {
  if (read.kind === 'found') {
    const id = deps.stream.mapper.externalIdOf(read.record);
    const sighted = id.ok ? seeRead(deps.stream, push, id.externalId, read) : null;
    await deps.crashPoint('C19');
    return sighted === null ? null : await settleSafely(deps, { push, sighted, isReread: false });
  }
  return await withHeld(deps, push, async (tx, held) => {
    const now = await tx.now();
    const words = 'the source shows no record with its marker';
    if (!wasAbsent || isAccepted) {
      // A second look, a read lag later, has to say the same. What the source says it has done will be found at last.
      const runAt = isAccepted
        ? nextLookAt({ push: held, now, random: deps.random() })
        : addMs(now, deps.stream.caps.readLagMs);
      await tx.finishPush(held, { to: 'unknown', runAt, errorCode: ABSENT_ONCE, error: words });
      return { kind: 'unknown', code: ABSENT_ONCE, words };
    }
    await rejectToken(tx, held);
    const move = { to: 'again', runAt: now, attempt: held.attempt, errorCode: 'not_done', error: words } as const;
    await tx.finishPush(held, moveOf(held, move));
    return { kind: 'again', code: 'not_done', words };
  });
}

/** Nothing was found out: it is looked at again later. Also a read that is not allowed to us says nothing of the write. */
async function stayUnknown(
  deps: PushDeps,
  push: HeldPush,
  answer: Exclude<PushAnswer, { readonly kind: 'done' }>,
): Promise<PushFate> {
  const { code, words } = answer;
  return await withHeld(deps, push, async (tx, held) => {
    const now = await tx.now();
    const waitMs = answer.kind === 'later' ? (answer.waitMs ?? 0) : 0;
    const runAt = Math.max(nextLookAt({ push: held, now, random: deps.random() }), addMs(now, waitMs));
    await tx.finishPush(held, { to: 'unknown', runAt, errorCode: code, error: words });
    if (answer.kind === 'later' && answer.isLimit) await tx.blockUntil(addMs(now, waitMs));
    if (answer.kind === 'unauthorized') await tx.pauseForAuth(`${answer.code}: ${words}`);
    deps.log.warn({ ...deps.stream.key, push: held.id, externalId: held.externalId, code }, 'push still unknown');
    return { kind: 'unknown', code, words };
  });
}
