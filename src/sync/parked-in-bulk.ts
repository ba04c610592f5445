import type { Instant } from '../model/instant.ts';
import type { NamedPush, ParkedFilter } from '../model/push.ts';
import { inOneTransaction, type Refused } from './edit.ts';
import { discardLocked, lockSubjects, type NotOperated, type OperateDeps, retryLocked } from './parked-pushes.ts';
import type { RecordTx } from './record-store.ts';

/** Pushes of one transaction: so many rows are locked at once, and no more. */
export const PAGE_PUSHES = 100;
/** Pages that one call works off; what is left is worked off by another. */
const MAX_PAGES = 50;

/**
 * `done`: pushes that were let go on, or given up. `left`: those that a person decides about one by one, or that something is
 * in the way of. `isMore`: not all were looked at.
 */
export type Operated = { readonly done: number; readonly left: number; readonly isMore: boolean };

type Options = { readonly correlationId: string; readonly stopping: AbortSignal };

/**
 * Lets the parked pushes that a filter names go on, each as `retryPush` does. Left are creates that may make a second record,
 * removals that are held back, and values of a caller. Safe to repeat. A stop ends it between two pages.
 */
export async function retryParked(deps: OperateDeps, filter: ParkedFilter, options: Options): Promise<Operated> {
  const { correlationId } = options;
  const operated = await eachParked(deps, filter, options, async (tx, named) => {
    const subjectOf = await lockSubjects(tx, keysOf(named));
    const how = { mayDuplicate: false, correlationId };
    return await tally(named, ({ id, targetKey }) => retryLocked(tx, id, subjectOf(targetKey), how));
  });
  deps.wakePushes();
  return operated;
}

/**
 * Gives up what the parked pushes that a filter names were to bring, each as `discardPush` does. Left are those with an open
 * conflict or a write under way. Safe to repeat. A stop ends it between two pages.
 */
export async function discardParked(deps: OperateDeps, filter: ParkedFilter, options: Options): Promise<Operated> {
  const { correlationId } = options;
  const operated = await eachParked(deps, filter, options, async (tx, named) => {
    const subjectOf = await lockSubjects(tx, keysOf(named));
    // One that was let go on meanwhile is not meant any more.
    const how = { from: ['parked'], correlationId } as const;
    return await tally(named, ({ id, targetKey }) => discardLocked(tx, deps, id, subjectOf(targetKey), how));
  });
  deps.wakeHints();
  return operated;
}

type Done = Omit<Operated, 'isMore'>;
const NOTHING: Done = { done: 0, left: 0 };
const sum = (one: Done, other: Done): Done => ({ done: one.done + other.done, left: one.left + other.left });

type Work = (tx: RecordTx, named: readonly NamedPush[]) => Promise<Done>;

/** Page by page, each in a transaction of its own: one that fails leaves those before it done. */
async function eachParked(
  deps: OperateDeps,
  filter: ParkedFilter,
  { stopping }: Options,
  work: Work,
): Promise<Operated> {
  let total = NOTHING;
  let after: string | null = null;
  let until: Instant | null = null;
  for (let page = 0; page < MAX_PAGES && !stopping.aborted; page++) {
    const found: Found = await find(deps, filter, { until, after });
    // What the source refuses anew meanwhile is not met again.
    until = found.until;
    after = found.named.at(-1)?.id ?? after;
    if (found.named.length > 0) total = sum(total, await workOff(deps, found.named, work));
    if (found.named.length < PAGE_PUSHES) return { ...total, isMore: false };
  }
  return { ...total, isMore: true };
}

type Found = { readonly named: readonly NamedPush[]; readonly until: Instant };

const find = (
  { store }: OperateDeps,
  filter: ParkedFilter,
  from: { readonly until: Instant | null; readonly after: string | null },
): Promise<Found> =>
  store.transaction(async (tx) => {
    const until = from.until ?? (await tx.now());
    return { named: await tx.parkedPushes(filter, { until, after: from.after, limit: PAGE_PUSHES }), until };
  });

/** Together, and where one row is in the way one by one. */
async function workOff(deps: OperateDeps, named: readonly NamedPush[], work: Work): Promise<Done> {
  const together = await inOneTransaction(deps, (tx) => work(tx, named));
  if (!('kind' in together)) return together;
  let total = NOTHING;
  for (const one of named) {
    const alone: Done | Refused = await inOneTransaction(deps, (tx) => work(tx, [one]));
    total = sum(total, 'kind' in alone ? { done: 0, left: 1 } : alone);
  }
  return total;
}

/** One that is not parked any more, by somebody else's word, counts as neither. */
async function tally(
  named: readonly NamedPush[],
  operate: (one: NamedPush) => Promise<{ readonly kind: 'retried' | 'discarded' } | NotOperated>,
): Promise<Done> {
  let [done, left] = [0, 0];
  for (const one of named) {
    const operated = await operate(one);
    if (operated.kind === 'retried' || operated.kind === 'discarded') done += 1;
    else if (operated.kind !== 'no_push' && !(operated.kind === 'not_now' && operated.state !== 'parked')) left += 1;
  }
  return { done, left };
}

const keysOf = (named: readonly NamedPush[]): string[] => named.map(({ targetKey }) => targetKey);
