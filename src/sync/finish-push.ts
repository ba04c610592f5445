import { failureKind, isDatabaseAnswer, isRowFault } from '../db/failure.ts';
import type { Sighted } from '../model/apply.ts';
import { type ChangeToken, TOKEN_TTL_MS } from '../model/change-token.ts';
import { addMs } from '../model/instant.ts';
import type { HeldPush } from '../model/push.ts';
import { decideAnswer } from './decide-answer.ts';
import { LeaseLostError } from './failures.ts';
import { wantRead } from './look-again.ts';
import type { PushAnswer } from './push-answer.ts';
import type { PushDeps } from './push-deps.ts';
import type { PushMove, RecordTx } from './record-store.ts';
import { backoffMs } from './retry.ts';
import { type Settlement, settlePush } from './settle-push.ts';

/**
 * What became of a push that was worked on. `again`: the source has not done it, and the row is looked at anew (the push
 * of a request is over). `lost`: another worker has it. Codes and words are for people, and hold no value of the record.
 */
export type PushFate =
  | { readonly kind: 'settled' | 'lost' }
  | { readonly kind: 'again' | 'parked' | 'unknown'; readonly code: string; readonly words: string };

const SETTLED: PushFate = { kind: 'settled' };
const LOST: PushFate = { kind: 'lost' };

/** Ends a push that was not carried out, or may have been, as its answer says. */
export async function followAnswer(
  deps: PushDeps,
  pushed: HeldPush,
  answer: Exclude<PushAnswer, { readonly kind: 'done' }>,
): Promise<PushFate> {
  const { code, words } = answer;
  return await withHeld(deps, pushed, async (tx, push) => {
    const { readLagMs } = deps.stream.caps;
    const step = decideAnswer({ push, answer, now: await tx.now(), readLagMs, random: deps.random() });
    if (step.isRejected) await rejectToken(tx, push);
    const move = moveOf(push, step.move);
    await tx.finishPush(push, move);
    if (step.isReread && push.externalId !== null) {
      await wantRead(tx, push.externalId);
      deps.wakeHints();
    }
    if (step.blockUntil !== null) await tx.blockUntil(step.blockUntil);
    if (step.pause !== null) await tx.pauseForAuth(step.pause);
    deps.log.warn(
      { ...deps.stream.key, push: push.id, externalId: push.externalId, code, to: step.move.to },
      'push failed',
    );
    return { kind: fateOf(step.move), code, words };
  });
}

const fateOf = ({ to }: PushMove): 'again' | 'parked' | 'unknown' => (to === 'done' ? 'again' : to);

/** A request that was not carried out has changed nothing here: it is over, and its caller has been told. */
export const moveOf = (push: HeldPush, move: PushMove): PushMove =>
  push.carries === 'request' && (move.to === 'again' || move.to === 'parked')
    ? { to: 'done', errorCode: move.errorCode, error: move.error }
    : move;

/**
 * Ends a push that was carried out. A row that cannot be had just now leaves what was seen with the token, so that it is
 * settled later without asking the source again; one that the table refuses waits for a person. Of whatever else the
 * database does not do the push stays held until its lease ends, and is settled then by what was seen.
 */
export async function settleSafely(deps: PushDeps, settlement: Settlement): Promise<PushFate> {
  try {
    await settlePush(deps, settlement);
  } catch (error) {
    if (error instanceof LeaseLostError) return LOST;
    if (!isDatabaseAnswer(error)) throw error;
    const kind = failureKind(error);
    if (kind === 'lock_timeout' || kind === 'serialization') return await keepForLater(deps, settlement);
    if (isRowFault(error)) return await parkUnsettled(deps, settlement);
    await keepSeen(deps, settlement);
    throw error;
  }
  await deps.crashPoint('C18');
  return SETTLED;
}

async function keepForLater(deps: PushDeps, { push: pushed, sighted }: Settlement): Promise<PushFate> {
  const code = 'row_held';
  const words = 'the source has done it; another transaction holds the row';
  return await withHeld(deps, pushed, async (tx, push) => {
    await saveSeen(tx, push, sighted);
    const runAt = addMs(await tx.now(), MIN_HELD_WAIT_MS + backoffMs(0, deps.random()));
    await tx.finishPush(push, { to: 'unknown', runAt, errorCode: code, error: words });
    return { kind: 'unknown', code, words };
  });
}

