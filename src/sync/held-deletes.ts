import type { PushDeps } from './push-deps.ts';
import type { MissingRow, RecordTx } from './record-store.ts';

const BATCH_ROWS = 200;
/** Rows that one call works off; what is left is worked off by another. */
const MAX_BATCHES = 500;

type HeldDeps = Pick<PushDeps, 'stream' | 'store' | 'wakePushes'>;

/** `rows`: removed rows that were released or written again. `isMore`: there are more of them. */
export type ReleasedDeletes = { readonly rows: number; readonly isMore: boolean };

/** Removals that were held back were meant: every record whose row is missing is looked at as removed. Safe to repeat. */
export async function releaseDeletes(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  await deps.store.transaction((tx) => tx.liftDeletes());
  const released = await eachMissing(deps, async (tx, missing) => {
    const now = await tx.now();
    await tx.dropParked(missing.map(({ targetKey }) => targetKey));
    await tx.ensurePushes(missing.map((row) => ({ ...row, edits: 1, runAt: now, editedAt: now })));
    await tell(tx, missing, 'release', correlationId);
  });
  deps.wakePushes();
  return released;
}

/**
 * Removals that were held back were not meant: every missing row is written again as it was. They are held back until the
 * last is there. Safe to repeat.
 */
export async function discardDeletes(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  const restored = await eachMissing(deps, async (tx, missing) => {
    const keys = new Map(missing.map(({ externalId, targetKey }) => [externalId, targetKey]));
    const states = await tx.lockStates([...keys.keys()].sort());
    const rows = await tx.lockRows([...keys.values()].sort());
    const removed = [...keys].flatMap(([id, key]) => {
      const state = states.get(id);
      const { status, shadow } = state ?? {};
      return state !== undefined && status === 'live' && shadow && !rows.has(key) ? [{ state, key, shadow }] : [];
    });
    const stored = await tx.writeRows(removed.map(({ shadow }) => shadow));
    await tx.saveStates(removed.map(({ state, key }) => ({ ...state, shadow: stored.get(key) ?? null })));
    await tx.dropPushes([...keys.values()]);
    await tx.dropParked([...keys.values()]);
    await tell(tx, missing, 'discard', correlationId);
  });
  if (!restored.isMore) await deps.store.transaction((tx) => tx.liftDeletes());
  return restored;
}

/** Batch by batch, each in a transaction of its own: one that fails leaves the others done. */
async function eachMissing(
  { store }: HeldDeps,
  work: (tx: RecordTx, missing: readonly MissingRow[]) => Promise<void>,
): Promise<ReleasedDeletes> {
  let after: string | null = null;
  let rows = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const from: string | null = after;
    const missing: readonly MissingRow[] = await store.transaction(async (tx) => {
      const found = await tx.missingRows(from, BATCH_ROWS);
      if (found.length > 0) await work(tx, found);
      return found;
    });
    rows += missing.length;
    if (missing.length < BATCH_ROWS) return { rows, isMore: false };
    after = missing.at(-1)?.externalId ?? null;
  }
  return { rows, isMore: true };
}

const tell = (
  tx: RecordTx,
  missing: readonly MissingRow[],
  what: 'release' | 'discard',
  correlationId: string,
): Promise<void> =>
  tx.appendHistory(
    missing.map(({ externalId }) => ({
      externalId,
      channel: 'manual',
      origin: { kind: 'operator', id: what },
      decision: 'push',
      reason: 'mass_delete',
      version: null,
      hash: null,
      appliedSeq: null,
      correlationId,
    })),
  );
