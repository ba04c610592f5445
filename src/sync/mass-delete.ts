import { addMs } from '../model/instant.ts';
import type { PushDeps } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';

/** Removals count together for so long: a mass of them may come in many transactions, or requests. */
const REMOVALS_WINDOW_MS = 600_000;

type BrakeDeps = Pick<PushDeps, 'stream' | 'log'>;
/** `holding`: this very count began to hold removals back. */
type Brake = 'free' | 'holding' | 'held';

/**
 * Holds all removals of the stream back, until a person says whether they were meant, where `removals` more within the last
 * minutes are too many. Of two that count at once the second waits, and counts those of the first.
 */
export async function brakeRemovals(tx: RecordTx, deps: BrakeDeps, removals: number): Promise<Brake> {
  const { isHeld, releasedAt } = await tx.lockDeleteHold();
  if (isHeld) return 'held';
  const { minimum, maxShare } = deps.stream.twoWay.massDelete;
  // Those that a person has released were looked at, however many they are.
  const since = Math.max(addMs(await tx.now(), -REMOVALS_WINDOW_MS), releasedAt ?? 0);
  const recent = removals + (await tx.countRemovals(since));
  if (recent <= minimum || recent <= maxShare * (await tx.countLive())) return 'free';
  await hold(tx, deps, `${recent} rows were removed within ${REMOVALS_WINDOW_MS / 60_000} min`);
  return 'holding';
}

/** The table was emptied: all removals are held back, however few rows it had. @returns whether they were not before. */
export async function holdEmptied(tx: RecordTx, deps: BrakeDeps): Promise<boolean> {
  if ((await tx.lockDeleteHold()).isHeld) return false;
  await hold(tx, deps, 'the table was emptied');
  return true;
}

async function hold(tx: RecordTx, { stream, log }: BrakeDeps, reason: string): Promise<void> {
  await tx.holdDeletes(reason);
  log.warn({ ...stream.key }, 'removals of rows are held back: so many at once');
}
