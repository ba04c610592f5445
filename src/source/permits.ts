import type { CallOptions } from './call.ts';
import { SourceError } from './error.ts';
import type { Answer, Exchanged } from './exchange.ts';
import type { Limiter, Permit } from './rate-limit/limiter.ts';
import { MAX_WAIT_MS } from './retry.ts';

/** How long leave may be waited for, and what went wrong before, which tells more than that there is no time left. */
type Wait = { readonly remainingMs: number; readonly lastError: SourceError | null };

/** Of an attempt's time, that a redirect may wait for leave; past that the attempt would look like a source that hangs. */
const MAX_SHARE_OF_WAIT = 0.9;

/** The leave of one attempt: `first` for its request, and another one for each redirect that it follows. */
export function createPermits(limiter: Limiter, endpoint: string, options: CallOptions, first: Permit) {
  let permit: Permit | null = first;
  let isSent = false;
  let refusal: { readonly error: unknown } | null = null;
  let over: AbortController | null = null;
  return {
    sending(): void {
      isSent = true;
    },
    /** Waits for leave, at most for a part of the `leftMs` of the attempt. */
    async next(redirect: Answer, leftMs: number): Promise<void> {
      permit?.finish(redirect);
      permit = null;
      over ??= new AbortController();
      const signal = AbortSignal.any([options.signal, over.signal]);
      const progress = { remainingMs: leftMs * MAX_SHARE_OF_WAIT, lastError: null };
      try {
        const next = await enter(limiter, endpoint, { ...options, signal }, progress);
        // Nobody waits for it any more.
        if (over.signal.aborted) next.giveBack();
        else permit = next;
      } catch (error) {
        refusal = { error };
        throw error;
      }
    },
    /** Our own refusal is no failure of the source, which would be held against it. */
    assertGiven(): void {
      if (refusal !== null) throw refusal.error;
    },
    end(exchanged: Exchanged | null): void {
      over?.abort();
      const isUnsent = !isSent || (exchanged?.kind === 'failed' && exchanged.answer === null && exchanged.isUndone);
      if (isUnsent) permit?.giveBack();
      else permit?.finish(exchanged?.answer ?? null);
    },
  };
}

/** Waits for leave, no longer than to the deadline. It is given to no more attempts than may be under way at once. */
export async function enter(
  limiter: Limiter,
  endpoint: string,
  { lane, signal }: CallOptions,
  { remainingMs, lastError }: Wait,
): Promise<Permit> {
  // Nothing waits that long for the limits, and a signal of its own costs every attempt some microseconds.
  if (remainingMs > MAX_WAIT_MS) return await limiter.acquire({ endpoint, lane, signal });
  const deadline = new AbortController();
  const end = () => deadline.abort();
  const timer = setTimeout(end, Math.max(0, remainingMs));
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    return await limiter.acquire({ endpoint, lane, signal: deadline.signal });
  } catch (error) {
    if (deadline.signal.aborted && !signal.aborted) throw tooLate(endpoint, lastError);
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

/** The failure before tells more than that there is no time for another attempt. */
export const tooLate = (endpoint: string, lastError: SourceError | null): SourceError =>
  lastError ?? new SourceError('rate_limited', `${endpoint}: not sent within its deadline`);
