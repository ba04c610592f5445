import type { IncomingHttpHeaders } from 'node:http';
import type { Log } from '../lib/log.ts';
import type { Instant } from '../model/instant.ts';
import type { Breaker } from './breaker.ts';
import { asUndone, SourceError, type SourceErrorCode } from './error.ts';
import type { Answer, Exchange, Exchanged } from './exchange.ts';
import type { Lane } from './lane.ts';
import { createPermits, enter, tooLate } from './permits.ts';
import type { Limiter } from './rate-limit/limiter.ts';
import type { SourceRequest } from './request.ts';
import { decideAfterFailure } from './retry.ts';

export type CallDeps = {
  readonly sourceName: string;
  readonly exchange: Exchange;
  readonly limiter: Limiter;
  readonly breaker: Breaker;
  readonly maxAttempts: number;
  /** For one attempt. */
  readonly timeoutMs: number;
  /** For all attempts and waits of one call. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
  readonly now: () => Promise<Instant>;
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Log;
};

export type CallOptions = {
  readonly lane: Lane;
  readonly signal: AbortSignal;
  /** For all attempts and waits of this call, where that is less than the source's `deadline`. */
  readonly maxMs?: number;
  /** Asked immediately before each attempt leaves; when it says no, the call fails with `withheld`, and nothing is sent. */
  readonly mayLeave?: () => Promise<boolean>;
};

/** `startedAt` was taken before the first attempt, `endedAt` after the last one. */
export type Reply = { readonly startedAt: Instant; readonly endedAt: Instant } & (
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** 304 to a conditional request: what the caller has is still so. */
  | { readonly kind: 'not_modified'; readonly headers: IncomingHttpHeaders }
  /** 404 or 410, as the error says. */
  | { readonly kind: 'absent'; readonly error: SourceError }
);
export type Call = (request: SourceRequest, options: CallOptions) => Promise<Reply>;

const ABSENT: ReadonlySet<SourceErrorCode> = new Set(['not_found', 'gone']);

/**
 * One request with its retries, within `deadlineMs`. A permit is held per attempt, so that a request which backs
 * off does not keep others from going. Throws `SourceError`; errors of `now` and `sleep` pass through.
 */
export function createCall(deps: CallDeps): Call {
  return async (request, options) => {
    const sent: Sent = { mayBeDone: false };
    try {
      return await callWithRetries(deps, request, options, sent);
    } catch (error) {
      throw sent.mayBeDone || !(error instanceof SourceError) ? error : asUndone(error);
    }
  };
}

async function callWithRetries(
  deps: CallDeps,
  request: SourceRequest,
  options: CallOptions,
  sent: Sent,
): Promise<Reply> {
  const { endpoint } = request;
  const { signal } = options;
  const endsAtMs = deps.nowMs() + Math.min(deps.deadlineMs, options.maxMs ?? deps.deadlineMs);
  let startedAt: Instant | null = null;
  let lastError: SourceError | null = null;
  let mayRenew = true;
  const start = async () => {
    startedAt ??= await deps.now();
    return startedAt;
  };
  for (let attempt = 1; ; ) {
    const remainingMs = endsAtMs - deps.nowMs();
    const { startedAt, exchanged } = await attemptOnce(deps, request, options, { remainingMs, lastError, start, sent });
    if (exchanged.kind === 'answered') return { ...fromAnswer(exchanged.answer), startedAt, endedAt: await deps.now() };
    let { error } = exchanged;
    // Without an answer to this request it came from elsewhere: nobody has been asked about the record.
    if (ABSENT.has(error.code) && exchanged.answer !== null)
      return { kind: 'absent', error, startedAt, endedAt: await deps.now() };
    if (exchanged.renew !== null && mayRenew) {
      mayRenew = false;
      const renewed = await exchanged.renew(signal);
      if (renewed === true) continue;
      if (renewed !== false) error = renewed;
    }
    // Shown with the failure that opened the breaker, rather than with a second one that only says that it is open.
    const openMs = deps.breaker.remainingMs();
    const step = decideAfterFailure({
      error,
      attempt,
      maxAttempts: openMs > 0 ? attempt : deps.maxAttempts,
      random: deps.random(),
      remainingMs: endsAtMs - deps.nowMs(),
      isSafe: request.isRepeatable || exchanged.isUndone,
    });
    const waitMs = step.kind === 'retry' ? step.waitMs : (error.retryAfterMs ?? 0);
    if (error.code === 'rate_limited') deps.limiter.hold(waitMs);
    if (step.kind === 'give_up') throw lastOf(error, attempt, openMs);
    const { code, status } = error;
    deps.log.warn({ source: deps.sourceName, endpoint, code, status, attempt, waitMs }, 'request failed, will retry');
    await pause(deps, endpoint, waitMs, signal);
    lastError = error;
    attempt += 1;
  }
}

