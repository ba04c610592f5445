import { setTimeout as wait } from 'node:timers/promises';
import type { Order } from '../model/push.ts';
import type { PushFate } from './finish-push.ts';
import { beginPushes } from './push.ts';
import type { PushDeps } from './push-deps.ts';

export type PumpOptions = {
  /** Requests under way at the same time, at most. */
  readonly slots: number;
  /** While some are under way and slots are free, due pushes are looked for this often, in ms. */
  readonly pollMs: number;
  readonly order: Order;
  /** Nothing is begun any more once it fires; what is under way is waited for. */
  readonly stopping: AbortSignal;
  /** Cuts off what is under way. */
  readonly cutOff: AbortSignal;
};

/**
 * Pushes of a stream until none is due and none under way. A slot is free again as soon as its own request is answered: a
 * slow answer holds up no other. Throws what went wrong unexpectedly, once nothing is under way any more.
 */
export async function pumpPushes(deps: PushDeps, options: PumpOptions): Promise<void> {
  const { slots, pollMs, order, stopping, cutOff } = options;
  const underWay = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let hasMore = true;
  let isPollDue = false;
  const follow = (call: Promise<PushFate>): void => {
    const ended: Promise<void> = call
      .then(
        // Those that could not be sent wait for their time: only what went on is worth another look at once.
        (fate) => {
          if (fate.kind === 'settled') hasMore = true;
        },
        (error: unknown) => void failures.push(error),
      )
      .finally(() => underWay.delete(ended));
    underWay.add(ended);
  };
  const begin = async (free: number): Promise<void> => {
    isPollDue = false;
    const { looked, calls } = await beginPushes(deps, free, cutOff, order);
    hasMore = looked >= free;
    for (const call of calls) follow(call);
  };
  for (;;) {
    const free = slots - underWay.size;
    // Claimed many at a time where many are answered at about the same time.
    const mayBegin =
      failures.length === 0 && !stopping.aborted && (isPollDue ? free > 0 : hasMore && free * 2 >= slots);
    if (mayBegin) await begin(free).catch((error: unknown) => void failures.push(error));
    else if (underWay.size === 0) break;
    else isPollDue = await nothingEnds(underWay, pollMs);
  }
  if (failures.length > 0) throw failures[0];
}

/** Waits until one of them ends, or for `ms`: then true. */
async function nothingEnds(underWay: ReadonlySet<Promise<void>>, ms: number): Promise<boolean> {
  const over = new AbortController();
  const inTime = wait(ms, true, { signal: over.signal }).catch(() => false);
  const isOver = await Promise.race([...[...underWay].map((one) => one.then(() => false)), inTime]);
  over.abort();
  return isOver;
}
