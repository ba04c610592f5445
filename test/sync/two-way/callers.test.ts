import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { applyTwoWay } from '../../../src/sync/apply-two-way.ts';
import type { RecordTx } from '../../../src/sync/record-store.ts';
import { upsert } from '../world.ts';
import { shareTwoWay, type TwoWayWorld, twoWay } from './world.ts';

const createWorld = shareTwoWay(file);

const record = (id: string, over = {}) => ({
  id,
  name: `Name ${id}`,
  amount: 1,
  price: '9.50',
  tags: ['a'],
  code: null,
  version: 1,
  ...over,
});
const put = (world: TwoWayWorld, one: ReturnType<typeof record>): unknown => world.source.records.set(one.id, one);
const settled = (world: TwoWayWorld) =>
  world.run(sql`UPDATE sync.outbox_pushes SET state = 'done', lease_token = NULL,
  lease_expires_at = NULL, finished_at = clock_timestamp()`);

test('a delivery about a record whose push is in flight becomes a read, and loses no attempt', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(record('c1')));
  await world.ingest();
  await world.startPush('c1', { preVersion: 1n });
  const changed = record('c1', { price: '12', version: 2 });
  put(world, changed);
  const id = await world.deliver(upsert(changed, record('c2')));
  await world.ingest();
  t.match(await world.deliveryOf(id), { state: 'applied', outcome: 'insert,verify', attempt: 1 });
  t.match(await world.hints(), [{ external_id: 'c1', reason: 'deferred' }]);
  for (let round = 0; round < 12; round++) {
    await world.pass(600_000);
    await world.reread();
  }
  t.match(await world.hints(), [{ external_id: 'c1' }], 'however long the push takes the wish stays');
  t.match(await world.rowOf('c1'), { price: '9.50' });
  t.same(await world.deadLetters(), []);
  await settled(world);
  await world.settle();
  t.match(await world.rowOf('c1'), { price: '12.00' });
});

test('where nothing can be read by id the delivery waits, as often as it takes', async (t) => {
  const world = await createWorld(t, { canGet: false });
  await world.deliver(upsert(record('c1')));
  await world.ingest();
  await world.startPush('c1', { preVersion: 1n });
  const id = await world.deliver(upsert(record('c1', { price: '12', version: 2 })));
  for (let round = 0; round < 12; round++) {
    await world.ingest();
    await world.pass(600_000);
  }
  t.match(await world.deliveryOf(id), { state: 'received', outcome: 'defer', attempt: 0 });
  await settled(world);
  await world.ingest();
  t.match(await world.deliveryOf(id), { state: 'applied', outcome: 'update' });
  t.match(await world.rowOf('c1'), { price: '12.00' });
});

test('a row of a list whose push is in flight is read later, and the run goes on', async (t) => {
  const world = await createWorld(t);
  for (const id of ['c1', 'c2']) put(world, record(id));
  await world.reconcile();
  await world.startPush('c1', { preVersion: 1n });
  put(world, record('c1', { price: '12', version: 2 }));
  put(world, record('c2', { price: '13', version: 2 }));
  const run = world.reconcile({ mode: 'incremental' });
  t.ok(await until(async () => (await world.hints()).some(({ external_id }) => external_id === 'c1')));
  t.match(await world.rowOf('c2'), { price: '13.00' });
  await settled(world);
  t.match(await run, { state: 'succeeded' });
  t.match(await world.rowOf('c1'), { price: '12.00' });
});

test('a list’s row that cannot be read by id makes another full run owed, and no dead letter', async (t) => {
  const world = await createWorld(t, { canGet: false });
  put(world, record('c1'));
  await world.reconcile();
  await world.startPush('c1', { preVersion: 1n });
  put(world, record('c1', { price: '12', version: 2 }));
  const run = await world.reconcile();
  t.match(run, { state: 'succeeded' });
  t.same(await world.deadLetters(), []);
  t.match(await world.run(sql`SELECT needs_full_at IS NOT NULL AS owed FROM sync.streams`), [{ owed: true }]);
  await settled(world);
  await world.reconcile();
  t.match(await world.rowOf('c1'), { price: '12.00' });
});

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    if (await isSo()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

test('pushes are made of edits that nobody captured only after every record of the page is locked', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1'), world.see('c2')]);
  await world.edit('c1', { price: '3' });
  const steps: string[] = [];
  await world.inTx(async (tx) => {
    const noting: RecordTx = {
      ...tx,
      async lockStates(ids) {
        steps.push('states');
        return await tx.lockStates(ids);
      },
      async ensurePushes(wishes) {
        steps.push('pushes');
        return await tx.ensurePushes(wishes);
      },
    };
    const page = [world.see('c1'), world.see('c2', { name: 'New', version: 2 })];
    await applyTwoWay(noting, { ...world.stream, twoWay: world.stream.twoWay ?? twoWay() }, page, { repairs: true });
  });
  t.same(steps, ['states', 'pushes']);
});
