/** Attempts at one piece of work before it is set aside for a person. */
export const MAX_ATTEMPTS = 8;
/** As many, where only another record is waited for: a first load of children may well run ahead of that of their parents. */
export const MAX_WAITS_FOR_OTHERS = 16;
const BACKOFF_BASE_MS = 500;
export const BACKOFF_CAP_MS = 300_000;

export type NextStep = { readonly kind: 'retry'; readonly waitMs: number } | { readonly kind: 'dead' };

/** Full jitter: a wait in ms drawn evenly from [0, min(cap, base · 2^attempt)). `random` is in [0, 1). */
export const fullJitterMs = (attempt: number, random: number): number =>
  random * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempt, 30));

/** What comes after the failure of attempt `attempt` (from 1) at something that another attempt might mend. */
export function decideAfterFailure(failure: { readonly attempt: number; readonly random: number }): NextStep {
  if (failure.attempt >= MAX_ATTEMPTS) return { kind: 'dead' };
  return { kind: 'retry', waitMs: fullJitterMs(failure.attempt, failure.random) };
}
