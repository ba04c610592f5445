import fc from 'fast-check';
import { test } from 'tap';
import { createSlots, type Release } from '../../src/source/slots.ts';
import { never } from './setup.ts';

test('slots are given in the order of asking', async (t) => {
  const slots = createSlots(1);
  const order: string[] = [];
  const first = await slots.acquire(never());
  const waiting = ['a', 'b', 'c'].map(async (name) => {
    const release = await slots.acquire(never());
    order.push(name);
    release?.();
  });
  t.same(order, []);
  first?.();
  await Promise.all(waiting);
  t.same(order, ['a', 'b', 'c']);
});

test('who gives up gets no slot and takes none from the others', async (t) => {
  const slots = createSlots(1);
  const held = await slots.acquire(never());
  const controller = new AbortController();
  const givesUp = slots.acquire(controller.signal);
  const stays = slots.acquire(never());
  controller.abort();
  t.equal(await givesUp, null);
  held?.();
  t.type(await stays, 'function');
  t.equal(await slots.acquire(AbortSignal.abort()), null);
});

test('any order of taking, giving back twice and giving up keeps the bound and loses no slot', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.record({ kind: fc.constantFrom('take', 'give', 'give_twice', 'give_up'), at: fc.nat(20) }), {
        maxLength: 60,
      }),
      async (max, steps) => {
        const slots = createSlots(max);
        const held: Release[] = [];
        const waiting: AbortController[] = [];
        for (const { kind, at } of steps) {
          if (kind === 'take') {
            const controller = new AbortController();
            waiting.push(controller);
            void slots.acquire(controller.signal).then((release) => {
              waiting.splice(waiting.indexOf(controller), 1);
              if (release !== null) held.push(release);
            });
          } else if (kind === 'give_up') {
            waiting[at % Math.max(1, waiting.length)]?.abort();
          } else {
            const [release] = held.splice(at % Math.max(1, held.length), 1);
            release?.();
            if (kind === 'give_twice') release?.();
          }
          await new Promise(setImmediate);
          if (held.length > max) throw new Error('over the bound');
          if (waiting.length > 0 && held.length < max) throw new Error('a slot is lost');
        }
      },
    ),
    { numRuns: 60 },
  );
});
