import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { rebaseline } from '../../../src/sync/rebaseline.ts';
import { countsOf } from '../world.ts';
import { shareTwoWay, type TwoWayWorld } from './world.ts';

const createWorld = shareTwoWay(file);

const insert = (world: TwoWayWorld, id: string, name: string | null, price: string | null = '9.5') =>
  world.run(sql`INSERT INTO shop.customers (id, full_name, amount, price, tags, note)
                VALUES (${id}, ${name}, 1, ${price}, '["a"]', 'hers')`);

test('a row that equals the record it is found for is linked, not written', async (t) => {
  const world = await createWorld(t);
  await insert(world, 'c1', 'Name c1');
  const before = await world.rowOf('c1');
  t.same(await world.apply([world.see('c1')]), ['link']);
  t.same(await world.rowOf('c1'), before);
  t.match(await world.stateOf('c1'), { status: 'live', shadow: { name: 'Name c1' } });
  t.same(await world.conflicts(), []);
});

test('what a row from before loses or keeps is in a conflict, by whose values stand', async (t) => {
  for (const [adopt, name, outcome, pushes] of [
    ['source_wins', 'Name c1', 'remote', 0],
    ['target_wins', 'Old', 'local', 1],
  ] as const) {
    const world = await createWorld(t, { twoWay: { adopt } });
    await insert(world, 'c1', 'Old', null);
    await world.apply([world.see('c1')]);
    t.match(await world.rowOf('c1'), { full_name: name, price: '9.50', note: 'hers' }, adopt);
    t.match(await world.conflicts(), [
      { kind: 'adopted', fields: ['name'], base: null, local: { name: 'Old' }, remote: { name: 'Name c1' }, outcome },
    ]);
    t.equal((await world.pushes()).length, pushes);
    t.same(await world.apply([world.see('c1')]), ['noop']);
  }
});

test('records of a mirror are linked when it becomes two-way, edits from before are kept as conflicts', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('same'), world.see('edited'), world.see('changed')]);
  await world.run(sql`UPDATE sync.record_states SET shadow = NULL, base = NULL`);
  await world.edit('edited', { full_name: 'Old' });
  const before = await world.rowOf('same');
  const all = [world.see('same'), world.see('edited'), world.see('changed', { name: 'New', version: 2 })];
  t.same(await world.apply(all), ['noop', 'repair', 'update']);
  t.same(await world.rowOf('same'), before);
  t.match(await world.stateOf('same'), { base: { name: 'Name same' }, shadow: { name: 'Name same' } });
  t.match(await world.rowOf('edited'), { full_name: 'Name edited' });
  t.match(await world.rowOf('changed'), { full_name: 'New' });
  t.match(await world.conflicts(), [{ target_key: 'edited', kind: 'adopted', local: { name: 'Old' } }]);
  t.same(await world.apply(all), ['noop', 'noop', 'noop']);
});

test('an edit that was never captured is found by a full run and becomes a push, and no row is rewritten', async (t) => {
  const world = await createWorld(t);
  const all = ['c1', 'c2', 'c3'].map((id) => world.see(id, {}, { channel: 'page', isFullRun: true }));
  await world.apply(all);
  await world.edit('c1', { full_name: 'Here' });
  await world.remove('c2');
  t.same(await world.apply(all), ['noop', 'noop', 'noop']);
  t.same(await world.pushes(), [], 'only where a run looks for it');
  t.same(await world.apply(all, true), ['noop', 'noop', 'noop']);
  t.match(await world.rowOf('c1'), { full_name: 'Here' });
  t.equal(await world.rowOf('c2'), undefined);
  t.match(await world.pushes(), [
    { target_key: 'c1', external_id: 'c1', state: 'ready' },
    { target_key: 'c2', external_id: 'c2', state: 'ready' },
  ]);
});

test('of unchanged records nothing is locked or written', async (t) => {
  const world = await createWorld(t);
  const all = ['c1', 'c2'].map((id) => world.see(id, {}, { channel: 'page', isFullRun: true }));
  await world.apply(all);
  const stored = () => world.run(sql`SELECT xmin::text, xmax::text FROM sync.record_states ORDER BY external_id`);
  const before = [await stored(), await world.rowOf('c1')];
  await world.apply(all, true);
  t.same([await stored(), await world.rowOf('c1')], before);
});

test('a property that is mapped since reaches rows, an edit of another survives the change of the mapping', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.run(
    sql`UPDATE sync.record_states SET base = base - 'price', shadow = shadow - 'price', base_hash = '\\x00'`,
  );
  await world.edit('c1', { full_name: 'Here', price: null });
  t.same(await world.apply([world.see('c1', { version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '9.50' });
  t.match(await world.pushes(), [{ target_key: 'c1', state: 'ready' }]);
});

test('a dry run tells what is linked, what differs, and what stands on one side alone, and writes nothing', async (t) => {
  const world = await createWorld(t);
  for (const id of ['same', 'differs', 'there']) world.source.records.set(id, plain(id));
  await insert(world, 'same', 'Name same');
  await insert(world, 'differs', 'Old');
  await insert(world, 'here', 'Mine');
  const before = await world.run(sql`SELECT id, xmin::text, full_name FROM shop.customers ORDER BY id`);
  const dry = await world.reconcile({ isDryRun: true });
  t.same(countsOf(dry.counts), { seen: 3, inserted: 1, linked: 2, updated: 1, unmatched: 1 });
  t.same(await world.run(sql`SELECT id, xmin::text, full_name FROM shop.customers ORDER BY id`), before);
  t.same(await world.conflicts(), []);
  const run = await world.reconcile();
  t.same(countsOf(run.counts), { seen: 3, inserted: 1, linked: 2, updated: 1 });
  t.match(await world.rowOf('here'), { full_name: 'Mine' }, 'rows that no record was found for are left alone');
  await world.edit('same', { full_name: 'Here' });
  t.same(countsOf((await world.reconcile({ isDryRun: true })).counts), {
    seen: 3,
    repaired: 1,
    unchanged: 2,
    unmatched: 1,
  });
});

test('a stream that believes its source anew takes what looks older, and keeps its edits', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1', { version: 9 }), world.see('gone', { version: 9 })]);
  await world.apply([world.gone('gone', {}, 10n)]);
  await world.edit('c1', { full_name: 'Here' });
  world.source.records.set('c1', plain('c1', { price: '2', version: 3 }));
  world.source.records.set('gone', plain('gone', { version: 1 }));
  t.equal(await rebaseline(world.db, world.stream.key), 2);
  t.match(await world.run(sql`SELECT cursor, needs_full_at IS NOT NULL AS owed FROM sync.streams`), [
    { cursor: null, owed: true },
  ]);
  await world.reconcile();
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '2.00' });
  t.match(await world.rowOf('gone'), { full_name: 'Name gone' });
  t.match(await world.pushes(), [{ target_key: 'c1', state: 'ready' }]);
});

const plain = (id: string, over = {}): { id: string } => ({
  ...{ id, name: `Name ${id}`, amount: 1, price: '9.50', tags: ['a'], code: null, version: 1 },
  ...over,
});
