import type { Random } from './random.ts';

/** How often each fault comes, where it can. Everything else in a run is its own chance. */
export const FAULT_RATES = {
  hook_lost: 0.3,
  hook_doubled: 0.12,
  hook_forged: 0.02,
  read_timeout: 0.03,
  read_throttled: 0.01,
  read_refused: 0.002,
  read_lagging: 0.5,
  list_timeout: 0.03,
  write_lost: 0.06,
  write_answer_lost: 0.08,
  write_late: 0.05,
  write_throttled: 0.03,
  write_refused: 0.004,
  write_failed: 0.03,
  /** Of one record, for a while: only where a configuration says so. */
  write_forbidden: 0,
  read_forbidden: 0,
  row_held: 0.01,
  crash: 0.012,
  crash_in_transaction: 0.006,
  pause: 0.004,
  /** Between the claim of a push and its request, for longer than the claim holds: only where a configuration says so. */
  pause_past_lease: 0,
  /** Of edits, and of steps: only where a configuration says so, too. */
  edit_uncaptured: 0,
  audit: 0,
  long_wait: 0.006,
} as const;

export type FaultKind = keyof typeof FAULT_RATES;

export type Faults = {
  /** Whether it comes now; counted when it does. */
  readonly strikes: (kind: FaultKind) => boolean;
  readonly counts: Map<FaultKind, number>;
  /** From now on none comes. */
  readonly heal: () => void;
};

/** `rateOf` says how often each comes; `mayDisturb` lets a replay leave single ones out. */
export function createFaults(random: Random, rateOf: (kind: FaultKind) => number, mayDisturb: () => boolean): Faults {
  const counts = new Map<FaultKind, number>();
  let isHealed = false;
  return {
    counts,
    strikes(kind) {
      const rate = rateOf(kind);
      if (isHealed || rate === 0 || !random.chance(rate)) return false;
      // Reads that lag are the source's nature, and no disturbance that a trace would name.
      if (kind !== 'read_lagging' && !mayDisturb()) return false;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      return true;
    },
    heal() {
      isHealed = true;
    },
  };
}
