import { createActions } from './actions.ts';
import type { Counters } from './counters.ts';
import type { Commit } from './ledger.ts';
import type { Random } from './random.ts';
import type { Settings } from './settings.ts';
import type { Shop } from './shop.ts';
import type { ShopClock } from './shop-clock.ts';
import { wait } from './wait.ts';

/** Makes the shop live: records come, change and go at the rate of `changesPerSecond`. One run at a time. */
export type Generator = {
  state(): 'running' | 'driving' | 'paused';
  /** Runs until paused. @returns false when it is driving. */
  run(): boolean;
  /** Makes at least so many changes (some come in twos and threes) and ends when all are visible. @returns false when it was running or driving. */
  drive(changes: number): Promise<boolean>;
  /** Stops the present run or drive; ends when what was stamped is visible. */
  pause(): Promise<void>;
};

export type GeneratorDeps = {
  readonly shop: Shop;
  readonly clock: ShopClock;
  readonly random: Random;
  readonly counters: Counters;
  readonly settings: () => Settings;
  /** Whether more changes may be announced; when not, the generator rests, so that deliveries cannot pile up. */
  readonly hasRoom: () => boolean;
};

type Run = { readonly kind: 'running' | 'driving'; readonly stop: AbortController; readonly ended: Promise<void> };

const SLICE_MS = 20;
const MAX_ACTIONS_AT_ONCE = 200;

export function createGenerator({ shop, clock, random, counters, settings, hasRoom }: GeneratorDeps): Generator {
  let current: Run | null = null;

  const makeChanges = async (changes: number, signal: AbortSignal) => {
    const late = new Set<Promise<void>>();
    const commit = (ready: Commit) => {
      if (!random.chance(settings().lateCommit)) return ready();
      counters.changes.committedLate++;
      const visible = wait(random.whole(0, settings().lateCommitMaxMs), signal).then(() => {
        late.delete(visible);
        ready();
      });
      late.add(visible);
    };
    const act = createActions({ shop, clock, random, counters, commit });
    let made = 0;
    let allowance = 1;
    while (made < changes && !signal.aborted) {
      const before = made;
      for (let actions = 0; actions < MAX_ACTIONS_AT_ONCE; actions++) {
        if (made >= changes || made - before >= Math.floor(allowance) || !hasRoom()) break;
        made += act();
      }
      const earned = (settings().changesPerSecond * SLICE_MS) / 1_000;
      allowance = Math.min(allowance - (made - before) + earned, MAX_ACTIONS_AT_ONCE);
      if (made < changes) await wait(SLICE_MS, signal);
    }
    await Promise.all(late);
  };
  const start = (kind: Run['kind'], changes: number): Run => {
    const stop = new AbortController();
    const ended = makeChanges(changes, stop.signal).finally(() => {
      if (current === run) current = null;
    });
    const run: Run = { kind, stop, ended };
    current = run;
    return run;
  };

  return {
    state: () => current?.kind ?? 'paused',
    run() {
      if (current === null) start('running', Number.POSITIVE_INFINITY);
      return current?.kind === 'running';
    },
    async drive(changes) {
      if (current !== null) return false;
      await start('driving', changes).ended;
      return true;
    },
    async pause() {
      current?.stop.abort();
      await current?.ended;
    },
  };
}
