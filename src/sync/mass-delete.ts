import { addMs, type Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import type { Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { DeleteHold } from '../store/streams.ts';
import type { PushDeps } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';
import type { TwoWay } from './two-way.ts';

/** Removals count together for so long: a mass of them may come in many transactions, requests or pages. */
const REMOVALS_WINDOW_MS = 600_000;
/** Most rows of a small table are more than half of them, and more than these. */
const FEW = 5;
const MOST_SHARE = 0.5;

export type BrakeDeps = {
  readonly stream: Partial<Pick<Stream, 'key'>> & { readonly twoWay: Pick<TwoWay, 'massDelete' | 'localDeletes'> };
  /** Without it, status tells. */
  readonly log?: Pick<PushDeps['log'], 'warn'>;
};
/** `holding`: this very count began to hold removals back. */
export type Brake = 'free' | 'holding' | 'held';

/** Removals that are about to become pushes. */
export type Removals = {
  readonly count: number;
  /**
   * `told`: by a trigger or a request. `met`: a row that was looked at is gone; a trigger may have told that too. `audited`:
   * that the rows are not there is all that is known, and perhaps nobody removed one.
   */
  readonly found: 'told' | 'met' | 'audited';
};

/**
 * The brake on removals, however they were found out: asked before they are planned, in the same transaction, its record
 * states locked. Holds all removals of the stream back, until a person says whether they were meant, where too many came
 * within the last minutes, or where too many rows are missing at once: more than `massDelete` allows, or most of a small
 * table. Of two that count at once the second waits, and counts those of the first.
 */
export async function brakeRemovals(tx: RecordTx, deps: BrakeDeps, removals: Removals): Promise<Brake> {
  if (removals.count === 0) return 'free';
  const { isHeld, releasedAt } = await tx.lockDeleteHold();
  if (isHeld) return 'held';
  // Those that a person has released were looked at, however many they are.
  const since = Math.max(addMs(await tx.now(), -REMOVALS_WINDOW_MS), releasedAt ?? 0);
  const reason = await whyHold(tx, deps, removals, since);
  if (reason === null) return 'free';
  await hold(tx, deps, reason);
  return 'holding';
}

async function whyHold(
  tx: RecordTx,
  { stream: { twoWay } }: BrakeDeps,
  { count, found }: Removals,
  since: Instant,
): Promise<string | null> {
  const { minimum, maxShare } = twoWay.massDelete;
  const live = await tx.countLive();
  const allowed = Math.max(minimum, maxShare * live);
  const recent = count + (await tx.countRemovals(since));
  if (recent > allowed) return `${recent} rows were removed within ${REMOVALS_WINDOW_MS / 60_000} min`;
  // Which rows are missing costs a look at every record: it is asked where these removals can be some of many more.
  const isPartOfMore = found !== 'told' || count > minimum || live <= 2 * minimum;
  // Rows that are detached stay missing.
  if (!isPartOfMore || twoWay.localDeletes === 'detach') return null;
  const most = Math.min(allowed, Math.max(FEW, Math.max(MOST_SHARE, maxShare) * live));
  const missing = await tx.countMissing({ since, atMost: Math.floor(most) + 1 });
  if (missing > most) return `more than ${Math.floor(most)} rows of ${live} are missing at once`;
  return found === 'audited' && missing >= live ? EMPTIED : null;
}

/**
 * The brake where due pushes turn out to be removals, though they were not planned as such: those count only now. Records and
 * rows are locked, pushes not yet.
 */
export async function brakeUncounted(
  tx: RecordTx,
  deps: BrakeDeps,
  due: readonly Push[],
  look: (targetKey: string) => { readonly row: Content | null; readonly state: RecordState | null },
): Promise<Brake> {
  const uncounted = due.filter(({ op, targetKey }) => {
    const { row, state } = look(targetKey);
    return op !== 'delete' && row === null && state?.status === 'live' && state.shadow !== null;
  });
  return await brakeRemovals(tx, deps, { count: uncounted.length, found: 'met' });
}

/**
 * How removals that are claimed are held back; asked before pushes are locked, as where they are planned. Where they are, it
 * stays so until the transaction ends: what is parked for it is there for whoever lifts it.
 */
export async function readHold(tx: RecordTx): Promise<DeleteHold> {
  const hold = await tx.deleteHold();
  return hold.isHeld ? await tx.lockDeleteHold() : hold;
}

/** The table was emptied: all removals are held back, however few rows it had. @returns whether they were not before. */
export async function holdEmptied(tx: RecordTx, deps: BrakeDeps): Promise<boolean> {
  if ((await tx.lockDeleteHold()).isHeld) return false;
  await hold(tx, deps, EMPTIED);
  return true;
}

const EMPTIED = 'the table was emptied';

async function hold(tx: RecordTx, { stream, log }: BrakeDeps, reason: string): Promise<void> {
  await tx.holdDeletes(reason);
  log?.warn({ ...stream.key }, 'removals of rows are held back: so many at once');
}
