import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { createRecord } from '../../../src/sync/edit-create.ts';
import { discardDeletes } from '../../../src/sync/held-deletes.ts';
import { sharePushes, writesWith } from './world.ts';

const createWorld = sharePushes(file);
const KEYS = { idempotency: { header: 'Idempotency-Key', ttlMs: 86_400_000 } } as const;
const SEARCH = { marker: { field: 'origin', searchParam: 'origin' } } as const;

type World = Awaited<ReturnType<typeof createWorld>>;

async function work(world: World): Promise<void> {
  for (let round = 0; round < 12; round++) {
    await world.plan();
    await world.resolve();
    await world.push();
    if (!(await world.states()).some((state) => /ready|calling|unknown/.test(state))) return;
    await world.pass(61_000);
  }
}
const ids = async (world: World): Promise<string[]> => (await world.rows()).map(({ id }) => id);

test('a new row becomes a record, and takes its key', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.pushAll();
  t.same(JSON.parse(world.shop.sent[0]?.body ?? ''), { name: 'Ann', price: null, tags: null });
  t.same(await ids(world), ['shop-1']);
  t.match(await world.stateOf('shop-1'), { status: 'live', shadow: { name: 'Ann', id: 'shop-1' } });
  t.same(await world.conflicts(), [], 'the key that it had here is no value that was lost');
  t.match(await world.tokens(), [{ state: 'confirmed', external_id: 'shop-1' }]);
  await world.edited('shop-1', { full_name: 'Anna' });
  await world.pushAll();
  t.equal(world.shop.records.get('shop-1')?.name, 'Anna');
  t.equal(world.shop.records.size, 1);
});

test('where the newest value wins, an edit captured while its row is created keeps its time under the new key', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp', twoWay: { policy: 'newest_wins' } });
  await world.inserted('local-1', 'Ann');
  await world.plan();
  await world.pass(600_000);
  world.shop.fates = [{ kind: 'with', after: () => world.edited('local-1', { full_name: 'Anna' }) }];
  t.match(await world.push(), { settled: 1 });
  const between = Date.now() - 300_000;
  await world.apply([world.see('shop-1', { ...world.shop.records.get('shop-1'), name: 'There', version: between })]);
  t.match(await world.rowOf('shop-1'), { full_name: 'Anna' });
  t.match(await world.conflicts(), [{ fields: ['name'], remote: { name: 'There' }, outcome: 'local' }]);
});

test('an edit made before the new record is linked is sent to it, as an update', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'with', after: () => world.edited('local-1', { full_name: 'Anna' }) }];
  await world.pushAll();
  await world.pushAll();
  t.equal(world.shop.records.get('shop-1')?.name, 'Anna');
  t.equal(world.shop.records.size, 1);
  t.equal((await world.rowOf('shop-1'))?.full_name, 'Anna');
});

test('a row that is removed before its record is linked is removed at the source, too', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'with', after: () => world.removed('local-1') }];
  await world.pushAll();
  await world.pushAll();
  t.equal(world.shop.records.size, 0);
  t.same(await ids(world), []);
});

test('a row that came and went before it was pushed is no call', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.removed('local-1');
  await world.pushAll();
  t.equal(world.shop.sent.length, 0);
});

test('a create whose answer is lost is not doubled where the source knows keys', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  world.shop.knowsKeys = true;
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await work(world);
  t.same([...world.shop.records.keys()], ['shop-1']);
  t.same(await ids(world), ['shop-1']);
});

test('a create whose answer is lost is found by its marker', async (t) => {
  const world = await createWorld(t, { twoWay: SEARCH });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await work(world);
  t.same([...world.shop.records.keys()], ['shop-1']);
  t.same(await ids(world), ['shop-1']);
  t.equal((await world.rowOf('shop-1'))?.full_name, 'Ann');
});

test('a create is sent again only after two looks, a read lag apart, have found nothing', async (t) => {
  const world = await createWorld(t, { twoWay: SEARCH, readLagMs: 2_000 });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'lost' }];
  await world.plan();
  await world.push();
  await world.pass(53_000);
  t.match(await world.resolve(), { unknown: 1 });
  t.match(await world.resolve(), { looked: 0 });
  await world.pass(2_100);
  t.match(await world.resolve(), { again: 1 });
  await work(world);
  t.same([...world.shop.records.keys()], ['shop-1']);
});

