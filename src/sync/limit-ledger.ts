import type { Db } from '../db/connect.ts';
import type { Ledger } from '../source/rate-limit/ledger.ts';
import { lockSourceLimits, readSourceLimits, saveSourceLimits } from '../store/source-limits.ts';

/** The ledger that all replicas share: one row for each integration, changed under its lock, by the database's clock. */
export const createLimitLedger = (db: Db, integration: string): Ledger => ({
  update: (decide) =>
    db.transaction(async (tx) => {
      const { kept, nowMs } = await lockSourceLimits(tx, integration);
      const { keep, result } = decide(kept, nowMs);
      await saveSourceLimits(tx, integration, keep);
      return result;
    }),
  read: () => readSourceLimits(db, integration),
});
