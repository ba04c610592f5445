import type { SourceErrorCode } from './error.ts';

/** A source's circuit breaker has changed. `reason`: the failure behind it; null where there is none. */
export type BreakerChange = {
  readonly state: 'closed' | 'open' | 'half_open';
  readonly reason: SourceErrorCode | null;
};
