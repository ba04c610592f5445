import { assertNever } from '../lib/assert-never.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { Push } from '../model/push.ts';
import type { PushAnswer } from './push-answer.ts';
import type { PushMove } from './record-store.ts';
import { backoffMs } from './retry.ts';

/** Calls in a row that the source turned down as out of date, before a person looks at the record. */
export const MAX_REJECTIONS = 10;
/** In this time the record is read again; once that is applied, what is left of the edits is pushed at once. */
const REREAD_MS = 1_000;
/** Where the source asks for no longer wait. */
const MIN_WAIT_MS = 1_000;
const AUTH_WAIT_MS = 1_000;

export type AnswerInput = {
  readonly push: Push;
  /** Any but `done`, which is settled with what it shows. */
  readonly answer: Exclude<PushAnswer, { readonly kind: 'done' }>;
  readonly now: Instant;
  readonly readLagMs: number;
  /** In [0, 1). */
  readonly random: number;
};

/** How a push goes on after an answer that does not settle it. */
export type AnswerStep = {
  readonly move: PushMove;
  /** The source surely has not carried it out. */
  readonly isRejected: boolean;
  /** Read the record: what we hold of it is out of date. */
  readonly isReread: boolean;
  /** Everybody waits until then. */
  readonly blockUntil: Instant | null;
  /** The source refuses our credentials, in these words. */
  readonly pause: string | null;
};

/** Decides what follows an answer. Pure. What may have been carried out is never simply sent again. */
export function decideAnswer({ push, answer, now, readLagMs, random }: AnswerInput): AnswerStep {
  const { kind, code: errorCode, words: error } = answer;
  const failed = { errorCode, error };
  const rejected = { isRejected: true, isReread: false, blockUntil: null, pause: null };
  const again = (waitMs: number, attempt: number): PushMove => ({
    to: 'again',
    runAt: addMs(now, waitMs),
    attempt,
    ...failed,
  });
  const park = (): AnswerStep => ({ ...rejected, move: { to: 'parked', reason: 'refused', errorCode, error } });
  switch (kind) {
    case 'conflict':
    case 'absent':
      // There is no record that could be read again, so nothing that could change the answer.
      if (push.op === 'create') return park();
      if (push.attempt >= MAX_REJECTIONS) {
        const words = `${error}; ${push.attempt} times in a row, each after the record had been read again`;
        return {
          ...rejected,
          isReread: true,
          move: { to: 'parked', reason: 'cannot_settle', errorCode, error: words },
        };
      }
      return {
        ...rejected,
        isReread: true,
        move: again(REREAD_MS + readLagMs + backoffMs(push.attempt, random), push.attempt),
      };
    case 'refused':
      return park();
    case 'unauthorized':
      return { ...rejected, pause: `${errorCode}: ${error}`, move: again(AUTH_WAIT_MS, push.attempt - 1) };
    case 'later': {
      const waitMs = Math.max(answer.waitMs ?? 0, MIN_WAIT_MS) + backoffMs(1, random);
      const blockUntil = answer.isLimit ? addMs(now, waitMs) : null;
      return { ...rejected, blockUntil, move: again(waitMs, push.attempt - 1) };
    }
    case 'unknown':
      return { ...rejected, isRejected: false, move: { to: 'unknown', runAt: now, ...failed } };
    default:
      return assertNever(kind);
  }
}
