import fc from 'fast-check';
import { test } from 'tap';
import { createListGuard, createLoopGuard } from '../../src/source/loop-guard.ts';

/** How many cursors are taken before the loop is noticed, of `lead` cursors followed by a loop of `length`. */
function noticedAfter(lead: number, length: number): number {
  const guard = createLoopGuard();
  for (let index = 0; index < 10 * (lead + length); index++) {
    const cursor = index < lead ? `lead ${index}` : `loop ${(index - lead) % length}`;
    if (guard.isRepeat(cursor)) return index;
  }
  throw new Error('never noticed');
}

test('a short loop is noticed at its first repeat', async () => {
  fc.assert(
    fc.property(fc.nat(3_000), fc.integer({ min: 1, max: 1_000 }), (lead, length) => {
      return noticedAfter(lead, length) === lead + length;
    }),
    { numRuns: 50 },
  );
});

test('a loop longer than the window is noticed too', async (t) => {
  t.ok(noticedAfter(0, 50_000) <= 3 * 50_000);
  t.ok(noticedAfter(7_000, 12_345) <= 3 * (7_000 + 12_345));
});

test('cursors that never repeat are never taken for a loop', async (t) => {
  const guard = createLoopGuard();
  let repeats = 0;
  for (let index = 0; index < 100_000; index++) if (guard.isRepeat(String(index))) repeats += 1;
  t.equal(repeats, 0);
});

test('records nested deeper than a stack reaches are compared all the same', async (t) => {
  const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
  const guard = createListGuard({ start: null, canMove: false });
  t.equal(guard.problemOf([{ id: 1, deep }], 'a'), null);
  t.equal(guard.problemOf([{ id: 2, deep }], 'b'), null);
  t.match(guard.problemOf([{ id: 1, deep }], 'c'), /has the records of a page/);
});
