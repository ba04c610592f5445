/** A source's own clock. Stamps are coarse on purpose: several changes of one record can carry the same one. */
export type SourceClock = {
  readonly tickMs: number;
  nowMs(): number;
  /** The present tick in milliseconds since 1970. */
  tick(): number;
  /** The next number of a counter that all records of the source share. */
  count(): number;
};

/** Runs on `nowMs`, but never backwards: a version must not decrease because the machine's clock was set. */
export function createSourceClock({ nowMs, tickMs }: { nowMs: () => number; tickMs: number }): SourceClock {
  let latestMs = 0;
  let counted = 0;
  const now = () => {
    latestMs = Math.max(latestMs, nowMs());
    return latestMs;
  };
  return { tickMs, nowMs: now, tick: () => tickOf(now(), tickMs), count: () => ++counted };
}

export const tickOf = (atMs: number, tickMs: number): number => Math.floor(atMs / tickMs) * tickMs;

const SECOND_MS = 1_000;

/** An instant as sources write it: whole seconds without a fraction. */
export function formatInstant(atMs: number): string {
  const text = new Date(atMs).toISOString();
  return atMs % SECOND_MS === 0 ? `${text.slice(0, 19)}Z` : text;
}
