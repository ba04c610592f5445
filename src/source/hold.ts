/**
 * Remembers until when a source wants to be left alone, for all callers in this process.
 * A clock that is set back cannot make the wait longer than it was when it was asked for.
 */
export function createHold(nowMs: () => number) {
  let untilMs = Number.NEGATIVE_INFINITY;
  let askedMs = 0;
  return {
    /** Extends the hold to `waitMs` from now; never shortens it. */
    extend(waitMs: number): void {
      const endMs = nowMs() + waitMs;
      if (endMs <= untilMs) return;
      untilMs = endMs;
      askedMs = waitMs;
    },
    /** 0 when requests may go out. */
    remainingMs: (): number => Math.min(askedMs, Math.max(0, untilMs - nowMs())),
  };
}

export type Hold = ReturnType<typeof createHold>;
