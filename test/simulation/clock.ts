import { type Instant, instantFromMs } from '../../src/model/instant.ts';

/** The database's clock, which only the scheduler moves. No two readings are the same. */
export type Clock = {
  readonly read: () => Instant;
  /** Without moving it. */
  readonly at: () => Instant;
  readonly advance: (ms: number) => void;
  readonly advanceTo: (at: Instant) => void;
};

/** Some day in 2033; early enough that sums stay whole numbers. */
const START = instantFromMs(2_000_000_000_000);

export function createClock(): Clock {
  let now = START;
  return {
    read: () => ++now,
    at: () => now,
    advance(ms) {
      now += Math.round(ms * 1000);
    },
    advanceTo(at) {
      if (at > now) now = at;
    },
  };
}
