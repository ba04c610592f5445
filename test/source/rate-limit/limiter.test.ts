import { mock } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import type { Lane } from '../../../src/source/lane.ts';
import { createLimiter } from '../../../src/source/rate-limit/create-limiter.ts';
import { prepareRateLimits, type RateLimitDefinition } from '../../../src/source/rate-limit/definition.ts';
import { createMemoryLedger, type Ledger } from '../../../src/source/rate-limit/ledger.ts';
import type { Limiter, Permit } from '../../../src/source/rate-limit/limiter.ts';
import { collectLog, failure, never, START_MS } from '../setup.ts';

const answer = (headers: Record<string, string> = {}) => ({ status: 200, headers, body: null });

/** Processes that share one ledger and one clock, which moves on by their waits. */
function setup(t: Test, limits: readonly RateLimitDefinition[], options: { sleep?: typeof sleepForEver } = {}) {
  const clock = { nowMs: START_MS };
  const memory = createMemoryLedger(() => clock.nowMs);
  const used = { updates: 0, reads: 0 };
  const ledger: Ledger = {
    update(decide) {
      used.updates += 1;
      return memory.update((kept, nowMs) => {
        const { keep, result } = decide(kept, nowMs);
        return { keep: JSON.parse(JSON.stringify(keep)), result };
      });
    },
    read() {
      used.reads += 1;
      return memory.read();
    },
  };
  const start = (maxInFlight = 4, own: { nowMs?: () => number; learns?: boolean } = {}): Limiter => {
    const limiter = createLimiter({
      sourceName: 'shop',
      ledger,
      limits: prepareRateLimits(limits),
      learns: own.learns ?? true,
      attemptMs: 1_000,
      maxInFlight,
      nowMs: own.nowMs ?? (() => clock.nowMs),
      monotonicMs: () => clock.nowMs,
      sleep:
        options.sleep ??
        (async (ms) => {
          clock.nowMs += ms;
        }),
      log: collectLog([]),
    });
    t.teardown(() => limiter.close());
    return limiter;
  };
  return { clock, used, start };
}

const sleepForEver = (_ms: number, signal: AbortSignal): Promise<void> =>
  wait(60_000, undefined, { signal, ref: false });

const ask = (limiter: Limiter, lane: Lane = 'urgent', endpoint = 'GET /things', signal = never()): Promise<Permit> =>
  limiter.acquire({ endpoint, lane, signal });

test('what goes over the budget waits for the window to move on, in every process', async (t) => {
  const { clock, start } = setup(t, [{ requests: 3, per: '1s' }]);
  const [one, other] = [start(), start()];
  for (const limiter of [one, other, one]) (await ask(limiter)).finish(answer());
  t.equal(clock.nowMs, START_MS);
  (await ask(other)).finish(answer());
  t.ok(clock.nowMs >= START_MS + 1_000, 'not before a second is over');
  t.ok(clock.nowMs <= START_MS + 1_100);
});

test('a wait over a minute is not slept on', async (t) => {
  const { start } = setup(t, [{ name: 'hourly', requests: 1, per: '1h' }], { sleep: sleepForEver });
  const limiter = start();
  (await ask(limiter)).finish(answer());
  const error = await failure(ask(limiter));
  t.match(error, { code: 'rate_limited', message: /GET \/things: not sent, .*hourly/ });
  t.ok((error.retryAfterMs ?? 0) >= 3_600_000);
});

test('an abort ends the wait at once, and what was asked for is not used', async (t) => {
  const { start, clock } = setup(t, [{ requests: 1, per: '10s' }], { sleep: sleepForEver });
  const limiter = start();
  (await ask(limiter)).finish(answer());
  const controller = new AbortController();
  const waiting = failure(ask(limiter, 'urgent', 'GET /things', controller.signal));
  await wait(20);
  controller.abort();
  t.match(await waiting, { code: 'aborted' });
  clock.nowMs += 11_000;
  (await ask(limiter)).finish(answer());
  t.match(await limiter.rows(), [{ name: 'all requests', origin: 'declared', limit: 1, used: 1 }]);
});

test('higher lanes go first, each in the order of asking', async (t) => {
  const { start } = setup(t, []);
  const limiter = start(1);
  const first = await ask(limiter);
  const order: string[] = [];
  const lanes: Lane[] = ['full', 'incremental', 'full', 'urgent', 'urgent'];
  const done = lanes.map(async (lane, index) => {
    const permit = await ask(limiter, lane);
    order.push(`${lane} ${index}`);
    permit.finish(answer());
  });
  first.finish(answer());
  await Promise.all(done);
  t.same(order, ['urgent 3', 'urgent 4', 'incremental 1', 'full 0', 'full 2']);
});