test('without key and marker nobody can tell: the create is parked, and further edits of its row make no second record', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await work(world);
  t.same(await world.states(), ['create parked create_unknown']);
  await world.edited('local-1', { full_name: 'Anna' });
  await world.pushAll();
  t.equal(world.shop.records.size, 1);
  t.same(await world.states(), ['create parked create_unknown', 'update ready']);
});

test('where the definition allows doubles, it is sent again', async (t) => {
  const world = await createWorld(t, { twoWay: { mayDuplicateCreates: true } });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'lost' }];
  await work(world);
  t.same(await ids(world), ['shop-1']);
});

for (const crashAt of ['C15', 'C16', 'C17', 'C18', 'C19'] as const) {
  test(`a process that dies at ${crashAt} of a create leaves one record, and one row that is linked to it`, async (t) => {
    const world = await createWorld(t, { twoWay: SEARCH });
    await world.inserted('local-1', 'Ann');
    const mortal = world.worker({ crashAt });
    await mortal.plan();
    t.equal(await mortal.push(), 'died');
    await world.pass(61_000);
    await work(world);
    t.same([...world.shop.records.keys()], ['shop-1']);
    t.same(await ids(world), ['shop-1']);
  });
}

test('a record that was deleted before its create was linked takes the row with it, and what the row held is kept', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  world.shop.knowsKeys = true;
  await world.inserted('local-1', 'Ann');
  await world.plan();
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.push();
  const hi = await world.now();
  await world.apply([world.gone('shop-1', { hi })]);
  world.shop.records.delete('shop-1');
  await work(world);
  t.same(await ids(world), []);
  t.match(await world.conflicts(), [{ kind: 'created_and_deleted', local: { name: 'Ann' }, outcome: 'remote' }]);
});

test('a row that cannot take the key of its record is parked, and no second record is made of it', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.run(sql`INSERT INTO shop.customers (id, full_name, amount) VALUES ('shop-1', 'In the way', 1)`);
  await world.pushAll();
  t.same(await world.states(), ['create parked cannot_settle']);
  await world.edited('local-1', { full_name: 'Anna' });
  await world.pushAll();
  t.equal(world.shop.records.size, 1);
});

test('where the source takes no creates, a new row is shown and stays', async (t) => {
  const world = await createWorld(t, { twoWay: { writes: { ...writesWith({}), create: null } } });
  await world.inserted('local-1', 'Ann');
  await world.pushAll();
  t.same(await world.states(), ['update parked cannot_settle']);
  t.same(await ids(world), ['local-1']);
});

test('a removed row is written again where removals are not pushed, and that is told', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.removed('c1');
  await world.pushAll();
  t.match(await world.rowOf('c1'), { full_name: 'Name c1', price: '9.50' });
  t.equal(world.shop.sent.length, 0);
  t.match(await world.conflicts(), [{ kind: 'deleted_here', outcome: 'remote' }]);
});

test('a removal, or an edit of a read-only property, that is taken back is told in the record’s history', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.known('c2');
  await world.removed('c1');
  await world.edited('c2', { amount: 7 });
  await world.pushAll();
  t.same(await world.history('c1'), ['insert', 'conflict deleted_here']);
  t.same(await world.history('c2'), ['insert', 'conflict both_changed']);
});

test('a row that a trigger of the user’s keeps out is written in vain once, and is not told as removed', async (t) => {
  const world = await createWorld(t);
  await world.known('c1', { amount: 500 });
  await world.keepOut(500);
  await world.removed('c1');
  await world.pushAll();
  t.match(await world.stateOf('c1'), { status: 'live', shadow: null });
  t.same(await world.conflicts(), []);
  t.same(await world.states(), ['delete done']);
});

test('a removal that wins over a change of the source is still carried out', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', policy: 'target_wins' } });
  await world.known('c1');
  await world.remove('c1');
  const changed = { name: 'There', version: 2 };
  world.shop.change('c1', changed);
  await world.apply([world.see('c1', changed)]);
  await world.pushAll();
  t.equal(world.shop.records.size, 0);
});

test('a removed row is left alone where its record is to be detached', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'detach' } });
  await world.known('c1');
  await world.removed('c1');
  await world.pushAll();
  t.same(await ids(world), []);
  t.equal(world.shop.sent.length, 0);
  t.equal(world.shop.records.size, 1);
});

