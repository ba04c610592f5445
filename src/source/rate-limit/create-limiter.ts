import type { Log } from '../../lib/log.ts';
import { SourceError } from '../error.ts';
import { createHold } from '../hold.ts';
import { MAX_WAIT_MS } from '../retry.ts';
import type { Ledger } from './ledger.ts';
import type { Limiter } from './limiter.ts';

export type LimiterOptions = {
  readonly sourceName: string;
  readonly ledger: Ledger;
  /** How long one attempt can be under way at most. */
  readonly attemptMs: number;
  /** Attempts of this process under way at the same time. */
  readonly maxInFlight: number;
  readonly nowMs: () => number;
  /** Waits `ms`, or less when the signal fires; whether it then rejects or resolves does not matter. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Log;
};

/** A hold can be extended while it is waited for, but not for ever. */
const MAX_HOLD_ROUNDS = 10;

export function createLimiter({ nowMs, sleep }: LimiterOptions): Limiter {
  const hold = createHold(nowMs);
  return {
    async acquire({ endpoint, signal }) {
      for (let round = 0; ; round++) {
        if (signal.aborted) throw new SourceError('aborted', `${endpoint}: aborted`);
        const retryAfterMs = hold.remainingMs();
        if (retryAfterMs === 0) return { finish: () => {} };
        if (retryAfterMs > MAX_WAIT_MS || round === MAX_HOLD_ROUNDS) {
          const message = `${endpoint}: not sent, the source asked us to wait`;
          throw new SourceError('rate_limited', message, { retryAfterMs });
        }
        await sleep(retryAfterMs, signal).catch((error: unknown) => {
          if (!signal.aborted) throw error;
        });
      }
    },
    hold: (waitMs) => hold.extend(waitMs),
    rows: async () => [],
    close: async () => {},
  };
}
