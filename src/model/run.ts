import type { Instant } from './instant.ts';
import type { StreamKey } from './observation.ts';

/**
 * States of a run. `queued` and `running` are open: a worker holds it by lease, and one whose lease ran out is taken up at
 * its checkpoint. One that its source interrupted (`stall`) stays `running` without a holder until its `resumeAt`. `braked`: everything was read, but its sweep would delete too much and waits for an operator:
 * approved it is queued again for its sweep alone; a later full run that succeeds supersedes it.
 */
export const RUN_TRANSITIONS = {
  queued: { claim: 'running', cancel: 'cancelled' },
  running: {
    claim: 'running',
    stall: 'running',
    finish: 'succeeded',
    finish_partly: 'partial',
    fail: 'failed',
    brake: 'braked',
    cancel: 'cancelled',
  },
  braked: { approve: 'queued', dismiss: 'cancelled', supersede: 'cancelled' },
  succeeded: {},
  partial: {},
  failed: {},
  cancelled: {},
} as const;

/** A run whose holder says nothing for this long is taken up by another worker. */
export const RUN_LEASE_MS = 30_000;

export type RunState = keyof typeof RUN_TRANSITIONS;
export type RunMode = 'incremental' | 'full' | 'ids';
export type RunTrigger = 'schedule' | 'operator' | 'start';

/**
 * What a run did so far. `failed`: records set aside. `ignored`: rows that are not of this entity. Of two-way streams:
 * `linked`: records seen for the first time whose row stood in the table already, and of a full dry run `unmatched`: rows of
 * the table that no record was found for.
 */
export type RunCounts = {
  readonly seen: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly repaired: number;
  readonly unchanged: number;
  readonly stale: number;
  readonly verify: number;
  readonly deferred: number;
  readonly failed: number;
  readonly ignored: number;
  readonly linked: number;
  readonly unmatched: number;
};

export const NO_COUNTS: RunCounts = {
  seen: 0,
  inserted: 0,
  updated: 0,
  deleted: 0,
  repaired: 0,
  unchanged: 0,
  stale: 0,
  verify: 0,
  deferred: 0,
  failed: 0,
  ignored: 0,
  linked: 0,
  unmatched: 0,
};

export const COUNT_NAMES = Object.keys(NO_COUNTS) as readonly (keyof RunCounts)[];

export function addCounts(left: RunCounts, right: Partial<RunCounts>): RunCounts {
  const sum = { ...left };
  for (const name of COUNT_NAMES) sum[name] = left[name] + (right[name] ?? 0);
  return sum;
}

/** One pass of the reconciler over one stream. */
export type Run = StreamKey & {
  readonly id: string;
  readonly mode: RunMode;
  readonly trigger: RunTrigger;
  readonly isDryRun: boolean;
  readonly isBackfill: boolean;
  readonly since: Instant | null;
  readonly onlyIds: readonly string[] | null;
  readonly state: RunState;
  readonly isCancelRequested: boolean;
  readonly createdAt: Instant;
  readonly startedAt: Instant | null;
  readonly finishedAt: Instant | null;
  readonly startCursor: bigint | null;
  readonly pageCursor: string | null;
  /** Every page has been read: what is left is the sweep. */
  readonly isListed: boolean;
  readonly isIdsComplete: boolean;
  readonly maxKey: bigint | null;
  readonly pages: number;
  /** Not before: the source was away, or asked us to wait. */
  readonly resumeAt: Instant | null;
  /** Interruptions by the source since the last page that was new. */
  readonly stalls: number;
  readonly counts: RunCounts;
  readonly candidates: number | null;
  readonly liveBefore: number | null;
  readonly approvedBy: string | null;
  /** Why it failed; of an open run, what interrupted it since its last new page. */
  readonly errorCode: string | null;
  readonly error: string | null;
};

/** A run that this worker holds. Without the token nobody may move it. */
export type LeasedRun = Run & { readonly leaseToken: string; readonly startedAt: Instant };
