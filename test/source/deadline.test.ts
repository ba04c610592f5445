import { test } from 'tap';
import { runWithin, type Stop } from '../../src/source/deadline.ts';
import { never } from './setup.ts';

const A_MINUTE_MS = 60_000;
const forever = () => new Promise<never>(() => {});

test('what ends in time gives its value, and its error passes through', async (t) => {
  t.same(await runWithin(A_MINUTE_MS, never(), async () => 7), { kind: 'done', value: 7 });
  await t.rejects(
    runWithin(A_MINUTE_MS, never(), () => Promise.reject(new RangeError('x'))),
    { name: 'RangeError' },
  );
});

test('a deadline ends the wait for something that never notices it', async (t) => {
  let given: Stop | undefined;
  const ended = await runWithin(5, never(), (stop) => {
    given = stop;
    return forever();
  });
  t.same(ended, { kind: 'deadline' });
  t.equal(given?.isStopped(), true);
});

test('a signal ends the wait for something that never notices it', async (t) => {
  const controller = new AbortController();
  const running = runWithin(A_MINUTE_MS, controller.signal, forever);
  controller.abort();
  t.same(await running, { kind: 'aborted' });
  t.same(await runWithin(A_MINUTE_MS, AbortSignal.abort(), () => Promise.reject(new Error('was run'))), {
    kind: 'aborted',
  });
});

test('an error after the end is dropped', async (t) => {
  const controller = new AbortController();
  const running = runWithin(
    A_MINUTE_MS,
    controller.signal,
    ({ emitter }) => new Promise((_resolve, reject) => emitter.once('abort', () => reject(new Error('late')))),
  );
  controller.abort();
  t.same(await running, { kind: 'aborted' });
});
