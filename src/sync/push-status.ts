import type { Db } from '../db/connect.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';
import { countOpenConflicts } from '../store/conflict-list.ts';
import { countLocalChanges } from '../store/local-changes.ts';
import { countOpenPushes, listHeldDeletes } from '../store/push-status.ts';

/** An edit that waits longer than this, though nothing says that it should, is not being pushed. */
const MAX_WAIT_MS = 60_000;
/** By then every way of finding out has had its turn. */
const MAX_UNKNOWN_MS = 600_000;

/** How the way out of one stream stands. */
export type PushStatus = {
  /** Captured and not yet planned. */
  readonly editsCaptured: number;
  readonly ready: number;
  readonly calling: number;
  readonly unknown: number;
  readonly parked: number;
  readonly oldestWaitMs: number | null;
  readonly oldestUnknownMs: number | null;
  readonly openConflicts: number;
  /** Why removals of rows are held back; null while they are pushed. */
  readonly heldDeletes: string | null;
};

/** Tells of each two-way stream how its pushes stand. */
export async function readPushStatus(db: Db, now: Instant): Promise<(key: StreamKey) => PushStatus> {
  const [pushes, captured, conflicts, held] = await Promise.all([
    countOpenPushes(db),
    countLocalChanges(db),
    countOpenConflicts(db),
    listHeldDeletes(db),
  ]);
  const age = (at: Instant): number => Math.max(0, Math.round((now - at) / 1_000));
  return (key) => {
    const isMine = (one: StreamKey): boolean => one.integration === key.integration && one.entity === key.entity;
    const open = pushes.find(isMine);
    const edits = captured.find(isMine);
    const waits = [open?.oldestReadyAt, edits?.oldestAt].flatMap((at) => (at == null ? [] : [age(at)]));
    return {
      editsCaptured: edits?.edits ?? 0,
      ready: open?.ready ?? 0,
      calling: open?.calling ?? 0,
      unknown: open?.unknown ?? 0,
      parked: open?.parked ?? 0,
      oldestWaitMs: waits.length === 0 ? null : Math.max(...waits),
      oldestUnknownMs: open?.oldestUnknownAt == null ? null : age(open.oldestUnknownAt),
      openConflicts: conflicts.find(isMine)?.open ?? 0,
      heldDeletes: held.find(isMine)?.reason ?? null,
    };
  };
}

/** What keeps the way out from being healthy, in words that a person can act on. */
export function pushReasons(status: PushStatus, isPaused: boolean): string[] {
  const reasons: string[] = [];
  const { parked, unknown, oldestUnknownMs, oldestWaitMs, openConflicts, heldDeletes } = status;
  if (heldDeletes !== null) reasons.push(`removals of rows are held back: ${heldDeletes}; release or discard them`);
  if (parked > 0) reasons.push(`${parked} pushes wait for a person`);
  if (openConflicts > 0) reasons.push(`${openConflicts} conflicts wait for a person`);
  if (isPaused) return reasons;
  if ((oldestUnknownMs ?? 0) > MAX_UNKNOWN_MS) {
    const minutes = Math.round((oldestUnknownMs ?? 0) / 60_000);
    reasons.push(`whether the source has carried out ${unknown} pushes is unknown, of one for ${minutes} min`);
  }
  if ((oldestWaitMs ?? 0) > MAX_WAIT_MS) reasons.push('edits wait too long to be pushed');
  return reasons;
}
