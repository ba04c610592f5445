import { addMs, type Instant } from '../model/instant.ts';
import type { Order, PushWish } from '../model/push.ts';
import { brakeRemovals, holdEmptied } from './mass-delete.ts';
import type { PushDeps } from './push-deps.ts';
import type { LocalChange, RecordTx } from './record-store.ts';

type PlanDeps = Pick<PushDeps, 'stream' | 'store' | 'log' | 'wakePushes' | 'crashPoint'>;

export type PlanReport = {
  /** Captured edits taken. */
  readonly taken: number;
  /** Rows that are to be looked at. */
  readonly planned: number;
  /** Removals were held back by this pass. */
  readonly isHolding: boolean;
};

/**
 * Turns up to `limit` captured edits into ready pushes, one a row, in one transaction: an edit is either captured or planned.
 * What is pushed of a row is decided when its push is claimed. Too many removals at once hold all removals of the stream
 * back, until a person says whether they were meant.
 */
export async function planOnce(deps: PlanDeps, limit: number, order: Order = 'oldest'): Promise<PlanReport> {
  const report = await deps.store.transaction(async (tx) => {
    const changes = await tx.takeLocalChanges(limit, order);
    if (changes.length === 0) return { taken: 0, planned: 0, isHolding: false };
    await deps.crashPoint('C13');
    return { taken: changes.length, ...(await planAll(tx, deps, changes)) };
  });
  if (report.taken === 0) return report;
  await deps.crashPoint('C14');
  deps.wakePushes();
  return report;
}

type Edited = { readonly edits: number; readonly editedAt: Instant; readonly isRemoval: boolean };

async function planAll(
  tx: RecordTx,
  deps: PlanDeps,
  changes: readonly LocalChange[],
): Promise<Omit<PlanReport, 'taken'>> {
  const { twoWay } = deps.stream;
  const edited = await withStamped(tx, deps, sumUp(changes));
  const keys = [...edited.keys()].sort();
  const ids = await tx.findByTargetKey(keys);
  const states = await tx.lockStates([...new Set(ids.values())].sort());
  await tx.saveStates([...states.values()].map((state) => ({ ...state, localVersion: state.localVersion + 1 })));
  const now = await tx.now();
  const wishes = keys.flatMap((targetKey): PushWish[] => {
    const edit = edited.get(targetKey);
    const externalId = ids.get(targetKey) ?? null;
    if (edit === undefined || (edit.isRemoval && externalId === null)) return []; // it came and went unseen
    return [{ targetKey, externalId, runAt: addMs(now, twoWay.debounceMs), ...edit }];
  });
  const isHolding = await holdMassDelete(tx, deps, changes, wishes);
  await tx.ensurePushes(wishes);
  return { planned: wishes.length, isHolding };
}

/** A row that is stamped as deleted is removed as much as one that is gone, and counts as such where many are. */
async function withStamped(
  tx: RecordTx,
  { stream: { target } }: PlanDeps,
  edited: ReadonlyMap<string, Edited>,
): Promise<ReadonlyMap<string, Edited>> {
  if (target.deletedAtProperty === null) return edited;
  const rows = await tx.readRows([...edited.keys()].sort());
  return new Map([...edited].map(([key, edit]) => [key, { ...edit, isRemoval: edit.isRemoval || !rows.has(key) }]));
}

/** By row. The latest edit tells whether it is still there. */
function sumUp(changes: readonly LocalChange[]): Map<string, Edited> {
  const edited = new Map<string, Edited>();
  for (const { targetKey, op, at } of [...changes].sort((left, right) => left.at - right.at)) {
    if (op === 'T') continue;
    const before = edited.get(targetKey);
    edited.set(targetKey, { edits: (before?.edits ?? 0) + 1, editedAt: at, isRemoval: op === 'D' });
  }
  return edited;
}

/** @returns true when this pass began to hold removals back. */
async function holdMassDelete(
  tx: RecordTx,
  deps: PlanDeps,
  changes: readonly LocalChange[],
  wishes: readonly PushWish[],
): Promise<boolean> {
  if (changes.some(({ op }) => op === 'T')) return await holdEmptied(tx, deps);
  const count = wishes.filter(({ isRemoval }) => isRemoval).length;
  return (await brakeRemovals(tx, deps, { count, found: 'told' })) === 'holding';
}