test('a lower lane leaves a share to one that has asked, and takes all when none has', async (t) => {
  const { start } = setup(t, [{ requests: 10, per: '30s' }], { sleep: sleepForEver });
  const limiter = start(64);
  const granted = async (count: number, lane: Lane) => {
    let permits = 0;
    for (let index = 0; index < count; index++) {
      void ask(limiter, lane).then(
        (permit) => {
          permits += 1;
          permit.finish(answer());
        },
        () => {},
      );
    }
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    await wait(5);
    return permits;
  };
  t.equal(await granted(1, 'urgent'), 1);
  t.equal(await granted(12, 'full'), 8, 'one more is kept for urgent requests, of whose share one is used');
  t.equal(await granted(1, 'urgent'), 1);
  const alone = setup(t, [{ requests: 10, per: '30s' }], { sleep: sleepForEver }).start(64);
  const permits = await Promise.all(Array.from({ length: 10 }, () => ask(alone, 'full')));
  t.equal(permits.length, 10);
});

test('attempts under way are counted over all processes', async (t) => {
  const { start, clock } = setup(t, [{ concurrent: 2 }]);
  const [one, other] = [start(), start()];
  const held = [await ask(one), await ask(other)];
  const third = ask(one);
  await wait(5);
  for (const permit of held) permit.finish(answer());
  (await third).finish(answer());
  t.ok(clock.nowMs > START_MS, 'it had to wait');
});

test('a hold is kept by the other processes, too', async (t) => {
  const { start, clock } = setup(t, []);
  const [one, other] = [start(), start()];
  one.hold(5_000);
  await t.rejects(Promise.race([one.acquire({ endpoint: 'GET /x', lane: 'full', signal: AbortSignal.abort() })]), {
    code: 'aborted',
  });
  await one.close();
  const before = clock.nowMs;
  await ask(other);
  t.equal(clock.nowMs - before, 5_000);
});

test('a limit that an answer tells of is kept until its reset, by all processes', async (t) => {
  const { start, clock } = setup(t, []);
  const [one, other] = [start(), start()];
  const told = { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '7' };
  (await ask(one)).finish(answer(told));
  await one.close();
  (await ask(other)).finish(answer());
  t.equal(clock.nowMs, START_MS + 7_000);
  t.match(await other.rows(), [{ origin: 'learned', limit: 2 }]);
});

test('an answer that was overtaken does not raise what is left', async (t) => {
  const { start, clock } = setup(t, []);
  const limiter = start();
  const told = (remaining: number) =>
    answer({ 'x-ratelimit-limit': '9', 'x-ratelimit-remaining': String(remaining), 'x-ratelimit-reset': '30' });
  (await ask(limiter)).finish(told(3));
  const [early, late] = [await ask(limiter), await ask(limiter)];
  late.finish(told(0));
  (await limiter.rows()).at(0);
  early.finish(told(8));
  (await ask(limiter)).finish(answer());
  t.ok(clock.nowMs >= START_MS + 30_000, 'it waited for the reset');
});

test('without any limit the ledger is looked at once a second, not for every request', async (t) => {
  const { start, used, clock } = setup(t, []);
  const limiter = start();
  for (let index = 0; index < 100; index++) (await ask(limiter)).finish(answer());
  t.same(used, { updates: 0, reads: 1 });
  clock.nowMs += 1_000;
  await ask(limiter);
  t.same(used, { updates: 0, reads: 2 });
});

test('callers of one moment share one update', async (t) => {
  const { start, used } = setup(t, [{ requests: 100, per: '1m' }]);
  const limiter = start(64);
  const permits = await Promise.all(Array.from({ length: 50 }, () => ask(limiter)));
  for (const permit of permits) permit.finish(answer());
  t.equal(used.updates, 1);
  await limiter.close();
  t.equal(used.updates, 2);
  t.match(await limiter.rows(), [{ used: 50 }]);
});

test('a ledger that fails is an error of those who wait, and loses nothing that has ended', async (t) => {
  const { start, clock } = setup(t, [{ requests: 1, per: '1s' }]);
  const limiter = start();
  const permit = await ask(limiter);
  permit.finish(answer());
  permit.finish(answer());
  const failing = createLimiter({
    sourceName: 'shop',
    ledger: { update: () => Promise.reject(new Error('no database')), read: () => Promise.reject(new Error('none')) },
    limits: prepareRateLimits([{ requests: 1, per: '1s' }]),
    learns: true,
    attemptMs: 1_000,
    maxInFlight: 1,
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    sleep: sleepForEver,
    log: collectLog([]),
  });
  await t.rejects(ask(failing), { message: 'no database' });
  await failing.close();
});

test('learning that is switched off ends what was learned before', async (t) => {
  const { start, clock } = setup(t, []);
  const one = start();
  const told = { 'x-ratelimit-limit': '9', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '86400' };
  (await ask(one)).finish(answer(told));
  await one.close();
  t.match(await failure(ask(start())), { code: 'rate_limited', retryAfterMs: 86_400_000 });
  const free = start(4, { learns: false });
  await ask(free);
  t.equal(clock.nowMs, START_MS);
  t.same(await free.rows(), []);
});

