import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhenResult } from 'cockatiel';
import { SourceError, type SourceErrorCode } from './error.ts';
import type { Exchanged } from './exchange.ts';

/** A source's circuit breaker has changed. `reason`: the failure behind it; null where there is none. */
export type BreakerChange = {
  readonly state: 'closed' | 'open' | 'half_open';
  readonly reason: SourceErrorCode | null;
};

export type BreakerOptions = {
  /** Failures in a row that open it. */
  readonly failures: number;
  readonly openForMs: number;
  readonly nowMs: () => number;
  readonly onChange: (change: BreakerChange) => void;
};

export type Breaker = {
  /** Throws `circuit_open` while nothing may be sent. */
  assertClosed(endpoint: string): void;
  /** How long nothing will be sent yet, in ms; 0 when something may be. */
  remainingMs(): number;
  /** Does one attempt, and learns from how it ends. Throws as `assertClosed`, and what `attempt` throws. */
  run(endpoint: string, attempt: () => Promise<Exchanged>): Promise<Exchanged>;
};

const DOWN: ReadonlySet<SourceErrorCode> = new Set(['timeout', 'network', 'server_error']);
/** Says nothing of the source; passes the breaker by. */
const NO_VERDICT = new Error('no verdict');
/** While another request tries whether the source is back, nobody knows for how long. */
const PROBE_WAIT_MS = 1_000;

/**
 * Leaves a source alone that fails time and again: `failures` times in a row, by time-outs, broken connections and server
 * errors of any caller. An answer of any other kind shows that it is there. After `openForMs` one request tries: its
 * success closes the breaker, anything else opens it again.
 */
export function createBreaker({ failures, openForMs, nowMs, onChange }: BreakerOptions): Breaker {
  let openedAtMs = 0;
  let reason: SourceErrorCode | null = null;
  const policy = circuitBreaker(
    handleWhenResult((isDown) => isDown === true),
    {
      breaker: new ConsecutiveBreaker(failures),
      // How long it stays open is ours to count: cockatiel counts by Date.now(), so a clock set back would keep it open.
      halfOpenAfter: Number.NEGATIVE_INFINITY,
    },
  );
  policy.onStateChange((state) => {
    if (state === CircuitState.Open) openedAtMs = nowMs();
    if (state === CircuitState.Open) onChange({ state: 'open', reason });
    else if (state === CircuitState.HalfOpen) onChange({ state: 'half_open', reason: null });
    else onChange({ state: 'closed', reason: null });
  });

  const remainingMs = (): number => {
    if (policy.state === CircuitState.Closed) return 0;
    if (policy.state === CircuitState.HalfOpen) return PROBE_WAIT_MS;
    const now = nowMs();
    if (now < openedAtMs) openedAtMs = now; // the clock was set back
    return Math.max(0, openForMs - (now - openedAtMs));
  };
  const assertClosed = (endpoint: string): void => {
    const retryAfterMs = remainingMs();
    if (retryAfterMs === 0) return;
    const message = `${endpoint}: not sent, the source has failed ${failures} times in a row and is left alone`;
    throw new SourceError('circuit_open', message, { retryAfterMs });
  };

  return {
    assertClosed,
    remainingMs,
    async run(endpoint, attempt) {
      assertClosed(endpoint);
      const isProbe = policy.state !== CircuitState.Closed;
      const outcome: Outcome = { ended: null, thrown: null };
      try {
        await policy.execute(async () => {
          const verdict = await judge(attempt, outcome);
          // What was sent before the breaker opened is no news of the source.
          if (!isProbe && (verdict === 'none' || policy.state !== CircuitState.Closed)) throw NO_VERDICT;
          if (verdict === 'down' && outcome.ended?.kind === 'failed') reason = outcome.ended.error.code;
          // A probe that was given up, or that ended in an error of ours, proves nothing; the next one must not be a crowd.
          return verdict !== 'up';
        });
      } catch (error) {
        if (error !== NO_VERDICT) throw error;
      }
      if (outcome.thrown !== null) throw outcome.thrown.error;
      if (outcome.ended === null) throw new TypeError('An attempt ends in an outcome');
      return outcome.ended;
    },
  };
}

type Verdict = 'up' | 'down' | 'none';
/** How an attempt ended. cockatiel is told of its verdict only: it would close at what is thrown in a probe. */
type Outcome = { ended: Exchanged | null; thrown: { readonly error: unknown } | null };

async function judge(attempt: () => Promise<Exchanged>, outcome: Outcome): Promise<Verdict> {
  try {
    outcome.ended = await attempt();
    return verdictOn(outcome.ended);
  } catch (error) {
    outcome.thrown = { error };
    return 'none';
  }
}

function verdictOn(ended: Exchanged): Verdict {
  if (ended.kind === 'answered') return 'up';
  if (DOWN.has(ended.error.code)) return 'down';
  return ended.answer === null ? 'none' : 'up';
}
