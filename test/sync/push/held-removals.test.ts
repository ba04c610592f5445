import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { queryRows } from '../../../src/db/query.ts';
import { discardDeletes, releaseDeletes } from '../../../src/sync/held-deletes.ts';
import type { PushDeps } from '../../../src/sync/push-deps.ts';
import type { RecordTx } from '../../../src/sync/record-store.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
type World = Awaited<ReturnType<typeof createWorld>>;

/** Twenty records, of which more than four removed at once are too many. */
async function createLarge(t: Parameters<typeof createWorld>[0]): Promise<World> {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', massDelete: { maxShare: 0.1, minimum: 3 } } });
  for (let number = 10; number < 30; number++) await world.known(`c${number}`);
  return world;
}

/** Five are removed, and held back. */
async function createHeld(t: Parameters<typeof createWorld>[0]): Promise<World> {
  const world = await createLarge(t);
  await world.removed('c10', 'c11', 'c12', 'c13', 'c14');
  await world.plan();
  await world.push();
  return world;
}

/** As `deps`, with other steps in its transactions. */
const withSteps = (deps: PushDeps, stepsOf: (tx: RecordTx) => Partial<RecordTx>): PushDeps => ({
  ...deps,
  store: { transaction: (work) => deps.store.transaction((tx) => work({ ...tx, ...stepsOf(tx) })) },
});

/** As `deps`, and something else happens once rows were written again. */
function withMeanwhile(deps: PushDeps, meanwhile: () => Promise<unknown>): PushDeps {
  let isDue = false;
  const stepsOf = (tx: RecordTx): Partial<RecordTx> => ({
    writeRows(rows) {
      isDue = true;
      return tx.writeRows(rows);
    },
  });
  const { store } = withSteps(deps, stepsOf);
  return {
    ...deps,
    store: {
      async transaction(work) {
        const done = await store.transaction(work);
        if (isDue) await meanwhile();
        isDue = false;
        return done;
      },
    },
  };
}

test('removals that were released go out, though more rows are removed before they have', async (t) => {
  const world = await createHeld(t);
  t.same(await releaseDeletes(world.deps, 'c'), { rows: 5, refused: 0, isMore: false });
  await world.push(2);
  await world.removed('c20');
  t.match(await world.plan(), { isHolding: false });
  for (let pass = 0; pass < 3; pass++) await world.push(2);
  t.equal(world.shop.records.size, 14);
});

test('too many removals after a release are held back, and what was released goes out all the same', async (t) => {
  const world = await createHeld(t);
  await releaseDeletes(world.deps, 'c');
  await world.removed('c20', 'c21', 'c22', 'c23');
  t.match(await world.plan(), { isHolding: true });
  await world.push(20);
  t.same(
    [...world.shop.records.keys()].filter((id) => id < 'c15'),
    [],
  );
  t.equal(world.shop.records.size, 15);
  t.equal((await world.states()).filter((state) => state === 'delete parked mass_delete').length, 4);
});

test('a row that the table refuses does not keep the others from being written again, and removals stay held', async (t) => {
  const world = await createHeld(t);
  await queryRows(world.db, sql.raw(`ALTER TABLE shop.customers ADD CONSTRAINT not_c10 CHECK (id <> 'c10')`));
  t.teardown(() => queryRows(world.db, sql.raw('ALTER TABLE shop.customers DROP CONSTRAINT IF EXISTS not_c10')));
  t.same(await discardDeletes(world.deps, 'c'), { rows: 4, refused: 1, isMore: false });
  t.equal((await world.rows()).length, 19);
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: true });
  await queryRows(world.db, sql.raw('ALTER TABLE shop.customers DROP CONSTRAINT not_c10'));
  t.same(await discardDeletes(world.deps, 'c'), { rows: 1, refused: 0, isMore: false });
  t.equal((await world.rows()).length, 20);
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pushAll();
  t.equal(world.shop.records.size, 20);
});

test('a row that is removed after the others were written again, and before removals go on, is written again too', async (t) => {
  const world = await createHeld(t);
  let steps = 0;
  const store: PushDeps['store'] = {
    async transaction(work) {
      const done = await world.deps.store.transaction(work);
      steps++;
      // One looks which rows are missing, the next writes them.
      if (steps === 2) {
        await world.removed('c20');
        await world.plan();
        await world.push();
        t.ok((await world.states()).includes('delete parked mass_delete'));
      }
      return done;
    },
  };
  t.same(await discardDeletes({ ...world.deps, store }, 'c'), { rows: 6, refused: 0, isMore: false });
  t.equal((await world.rows()).length, 20);
  t.notOk((await world.states()).some((state) => state.includes('parked')));
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pushAll();
  t.equal(world.shop.records.size, 20);
});

test('a row that comes back with an edit while removals are discarded keeps its push', async (t) => {
  const world = await createHeld(t);
  const deps = withSteps(world.deps, (tx) => ({
    async openRemovals(page) {
      const found = await tx.openRemovals(page);
      if (found.length === 0) return found;
      await tx.writeRows([{ id: 'c10', name: 'Back', amount: 1, price: '9.5', tags: ['a'], code: null }]);
      const now = await tx.now();
      await tx.ensurePushes([{ targetKey: 'c10', externalId: 'c10', edits: 1, runAt: now, editedAt: now }]);
      return found;
    },
  }));
  await discardDeletes(deps, 'c');
  await world.pushAll();
  t.equal(world.shop.records.get('c10')?.name, 'Back');
  t.match(await world.rowOf('c10'), { full_name: 'Back' });
});

