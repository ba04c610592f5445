import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
type World = Awaited<ReturnType<typeof createWorld>>;

/** A trigger of the user's that raises for some rows, until it is dropped. */
async function refuse(
  t: { teardown(work: () => unknown): unknown },
  { run }: World,
  { on, when, state = 'P0001' }: { on: 'INSERT' | 'UPDATE'; when: string; state?: string },
): Promise<() => Promise<unknown>> {
  await run(
    sql.raw(`CREATE OR REPLACE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF ${when} THEN RAISE EXCEPTION 'a rule of ours' USING ERRCODE = '${state}'; END IF; RETURN NEW; END $$`),
  );
  await run(
    sql.raw(`CREATE TRIGGER refuse BEFORE ${on} ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.refuse()`),
  );
  const drop = () => run(sql.raw('DROP TRIGGER IF EXISTS refuse ON shop.customers'));
  t.teardown(drop);
  return drop;
}

test('a user’s trigger that raises where a row is written again holds up that row alone', async (t) => {
  const world = await createWorld(t);
  for (const id of ['c1', 'c2']) await world.known(id);
  await world.removed('c1');
  await world.edited('c2', { full_name: 'New' });
  await world.plan();
  await refuse(t, world, { on: 'INSERT', when: `NEW.id = 'c1'` });
  t.match(await world.push(), { looked: 2, parked: 1, settled: 1 });
  t.equal(world.shop.records.get('c2')?.name, 'New');
  t.match((await world.states()).sort(), ['delete parked cannot_settle', 'update done']);
});

test('a trigger that fails for want of a table holds up its row alone, and the row goes on once that is there', async (t) => {
  const world = await createWorld(t);
  for (const id of ['c1', 'c2']) await world.known(id);
  await world.removed('c1');
  await world.edited('c2', { full_name: 'New' });
  await world.plan();
  const drop = await refuse(t, world, { on: 'INSERT', when: `NEW.id = 'c1'`, state: '42P01' });
  t.match(await world.push(), { looked: 2, parked: 0, settled: 1 });
  t.equal(world.shop.records.get('c2')?.name, 'New');
  t.match(await world.run(sql`SELECT error_code FROM sync.outbox_pushes WHERE target_key = 'c1' AND state = 'done'`), [
    { error_code: 'database_schema' },
  ]);
  await drop();
  await world.pass(301_000);
  await world.push();
  t.match(await world.rowOf('c1'), { full_name: 'Name c1' });
});

test('what a user’s trigger refuses of the source’s answer waits for a person, and is sent once', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  world.shop.normalise = (fields) => ({ ...fields, name: String(fields.name).toUpperCase() });
  await world.edited('c1', { full_name: 'New' });
  await world.plan();
  await refuse(t, world, { on: 'UPDATE', when: `NEW.full_name = 'NEW'` });
  t.match(await world.push(), { parked: 1 });
  t.same(await world.states(), ['update parked cannot_settle']);
  t.equal(world.shop.sent.length, 1);
});

test('a create that cannot be settled for want of a table is settled by what was seen, once it is there', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.plan();
  const drop = await refuse(t, world, { on: 'UPDATE', when: `NEW.id = 'shop-1'`, state: '42P01' });
  t.match(await world.push(), { calls: 1, settled: 0, parked: 0 });
  await world.pass(61_000);
  await world.resolve();
  t.same(await world.states(), ['create unknown']);
  await drop();
  await world.pass(61_000);
  t.match(await world.resolve(), { settled: 1 });
  t.same(
    (await world.rows()).map(({ id }) => id),
    ['shop-1'],
  );
  t.equal(world.shop.sent.length, 1);
});
