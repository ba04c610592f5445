import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { queryRows } from '../../../src/db/query.ts';
import { createAudit } from '../../../src/sync/audit.ts';
import { releaseDeletes } from '../../../src/sync/held-deletes.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
type World = Awaited<ReturnType<typeof createWorld>>;

const idsOf = (count: number): string[] => Array.from({ length: count }, (_, place) => `c${place + 10}`);

async function createWith(t: Parameters<typeof createWorld>[0], count: number): Promise<World> {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push' } });
  for (const id of idsOf(count)) await world.known(id);
  return world;
}

/** Without a trigger that sees it: as a restore, or a table that was made anew. */
const lose = (world: World, ids: readonly string[]) =>
  queryRows(world.db, sql`DELETE FROM shop.customers WHERE id = ANY(${sql.param(ids)}::text[])`);

/** What a full run does with pages that show nothing new. */
async function auditPages(world: World, ids: readonly string[], size: number): Promise<void> {
  for (let from = 0; from < ids.length; from += size) {
    const page = ids.slice(from, from + size);
    await world.apply(
      page.map((id) => world.see(id, { ...world.shop.records.get(id) })),
      true,
    );
    await world.pushAll();
  }
}

const isHeld = (world: World): Promise<boolean> => world.inTx(async (tx) => (await tx.deleteHold()).isHeld);

test('a full run that finds many rows missing deletes no record, however small its pages are', async (t) => {
  for (const size of [100, 2]) {
    const world = await createWith(t, 60);
    await lose(world, idsOf(60).slice(0, 30));
    await auditPages(world, idsOf(60), size);
    t.equal(world.shop.records.size, 60);
    t.equal(world.shop.writes, 0);
    t.ok(await isHeld(world));
    t.same(new Set(await world.states()), new Set(['delete parked mass_delete']));
  }
});

test('a full run deletes no record where every row of a small table is gone', async (t) => {
  for (const count of [12, 1]) {
    const world = await createWith(t, count);
    await lose(world, idsOf(count));
    await auditPages(world, idsOf(count), 5);
    t.equal(world.shop.records.size, count);
    t.ok(await isHeld(world), `${count} rows`);
  }
});

test('the hourly audit holds removals back where every row is gone', async (t) => {
  const world = await createWith(t, 3);
  await queryRows(
    world.db,
    sql`UPDATE sync.streams SET needs_full_at = NULL, last_full_started_at = clock_timestamp()`,
  );
  await lose(world, idsOf(3));
  const audit = createAudit(
    { ...world.deps, db: world.db, streams: new Map([['shop/customers', world.stream]]) },
    () => 0,
  );
  for (let step = 0; step < 10; step++) if (!(await audit.runOnce())) break;
  t.ok(await isHeld(world));
  await world.pushAll();
  t.equal(world.shop.records.size, 3);
});

test('most rows of a small table that are removed at once are held back, and a few are not', async (t) => {
  const world = await createWith(t, 12);
  await world.removed(...idsOf(12).slice(0, 5));
  t.match(await world.plan(), { isHolding: false });
  await world.pushAll();
  t.equal(world.shop.records.size, 7);
  await world.removed(...idsOf(12).slice(5, 11));
  t.match(await world.plan(), { isHolding: true });
  await world.pushAll();
  t.equal(world.shop.records.size, 7);
});

test('removals that were found by a full run and released go out, and are not counted with the next', async (t) => {
  const world = await createWith(t, 12);
  await lose(world, idsOf(12).slice(0, 8));
  await auditPages(world, idsOf(12), 5);
  t.ok(await isHeld(world));
  await releaseDeletes(world.deps, 'c');
  await world.removed('c21');
  t.match(await world.plan(), { isHolding: false });
  await world.pushAll();
  t.equal(world.shop.records.size, 3);
});

test('a push that was planned for an edit deletes no record where the table is empty when it is claimed', async (t) => {
  const world = await createWith(t, 6);
  await world.edited('c10', { full_name: 'Edited' });
  await world.plan();
  await lose(world, idsOf(6));
  await world.pushAll();
  t.equal(world.shop.writes, 0);
  t.ok(await isHeld(world));
});

test('few rows that nobody saw removed are removed at the source by a full run', async (t) => {
  const world = await createWith(t, 12);
  await lose(world, ['c10', 'c11']);
  await auditPages(world, idsOf(12), 100);
  t.equal(world.shop.records.size, 10);
  t.notOk(await isHeld(world));
});

test('rows of a detached stream that are missing hold nothing back', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'detach' } });
  for (const id of idsOf(12)) await world.known(id);
  await world.removed(...idsOf(12).slice(0, 10));
  t.match(await world.plan(), { isHolding: false });
});
