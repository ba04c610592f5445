import file, { test } from 'tap';
import { takeLocalChanges } from '../../../src/store/local-changes.ts';
import { align } from '../../store/capture-setup.ts';
import { KEY } from '../world.ts';
import { shareTwoWay, type TwoWayWorld } from './world.ts';

const createTwoWay = shareTwoWay(file);

/** With the triggers on its table. */
async function setUp(...args: Parameters<typeof createTwoWay>): Promise<TwoWayWorld> {
  const world = await createTwoWay(...args);
  const problems = await align(world.database, [{ key: KEY, target: world.stream.target }]);
  if (problems.length > 0) throw new Error(problems.map(({ problem }) => problem).join('; '));
  return world;
}

const taken = async ({ db }: TwoWayWorld): Promise<string[]> =>
  (await takeLocalChanges(db, KEY, 1_000)).map(({ op, targetKey }) => `${op} ${targetKey}`).sort();

for (const softDelete of [false, true]) {
  const words = softDelete ? 'stamped' : 'removed';
  test(`nothing that the source changed is taken for an edit, where rows are ${words}`, async (t) => {
    const world = await setUp(t, { softDelete });
    const { see, gone, apply } = world;
    await apply([see('c1'), see('c2'), see('c3')]);
    await apply([see('c1', { name: 'Theirs', version: 2 }), see('c2', { price: '1.00', version: 2 })]);
    await apply([gone('c3')]);
    await apply([see('c3', { version: 3 }, { channel: 'get', lo: 10, hi: 11 })]);
    t.same(await taken(world), []);
    await world.edit('c1', { full_name: 'Hers' });
    await world.remove('c2');
    t.same(await taken(world), ['D c2', 'U c1']);
  });
}

test('a merge of both sides’ changes is written as ours, and the edit in it was captured once', async (t) => {
  const world = await setUp(t, {});
  await world.apply([world.see('c1')]);
  await world.edit('c1', { full_name: 'Hers' });
  t.same(await taken(world), ['U c1']);
  await world.apply([world.see('c1', { price: '7.00', version: 2 })]);
  t.match(await world.rowOf('c1'), { full_name: 'Hers', price: '7.00' });
  t.same(await taken(world), []);
});

test('what a trigger of the user’s makes of our write is captured when it goes to another row', async (t) => {
  const world = await setUp(t, {});
  await world.apply([world.see('c1'), world.see('c2')]);
  await world.db.execute(`CREATE OR REPLACE FUNCTION shop.spread() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 'c1' THEN UPDATE shop.customers SET full_name = NEW.full_name WHERE id = 'c2'; END IF; RETURN NULL; END $$`);
  await world.db.execute(
    'CREATE TRIGGER spread AFTER UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.spread()',
  );
  await world.apply([world.see('c1', { name: 'Theirs', version: 2 })]);
  t.match(await world.rowOf('c2'), { full_name: 'Theirs' });
  t.same(await taken(world), ['U c2']);
});
