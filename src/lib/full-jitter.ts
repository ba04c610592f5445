export type Backoff = { readonly baseMs: number; readonly capMs: number };

/** Larger ones pass every cap. */
const MAX_DOUBLINGS = 30;

/** Full jitter: a wait in ms drawn evenly from [0, min(cap, base · 2^(attempt − 1))). `random` is in [0, 1). */
export const fullJitterMs = (attempt: number, random: number, { baseMs, capMs }: Backoff): number =>
  Math.floor(random * Math.min(capMs, baseMs * 2 ** Math.min(attempt - 1, MAX_DOUBLINGS)));
