import { isRowFault } from '../db/failure.ts';
import type { Instant } from '../model/instant.ts';
import type { PushDeps } from './push-deps.ts';
import type { OpenRemoval, RecordTx } from './record-store.ts';
import { operatorEntry } from './tell-operator.ts';

const BATCH_ROWS = 200;
/** Rows that one call works off; what is left is worked off by another. */
const MAX_BATCHES = 500;
/** Rows may be removed while others are worked off: so often one call begins anew. */
const MAX_ROUNDS = 10;

/** Nothing was let go on so early. */
const NEVER: Instant = 0;

type HeldDeps = Pick<PushDeps, 'stream' | 'store' | 'wakePushes'>;

/**
 * `rows`: removed rows that were released or written again. `refused`: those that the table does not take again, or that
 * another transaction holds. `isMore`: there are more rows.
 */
export type ReleasedDeletes = { readonly rows: number; readonly refused: number; readonly isMore: boolean };

/**
 * Removals that were held back were meant: every record whose row is missing is looked at as removed. None of them is held
 * back again, nor counts where later ones do. Those of open conflicts are left to whoever decides of these. Safe to repeat:
 * another call goes on with those that no earlier one has sent on their way.
 */
export async function releaseDeletes(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  const { before, releasedAt } = await deps.store.transaction(async (tx) => {
    const hold = await tx.lockDeleteHold();
    return { before: hold.releasedAt ?? NEVER, releasedAt: await tx.releaseDeletes() };
  });
  const released = await untilNoneIsLeft(deps, { first: before, then: releasedAt }, async (tx, removals) => {
    const now = await tx.now();
    await tx.dropParked(removals.map(({ targetKey }) => targetKey));
    await tx.ensurePushes(
      removals.map((row) => ({ ...row, edits: 1, runAt: now, editedAt: releasedAt, isRemoval: true })),
    );
    await tell(tx, removals, 'release', correlationId);
    return removals.length;
  });
  deps.wakePushes();
  return released;
}

/**
 * Removals that were held back were not meant: every missing row is written again as it was, but those of open conflicts, of
 * which a person decides one by one, and those whose removal was sent before. Safe to repeat.
 */
export async function discardDeletes(deps: HeldDeps, correlationId: string): Promise<ReleasedDeletes> {
  return await untilNoneIsLeft(deps, { first: null, then: null }, (tx, removals) =>
    restore(tx, removals, correlationId),
  );
}

/** Those that were let go on until then are passed over, in the first round and after it. */
type LetGo = { readonly first: Instant | null; readonly then: Instant | null };

/** Removals are held back until the last is worked off, those too that come meanwhile: whoever dies here leaves the hold. */
async function untilNoneIsLeft(deps: HeldDeps, letGo: LetGo, work: Work): Promise<ReleasedDeletes> {
  let { rows, refused } = NOTHING;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const done = await eachOpen(deps, round === 0 ? letGo.first : letGo.then, work);
    rows += done.rows;
    refused += done.refused;
    if (done.isMore || done.refused > 0) return { rows, refused, isMore: done.isMore };
    if (await deps.store.transaction((tx) => lift(tx, letGo.then))) return { rows, refused, isMore: false };
  }
  return { rows, refused, isMore: true };
}

/**
 * Under the lock in which removals are planned and parked: one that came after its place was passed would else be parked for
 * ever, or go out though nobody let it. @returns whether none was left, so that removals are held back no longer.
 */
async function lift(tx: RecordTx, letGoUntil: Instant | null): Promise<boolean> {
  await tx.lockDeleteHold();
  const left = await tx.openRemovals({ after: null, limit: 1, letGoUntil });
  if (left.length > 0) return false;
  await tx.liftDeletes();
  return true;
}

async function restore(tx: RecordTx, found: readonly OpenRemoval[], correlationId: string): Promise<number> {
  const states = await tx.lockStates(found.map(({ externalId }) => externalId).sort());
  const rows = await tx.lockRows(found.map(({ targetKey }) => targetKey).sort());
  const conflicts = await tx.openConflicts(found.map(({ targetKey }) => targetKey));
  const undecided = found.filter(({ targetKey }) => !conflicts.has(targetKey));
  const removed = undecided.flatMap(({ externalId, targetKey }) => {
    const state = states.get(externalId);
    const { status, shadow } = state ?? {};
    const isRemoved = status === 'live' && !rows.has(targetKey);
    return state !== undefined && isRemoved && shadow ? [{ externalId, targetKey, state, shadow }] : [];
  });
  const stored = await tx.writeRows(removed.map(({ shadow }) => shadow));
  await tx.saveStates(removed.map(({ state, targetKey }) => ({ ...state, shadow: stored.get(targetKey) ?? null })));
  // Of a row that has come back meanwhile, what was edited is still to be sent.
  await tx.dropPushes(removed.map(({ targetKey }) => targetKey));
  await tx.dropParked(undecided.map(({ targetKey }) => targetKey));
  await tell(tx, removed, 'discard', correlationId);
  return removed.length;
}

/** @returns how many rows were worked off. */
type Work = (tx: RecordTx, removals: readonly OpenRemoval[]) => Promise<number>;

/** Batch by batch, each in a transaction of its own: one that fails leaves those before it done. */
async function eachOpen({ store }: HeldDeps, letGoUntil: Instant | null, work: Work): Promise<ReleasedDeletes> {
  let after: string | null = null;
  let rows = 0;
  let refused = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const page = { after, limit: BATCH_ROWS, letGoUntil };
    const found: readonly OpenRemoval[] = await store.transaction((tx) => tx.openRemovals(page));
    const done = found.length === 0 ? NOTHING : await workOff(store, found, work);
    rows += done.rows;
    refused += done.refused;
    if (found.length < BATCH_ROWS) return { rows, refused, isMore: false };
    after = found.at(-1)?.externalId ?? null;
  }
  return { rows, refused, isMore: true };
}

type Done = Omit<ReleasedDeletes, 'isMore'>;
const NOTHING: Done = { rows: 0, refused: 0 };

/** Together, and where a row is in the way one by one. */
async function workOff(store: HeldDeps['store'], removals: readonly OpenRemoval[], work: Work): Promise<Done> {
  try {
    return { rows: await store.transaction((tx) => work(tx, removals)), refused: 0 };
  } catch (error) {
    if (!isRowFault(error)) throw error;
    if (removals.length === 1) return { rows: 0, refused: 1 };
  }
  let done = NOTHING;
  for (const one of removals) {
    const { rows, refused } = await workOff(store, [one], work);
    done = { rows: done.rows + rows, refused: done.refused + refused };
  }
  return done;
}

const tell = (
  tx: RecordTx,
  removals: readonly OpenRemoval[],
  what: 'release' | 'discard',
  correlationId: string,
): Promise<void> =>
  tx.appendHistory(
    removals.map(({ externalId }) =>
      operatorEntry(
        { externalId, version: null, appliedSeq: null },
        { what, decision: 'push', reason: 'mass_delete', correlationId },
      ),
    ),
  );
