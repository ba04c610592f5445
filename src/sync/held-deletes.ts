import { isRowFault } from '../db/failure.ts';
import type { PushDeps } from './push-deps.ts';
import type { MissingRow, RecordTx } from './record-store.ts';
import { operatorEntry } from './tell-operator.ts';

const BATCH_ROWS = 200;
/** Rows that one call works off; what is left is worked off by another. */
const MAX_BATCHES = 500;
/** Of rows that are removed while others are written again. */
const MAX_ROUNDS = 10;

type HeldDeps = Pick<PushDeps, 'stream' | 'store' | 'wakePushes'>;

/**
 * `rows`: removed rows that were released or written again. `refused`: those that the table does not take again, or that
 * another transaction holds. `isMore`: there are more rows.
 */
export type ReleasedDeletes = { readonly rows: number; readonly refused: number; readonly isMore: boolean };

/**
 * Removals that were held back were meant: every record whose row is missing is looked at as removed. None of them is held
 * back again, nor counts where later ones do. Safe to repeat.
 */
export async function releaseDeletes(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  const releasedAt = await deps.store.transaction((tx) => tx.releaseDeletes());
  const released = await eachMissing(deps, async (tx, missing) => {
    const now = await tx.now();
    await tx.dropParked(missing.map(({ targetKey }) => targetKey));
    await tx.ensurePushes(
      missing.map((row) => ({ ...row, edits: 1, runAt: now, editedAt: releasedAt, isRemoval: true })),
    );
    await tell(tx, missing, 'release', correlationId);
    return missing.length;
  });
  deps.wakePushes();
  return released;
}

/**
 * Removals that were held back were not meant: every missing row is written again as it was, but those of open conflicts, of
 * which a person decides one by one. They are held back until the last is there. Safe to repeat.
 */
export async function discardDeletes(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  let rows = 0;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const restored = await restoreMissing(deps, correlationId);
    rows += restored.rows;
    if (restored.isMore || restored.refused > 0) return { ...restored, rows };
    if (await deps.store.transaction(liftHold)) return { ...restored, rows };
  }
  return { rows, refused: 0, isMore: true };
}

/** @returns false, and nothing is done, where rows were removed meanwhile: what is planned of them is parked, or about to be. */
async function liftHold(tx: RecordTx): Promise<boolean> {
  await tx.lockDeleteHold();
  let after: string | null = null;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const missing: readonly MissingRow[] = await tx.missingRows(after, BATCH_ROWS);
    const conflicts = await tx.openConflicts(missing.map(({ targetKey }) => targetKey));
    if (missing.some(({ targetKey }) => !conflicts.has(targetKey))) return false;
    if (missing.length < BATCH_ROWS) {
      await tx.liftDeletes();
      return true;
    }
    after = missing.at(-1)?.externalId ?? null;
  }
  return false;
}

function restoreMissing(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  return eachMissing(deps, async (tx, found) => {
    const conflicts = await tx.openConflicts(found.map(({ targetKey }) => targetKey));
    const missing = found.filter(({ targetKey }) => !conflicts.has(targetKey));
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
    // Of a row that has come back meanwhile, what was edited is still to be sent.
    await tx.dropPushes(removed.map(({ key }) => key));
    await tx.dropParked([...keys.values()]);
    await tell(tx, missing, 'discard', correlationId);
    return missing.length;
  });
}

/** @returns how many of these rows there were to work off. */
type Work = (tx: RecordTx, missing: readonly MissingRow[]) => Promise<number>;

/** Batch by batch, each in a transaction of its own: one that fails leaves those before it done. */
async function eachMissing({ store }: HeldDeps, work: Work): Promise<ReleasedDeletes> {
  let after: string | null = null;
  let rows = 0;
  let refused = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const from: string | null = after;
    const missing: readonly MissingRow[] = await store.transaction((tx) => tx.missingRows(from, BATCH_ROWS));
    const done = missing.length === 0 ? NOTHING : await workOff(store, missing, work);
    rows += done.rows;
    refused += done.refused;
    if (missing.length < BATCH_ROWS) return { rows, refused, isMore: false };
    after = missing.at(-1)?.externalId ?? null;
  }
  return { rows, refused, isMore: true };
}

type Done = Omit<ReleasedDeletes, 'isMore'>;
const NOTHING: Done = { rows: 0, refused: 0 };

/** Together, and where a row is in the way one by one. */
async function workOff(store: HeldDeps['store'], missing: readonly MissingRow[], work: Work): Promise<Done> {
  try {
    return { rows: await store.transaction((tx) => work(tx, missing)), refused: 0 };
  } catch (error) {
    if (!isRowFault(error)) throw error;
    if (missing.length === 1) return { rows: 0, refused: 1 };
  }
  let done = NOTHING;
  for (const one of missing) {
    const { rows, refused } = await workOff(store, [one], work);
    done = { rows: done.rows + rows, refused: done.refused + refused };
  }
  return done;
}

const tell = (
  tx: RecordTx,
  missing: readonly MissingRow[],
  what: 'release' | 'discard',
  correlationId: string,
): Promise<void> =>
  tx.appendHistory(
    missing.map(({ externalId }) =>
      operatorEntry(
        { externalId, version: null, appliedSeq: null },
        { what, decision: 'push', reason: 'mass_delete', correlationId },
      ),
    ),
  );
