import type { JsonValue } from '../../model/json.ts';

/** The use of one source's limits, kept where all replicas see it. What it holds is the limiter's business. */
export type Ledger = {
  /**
   * Runs `decide` on what is kept (null at first) and the time of the one clock that all replicas share, in ms, alone
   * among them; keeps the state that it returns. `decide` may run again after a conflict, so it must be pure.
   */
  update<Result>(
    decide: (kept: JsonValue | null, nowMs: number) => { readonly keep: JsonValue; readonly result: Result },
  ): Promise<Result>;
  /** What is kept, and the shared clock's time, without waiting for anybody. */
  read(): Promise<{ readonly kept: JsonValue | null; readonly nowMs: number }>;
};

/** A ledger of one process, for clients without a database. */
export function createMemoryLedger(nowMs: () => number): Ledger {
  let kept: JsonValue | null = null;
  return {
    async update(decide) {
      const { keep, result } = decide(kept, nowMs());
      kept = keep;
      return result;
    },
    read: async () => ({ kept, nowMs: nowMs() }),
  };
}
