import type { Instant } from './instant.ts';

export type BreakerState = 'closed' | 'open' | 'half_open';

/** `auth`: the source refuses our credentials. `operator`: a person asked for it. */
export type PauseReason = 'auth' | 'operator';

/** What all replicas know of one source. */
export type SourceState = {
  readonly integration: string;
  readonly breaker: BreakerState;
  /** When the breaker last changed; null before it ever did. */
  readonly breakerAt: Instant | null;
  /** The failure that opened it last, in words; null once it is closed. */
  readonly breakerReason: string | null;
  /** Null while work goes on. */
  readonly paused: { readonly reason: PauseReason; readonly detail: string | null; readonly since: Instant } | null;
};