test('a removal that is planned while others are discarded is discarded with them, and does not go out', async (t) => {
  const world = await createHeld(t);
  const left = ['c20', 'c21'];
  const deps = withMeanwhile(world.deps, async () => {
    const id = left.pop();
    if (id === undefined) return;
    await world.removed(id);
    await world.plan();
  });
  t.same(await discardDeletes(deps, 'c'), { rows: 7, refused: 0, isMore: false });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pushAll();
  t.same(new Set(await world.states()), new Set(['delete done']));
  t.equal((await world.rows()).length, 20);
  t.equal(world.shop.records.size, 20);
});

test('where rows are removed again as often as they are written, removals stay held back', async (t) => {
  const world = await createHeld(t);
  const deps = withMeanwhile(world.deps, async () => {
    await world.removed('c20');
    await world.plan();
  });
  t.match(await discardDeletes(deps, 'c'), { refused: 0, isMore: true });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: true });
  t.match(await discardDeletes(world.deps, 'c'), { rows: 1, isMore: false });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pushAll();
  t.equal(world.shop.records.size, 20);
});

test('a parked removal of which the row was put back unseen is over with the others', async (t) => {
  for (const decide of [releaseDeletes, discardDeletes]) {
    const world = await createHeld(t);
    await world.inTx(async (tx) => {
      const shadow = (await tx.readStates(['c10'])).get('c10')?.shadow;
      if (shadow) await tx.writeRows([shadow]);
    });
    await decide(world.deps, 'c');
    await world.pushAll();
    t.same(new Set(await world.states()), new Set(['delete done']), decide.name);
    t.ok(world.shop.records.has('c10'));
    t.ok(await world.isInLine('c10'));
  }
});

test('a second release goes on with what the first has not reached', async (t) => {
  const world = await createHeld(t);
  let looks = 0;
  const deps = withSteps(world.deps, (tx) => ({
    // It comes to three of them, and dies at the next look.
    async openRemovals(page) {
      if (looks++ > 0) throw new Error('The process dies');
      return (await tx.openRemovals(page)).slice(0, 3);
    },
  }));
  await t.rejects(releaseDeletes(deps, 'c'), { message: 'The process dies' });
  t.match(await releaseDeletes(world.deps, 'c'), { rows: 2 });
  t.match(await releaseDeletes(world.deps, 'c'), { rows: 0 });
  await world.pushAll();
  t.equal(world.shop.records.size, 15);
  t.same(new Set(await world.states()), new Set(['delete done']));
});

test('a removal whose record is in conflict stays parked until that is decided, and holds no other back', async (t) => {
  const world = await createHeld(t);
  await world.inTx((tx) =>
    tx.recordConflicts([
      {
        ...{
          externalId: 'c10',
          targetKey: 'c10',
          kind: 'deleted_here',
          fields: [],
          base: null,
          local: null,
          remote: null,
        },
        ...{ remoteVersion: null, policy: 'manual', outcome: null },
      },
    ]),
  );
  t.same(await discardDeletes(world.deps, 'c'), { rows: 4, refused: 0, isMore: false });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pushAll();
  t.equal((await world.rows()).length, 19);
  t.equal((await world.states()).filter((state) => state === 'delete parked mass_delete').length, 1);
});

test('a release that dies before it has come to every row leaves removals held back, and the next one ends it', async (t) => {
  const world = await createHeld(t);
  let steps = 0;
  const dying: PushDeps = {
    ...world.deps,
    store: {
      async transaction(work) {
        // The first says until when removals are let go on; none of them is yet.
        if (steps++ === 1) throw new Error('The process dies');
        return await world.deps.store.transaction(work);
      },
    },
  };
  await t.rejects(releaseDeletes(dying, 'c'), { message: 'The process dies' });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: true });
  t.match(await releaseDeletes(world.deps, 'c'), { rows: 5, isMore: false });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pushAll();
  t.equal(world.shop.records.size, 15);
  t.same(new Set(await world.states()), new Set(['delete done']));
});

test('a removal that was sent before is not taken back with those that are held: it is made once, and nothing is made anew', async (t) => {
  const world = await createLarge(t);
  world.shop.knowsKeys = true;
  world.shop.fates.push({ kind: 'lost' });
  await world.removed('c10');
  await world.plan();
  await world.push();
  t.same(await world.states(), ['delete unknown']);
  await world.removed('c11', 'c12', 'c13', 'c14', 'c15');
  t.match(await world.plan(), { isHolding: true });
  await world.push();
  t.match(await discardDeletes(world.deps, 'c'), { rows: 5, refused: 0, isMore: false });
  t.match(await world.inTx((tx) => tx.deleteHold()), { isHeld: false });
  await world.pass(60_000);
  await world.resolve();
  await world.pushAll();
  t.same(new Set(world.shop.sent.map(({ method }) => method)), new Set(['DELETE']));
  t.equal(world.shop.writes, 1);
  t.equal(world.shop.records.size, 19);
  t.equal((await world.rows()).length, 19);
});
