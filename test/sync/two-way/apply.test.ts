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
