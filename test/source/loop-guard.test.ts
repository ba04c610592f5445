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

test('pages are told apart by any value at their ends, and by how many records they have', async (t) => {
  const guard = createListGuard({ start: null, canMove: false });
  const ends = [
    1,
    '1',
    -1,
    1.5,
    2 ** 40,
    true,
    'true',
    null,
    'null',
    '',
    [],
    {},
    [[]],
    [{}],
    ['a'],
    { a: null },
    ['a', null],
  ];
  const others = [
    { a: 'bc' },
    { ab: 'c' },
    { a: [1], b: 2 },
    { a: [1, 'b', 2] },
    { a: { b: 1 }, c: 2 },
    { a: { b: 1, c: 2 } },
  ];
  for (const [index, value] of [...ends, ...others].entries()) {
    const problem = guard.problemOf([{ id: 1, value }], String(index));
    t.equal(problem, null, JSON.stringify(value));
  }
  t.equal(guard.problemOf([{ id: 1, value: 1 }, {}, { id: 1, value: 1 }], 'longer'), null);
  t.equal(
    guard.problemOf(
      [
        { id: 1, value: 1 },
        { id: 1, value: 1 },
      ],
      'shorter',
    ),
    null,
  );
  t.match(guard.problemOf([{ id: 1, value: { ab: 'c' } }], 'again'), /has the records of a page/);
});

test('records that differ in nothing but their ids are never taken for each other', async (t) => {
  const guard = createListGuard({ start: null, canMove: false });
  let problems = 0;
  for (let id = 0; id < 50_000; id++) {
    const numbered = guard.problemOf([{ id, same: 'x' }], `number ${id}`);
    const named = guard.problemOf([{ same: 'x', of: { id: `cus_${String(id).padStart(9, '0')}` } }], `name ${id}`);
    if (numbered !== null || named !== null) problems += 1;
  }
  t.equal(problems, 0);
});
