import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import postgres from 'postgres';
import file, { test } from 'tap';
import { queryRows } from '../../../src/db/query.ts';
import type { PushWish } from '../../../src/model/push.ts';
import { addLocalChanges } from '../../../src/store/local-changes.ts';
import { claimPushes } from '../../../src/sync/claim-pushes.ts';
import { releaseDeletes } from '../../../src/sync/held-deletes.ts';
import { type PlanReport, planOnce } from '../../../src/sync/plan-pushes.ts';
import type { PushDeps } from '../../../src/sync/push-deps.ts';
import type { RecordTx } from '../../../src/sync/record-store.ts';
import { createRecordStore } from '../../../src/sync/record-tx.ts';
import { createOnServer, silentLog } from '../../helpers/database.ts';
import { createPrivatePostgres, type PrivatePostgres, skipWithoutPostgres } from '../../helpers/postgres.ts';
import { KEY } from '../world.ts';
import { createTwoWay, type TwoWayWorld, twoWay } from './world.ts';

const skip = skipWithoutPostgres();

let server: PrivatePostgres | null = null;
file.teardown(() => server?.remove());

type Teardown = { teardown(work: () => unknown): unknown };

/** A world on a server of its own, with connections of a user's beside it. */
async function setUp(t: Teardown, options: Parameters<typeof createTwoWay>[1] = {}) {
  server ??= await createPrivatePostgres();
  const database = await createOnServer(t, process.env.DATABASE_URL ?? server.url, { poolSize: 8 });
  const world = await createTwoWay(t, { ...options, database });
  const user = postgres(database.url ?? '', { max: 2, onnotice: () => {} });
  t.teardown(() => user.end({ timeout: 5 }));
  return { world, user };
}

