import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { ParkedFilter } from '../../../src/model/push.ts';
import { discardParked, PAGE_PUSHES, retryParked } from '../../../src/sync/parked-in-bulk.ts';
import type { RecordStore, RecordTx } from '../../../src/sync/record-store.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
type World = Awaited<ReturnType<typeof createWorld>>;

const ALL: ParkedFilter = { reason: null, errorCode: null };
const FORBIDDEN: ParkedFilter = { reason: 'refused', errorCode: 'forbidden' };
const options = (stopping = new AbortController().signal) => ({ correlationId: 'the-request', stopping });

/** A worker in whose transactions something else happens as well. */
function meanwhile({ deps }: World, change: (tx: RecordTx) => Partial<RecordTx>): World['deps'] {
  const store: RecordStore = {
    transaction: (work) => deps.store.transaction((tx) => work({ ...tx, ...change(tx) })),
  };
  return { ...deps, store };
}

/** Edits that the source turns down, each with a code. */
async function park(world: World, codes: { readonly [id: string]: string }): Promise<void> {
  for (const [id, code] of Object.entries(codes)) {
    await world.known(id);
    await world.edited(id, { full_name: `Edited ${id}` });
    await world.plan();
    world.shop.fates = [{ kind: 'answer', answer: { kind: 'refused', code, words: 'PATCH: turned down' } }];
    await world.push();
  }
  world.shop.fates = [];
}

/** As many parked pushes of rows that nothing is known of. */
const parkMany = (world: World, count: number) =>
  world.run(
    sql`INSERT INTO sync.outbox_pushes (integration, entity, target_key, state, park_reason, error_code)
        SELECT 'shop', 'customers', 'many-' || n, 'parked', 'refused', 'forbidden' FROM generate_series(1, ${count}) AS n`,
  );
const parked = async (world: World): Promise<string[]> =>
  (await world.run(sql`SELECT target_key FROM sync.outbox_pushes WHERE state = 'parked' ORDER BY target_key`)).map(
    (row) => String((row as { target_key: string }).target_key),
  );
const told = (world: World) =>
  world.run(
    sql`SELECT external_id, origin_id AS what, correlation_id FROM sync.record_history
        WHERE origin_kind = 'operator' ORDER BY external_id`,
  );

test('all parked pushes that a filter names go on and no other does, each told in its record’s history, and once', async (t) => {
  const world = await createWorld(t);
  await park(world, { c1: 'forbidden', c2: 'bad_request', c3: 'forbidden' });
  t.same(await retryParked(world.deps, { reason: 'loop_suspected', errorCode: null }, options()), {
    done: 0,
    left: 0,
    isMore: false,
  });
  t.same(await retryParked(world.deps, FORBIDDEN, options()), { done: 2, left: 0, isMore: false });
  t.same(await parked(world), ['c2']);
  t.match(await world.push(), { settled: 2 });
  for (const id of ['c1', 'c3']) t.ok(await world.isInLine(id), id);
  t.match(await told(world), [
    { external_id: 'c1', what: 'retry', correlation_id: 'the-request' },
    { external_id: 'c3', what: 'retry', correlation_id: 'the-request' },
  ]);
  t.same(await retryParked(world.deps, FORBIDDEN, options()), { done: 0, left: 0, isMore: false });
  t.equal((await told(world)).length, 2);
});

test('what a person decides one by one stays parked when all are tried again, and is counted', async (t) => {
  const world = await createWorld(t);
  await park(world, { c1: 'forbidden' });
  await world.run(
    sql`INSERT INTO sync.outbox_pushes (integration, entity, op, target_key, state, park_reason) VALUES
        ('shop', 'customers', 'create', 'n1', 'parked', 'create_unknown'),
        ('shop', 'customers', 'delete', 'n2', 'parked', 'mass_delete')`,
  );
  t.same(await retryParked(world.deps, ALL, options()), { done: 1, left: 2, isMore: false });
  t.same(await parked(world), ['n1', 'n2']);
});

test('pushes of another entity, or that are not parked, are in no filter', async (t) => {
  const world = await createWorld(t);
  await world.run(
    sql`INSERT INTO sync.outbox_pushes (integration, entity, target_key, state, park_reason) VALUES
        ('shop', 'orders', 'o1', 'parked', 'refused'), ('other', 'customers', 'c1', 'parked', 'refused')`,
  );
  await world.known('c1');
  await world.edited('c1', { full_name: 'Waiting' });
  await world.plan();
  t.same(await discardParked(world.deps, ALL, options()), { done: 0, left: 0, isMore: false });
  t.equal((await world.rowOf('c1'))?.full_name, 'Waiting');
  t.match(await world.states(), { length: 3 });
});

