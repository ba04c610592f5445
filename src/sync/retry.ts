import { type Backoff, fullJitterMs } from '../lib/full-jitter.ts';

/** Attempts at one piece of work before it is set aside for a person. */
export const MAX_ATTEMPTS = 8;
/** As many, where only another record is waited for: a first load of children may well run ahead of that of their parents. */
export const MAX_WAITS_FOR_OTHERS = 16;
const BACKOFF: Backoff = { baseMs: 1_000, capMs: 300_000 };

export type NextStep = { readonly kind: 'retry'; readonly waitMs: number } | { readonly kind: 'dead' };

/** How long attempt `attempt + 1` waits, in ms. */
export const backoffMs = (attempt: number, random: number): number => fullJitterMs(attempt, random, BACKOFF);

/** What comes after the failure of attempt `attempt` (from 1) at something that another attempt might mend. */
export function decideAfterFailure(failure: { readonly attempt: number; readonly random: number }): NextStep {
  if (failure.attempt >= MAX_ATTEMPTS) return { kind: 'dead' };
  return { kind: 'retry', waitMs: backoffMs(failure.attempt, failure.random) };
}