test('requests that weigh nothing go though others wait for room', async (t) => {
  const limit = { requests: 1, per: '30s', weights: { 'GET /free': 0 } } as const;
  const { start } = setup(t, [limit], { sleep: sleepForEver });
  const limiter = start();
  (await ask(limiter)).finish(answer());
  void ask(limiter).catch(() => {});
  await ask(limiter, 'full', 'GET /free');
  t.match(await limiter.rows(), [{ used: 1 }]);
});

test('leave that was not used is given back', async (t) => {
  const { start } = setup(t, [{ requests: 1, per: '1d' }], { sleep: sleepForEver });
  const limiter = start();
  (await ask(limiter)).giveBack();
  await ask(limiter);
});

test('a hold that is over by the clock of one process alone is waited for, and its callers are woken', async (t) => {
  const { start, clock, used } = setup(t, []);
  let aheadMs = 0;
  const limiter = start(4, { nowMs: () => clock.nowMs + aheadMs });
  limiter.hold(5_000);
  while (used.updates === 0) await wait(5);
  aheadMs = 60_000;
  limiter.hold(0);
  await ask(limiter);
  t.ok(clock.nowMs >= START_MS + 5_000, `after ${clock.nowMs - START_MS} ms`);
});

test('a hold that ends while the ledger is told of something else leaves nobody waiting', async (t) => {
  const clock = { nowMs: START_MS };
  const memory = createMemoryLedger(() => clock.nowMs);
  let onUpdate = () => {};
  const limiter = createLimiter({
    sourceName: 'shop',
    ledger: {
      ...memory,
      async update(decide) {
        const result = await memory.update(decide);
        onUpdate();
        return result;
      },
    },
    limits: [],
    learns: true,
    attemptMs: 1_000,
    maxInFlight: 1,
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    sleep: sleepForEver,
    log: collectLog([]),
  });
  t.teardown(() => limiter.close());
  limiter.hold(5_000);
  onUpdate = () => {
    clock.nowMs += 5_000;
    onUpdate = () => {};
  };
  await ask(limiter);
});

test('a ledger that never answers is an error after 30 s, and does not hold up the close', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const silent = () => new Promise<never>(() => {});
  const limiter = createLimiter({
    sourceName: 'shop',
    ledger: { update: silent, read: silent },
    limits: prepareRateLimits([{ requests: 1, per: '1s' }]),
    learns: true,
    attemptMs: 1_000,
    maxInFlight: 1,
    nowMs: () => START_MS,
    monotonicMs: () => START_MS,
    sleep: sleepForEver,
    log: collectLog([]),
  });
  const waiting = failure(ask(limiter));
  await turns();
  mock.timers.tick(30_000);
  t.match(await waiting, { code: 'rate_limited' });
  limiter.hold(1_000);
  const closed = limiter.close();
  await turns();
  mock.timers.tick(1_000);
  await closed;
});

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

test('local clocks that jump back and forth change nothing', async (t) => {
  const step = fc.record({
    process: fc.nat(1),
    jumpMs: fc.integer({ min: -3_600_000, max: 3_600_000 }),
    advanceMs: fc.nat(400),
  });
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(step, { minLength: 5, maxLength: 40 }), async (isTold, steps) => {
      const { start, clock } = setup(t, isTold ? [] : [{ requests: 3, per: '1s' }]);
      const off = [0, 0];
      const limiters = off.map((_, at) => start(4, { nowMs: () => clock.nowMs + (off[at] ?? 0) }));
      const windows = new Map<number, number>();
      const sent: number[] = [];
      for (const { jumpMs, advanceMs, ...step } of steps) {
        clock.nowMs += advanceMs;
        // Another process learns of a limit only when it is written down.
        const process = isTold ? 0 : step.process;
        const limiter = limiters[process];
        if (limiter === undefined) continue;
        const permit = await ask(limiter);
        sent.push(clock.nowMs);
        const window = Math.floor(clock.nowMs / 2_000);
        const count = (windows.get(window) ?? 0) + 1;
        windows.set(window, count);
        const told = {
          'ratelimit-limit': '3',
          'ratelimit-remaining': String(Math.max(0, 3 - count)),
          'ratelimit-reset': String(((window + 1) * 2_000 - clock.nowMs) / 1_000),
        };
        permit.finish(answer(isTold ? told : {}));
        off[process] = (off[process] ?? 0) + jumpMs;
      }
      await Promise.all(limiters.map((limiter) => limiter.close()));
      if (isTold) return Math.max(...windows.values()) <= 3;
      return sent.every((at, index) => (sent[index + 3] ?? Number.POSITIVE_INFINITY) - at >= 1_000);
    }),
    { numRuns: 60 },
  );
});
