import type { IncomingHttpHeaders } from 'node:http';
import type { Lane } from '../lane.ts';

/** Leave for one request. It ends with `finish`, also when there was no answer, or with `giveBack`; only the first call counts. */
export type Permit = {
  /** What the answer says of the source's limits is learned from; null when none came. */
  finish(
    answer: { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: unknown } | null,
  ): void;
  /** The request surely never reached the source: it counts for nothing. */
  giveBack(): void;
};

/** One limit as people see it, in status and specification. */
export type LimitRow = {
  readonly name: string;
  /** What it counts: `POST /items`; null for everything. */
  readonly match: string | null;
  readonly origin: 'declared' | 'learned';
  /** Words such as `100 requests per 60 s, rolling` or `4 at the same time`. */
  readonly rule: string;
  /** In the limit's own unit; null while unknown. */
  readonly used: number | null;
  readonly limit: number | null;
  /** ISO time at which something becomes free or the window ends; null when nothing has to be waited for. */
  readonly freeAt: string | null;
};

/** Keeps one source's requests within its limits, together with all other processes. */
export type Limiter = {
  /**
   * Waits until one attempt may leave, at most a minute, in the order of lanes. Throws `SourceError`: `rate_limited` with
   * `retryAfterMs` when it would take longer, `aborted` within milliseconds of the signal.
   */
  acquire(request: { readonly endpoint: string; readonly lane: Lane; readonly signal: AbortSignal }): Promise<Permit>;
  /** The source asked that nothing be sent for `waitMs`. Told to the other processes, too. */
  hold(waitMs: number): void;
  rows(): Promise<readonly LimitRow[]>;
  /** Writes down what is not written yet. Bounded; never throws. */
  close(): Promise<void>;
};
