import { type Backoff, fullJitterMs } from '../lib/full-jitter.ts';
import type { SourceError } from './error.ts';

const BACKOFF: Backoff = { baseMs: 250, capMs: 30_000 };

/** Longer waits are the caller's: it reschedules, instead of a run that sleeps with its lease. */
export const MAX_WAIT_MS = 60_000;

export type NextStep = { readonly kind: 'retry'; readonly waitMs: number } | { readonly kind: 'give_up' };

export type Failure = {
  readonly error: SourceError;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly random: number;
  /** Until the call's deadline. */
  readonly remainingMs: number;
  /** False where a second request could do a second time what the first one has done, unknown to us. */
  readonly isSafe: boolean;
};

/**
 * What follows the failure of an attempt. What the source asks to wait is waited for, and the jitter comes on top, so that
 * callers told the same moment do not come back together. A wait that leads past the deadline is not begun.
 */
export function decideAfterFailure({ error, attempt, maxAttempts, random, remainingMs, isSafe }: Failure): NextStep {
  if (!error.isRetryable || !isSafe || attempt >= maxAttempts) return { kind: 'give_up' };
  const askedMs = error.retryAfterMs ?? 0;
  const waitMs = askedMs + fullJitterMs(attempt, random, BACKOFF);
  if (askedMs > MAX_WAIT_MS || waitMs >= remainingMs) return { kind: 'give_up' };
  return { kind: 'retry', waitMs };
}
