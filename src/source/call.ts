import type { IncomingHttpHeaders } from 'node:http';
import type { Log } from '../lib/log.ts';
import type { Instant } from '../model/instant.ts';
import { SourceError, type SourceErrorCode } from './error.ts';
import type { Answer, Exchange } from './exchange.ts';
import type { Hold } from './hold.ts';
import type { Lane } from './lane.ts';
import type { SourceRequest } from './request.ts';
import { decideAfterFailure, MAX_WAIT_MS } from './retry.ts';
import type { Slots } from './slots.ts';

export type CallDeps = {
  readonly sourceName: string;
  readonly exchange: Exchange;
  readonly slots: Slots;
  readonly hold: Hold;
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

/** A hold can be extended while it is waited for, but not for ever. */
const MAX_HOLD_ROUNDS = 10;

/**
 * One request with its retries. The slot is held per attempt, so that a request which backs off does not keep others
 * from going. Throws `SourceError`; errors of `now` and `sleep` pass through.
 */
export function createCall(deps: CallDeps): Call {
  return async (request, { signal }) => {
    const { endpoint } = request;
    let startedAt: Instant | null = null;
    for (let attempt = 1; ; attempt++) {
      const release = await deps.slots.acquire(signal);
      if (release === null) throw aborted(endpoint);
      let error: SourceError;
      try {
        await waitForHold(deps, endpoint, signal);
        startedAt ??= await deps.now();
        const answer = await deps.exchange(request, signal);
        const endedAt = await deps.now();
        if (answer.status === 304) return { kind: 'not_modified', headers: answer.headers, startedAt, endedAt };
        return { kind: 'answered', answer, startedAt, endedAt };
      } catch (thrown) {
        if (!(thrown instanceof SourceError)) throw thrown;
        if (startedAt !== null && ABSENT.has(thrown.code)) {
          return { kind: 'absent', error: thrown, startedAt, endedAt: await deps.now() };
        }
        error = thrown;
      } finally {
        release();
      }
      const step = decideAfterFailure({ error, attempt, maxAttempts: deps.maxAttempts, random: deps.random() });
      const waitMs = step.kind === 'retry' ? step.waitMs : (error.retryAfterMs ?? 0);
      if (error.code === 'rate_limited') deps.hold.extend(waitMs);
      if (step.kind === 'give_up') throw attempt === 1 ? error : withAttempts(error, attempt);
      const { code, status } = error;
      deps.log.warn({ source: deps.sourceName, endpoint, code, status, attempt, waitMs }, 'request failed, will retry');
      await pause(deps, endpoint, waitMs, signal);
    }
  };
}

/** Waits while the source wants to be left alone. Throws `rate_limited` at once when that is longer than we wait. */
async function waitForHold(deps: CallDeps, endpoint: string, signal: AbortSignal): Promise<void> {
  for (let round = 0; round < MAX_HOLD_ROUNDS; round++) {
    const remainingMs = deps.hold.remainingMs();
    if (remainingMs === 0) return;
    if (remainingMs > MAX_WAIT_MS) break;
    await pause(deps, endpoint, remainingMs, signal);
  }
  const retryAfterMs = deps.hold.remainingMs();
  throw new SourceError('rate_limited', `${endpoint}: not sent, the source asked us to wait`, { retryAfterMs });
}

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
