import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { queryRows } from '../../../src/db/query.ts';
import { MAX_REJECTIONS } from '../../../src/sync/decide-answer.ts';
import { discardPush, retryPush } from '../../../src/sync/parked-pushes.ts';
import { pushOnce } from '../../../src/sync/push.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
type World = Awaited<ReturnType<typeof createWorld>>;

const openPush = async ({ db }: World) => {
  const [push] = await queryRows<{ id: string; targetKey: string; state: string; reason: string; error: string }>(
    db,
    sql`SELECT id::text AS id, target_key AS "targetKey", state, park_reason AS reason, error FROM sync.outbox_pushes WHERE state <> 'done'`,
  );
  if (push === undefined) throw new Error('No push is open');
  return push;
};

/** Each read shows another value. */
function countReads(world: World, field: 'amount' | 'price') {
  let reads = 0;
  world.shop.onRead = async (id) =>
    world.shop.change(id, { [field]: field === 'amount' ? 100 + ++reads : `${++reads}.00` });
}

test('a record of which another value differs at each read does not keep an edit back', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  countReads(world, 'amount');
  await world.edited('c1', { full_name: 'New' });
  await world.plan();
  for (let pass = 0; pass < MAX_REJECTIONS; pass++) {
    await world.push();
    await world.pass(600_000);
  }
  t.equal(world.shop.sent.length, 1);
  t.match(world.shop.records.get('c1'), { name: 'New' });
  t.ok(await world.isInLine('c1'));
  t.same(await world.conflicts(), []);
});

test('an edit of a value that differs at each read is parked after some looks, and nothing is written over', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'target_wins' } });
  await world.known('c1');
  countReads(world, 'price');
  await world.edited('c1', { price: '55.00' });
  await world.plan();
  for (let pass = 0; pass < MAX_REJECTIONS; pass++) {
    await world.push();
    await world.pass(600_000);
  }
  t.match(await openPush(world), { state: 'parked', reason: 'cannot_settle' });
  t.equal(world.shop.sent.length, 0);
  t.equal(world.shop.reads.length, MAX_REJECTIONS);
});

/** Carried out, and what the source shows of it since does not map. */
async function createUnreadable(t: Parameters<typeof createWorld>[0]): Promise<World> {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'New' });
  world.shop.showsRecord = false;
  world.shop.fates = [{ kind: 'with', after: async () => world.shop.change('c1', { amount: 'not a number' }) }];
  await world.plan();
  await world.push();
  for (let pass = 0; pass < 12; pass++) {
    await world.pass(400_000);
    await world.resolve();
  }
  return world;
}

test('a push that was carried out on a record that does not map any more is settled once it does', async (t) => {
  const world = await createUnreadable(t);
  t.match(await openPush(world), { state: 'parked', reason: 'cannot_settle', error: 'the record cannot be made out' });
  world.shop.change('c1', { amount: 1 });
  t.match(await retryPush(world.deps, await openPush(world), { mayDuplicate: false, correlationId: 'c' }), {
    kind: 'retried',
  });
  await world.resolve();
  t.same(await world.states(), ['update done']);
  t.equal(world.shop.sent.length, 1);
  t.ok(await world.isInLine('c1'));
});

test('a push that was carried out on a record that does not map any more can be given up', async (t) => {
  const world = await createUnreadable(t);
  t.same(await discardPush(world.deps, await openPush(world), 'c'), { kind: 'discarded' });
  t.same(await world.states(), ['update done']);
});

test('a request that the database keeps from leaving has surely not been carried out', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.plan();
  const { transaction } = world.deps.store;
  let begun = 0;
  const deps = {
    ...world.deps,
    store: {
      // The third asks whether the request may leave.
      transaction: ((work) =>
        ++begun === 3 ? Promise.reject(new Error('No connection is free')) : transaction(work)) as typeof transaction,
    },
  };
  t.match(await pushOnce(deps, 10, new AbortController().signal), { calls: 1, again: 1 });
  t.same((await world.states()).sort(), ['create done', 'update ready']);
  await world.pass(60_000);
  await world.pushAll();
  t.equal(world.shop.records.size, 1);
});

test('the settling of a push is not tried again while another write of its record is under way', async (t) => {
  const world = await createUnreadable(t);
  const parked = await openPush(world);
  await world.startPush('c1');
  const again = { mayDuplicate: false, correlationId: 'c' };
  t.match(await retryPush(world.deps, parked, again), { kind: 'not_now', why: /another write/ });
});

test('a push that a person lets go on though a loop was suspected is sent, and the budget begins anew', async (t) => {
  const world = await createWorld(t, { twoWay: { budget: { calls: 2, perMs: 600_000 } } });
  await world.known('c1');
  const editAll = async (...names: string[]) => {
    for (const name of names) {
      await world.edited('c1', { full_name: name });
      await world.pushAll();
    }
  };
  await editAll('One', 'Two', 'Three');
  const parked = await openPush(world);
  t.match(parked, { state: 'parked', reason: 'loop_suspected' });
  await retryPush(world.deps, parked, { mayDuplicate: false, correlationId: 'c' });
  await world.pushAll();
  t.equal(world.shop.records.get('c1')?.name, 'Three');
  await editAll('Four', 'Five');
  t.equal(world.shop.records.get('c1')?.name, 'Four');
  t.match(await openPush(world), { state: 'parked', reason: 'loop_suspected' });
});