type Progress = {
  readonly remainingMs: number;
  readonly lastError: SourceError | null;
  /** Gives the time of the first attempt. */
  readonly start: () => Promise<Instant>;
  readonly sent: Sent;
};

/** Whether some attempt may have been carried out. */
type Sent = { mayBeDone: boolean };

async function attemptOnce(
  deps: CallDeps,
  request: SourceRequest,
  options: CallOptions,
  progress: Progress,
): Promise<{ startedAt: Instant; exchanged: Exchanged }> {
  const { endpoint } = request;
  const { signal } = options;
  const { sent } = progress;
  const wasDoubtful = sent.mayBeDone;
  const askedAtMs = deps.nowMs();
  deps.breaker.assertClosed(endpoint);
  const permits = createPermits(
    deps.limiter,
    endpoint,
    options,
    await enter(deps.limiter, endpoint, options, progress),
  );
  let exchanged: Exchanged | null = null;
  try {
    const startedAt = await progress.start();
    const leftMs = progress.remainingMs - (deps.nowMs() - askedAtMs);
    if (leftMs <= 0) throw tooLate(endpoint, progress.lastError);
    const timeoutMs = Math.min(deps.timeoutMs, leftMs);
    exchanged = await deps.breaker.run(endpoint, () => {
      const endsAtMs = deps.nowMs() + timeoutMs;
      permits.sending();
      sent.mayBeDone = true;
      const beforeNext = (redirect: Answer) => permits.next(redirect, endsAtMs - deps.nowMs());
      return deps.exchange(request, signal, timeoutMs, beforeNext, options.mayLeave);
    });
    sent.mayBeDone = wasDoubtful || exchanged.kind === 'answered' || !exchanged.isUndone;
    permits.assertGiven();
    return { startedAt, exchanged };
  } finally {
    permits.end(exchanged);
  }
}

/** `openMs`: how long the breaker keeps everything back; 0 when it does not. */
function lastOf(error: SourceError, attempts: number, openMs: number): SourceError {
  const isWorthWaiting = error.isRetryable && openMs > 0;
  if (attempts === 1 && !isWorthWaiting) return error;
  const message = attempts === 1 ? error.message : `${error.message} (attempt ${attempts}, the last)`;
  return new SourceError(error.code, message, {
    status: error.status ?? undefined,
    retryAfterMs: isWorthWaiting ? Math.max(openMs, error.retryAfterMs ?? 0) : error.retryAfterMs,
    cause: error.cause,
  });
}

const fromAnswer = (answer: Answer) =>
  answer.status === 304
    ? ({ kind: 'not_modified', headers: answer.headers } as const)
    : ({ kind: 'answered', answer } as const);

async function pause(deps: CallDeps, endpoint: string, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await deps.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.aborted) throw aborted(endpoint);
}

const aborted = (endpoint: string): SourceError => new SourceError('aborted', `${endpoint}: aborted`);
