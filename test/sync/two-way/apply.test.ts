import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { shareTwoWay } from './world.ts';

const createWorld = shareTwoWay(file);

test('a record seen for the first time gets its row, and its shadow is what the table made of it', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`CREATE FUNCTION shop.shout() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.full_name := upper(NEW.full_name); RETURN NEW; END $$`);
  await world.run(sql`CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON shop.customers
    FOR EACH ROW EXECUTE FUNCTION shop.shout()`);
  t.same(await world.apply([world.see('c1', { tags: { b: 1, a: [2] } })]), ['insert']);
  t.match(await world.rowOf('c1'), { full_name: 'NAME C1', price: '9.50', tags: { a: [2], b: 1 } });
  const state = await world.stateOf('c1');
  t.match(state, {
    status: 'live',
    base: { name: 'Name c1', price: '9.5' },
    shadow: { name: 'NAME C1', price: '9.5' },
  });
  t.same(await world.apply([world.see('c1', { tags: { b: 1, a: [2] } })]), ['noop']);
  t.same(await world.apply([world.see('c1', { name: 'Other', version: 2 })]), ['update']);
  t.match(await world.stateOf('c1'), { base: { name: 'Other' }, shadow: { name: 'OTHER' } });
  t.same(await world.apply([world.see('c1', { name: 'Other', version: 2 })], true), ['noop']);
  t.same(await world.conflicts(), [], 'what a trigger made of a value is no edit');
  t.same(await world.pushes(), []);
});

test('different properties edited on both sides are both kept, and only the one edited here is pushed', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  t.same(await world.apply([world.see('c1', { price: '12', version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '12.00' });
  t.match(await world.stateOf('c1'), { shadow: { name: 'Name c1', price: '12' }, base: { price: '12' }, version: 2n });
  t.same(await world.conflicts(), []);
  t.match(await world.pushes(), [{ target_key: 'c1', external_id: 'c1', state: 'ready' }]);
});

test('the same property edited on both sides goes by the policy, and the losing value is kept', async (t) => {
  for (const [policy, name, outcome, pushes] of [
    ['source_wins', 'There', 'remote', 0],
    ['target_wins', 'Here', 'local', 1],
  ] as const) {
    const world = await createWorld(t, { twoWay: { policy } });
    await world.apply([world.see('c1')]);
    await world.edit('c1', { full_name: 'Here' });
    t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['update']);
    t.match(await world.rowOf('c1'), { full_name: name }, policy);
    t.match(await world.conflicts(), [
      {
        kind: 'both_changed',
        fields: ['name'],
        base: { name: 'Name c1' },
        local: { name: 'Here' },
        remote: { name: 'There' },
        policy,
        outcome,
      },
    ]);
    t.equal((await world.pushes()).length, pushes);
    t.same(await world.history('c1'), ['insert', 'update', 'conflict both_changed']);
    t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['noop']);
    t.equal((await world.conflicts()).length, 1, 'seen again it is no second conflict');
  }
});

test('a record whose key in the table changes keeps its row, and the edits in it', async (t) => {
  const world = await createWorld(t, { keyProperty: 'code' });
  await world.apply([world.see('c1', { code: 'K1' })]);
  await world.run(sql`UPDATE shop.customers SET note = 'hers', full_name = 'Here'`);
  t.same(await world.apply([world.see('c1', { code: 'K2', version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { code: 'K2', full_name: 'Here', note: 'hers' });
  t.match(await world.stateOf('c1'), { targetKey: 'K2' });
  t.match(await world.pushes(), [{ target_key: 'K2', external_id: 'c1', state: 'ready' }]);
});

test('several sightings of one record in a batch end as the last, merged once', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Here' });
  const batch = [
    world.see('c1', { price: '2', version: 2 }),
    world.gone('c1', {}, 3n),
    world.see('c1', { price: '4', version: 4 }),
  ];
  t.same(await world.apply(batch), ['update', 'delete', 'insert']);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '4.00' });
  t.same(await world.conflicts(), []);
});

test('a record that the table refuses is set aside alone, and leaves its edit and its state as they were', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1'), world.see('c2')]);
  await world.edit('c1', { full_name: 'Here' });
  const before = [await world.rowOf('c1'), await world.stateOf('c1')];
  const batch = [
    world.see('c1', { amount: -7, version: 2 }, { isLastAttempt: true }),
    world.see('c2', { price: '2', version: 2 }),
    world.see('c3'),
  ];
  t.same(await world.apply(batch), ['quarantine', 'update', 'insert']);
  t.same([await world.rowOf('c1'), await world.stateOf('c1')], before);
  t.match(await world.deadLetters(), [{ externalId: 'c1', errorCode: 'database_constraint' }]);
  t.same(await world.apply([world.see('c1', { price: '3', version: 3 })]), ['update']);
  t.same(await world.deadLetters(), [], 'a later success answers it');
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '3.00' });
});

test('a trigger of the user’s that keeps a row out leaves a record without a row, and no loop', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`);
  await world.run(
    sql`CREATE TRIGGER refuse BEFORE INSERT ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.refuse()`,
  );
  t.same(await world.apply([world.see('c1')]), ['insert']);
  t.match(await world.stateOf('c1'), { status: 'live', shadow: null });
  t.same(await world.apply([world.see('c1')], true), ['noop']);
});

test('values that no source could send are read as the database writes them and do no harm', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  await world.edit('c1', { price: 'NaN' });
  t.same(await world.apply([world.see('c1', { name: 'There', version: 2 })]), ['update']);
  t.match(await world.rowOf('c1'), { full_name: 'There', price: 'NaN' });
  t.match(await world.pushes(), [{ target_key: 'c1', state: 'ready' }]);
});

test('our own writes are not captured, what a user’s trigger does after them is', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`CREATE TABLE shop.seen (applying text, depth int)`);
  await world.run(sql`CREATE FUNCTION shop.watch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO shop.seen VALUES (current_setting('sync.applying', true), pg_trigger_depth()); RETURN NULL; END $$`);
  await world.run(sql`CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON shop.customers
    FOR EACH STATEMENT EXECUTE FUNCTION shop.watch()`);
  await world.db.transaction(async (tx) => {
    const { applyBatch } = await import('../../../src/sync/apply.ts');
    await applyBatch(tx, world.stream, [world.see('c1')], { repairs: false });
    await applyBatch(tx, world.stream, [world.gone('c1')], { repairs: false });
  });
  const ours = await world.run(sql`SELECT DISTINCT applying FROM shop.seen`);
  t.same(ours, [{ applying: '1' }]);
  await world.db.transaction(async (tx) => {
    const { applyBatch } = await import('../../../src/sync/apply.ts');
    await applyBatch(tx, world.stream, [world.see('c2')], { repairs: false });
    await tx.execute(sql`UPDATE shop.customers SET full_name = 'Here' WHERE id = 'c2'`);
  });
  const last = await world.run(sql`SELECT count(*)::int AS n FROM shop.seen WHERE coalesce(applying, '') = ''`);
  t.same(last, [{ n: 1 }], 'an edit in the same transaction is a user’s again');
});
