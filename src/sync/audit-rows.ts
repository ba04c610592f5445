import { addMs, type Instant } from '../model/instant.ts';
import type { PushWish } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import { keyOf } from './fold.ts';
import { brakeRemovals } from './mass-delete.ts';
import { dirtyProperties } from './merge.ts';
import type { RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';
import type { TwoWay } from './two-way.ts';

/**
 * Compares the rows of records that are unchanged at the source with how they were stored. One that differs, or is missing,
 * was edited without our knowing: it is queued to be looked at, and the claim of its push decides what that means. Rows of
 * which a push or a conflict is open are known of: what is parked waits for a person. Where too many are missing, removals are
 * held back. Nothing is locked or written over.
 * @returns how many were queued.
 */
export async function auditRows(
  tx: RecordTx,
  stream: Pick<Stream, 'target'> & { readonly twoWay: TwoWay },
  states: readonly RecordState[],
  now: Instant,
): Promise<number> {
  const { target, twoWay } = stream;
  const linked = states.filter(({ status, shadow }) => status === 'live' && shadow !== null);
  if (linked.length === 0) return 0;
  const rows = await tx.readRows(linked.map(keyOf));
  const suspects = linked.filter((state) => {
    const row = rows.get(keyOf(state));
    if (row === undefined) return twoWay.localDeletes !== 'detach';
    return dirtyProperties(row, state.shadow, target.contentProperties).length > 0;
  });
  if (suspects.length === 0 || !(await tx.isTableKnown())) return 0;
  const handled = await tx.openOf(suspects.map(keyOf));
  const differing = suspects.filter((state) => !handled.has(keyOf(state)));
  if (differing.length === 0) return 0;
  const wishes = differing.map((state): PushWish => {
    const targetKey = keyOf(state);
    const isRemoval = !rows.has(targetKey);
    const runAt = addMs(now, twoWay.debounceMs);
    return { targetKey, externalId: state.externalId, edits: 0, runAt, editedAt: null, isRemoval };
  });
  const count = wishes.filter(({ isRemoval }) => isRemoval).length;
  await brakeRemovals(tx, { stream }, { count, found: 'audited' });
  await tx.ensurePushes(wishes);
  return differing.length;
}
