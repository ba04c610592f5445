import { SourceError } from '../error.ts';
import { LANES } from '../lane.ts';
import type { Ask } from './budget.ts';
import type { Permit } from './limiter.ts';

/** A caller in the queue. */
export type Waiting = Ask & {
  /** When a limit refused it first, by the ledger's clock. */
  refusedAtMs: number | null;
  /** Holds that it has waited for. */
  holds: number;
};

/** Callers who wait for leave, by lane, in the order of asking within one. As long as there are callers. */
export function createQueue() {
  const lanes = LANES.map(() => new Map<string, { waiting: Waiting; settle: Settle }>());
  const laneOf = (ask: Ask) => lanes[LANES.indexOf(ask.lane)];

  const take = (ask: Ask): Settle | null => {
    const entry = laneOf(ask)?.get(ask.id);
    laneOf(ask)?.delete(ask.id);
    return entry?.settle ?? null;
  };
  const all = (): Waiting[] => lanes.flatMap((lane) => Array.from(lane.values(), ({ waiting }) => waiting));

  return {
    /** Resolves with the permit; rejects with `aborted` as soon as the signal fires, after which `onGone` is called. */
    add(ask: Ask, signal: AbortSignal, onGone: () => void): Promise<Permit> {
      const aborted = () => new SourceError('aborted', `${ask.endpoint}: aborted`);
      if (signal.aborted) return Promise.reject(aborted());
      return new Promise((resolve, reject) => {
        const giveUp = () => {
          take(ask)?.reject(aborted());
          onGone();
        };
        const over = () => signal.removeEventListener('abort', giveUp);
        signal.addEventListener('abort', giveUp, { once: true });
        laneOf(ask)?.set(ask.id, {
          waiting: { ...ask, refusedAtMs: null, holds: 0 },
          settle: {
            resolve(permit) {
              over();
              resolve(permit);
            },
            reject(error) {
              over();
              reject(error);
            },
          },
        });
      });
    },
    /** The first `max` callers, higher lanes first. */
    first(max: number): Waiting[] {
      const found: Waiting[] = [];
      for (const lane of lanes) {
        for (const { waiting } of lane.values()) {
          if (found.length >= max) return found;
          found.push(waiting);
        }
      }
      return found;
    },
    all,
    /** @returns false when the caller has gone. */
    grant(ask: Ask, permit: Permit): boolean {
      const settle = take(ask);
      settle?.resolve(permit);
      return settle !== null;
    },
    refuse(ask: Ask, why: string, retryAfterMs: number): void {
      take(ask)?.reject(new SourceError('rate_limited', `${ask.endpoint}: not sent, ${why}`, { retryAfterMs }));
    },
    rejectAll(error: unknown): void {
      for (const ask of all()) take(ask)?.reject(error);
    },
    size: (): number => lanes.reduce((sum, lane) => sum + lane.size, 0),
  };
}

type Settle = { readonly resolve: (permit: Permit) => void; readonly reject: (error: unknown) => void };
