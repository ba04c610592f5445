import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { redrive } from '../../src/sync/redrive.ts';
import { customer, shareDatabase, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);

async function onlyLetter(world: World): Promise<number> {
  const [letter, ...others] = await world.deadLetters();
  if (letter === undefined || others.length > 0) throw new Error('Expected exactly one open dead letter');
  return letter.id;
}
/** As if what came since had not closed it. */
const reopen = (world: World) => world.run(sql`UPDATE sync.dead_letters SET state = 'open'`);
const mend = (world: World) => world.run(sql`ALTER TABLE shop.customers DROP CONSTRAINT customers_amount_check`);

test('a retry reads the record again where that is possible, so that an old one cannot win', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { amount: -1, version: 1 })));
  await world.ingest();
  await mend(world);
  world.source.records.set('c1', customer('c1', { amount: -5, version: 2 }));
  t.same(await redrive(world.deps, await onlyLetter(world)), { kind: 'read' });
  await world.reread();
  t.equal((await world.row('c1'))?.amount, -5);
  t.same(await world.deadLetters(), []);
});

test('without reads by id the stored record is applied with its own time and version', async (t) => {
  const world = await createWorld(t, { canGet: false });
  await world.deliver(upsert(customer('c1', { amount: -1, version: 1 })));
  await world.ingest();
  const id = await onlyLetter(world);
  t.match(await redrive(world.deps, id), { kind: 'still_bad' });
  t.equal((await world.deadLetters()).length, 1, 'it stays open');
  await mend(world);
  t.same(await redrive(world.deps, id), { kind: 'applied' });
  t.equal((await world.row('c1'))?.amount, -1);
  t.same(await world.deadLetters(), []);
  t.match(await redrive(world.deps, id), { kind: 'gone' });
  t.equal(await redrive(world.deps, 999), null);
});

test('an old stored record does not win over what came since', async (t) => {
  const world = await createWorld(t, { canGet: false });
  await world.deliver(upsert(customer('c1', { amount: -1, version: 1 })));
  await world.ingest();
  const id = await onlyLetter(world);
  await world.deliver(upsert(customer('c1', { amount: 7, version: 2 })));
  await world.ingest();
  await reopen(world);
  await mend(world);
  t.same(await redrive(world.deps, id), { kind: 'applied' });
  t.equal((await world.row('c1'))?.amount, 7);
});

test('an old stored deletion does not remove what was created since', async (t) => {
  const world = await createWorld(t, { canGet: false, deleteEvents: 'versioned' });
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  await world.run(
    sql`CREATE FUNCTION shop.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'kept'; END $$`,
  );
  await world.run(sql`CREATE TRIGGER keep BEFORE DELETE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.keep()`);
  await world.deliver({ events: [{ type: 'delete', record: { id: 'c1', version: 2 } }] });
  await world.ingest();
  const id = await onlyLetter(world);
  await world.deliver(upsert(customer('c1', { name: 'newer', version: 3 })));
  await world.ingest();
  await reopen(world);
  await world.run(sql`DROP TRIGGER keep ON shop.customers`);
  t.same(await redrive(world.deps, id), { kind: 'applied' });
  t.equal((await world.row('c1'))?.full_name, 'newer');
});

test('a retried delivery is worked on again', async (t) => {
  const world = await createWorld(t);
  const delivery = await world.deliver(Buffer.from('{'));
  await world.ingest();
  t.same(await redrive(world.deps, await onlyLetter(world)), { kind: 'delivery' });
  t.match(await world.deliveryOf(delivery), { state: 'received' });
  await world.ingest();
  t.match(await world.deliveryOf(delivery), { state: 'dead' });
  t.equal((await world.deadLetters()).length, 1);
});

test('a record without an id is retried with its delivery, as long as the payload is kept', async (t) => {
  const world = await createWorld(t);
  const delivery = await world.deliver(upsert({ name: 'nobody' }, customer('c1', { version: 1 })));
  await world.ingest();
  t.match(await world.deliveryOf(delivery), { state: 'applied' });
  t.match(await world.deadLetters(), [{ externalId: null }]);
  t.same(await redrive(world.deps, await onlyLetter(world)), { kind: 'delivery' });
  t.match(await world.deliveryOf(delivery), { state: 'received' });
  await world.ingest();
  t.match(await world.deadLetters(), [{ externalId: null, attempt: 1 }]);
  await world.run(sql`UPDATE sync.inbox_deliveries SET body = NULL`);
  t.match(await redrive(world.deps, await onlyLetter(world)), { kind: 'gone' });
});

test('a record that still does not map stays open, one whose payload is gone says so', async (t) => {
  const world = await createWorld(t, { canGet: false });
  await world.deliver(upsert({ id: 'c1', name: 42 }));
  await world.ingest();
  t.match(await redrive(world.deps, await onlyLetter(world)), { kind: 'still_bad', reason: /expected a text/ });
  await world.run(sql`UPDATE sync.dead_letters SET record = NULL, inbox_id = NULL`);
  t.match(await redrive(world.deps, await onlyLetter(world)), { kind: 'gone' });
});
