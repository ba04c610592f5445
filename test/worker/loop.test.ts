import { test } from 'tap';
import { type LoopOptions, startLoop } from '../../src/worker/loop.ts';

type Line = { readonly level: string; readonly message: string };

/** A loop whose passes end when the test says so. */
function gatedLoop(over: Partial<LoopOptions> = {}) {
  const lines: Line[] = [];
  const write = (level: string) => (_fields: object, message: string) => void lines.push({ level, message });
  const passes: {
    readonly signal: AbortSignal;
    readonly end: (hasMore: boolean) => void;
    readonly fail: () => void;
  }[] = [];
  const waiters = new Set<() => void>();
  const loop = startLoop({
    name: 'test',
    pollMs: 60_000,
    maxBackoffMs: 60_000,
    runOnce: (signal) =>
      new Promise((resolve, reject) => {
        passes.push({ signal, end: resolve, fail: () => reject(new Error('broken')) });
        for (const check of waiters) check();
      }),
    random: () => 0,
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    ...over,
  });
  return {
    loop,
    lines,
    passes,
    /** Resolves once the pass of this number (from 1) has begun. */
    begun: (count: number) =>
      new Promise<void>((resolve) => {
        const check = () => {
          if (passes.length < count) return;
          waiters.delete(check);
          resolve();
        };
        waiters.add(check);
        check();
      }),
  };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('passes follow each other at once while there is more, and then wait', async (t) => {
  const { loop, passes, begun } = gatedLoop();
  passes[0]?.end(true);
  await begun(2);
  passes[1]?.end(true);
  await begun(3);
  passes[2]?.end(false);
  await turn();
  t.equal(passes.length, 3);
  await loop.stop();
});

test('a wake during a pass brings one more pass, however many wakes there were', async (t) => {
  const { loop, passes, begun } = gatedLoop();
  loop.wake();
  loop.wake();
  loop.wake();
  passes[0]?.end(false);
  await begun(2);
  passes[1]?.end(false);
  await turn();
  t.equal(passes.length, 2);
  await loop.stop();
});

test('a wake ends the wait between passes', async (t) => {
  const { loop, passes, begun } = gatedLoop();
  passes[0]?.end(false);
  await turn();
  t.equal(passes.length, 1);
  loop.wake();
  await begun(2);
  passes[1]?.end(false);
  await loop.stop();
});

test('without a wake the next pass comes after the poll time', async (t) => {
  const { loop, passes, begun } = gatedLoop({ pollMs: 1 });
  passes[0]?.end(false);
  await begun(2);
  passes[1]?.end(false);
  await loop.stop();
  t.ok(passes.length >= 2);
});

test('a pass that throws is logged, waits although it is woken, and the loop recovers', async (t) => {
  const { loop, passes, lines, begun } = gatedLoop({ pollMs: 1, maxBackoffMs: 5 });
  passes[0]?.fail();
  await begun(2);
  passes[1]?.fail();
  await begun(3);
  t.same(lines, [{ level: 'warn', message: 'pass failed' }], 'once, not at every failure');
  passes[2]?.end(false);
  await begun(4);
  t.same(lines.at(-1), { level: 'info', message: 'recovered' });
  passes[3]?.end(false);
  await loop.stop();
});

test('waits after failures grow, up to their bound, and a wake does not cut them short', async (t) => {
  const { loop, passes, begun } = gatedLoop({ pollMs: 60_000 });
  passes[0]?.fail();
  await turn();
  loop.wake();
  await turn();
  t.equal(passes.length, 1);
  await loop.stop();
  await begun(1);
});

test('a stop fires the pass’s signal and resolves only when that pass has ended', async (t) => {
  const { loop, passes } = gatedLoop();
  let isStopped = false;
  const stopping = loop.stop().then(() => {
    isStopped = true;
  });
  await turn();
  t.equal(passes[0]?.signal.aborted, true);
  t.equal(isStopped, false);
  passes[0]?.end(true);
  await stopping;
  await turn();
  t.equal(passes.length, 1, 'nothing is begun after a stop');
});

test('a stop ends any wait at once, and may be called twice', async (t) => {
  const waiting = gatedLoop();
  waiting.passes[0]?.end(false);
  await turn();
  await waiting.loop.stop();
  await waiting.loop.stop();
  const failing = gatedLoop();
  failing.passes[0]?.fail();
  await turn();
  await failing.loop.stop();
  t.equal(failing.passes.length, 1);
});
