import { type Commit, type HostileSource, type Random, wait } from 'syncline/testing';
import { createActions } from './actions.ts';
import type { Shop } from './shop.ts';

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
  readonly source: HostileSource;
  readonly shop: Shop;
  readonly random: Random;
};

type Run = { readonly kind: 'running' | 'driving'; readonly stop: AbortController; readonly ended: Promise<void> };

const SLICE_MS = 20;
const MAX_ACTIONS_AT_ONCE = 200;

export function createGenerator({ source, shop, random }: GeneratorDeps): Generator {
  const { counters, settings } = source;
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
    const act = createActions({ source, shop, random, commit });
    let made = 0;
    let allowance = 1;
    while (made < changes && !signal.aborted) {
      const before = made;
      for (let actions = 0; actions < MAX_ACTIONS_AT_ONCE; actions++) {
        if (made >= changes || made - before >= Math.floor(allowance) || !source.hasRoom()) break; // deliveries must not pile up
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