/** Resolves when a session of ours waits for a lock: an event of the server's that has no other signal. */
async function blocked(world: TwoWayWorld, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    const waiting = await queryRows(
      world.db,
      sql`SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    if (waiting.length > 0) return;
  }
}

test('a row that a user holds defers its own record alone, and what she then commits is merged', {
  skip,
}, async (t) => {
  const { world, user } = await setUp(t);
  await world.apply([world.see('c1'), world.see('c2')]);
  const both = [world.see('c1', { price: '2', version: 2 }), world.see('c2', { price: '2', version: 2 })];
  await user.begin(async (tx) => {
    await tx`UPDATE shop.customers SET full_name = 'Hers' WHERE id = 'c1'`;
    t.same(await world.apply(both), ['defer', 'update']);
  });
  t.same(await world.apply(both), ['update', 'noop']);
  t.match(await world.rowOf('c1'), { full_name: 'Hers', price: '2.00' });
  t.match(await world.pushes(), [{ target_key: 'c1', state: 'ready' }]);
});

test('a row that a user puts where a new record is about to go is not written over unseen', { skip }, async (t) => {
  const { world, user } = await setUp(t);
  let applied: Promise<string[]> = Promise.resolve([]);
  let isDone = false;
  await user.begin(async (tx) => {
    await tx`INSERT INTO shop.customers (id, full_name, amount) VALUES ('c1', 'Hers', 1)`;
    applied = world.apply([world.see('c1'), world.see('c2')]).finally(() => {
      isDone = true;
    });
    await blocked(world, () => isDone);
  });
  const outcomes = await applied;
  t.equal(outcomes[1], 'insert');
  if (outcomes[0] === 'defer') t.same(await world.apply([world.see('c1')]), ['link']);
  t.match(await world.rowOf('c1'), { full_name: 'Name c1' });
  t.match(await world.conflicts(), [{ kind: 'adopted', local: { name: 'Hers' }, outcome: 'remote' }]);
});

test('two workers that see a record first at the same time make one row and one effect', { skip }, async (t) => {
  const { world } = await setUp(t);
  const ids = Array.from({ length: 20 }, (_, place) => `c${place}`);
  const outcomes = await Promise.all(
    [ids, [...ids].reverse()].map((order) => world.apply(order.map((id) => world.see(id)))),
  );
  t.equal(outcomes.flat().filter((kind) => kind === 'insert').length, ids.length);
  t.same(await world.conflicts(), []);
  t.match(await world.run(sql`SELECT count(*)::int AS n FROM shop.customers`), [{ n: ids.length }]);
});

test('a push that begins while a change waits for the record’s lock is not overtaken by it', { skip }, async (t) => {
  const { world } = await setUp(t);
  await world.apply([world.see('c1')]);
  let applied: Promise<string[]> = Promise.resolve([]);
  let isDone = false;
  await world.inTx(async (tx) => {
    await tx.lockStates(['c1']);
    applied = world.apply([world.see('c1', { price: '2', version: 2 })]).finally(() => {
      isDone = true;
    });
    await blocked(world, () => isDone);
    await world.startPush('c1', { preVersion: 1n });
  });
  t.same(await applied, ['defer']);
  t.match(await world.rowOf('c1'), { price: '9.50' });
});

test('of two passes that plan removals at once, the second counts those of the first', { skip }, async (t) => {
  const { world } = await setUp(t, { twoWay: { localDeletes: 'push', massDelete: { maxShare: 0, minimum: 3 } } });
  const ids = ['c1', 'c2', 'c3', 'c4'];
  // So many others that the missing rows are not asked for: what is planned alone counts.
  await world.apply([...ids, 'c5', 'c6', 'c7', 'c8'].map((id) => world.see(id)));
  for (const id of ids) await world.remove(id);
  await addLocalChanges(world.db, KEY, 'D', ['c1', 'c2']);
  await addLocalChanges(world.db, KEY, 'D', ['c3', 'c4']);
  let other: Promise<PlanReport> | null = null;
  let isDone = false;
  const report = await planOnce(
    planner(world, {
      // This one has counted and not committed when the other begins.
      async ensurePushes(tx, wishes) {
        other ??= planOnce(planner(world, {}), 1).finally(() => {
          isDone = true;
        });
        await blocked(world, () => isDone);
        return await tx.ensurePushes(wishes);
      },
    }),
    1,
  );
  t.match(report, { planned: 2, isHolding: false });
  t.match(await other, { planned: 2, isHolding: true });
});

test('a removal that is claimed while all are released is not parked for a hold that is gone', { skip }, async (t) => {
  const { world } = await setUp(t, { twoWay: { localDeletes: 'push' } });
  await world.apply([world.see('c1'), world.see('c2')]);
  await world.remove('c1');
  await world.inTx(async (tx) => {
    const editedAt = await tx.now();
    await tx.holdDeletes('so many');
    await tx.ensurePushes([
      { targetKey: 'c1', externalId: 'c1', edits: 1, runAt: editedAt, editedAt, isRemoval: true },
    ]);
  });
  const claim = claimer(world, {
    // It has seen that removals are held back, and parked nothing yet.
    async deleteHold(tx) {
      const hold = await tx.deleteHold();
      t.match(await releaseDeletes(claimer(world, {}), 'c'), { rows: 1 });
      return hold;
    },
  });
  t.match(await claimPushes(claim, 1), { calls: [{ push: { op: 'delete', externalId: 'c1' } }], parked: 0 });
});

type Steps = {
  ensurePushes?: (tx: RecordTx, wishes: readonly PushWish[]) => Promise<ReadonlyMap<string, string>>;
  deleteHold?: (tx: RecordTx) => ReturnType<RecordTx['deleteHold']>;
};

/** What looks at due pushes, and sends none. */
function claimer(world: TwoWayWorld, steps: Steps): PushDeps {
  const never = () => Promise.reject(new Error('Nothing is asked of the source'));
  return {
    ...planner(world, steps),
    source: { send: never, read: never, findByMarker: never },
    apply: never,
    newId: randomUUID,
    random: () => 0,
    wakeHints: () => {},
  };
}

function planner({ db, stream }: TwoWayWorld, { ensurePushes, deleteHold }: Steps): Parameters<typeof planOnce>[0] {
  const { transaction } = createRecordStore(db, stream);
  const stepsOf = (tx: RecordTx): RecordTx => ({
    ...tx,
    ...(ensurePushes === undefined ? {} : { ensurePushes: (wishes) => ensurePushes(tx, wishes) }),
    ...(deleteHold === undefined ? {} : { deleteHold: () => deleteHold(tx) }),
  });
  return {
    stream: { ...stream, twoWay: stream.twoWay ?? twoWay() },
    store: { transaction: (work) => transaction((tx) => work(stepsOf(tx))) },
    log: { ...silentLog, debug() {} },
    wakePushes: () => {},
    crashPoint: () => {},
  };
}
