import file, { test } from 'tap';
import { shareTwoWay, twoWay } from './world.ts';

const createWorld = shareTwoWay(file);

test('a record deleted at the source takes its unedited row with it, and its pushes are over', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.inTx((tx) => tx.ensurePushes([{ targetKey: 'c1', externalId: 'c1', edits: 1, runAt: 0, editedAt: 0 }]));
  t.same(await world.apply([world.gone('c1')]), ['delete']);
  t.equal(await world.rowOf('c1'), undefined);
  t.same(await world.conflicts(), []);
  t.match(await world.pushes(), [{ state: 'done' }]);
  t.match(await world.stateOf('c1'), { status: 'tombstone', shadow: null });
  t.same(await world.apply([world.gone('c1')]), ['noop']);
});

test('a deletion meets an edit by the record’s policy, and no edit is dropped without a word', async (t) => {
  for (const [policy, outcome, isKept, kind] of [
    ['source_wins', 'remote', false, 'delete'],
    ['target_wins', 'local', true, 'conflict'],
    ['manual', null, true, 'conflict'],
  ] as const) {
    const world = await createWorld(t, { twoWay: { policy } });
    await world.apply([world.see('c1')]);
    await world.edit('c1', { full_name: 'Here' });
    t.same(await world.apply([world.gone('c1')]), [kind], policy);
    t.equal((await world.rowOf('c1')) !== undefined, isKept);
    t.match(await world.conflicts(), [
      {
        kind: 'deleted_at_source',
        base: { name: 'Name c1' },
        local: { name: 'Here', price: '9.5' },
        remote: null,
        outcome,
      },
    ]);
    t.equal((await world.stateOf('c1'))?.status, 'tombstone');
    const pushes = await world.pushes();
    if (policy === 'target_wins') t.match(pushes, [{ target_key: 'c1', external_id: null, state: 'ready' }]);
    else t.same(pushes, []);
    t.same(await world.apply([world.gone('c1')]), ['noop'], 'told again it changes nothing');
  }
});

test('a property that is mapped since is no edit that keeps a deleted record', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'target_wins' } });
  await world.apply([world.see('c1')]);
  await world.forgetProperty('c1', 'price');
  await world.edit('c1', { price: null });
  t.same(await world.apply([world.gone('c1')]), ['delete']);
  t.same(await world.conflicts(), []);
});

test('a row cannot win over a deletion where the source takes no creates', async (t) => {
  const { writes } = twoWay();
  const world = await createWorld(t, { twoWay: { policy: 'target_wins', writes: { ...writes, create: null } } });
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  t.same(await world.apply([world.gone('c1')]), ['delete']);
  t.match(await world.conflicts(), [{ local: { name: 'Here' }, outcome: 'remote' }]);
});

test('an edit of what has no way back does not keep a deleted record, but is kept itself', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'target_wins' } });
  await world.apply([world.see('c1')]);
  await world.edit('c1', { amount: 7 });
  t.same(await world.apply([world.gone('c1')]), ['delete']);
  t.match(await world.conflicts(), [{ kind: 'deleted_at_source', local: { amount: 7 }, outcome: 'remote' }]);
});

test('a record that comes back while a person decides is merged from where that began', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'manual' } });
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  await world.apply([world.gone('c1')]);
  t.same(await world.apply([world.see('c1', { price: '12', version: 3 })]), ['insert']);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '12.00' });
  t.match(await world.conflicts(), [{ outcome: 'superseded' }]);
  t.match(await world.pushes(), [{ target_key: 'c1', external_id: 'c1', state: 'ready' }]);
});

test('a row that was removed here comes back with the record’s next change', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.remove('c1');
  t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { full_name: 'There' });
  t.match(await world.conflicts(), [
    { kind: 'deleted_here', local: null, remote: { name: 'There' }, outcome: 'remote' },
  ]);
});

test('a row that was detached stays away, whatever the source does', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'detach' } });
  await world.apply([world.see('c1')]);
  await world.remove('c1');
  t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['conflict']);
  t.equal(await world.rowOf('c1'), undefined);
  t.match(await world.stateOf('c1'), { status: 'live', version: 2n, base: { name: 'There' }, shadow: null });
  t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })], true), ['noop']);
  t.same(await world.pushes(), []);
  t.same(await world.conflicts(), []);
});

test('a removal that is pushed meets a change of the source by the record’s policy', async (t) => {
  for (const [policy, outcome, isRestored] of [
    ['source_wins', 'remote', true],
    ['target_wins', 'local', false],
    ['manual', null, false],
  ] as const) {
    const world = await createWorld(t, { twoWay: { policy, localDeletes: 'push' } });
    await world.apply([world.see('c1')]);
    await world.remove('c1');
    t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), [isRestored ? 'update' : 'conflict']);
    t.equal((await world.rowOf('c1')) !== undefined, isRestored, policy);
    t.match(await world.conflicts(), [{ kind: 'deleted_here', remote: { name: 'There' }, outcome }]);
    t.equal((await world.pushes()).length, policy === 'target_wins' ? 1 : 0);
  }
});

test('a record that is gone on both sides is buried without a conflict', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'manual', localDeletes: 'push' } });
  await world.apply([world.see('c1')]);
  await world.remove('c1');
  t.same(await world.apply([world.gone('c1')]), ['delete']);
  t.same(await world.conflicts(), []);
  t.equal((await world.stateOf('c1'))?.status, 'tombstone');
});

test('a row that the table only stamps as deleted counts as removed', async (t) => {
  const world = await createWorld(t, { softDelete: true });
  await world.apply([world.see('c1')]);
  await world.edit('c1', { deleted_at: '2026-01-01T00:00:00Z' });
  t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { full_name: 'There', deleted_at: null });
  t.same(await world.apply([world.gone('c1', {}, 3n)]), ['delete']);
  t.ok((await world.rowOf('c1'))?.deleted_at);
  t.same(await world.apply([world.see('c1', { version: 4 })]), ['insert']);
  t.match(await world.rowOf('c1'), { full_name: 'Name c1', deleted_at: null });
});