test('a stop ends a bulk between two pages, and the next call takes up what is left', async (t) => {
  const world = await createWorld(t);
  await parkMany(world, PAGE_PUSHES + 1);
  const stopping = new AbortController();
  const deps = meanwhile(world, (tx) => ({
    async finishPush(push, move) {
      await tx.finishPush(push, move);
      stopping.abort();
    },
  }));
  t.same(await retryParked(deps, ALL, options(stopping.signal)), { done: PAGE_PUSHES, left: 0, isMore: true });
  t.equal((await parked(world)).length, 1);
  t.same(await retryParked(deps, ALL, options(stopping.signal)), { done: 0, left: 0, isMore: true });
  t.same(await retryParked(world.deps, ALL, options()), { done: 1, left: 0, isMore: false });
});

test('a push that is parked while a bulk goes on is not tried again by it', async (t) => {
  const world = await createWorld(t);
  await parkMany(world, PAGE_PUSHES);
  const { store } = world.deps;
  let transactions = 0;
  const transaction: RecordStore['transaction'] = async (work) => {
    transactions += 1;
    // The first page has been found and worked off.
    if (transactions === 3)
      await world.run(
        sql`INSERT INTO sync.outbox_pushes (id, integration, entity, target_key, state, park_reason)
            VALUES ('ffffffff-ffff-4fff-bfff-ffffffffffff', 'shop', 'customers', 'late', 'parked', 'refused')`,
      );
    return await store.transaction(work);
  };
  const deps = { ...world.deps, store: { transaction } };
  t.same(await retryParked(deps, ALL, options()), { done: PAGE_PUSHES, left: 0, isMore: false });
  t.equal(transactions, 3);
  t.same(await parked(world), ['late']);
});

test('edits that are given up in bulk are taken back and kept, and one whose row the table refuses is left alone', async (t) => {
  const world = await createWorld(t);
  await park(world, { c1: 'forbidden', c2: 'forbidden', c3: 'forbidden' });
  await world.run(
    sql`CREATE OR REPLACE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.id = 'c2' THEN RAISE EXCEPTION 'a rule of ours'; END IF; RETURN NEW; END $$`,
  );
  await world.run(
    sql`CREATE TRIGGER refuse BEFORE UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.refuse()`,
  );
  t.teardown(() => world.run(sql`DROP TRIGGER IF EXISTS refuse ON shop.customers`));
  t.same(await discardParked(world.deps, FORBIDDEN, options()), { done: 2, left: 1, isMore: false });
  t.same(await parked(world), ['c2']);
  for (const id of ['c1', 'c3']) t.equal((await world.rowOf(id))?.full_name, `Name ${id}`);
  t.equal((await world.rowOf('c2'))?.full_name, 'Edited c2');
  t.match(await world.run(sql`SELECT local, resolved_by FROM sync.conflicts ORDER BY external_id`), [
    { local: { name: 'Edited c1' }, resolved_by: 'operator' },
    { local: { name: 'Edited c3' }, resolved_by: 'operator' },
  ]);
  t.match(await told(world), [
    { external_id: 'c1', what: 'discard' },
    { external_id: 'c3', what: 'discard' },
  ]);
});

test('a push that goes on before its page is worked off is not given up', async (t) => {
  const world = await createWorld(t);
  await park(world, { c1: 'forbidden' });
  const deps = meanwhile(world, (tx) => ({
    async parkedPushes(filter, page) {
      const found = await tx.parkedPushes(filter, page);
      const push = found[0] === undefined ? null : await tx.lockPush(found[0].id);
      if (push !== null) await tx.finishPush(push, { to: 'done' });
      await tx.ensurePushes([{ targetKey: 'c1', externalId: 'c1', edits: 1, runAt: await tx.now(), editedAt: null }]);
      return found;
    },
  }));
  t.same(await discardParked(deps, ALL, options()), { done: 0, left: 0, isMore: false });
  t.equal((await world.rowOf('c1'))?.full_name, 'Edited c1');
  t.match(await world.push(), { settled: 1 });
});