test('a removed row is deleted at the source where the definition says so', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  await world.known('c1');
  await world.removed('c1');
  await world.pushAll();
  t.equal(world.shop.records.size, 0);
  t.match(await world.stateOf('c1'), { status: 'tombstone', isTombSoft: false, shadow: null });
});

test('a removal of what has changed at the source meanwhile is looked at again', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  await world.known('c1');
  world.shop.change('c1', { name: 'Changed there' });
  await world.removed('c1');
  await world.pushAll();
  t.equal(world.shop.records.size, 1, 'the change wins');
  t.equal((await world.rowOf('c1'))?.full_name, 'Changed there');
});

test('a removal of what is gone already ends without a call', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  await world.known('c1');
  world.shop.records.delete('c1');
  await world.removed('c1');
  await work(world);
  t.equal(world.shop.sent.length, 0);
  t.equal((await world.stateOf('c1'))?.status, 'tombstone');
});

test('a removal whose answer is lost is over once a read finds nothing', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  await world.known('c1');
  await world.removed('c1');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await work(world);
  t.equal(world.shop.writes, 1);
  t.same(await world.states(), ['delete done']);
  t.equal((await world.stateOf('c1'))?.status, 'tombstone');
});

test('more removals at once than both bounds are held back for a person', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', massDelete: { maxShare: 0.1, minimum: 3 } } });
  const all = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'];
  for (const id of all) await world.known(id);
  await world.removed('c1', 'c2');
  t.match(await world.plan(), { isHolding: false });
  await world.removed('c3', 'c4');
  t.match(await world.plan(), { isHolding: true }, 'counted over some time');
  await world.pushAll();
  t.equal(world.shop.records.size, 6);
  t.same(new Set(await world.states()), new Set(['delete parked mass_delete']));
  await world.edited('c6', { full_name: 'Edited' });
  await world.pushAll();
  t.equal(world.shop.records.get('c6')?.name, 'Edited', 'edits of other rows go on');
});

test('rows that are stamped as deleted count as removed, and many at once are held back', async (t) => {
  const world = await createWorld(t, {
    softDelete: true,
    twoWay: { localDeletes: 'push', massDelete: { maxShare: 0.1, minimum: 1 } },
  });
  const deleted_at = '2026-01-01T00:00:00Z';
  for (const id of ['c1', 'c2', 'c3']) await world.known(id);
  await world.edited('c1', { deleted_at });
  await world.pushAll();
  t.same([...world.shop.records.keys()], ['c2', 'c3']);
  await world.edited('c2', { deleted_at });
  t.match(await world.plan(), { isHolding: true });
  await world.pushAll();
  t.equal(world.shop.records.size, 2);
});

test('a table that is emptied deletes nothing at the source', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  await world.known('c1');
  await world.run(sql`TRUNCATE shop.customers`);
  await world.run(
    sql`INSERT INTO sync.local_changes (integration, entity, target_keys, op) VALUES ('shop', 'customers', '{}', 'T')`,
  );
  t.match(await world.plan(), { taken: 1, planned: 0, isHolding: true });
  await world.pushAll();
  t.equal(world.shop.records.size, 1);
});

test('a key under which only a stamped row is kept is taken, and that row stays as it is', async (t) => {
  const world = await createWorld(t, { softDelete: true, twoWay: { localDeletes: 'push' } });
  await world.inserted('mine', 'Once');
  await world.edit('mine', { deleted_at: '2026-01-01T00:00:00Z' });
  const edit = { values: { id: 'mine', name: 'Again' }, repeated: {} };
  t.same(await createRecord(world.deps, edit, null), { kind: 'key_taken' });
  t.match(await world.rowOf('mine'), { full_name: 'Once', deleted_at: String });
});

test('rows of open conflicts are not written again with removals that were not meant', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', policy: 'manual' } });
  for (const id of ['c1', 'c2']) await world.known(id);
  await world.remove('c1');
  t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['conflict']);
  await world.removed('c2');
  await world.inTx((tx) => tx.holdDeletes('so many'));
  t.same(await discardDeletes(world.deps, 'one'), { rows: 1, refused: 0, isMore: false });
  t.equal(await world.rowOf('c1'), undefined);
  t.equal((await world.rowOf('c2'))?.full_name, 'Name c2');
  t.match(await world.conflicts(), [{ target_key: 'c1', kind: 'deleted_here', outcome: null }]);
});
