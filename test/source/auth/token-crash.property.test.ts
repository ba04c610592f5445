import fc from 'fast-check';
import { test } from 'tap';
import { instantFromMs } from '../../../src/model/instant.ts';
import type { AuthDeps } from '../../../src/source/auth/authenticator.ts';
import { createTokenCache, type TokenCache } from '../../../src/source/auth/token-cache.ts';
import { createMemoryTokenStore, type TokenStore } from '../../../src/source/auth/token-store.ts';
import { SourceError } from '../../../src/source/error.ts';
import { collectLog, never, START_MS } from '../setup.ts';
import { createRotatingProvider, type RotatingProvider } from './rotating-provider.ts';

const RUNS = 400;
const ROUNDS = 3;
const LIFE_S = 3_600;
const MAX_STEPS = 5_000;

/** The process ends at its n-th step: before it is done, or when it is done and the process has not heard of it. */
type Crash = { readonly step: number; readonly position: 'before' | 'after' };
type Outcome =
  | { readonly kind: 'token'; readonly isGood: boolean }
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Two processes on one store. Every step of each waits for the scheduler, which mixes them; time passes only while all
 * wait for time, so that a process which lives is never slower than its lease.
 */
function createWorld(scheduler: fc.Scheduler) {
  const clock = { nowMs: START_MS };
  const provider: RotatingProvider = createRotatingProvider({ expiresInS: LIFE_S });
  const store = createMemoryTokenStore(() => clock.nowMs);
  const sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
  const counts = { grants: 0, mostGrants: 0, crashes: 0 };

  function startProcess(crash: Crash | null, onCrash: () => void): TokenCache {
    let steps = 0;
    let isDead = false;
    const die = () => {
      isDead = true;
      counts.crashes += 1;
      onCrash();
      return new Promise<never>(() => {});
    };
    async function step<T>(label: string, run: () => Promise<T>): Promise<T> {
      if (isDead) return new Promise<never>(() => {});
      const isLast = crash !== null && steps++ === crash.step;
      await scheduler.schedule(Promise.resolve(), label);
      if (isLast && crash.position === 'before') return die();
      const result = await run().then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      await scheduler.schedule(Promise.resolve(), `${label}, done`);
      if (isLast) return die();
      if ('error' in result) throw result.error;
      return result.value;
    }
    const tokens: TokenStore = {
      read: (...parameters) => step('read', () => store.read(...parameters)),
      acquire: (...parameters) => step('acquire', () => store.acquire(...parameters)),
      noteUse: (...parameters) => step('note', () => store.noteUse(...parameters)),
      save: (...parameters) => step('save', () => store.save(...parameters)),
      release: (...parameters) => step('release', () => store.release(...parameters)),
    };
    const deps: AuthDeps = {
      name: 'crm',
      now: async () => instantFromMs(clock.nowMs),
      nowMs: () => clock.nowMs,
      random: () => 0.5,
      sleep: (ms) => new Promise((wake) => sleepers.push({ atMs: clock.nowMs + ms, wake })),
      tokens,
      log: collectLog([]),
    };
    return createTokenCache(
      deps,
      (refreshToken) =>
        step('grant', async () => {
          counts.grants += 1;
          counts.mostGrants = Math.max(counts.mostGrants, counts.grants);
          try {
            await scheduler.schedule(Promise.resolve(), 'the source');
            return provider.present(refreshToken);
          } finally {
            counts.grants -= 1;
          }
        }),
      { basis: 'authorization' },
    );
  }

  /** Runs everything until nothing moves any more. */
  async function runAll(): Promise<void> {
    for (let step = 0; step < MAX_STEPS; step++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (scheduler.count() > 0) {
        await scheduler.waitOne();
        continue;
      }
      sleepers.sort((left, right) => left.atMs - right.atMs);
      const next = sleepers.shift();
      if (next === undefined) return;
      clock.nowMs = Math.max(clock.nowMs, next.atMs);
      next.wake();
    }
    throw new Error('It does not come to an end');
  }

  /** What a call ends with; null when its process ended first. */
  async function ask(cache: TokenCache, crashed: Promise<null>): Promise<Outcome | null> {
    const got = Promise.resolve(cache.get(never())).then(
      (token): Outcome => ({ kind: 'token', isGood: provider.isGood(token) }),
      (error: unknown): Outcome => {
        if (error instanceof SourceError && error.code === 'unauthorized')
          return { kind: 'refused', message: error.message };
        throw error;
      },
    );
    return Promise.race([got, crashed]);
  }

  return { clock, provider, store, counts, startProcess, runAll, ask };
}

const crashArbitrary = fc.option(
  fc.record({ step: fc.nat({ max: 14 }), position: fc.constantFrom('before' as const, 'after' as const) }),
);

test('however two processes mix and end, a refresh token is used by one at a time, and is never lost in silence', async (t) => {
  let reported = 0;
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), crashArbitrary, crashArbitrary, async (scheduler, first, second) => {
      const world = createWorld(scheduler);
      const { provider, counts, clock } = world;
      const granted = provider.authorize();
      await world.store.save('crm', {
        lease: null,
        generation: 0,
        tokens: {
          accessToken: granted.accessToken,
          requestedAt: instantFromMs(clock.nowMs - LIFE_S * 1_000),
          lifetimeMs: LIFE_S * 1_000,
          scope: null,
          refreshToken: granted.refreshToken,
          spares: [],
          family: 'one',
          seeds: [],
          refused: null,
        },
      });
      const outcomes: (Outcome | null)[] = [];
      const live = async (crash: Crash | null) => {
        let fell = () => {};
        const crashed = new Promise<null>((resolve) => {
          fell = () => resolve(null);
        });
        let cache = world.startProcess(crash, () => fell());
        for (let round = 0; round < ROUNDS; round++) {
          const outcome = await world.ask(cache, crashed);
          outcomes.push(outcome);
          // A supervisor starts it again.
          if (outcome === null) cache = world.startProcess(null, () => {});
        }
      };
      const lives = [live(first), live(second)];
      await world.runAll();
      await Promise.all(lives);
      clock.nowMs += LIFE_S * 1_000;
      const last = world.ask(
        world.startProcess(null, () => {}),
        new Promise<null>(() => {}),
      );
      await world.runAll();
      const end = await last;

      const reused = provider.reused();
      if (counts.mostGrants > 1) throw new Error('two grants at a time');
      if (reused > counts.crashes) throw new Error(`${reused} used again after ${counts.crashes} crashes`);
      for (const outcome of [...outcomes, end]) {
        if (outcome?.kind === 'token' && !outcome.isGood && counts.crashes === 0)
          throw new Error('a dead token was given');
        if (outcome?.kind !== 'refused') continue;
        if (counts.crashes === 0) throw new Error(`refused without a crash: ${outcome.message}`);
        if (!/answer to a refresh was lost.*authorize again at GET \/oauth\/crm\/start/.test(outcome.message))
          throw new Error(`not told: ${outcome.message}`);
        reported += 1;
      }
      if (end === null || (end.kind === 'token') !== (provider.live() !== null)) throw new Error('the end is another');
    }),
    { numRuns: RUNS },
  );
  // Else the crash between answer and store would not have been among them.
  t.ok(reported > 0);
});