const MIN_HELD_WAIT_MS = 100;

async function keepSeen({ store }: PushDeps, { push: pushed, sighted }: Settlement): Promise<void> {
  await store.transaction(async (tx) => {
    const push = await tx.lockHeld(pushed);
    if (push !== null) await saveSeen(tx, push, sighted);
  });
}

async function saveSeen(tx: RecordTx, push: HeldPush, { seen }: Sighted): Promise<void> {
  const token = push.tokenId === null ? null : await tx.readToken(push.tokenId);
  if (token !== null) await tx.saveToken({ ...token, echo: token.echo ?? seen });
}

async function parkUnsettled(deps: PushDeps, { push: pushed, sighted }: Settlement): Promise<PushFate> {
  const code = 'cannot_settle';
  const words = 'the source has done it, but the table refuses the record as it is there now';
  return await withHeld(deps, pushed, async (tx, push) => {
    await acceptToken(tx, push, sighted.seen.externalId);
    await tx.finishPush(push, { to: 'parked', reason: 'cannot_settle', errorCode: code, error: words });
    deps.log.warn(
      { ...deps.stream.key, push: push.id, externalId: sighted.seen.externalId, reason: code },
      'push parked',
    );
    return { kind: 'parked', code, words };
  });
}

/** Work on a held push in one transaction; nothing when another worker has it by now. */
export async function withHeld(
  { store }: PushDeps,
  pushed: HeldPush,
  work: (tx: RecordTx, push: HeldPush) => Promise<PushFate>,
): Promise<PushFate> {
  return await store.transaction(async (tx) => {
    const push = await tx.lockHeld(pushed);
    return push === null ? LOST : await work(tx, push);
  });
}

/** The source has not done it, or it is sent again whether it has or not. */
export const rejectToken = (tx: RecordTx, push: HeldPush): Promise<void> =>
  changeToken(tx, push, (token) => ({ ...token, state: 'rejected' }));

/** The source has done it, and has not shown what came of it. */
export const acceptToken = (tx: RecordTx, push: HeldPush, externalId: string | null): Promise<void> =>
  changeToken(tx, push, (token) => ({ ...token, state: 'confirmed', externalId: token.externalId ?? externalId }));

async function changeToken(tx: RecordTx, push: HeldPush, change: (token: ChangeToken) => ChangeToken): Promise<void> {
  const token = push.tokenId === null ? null : await tx.readToken(push.tokenId);
  if (token === null) return;
  await tx.saveToken({ ...change(token), expiresAt: addMs(await tx.now(), TOKEN_TTL_MS) });
}

/** What was read shows that a request was not carried out, or must not be: it counts as any other sighting, then. */
export async function applyInstead(
  deps: PushDeps,
  pushed: HeldPush,
  sighted: Sighted,
  again: { readonly code: string; readonly words: string; readonly waitMs: number },
): Promise<PushFate> {
  const { code, words, waitMs } = again;
  const end = async (tx: RecordTx, isApplied: boolean): Promise<PushFate> => {
    await tx.lockStates([sighted.seen.externalId]);
    const push = await tx.lockHeld(pushed);
    if (push === null) return LOST;
    await rejectToken(tx, push);
    const runAt = addMs(await tx.now(), waitMs);
    const move = { to: 'again', runAt, attempt: push.attempt, errorCode: code, error: words } as const;
    // First: while it is in flight, every sighting of its record waits.
    await tx.finishPush(push, moveOf(push, move));
    if (isApplied) await deps.apply(tx, [sighted]);
    else await wantRead(tx, sighted.seen.externalId);
    return { kind: 'again', code, words };
  };
  try {
    return await deps.store.transaction((tx) => end(tx, true));
  } catch (error) {
    if (!isRowFault(error)) throw error;
    return await deps.store.transaction((tx) => end(tx, false));
  } finally {
    deps.wakeHints();
  }
}
