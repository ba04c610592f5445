import file, { test } from 'tap';
import { shareTwoWay, type TwoWayWorld } from './world.ts';

const createWorld = shareTwoWay(file);
const manual = { twoWay: { policy: 'manual' } } as const;

/** A record whose name was edited on both sides. */
async function parked(world: TwoWayWorld): Promise<void> {
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  await world.apply([world.see('c1', { name: 'There', price: '11', version: 2 })]);
}

test('a conflict for a person writes nothing and keeps the whole record of either side', async (t) => {
  const world = await createWorld(t, manual);
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  const before = await world.rowOf('c1');
  t.same(await world.apply([world.see('c1', { name: 'There', price: '11', version: 2 })]), ['conflict']);
  t.same(await world.rowOf('c1'), before);
  t.match(await world.conflicts(), [
    {
      target_key: 'c1',
      fields: ['name'],
      base: { id: 'c1', name: 'Name c1', price: '9.5' },
      local: { id: 'c1', name: 'Here', price: '9.5' },
      remote: { id: 'c1', name: 'There', price: '11' },
      policy: 'manual',
      outcome: null,
    },
  ]);
  t.same(await world.pushes(), []);
  t.same(await world.history('c1'), ['insert', 'conflict both_changed']);
  t.match(await world.stateOf('c1'), { appliedSeq: 1, version: 2n, shadow: { name: 'Name c1' } });
});

test('an open conflict follows the source, and never back to something older', async (t) => {
  const world = await createWorld(t, manual);
  await parked(world);
  t.same(await world.apply([world.see('c1', { name: 'Later', version: 4 })]), ['conflict']);
  t.same(await world.apply([world.see('c1', { name: 'Between', version: 3 })]), ['stale']);
  t.same(await world.apply([world.see('c1', { name: 'Later', version: 4 })]), ['noop']);
  t.match(await world.conflicts(), [{ remote: { name: 'Later' }, base: { name: 'Name c1' }, outcome: null }]);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '9.50' });
});

test('a conflict whose cause is gone is closed, and what it held back is written', async (t) => {
  const back = await createWorld(t, manual);
  await parked(back);
  t.same(await back.apply([back.see('c1', { price: '12', version: 3 })]), ['update'], 'the source took it back');
  t.match(await back.conflicts(), [{ outcome: 'superseded', resolved_by: 'source' }]);
  t.match(await back.rowOf('c1'), { full_name: 'Here', price: '12.00' });
  t.match(await back.pushes(), [{ target_key: 'c1', state: 'ready' }], 'the edit is one side’s alone again');

  const undone = await createWorld(t, manual);
  await parked(undone);
  await undone.edit('c1', { full_name: 'Name c1' });
  t.same(await undone.apply([undone.see('c1', { name: 'There', price: '13', version: 3 })]), ['update']);
  t.match(await undone.rowOf('c1'), { full_name: 'There', price: '13.00' }, 'the row’s edit was undone');

  const agreed = await createWorld(t, manual);
  await parked(agreed);
  await agreed.edit('c1', { full_name: 'Both' });
  t.same(await agreed.apply([agreed.see('c1', { name: 'Both', version: 3 })]), ['update']);
  t.match(await agreed.conflicts(), [{ outcome: 'superseded' }]);
  t.same(await agreed.pushes(), []);
});

test('an edit of a property that the source computes is undone at its next change and kept', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'target_wins' } });
  await world.apply([world.see('c1')]);
  await world.edit('c1', { amount: 77 });
  t.same(await world.apply([world.see('c1', { price: '11', version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { amount: 1 });
  t.match(await world.conflicts(), [{ fields: ['amount'], local: { amount: 77 }, outcome: 'remote' }]);
  t.same(await world.pushes(), []);
});

test('the newest value wins where the source stamps its records, the source’s where times are too close', async (t) => {
  const stamp = Date.now() - 60_000;
  for (const [laterMs, name] of [
    [-10_000, 'There'],
    [1_000, 'There'],
    [10_000, 'Here'],
  ] as const) {
    const world = await createWorld(t, { versionKind: 'timestamp', twoWay: { policy: 'newest_wins' } });
    await world.apply([world.see('c1', { version: stamp - 100_000 })]);
    await world.edit('c1', { full_name: 'Here' });
    await world.inTx(async (tx) => {
      const editedAt = (stamp + laterMs) * 1_000;
      await tx.ensurePushes([{ targetKey: 'c1', externalId: 'c1', edits: 1, runAt: editedAt, editedAt }]);
    });
    t.same(await world.apply([world.see('c1', { name: 'There', version: stamp })]), ['update']);
    t.match(await world.rowOf('c1'), { full_name: name }, `edited ${laterMs} ms after the source’s change`);
  }
});

test('when a row was edited counts, and not when it was looked at since', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp', twoWay: { policy: 'newest_wins' } });
  const now = Date.now();
  const before = (minutes: number) => now - minutes * 60_000;
  await world.apply([world.see('c1', { version: before(60) })]);
  await world.edit('c1', { full_name: 'Here' });
  const [runAt, editedAt] = [now * 1_000 + 3_600_000_000, before(20) * 1_000];
  await world.inTx((tx) => tx.ensurePushes([{ targetKey: 'c1', externalId: 'c1', edits: 1, runAt, editedAt }]));
  await world.apply([world.see('c1', { price: '11', version: before(15) })]);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '11.00' }, 'another property');
  await world.apply([world.see('c1', { price: '11', name: 'There', version: before(10) })]);
  t.match(await world.rowOf('c1'), { full_name: 'There' });
});

test('an edit that the full run found, at a time nobody knows, does not count as the newest', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp', twoWay: { policy: 'newest_wins' } });
  const version = Date.now() - 600_000;
  await world.apply([world.see('c1', { version })]);
  await world.edit('c1', { full_name: 'Here' });
  await world.apply([world.see('c1', { version }, { channel: 'page', isFullRun: true })], true);
  t.match(await world.pushes(), [{ state: 'ready' }]);
  t.same(await world.inTx((tx) => tx.lastEditsOf(['c1'])), new Map());
  await world.apply([world.see('c1', { name: 'There', version: version + 10_000 })]);
  t.match(await world.rowOf('c1'), { full_name: 'There' });
});

test('a full run queues no edit of which a push waits for a person', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1'), world.see('c2')]);
  await world.edit('c1', { full_name: 'Here' });
  const { push } = await world.startPush('c1');
  await world.inTx((tx) =>
    tx.finishPush(push, { to: 'parked', reason: 'refused', errorCode: 'refused', error: 'the source refuses it' }),
  );
  await world.edit('c2', { full_name: 'Here, too' });
  const page = { channel: 'page', isFullRun: true } as const;
  await world.apply([world.see('c1', {}, page), world.see('c2', {}, page)], true);
  t.match(await world.pushes(), [
    { target_key: 'c1', state: 'parked' },
    { target_key: 'c2', state: 'ready' },
  ]);
});

test('what a refused push could not bring is over when the source’s value has won', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  const { push } = await world.startPush('c1');
  await world.inTx((tx) =>
    tx.finishPush(push, { to: 'parked', reason: 'refused', errorCode: 'refused', error: 'the source refuses it' }),
  );
  await world.apply([world.see('c1', { name: 'There', version: 2 })]);
  t.match(await world.pushes(), [{ state: 'done' }]);
  t.match(await world.conflicts(), [{ local: { name: 'Here' } }]);
});
