import type { IncomingHttpHeaders } from 'node:http';
import type { Log } from '../lib/log.ts';
import type { Instant } from '../model/instant.ts';
import { SourceError, type SourceErrorCode } from './error.ts';
import type { Answer, Exchange, Exchanged } from './exchange.ts';
import type { Lane } from './lane.ts';
import type { Limiter } from './rate-limit/limiter.ts';
import type { SourceRequest } from './request.ts';
import { decideAfterFailure } from './retry.ts';
import type { Slots } from './slots.ts';

export type CallDeps = {
  readonly sourceName: string;
  readonly exchange: Exchange;
  readonly slots: Slots;
  readonly limiter: Limiter;
  readonly maxAttempts: number;
  readonly now: () => Promise<Instant>;
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Log;
};

export type CallOptions = { readonly lane: Lane; readonly signal: AbortSignal };

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
 * One request with its retries. Slot and permit are held per attempt, so that a request which backs off does not keep
 * others from going. Throws `SourceError`; errors of `now` and `sleep` pass through.
 */
export function createCall(deps: CallDeps): Call {
  return async (request, options) => {
    const { endpoint } = request;
    const { signal } = options;
    let startedAt: Instant | null = null;
    let mayRenew = true;
    const start = async () => {
      startedAt ??= await deps.now();
      return startedAt;
    };
    for (let attempt = 1; ; ) {
      const { startedAt, exchanged } = await attemptOnce(deps, request, options, start);
      if (exchanged.kind === 'answered')
        return { ...fromAnswer(exchanged.answer), startedAt, endedAt: await deps.now() };
      let { error } = exchanged;
      if (ABSENT.has(error.code)) return { kind: 'absent', error, startedAt, endedAt: await deps.now() };
      if (exchanged.renew !== null && mayRenew) {
        mayRenew = false;
        const renewed = await exchanged.renew(signal);
        if (renewed === true) continue;
        if (renewed !== false) error = renewed;
      }
      const step = decideAfterFailure({ error, attempt, maxAttempts: deps.maxAttempts, random: deps.random() });
      const waitMs = step.kind === 'retry' ? step.waitMs : (error.retryAfterMs ?? 0);
      if (error.code === 'rate_limited') deps.limiter.hold(waitMs);
      if (step.kind === 'give_up') throw attempt === 1 ? error : withAttempts(error, attempt);
      const { code, status } = error;
      deps.log.warn({ source: deps.sourceName, endpoint, code, status, attempt, waitMs }, 'request failed, will retry');
      await pause(deps, endpoint, waitMs, signal);
      attempt += 1;
    }
  };
}

async function attemptOnce(
  deps: CallDeps,
  request: SourceRequest,
  { lane, signal }: CallOptions,
  start: () => Promise<Instant>,
): Promise<{ startedAt: Instant; exchanged: Exchanged }> {
  const { endpoint } = request;
  const release = await deps.slots.acquire(signal);
  if (release === null) throw aborted(endpoint);
  try {
    const permit = await deps.limiter.acquire({ endpoint, lane, signal });
    let exchanged: Exchanged | null = null;
    try {
      const startedAt = await start();
      exchanged = await deps.exchange(request, signal);
      return { startedAt, exchanged };
    } finally {
      permit.finish(exchanged?.answer ?? null);
    }
  } finally {
    release();
  }
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

const withAttempts = (error: SourceError, attempts: number): SourceError =>
  new SourceError(error.code, `${error.message} (attempt ${attempts}, the last)`, {
    status: error.status ?? undefined,
    retryAfterMs: error.retryAfterMs,
    cause: error.cause,
  });
