import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { applyBatch } from '../../src/sync/apply.ts';
import { customer, shareDatabase, sightingOf, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);

/** Where each state row lies: it moves with every write to it. */
const places = async (world: World): Promise<unknown[]> =>
  await world.run(sql`SELECT external_id, ctid::text AS place FROM sync.record_states ORDER BY external_id`);

test('an unchanged list of records without versions rewrites no state', async (t) => {
  const world = await createWorld(t, { versionKind: 'none', repairs: true });
  for (const id of ['c1', 'c2', 'c3']) world.source.records.set(id, customer(id));
  await world.reconcile();
  const before = await places(world);
  t.match(await world.reconcile(), { state: 'succeeded', counts: { unchanged: 3 } });
  t.same(await places(world), before);
});

test('while a read of a record is wanted, its listing is remembered, so that an older answer cannot pass for news', async (t) => {
  const world = await createWorld(t, { versionKind: 'none' });
  world.source.records.set('c1', customer('c1', { name: 'A' }));
  await world.reconcile();
  const first = (await world.stateOf('c1'))?.hi ?? 0;
  await world.deliver({ events: [{ type: 'changed', id: 'c1' }] });
  await world.ingest();
  const run = await world.queue();
  const claimed = await world.claim();
  t.equal(claimed.id, run.id);
  await world.work(claimed);
  t.ok(((await world.stateOf('c1'))?.hi ?? 0) > first);
});

test('without reads by id a listing is remembered while a delivery waits that may be older', async (t) => {
  const world = await createWorld(t, { versionKind: 'none', canGet: false });
  world.source.records.set('c1', customer('c1', { name: 'A' }));
  await world.reconcile();
  const before = await places(world);
  const list = async (): Promise<void> => {
    const at = await world.now();
    const seen = sightingOf(world.stream, customer('c1', { name: 'A' }), { channel: 'page', lo: at, hi: at });
    await world.db.transaction((tx) => applyBatch(tx, world.stream, [seen], { repairs: false }));
  };
  await list();
  t.same(await places(world), before, 'nothing waits, nothing is written');
  await world.deliver(upsert(customer('c1', { name: 'older' })));
  // The embedded clock counts milliseconds, and a list of the same one would not be the later.
  const delivered = await world.now();
  while ((await world.now()) <= delivered);
  await list();
  await world.ingest();
  t.match(await world.row('c1'), { full_name: 'A' });
});
