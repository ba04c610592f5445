import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { SourceError } from '../../src/source/error.ts';
import { requestCancel } from '../../src/store/run-orders.ts';
import { readStatusRows } from '../../src/store/status.ts';
import { readStream, registerStream, requireFullRun } from '../../src/store/streams.ts';
import { redrive } from '../../src/sync/redrive.ts';
import { requestRun } from '../../src/sync/request-run.ts';
import { countsOf, customer, KEY, shareDatabase, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);

function fill(world: World, count: number, over: (place: number) => object = () => ({})): void {
  for (let place = 0; place < count; place++) {
    const id = `c${String(place).padStart(3, '0')}`;
    world.source.records.set(id, customer(id, { version: 1, ...over(place) }));
  }
}
/** The present second, as a source stamps it. */
const secondOf = async (world: World): Promise<number> => Math.floor((await world.now()) / 1e6) * 1e6;
const change = (world: World, id: string, over: object) =>
  world.source.records.set(id, { ...world.source.records.get(id), ...over });

test('a first full run loads everything, and a second one writes nothing', async (t) => {
  const world = await createWorld(t);
  world.source.pageSize = 2;
  fill(world, 5);
  const first = await world.reconcile();
  t.match(first, { state: 'succeeded', isBackfill: true, pages: 3, candidates: 0 });
  t.same(countsOf(first.counts), { seen: 5, inserted: 5 });
  t.equal(world.counted(), undefined, 'a first load is no drift');
  const marks = sql`SELECT (SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY external_id) FROM sync.record_states) AS states,
                           (SELECT count(*)::int FROM sync.record_history) AS told`;
  const [rows, before] = [await world.rows(), await world.run(marks)];
  const second = await world.reconcile();
  t.same(countsOf(second.counts), { seen: 5, unchanged: 5 });
  t.same(await world.rows(), rows);
  t.same(await world.run(marks), before, 'nor a state, nor a line of history');
  t.same(await world.run(sql`SELECT 1 AS one FROM sync.run_pages`), [], 'the list of seen ids is dropped');
});

test('a missed create, update and delete are found, mended, and counted as drift by kind', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  await world.reconcile();
  world.counted();
  change(world, 'c000', { name: 'missed', version: 2 });
  world.source.records.delete('c001');
  world.source.records.set('c009', customer('c009', { version: 1 }));
  const run = await world.reconcile();
  t.match(countsOf(run.counts), { seen: 3, inserted: 1, updated: 1, deleted: 1, unchanged: 1 });
  t.match(world.counted(), { driftMissing: 1, driftStale: 1, driftDeleted: 1, driftRepaired: 0, hookApplied: 0 });
  t.match(await world.rows(), [{ id: 'c000', full_name: 'missed' }, { id: 'c002' }, { id: 'c009' }]);
});

test('what an incremental run’s reads change is drift, not the work of deliveries', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp' });
  const version = await secondOf(world);
  fill(world, 1, () => ({ version }));
  await world.reconcile();
  world.counted();
  // Within one tick, and last seen after the page was asked for: only a read by id can tell.
  world.source.onPage = async () => {
    world.source.onPage = () => {};
    await world.deliver(upsert({ ...world.source.records.get('c000') }));
    await world.ingest();
    change(world, 'c000', { name: 'same tick' });
  };
  const run = await world.reconcile({ mode: 'incremental' });
  t.match(countsOf(run.counts), { verify: 1 });
  t.equal((await world.row('c000'))?.full_name, 'same tick', 'a caller who waits for the run sees it');
  t.match(world.counted(), { driftStale: 1, hookApplied: 0 });
});

test('a page read before a webhook and written after it does not undo the webhook', async (t) => {
  for (const versionKind of ['counter', 'timestamp', 'none'] as const) {
    const world = await createWorld(t, { versionKind });
    const version = await secondOf(world);
    fill(world, 2, () => ({ version }));
    await world.reconcile();
    await world.pass(3_600_000);
    world.source.onTravel = async () => {
      world.source.onTravel = () => {};
      change(world, 'c000', { name: 'by webhook', version: version + (versionKind === 'counter' ? 1 : 0) });
      await world.deliver(upsert({ ...world.source.records.get('c000') }));
      await world.settle();
      t.equal((await world.row('c000'))?.full_name, 'by webhook');
    };
    await world.reconcile();
    t.equal((await world.row('c000'))?.full_name, 'by webhook', versionKind);
  }
});

test('a page read before a deletion and written after it does not revive the record', async (t) => {
  for (const canUndelete of [true, false]) {
    const world = await createWorld(t, { canUndelete });
    fill(world, 2);
    await world.reconcile();
    await world.pass(3_600_000);
    world.source.onTravel = async () => {
      world.source.onTravel = () => {};
      world.source.records.delete('c000');
      await world.deliver({ events: [{ type: 'gone', id: 'c000' }] });
      await world.settle();
      t.equal(await world.row('c000'), undefined);
    };
    await world.reconcile();
    t.same(
      (await world.rows()).map(({ id }) => id),
      ['c001'],
      `ids return: ${canUndelete}`,
    );
  }
});

test('one bad record of a page is set aside, the page is checkpointed, and the run says partial', async (t) => {
  const world = await createWorld(t);
  fill(world, 4, (place) => (place === 1 ? { amount: -1 } : place === 2 ? { name: 42 } : {}));
  const run = await world.reconcile();
  t.match(run, { state: 'partial' });
  t.same(countsOf(run.counts), { seen: 4, inserted: 2, failed: 2 });
  t.same((await world.deadLetters()).map(({ errorCode }) => errorCode).sort(), ['database_constraint', 'wrong_kind']);
  t.same(
    (await world.rows()).map(({ id }) => id),
    ['c000', 'c003'],
  );
  await world.reconcile();
  t.same(
    (await world.deadLetters()).map(({ attempt }) => attempt),
    [2, 2],
  );
  const [status] = await readStatusRows(world.db, 'shop');
  t.match(status, { lastStatus: 'partial', recordsSynced: 2, recordsFailed: 2 });
});

test('a record listed twice on a page counts once, with what the later row shows', async (t) => {
  const world = await createWorld(t, { versionKind: 'none' });
  fill(world, 1);
  world.source.extraItems = [customer('c000', { name: 'later' })];
  const run = await world.reconcile();
  t.same(countsOf(run.counts), { seen: 1, inserted: 1 });
  t.equal((await world.row('c000'))?.full_name, 'later');
});

test('damaged rows are mended by a full run where repair is on, and counted', async (t) => {
  const world = await createWorld(t, { repairs: true });
  fill(world, 3);
  await world.reconcile();
  await world.run(sql`UPDATE shop.customers SET full_name = 'damaged' WHERE id = 'c000'`);
  await world.run(sql`DELETE FROM shop.customers WHERE id = 'c001'`);
  const run = await world.reconcile();
  t.same(countsOf(run.counts), { seen: 3, repaired: 2, unchanged: 1 });
  t.match(world.counted(), { driftRepaired: 2 });
  t.match(await world.rows(), [{ id: 'c000', full_name: 'Name c000' }, { id: 'c001' }, { id: 'c002' }]);
});

test('a damaged state is mended by two full runs', async (t) => {
  const world = await createWorld(t);
  fill(world, 4);
  await world.reconcile();
  await world.run(
    sql`UPDATE sync.record_states SET version = 99, base_hash = decode('ff', 'hex') WHERE external_id = 'c000'`,
  );
  await world.run(
    sql`UPDATE sync.record_states SET status = 'tombstone', tomb_version = 99 WHERE external_id = 'c001'`,
  );
  await world.run(
    sql`UPDATE sync.record_states SET lo = clock_timestamp() + interval '1 year', hi = clock_timestamp() + interval '1 year', base_hash = NULL WHERE external_id = 'c002'`,
  );
  await world.run(
    sql`INSERT INTO sync.record_states (integration, entity, external_id, status, base_hash, alive_at) VALUES ('shop', 'customers', 'phantom', 'live', decode('ff', 'hex'), clock_timestamp() + interval '1 year')`,
  );
  await world.run(sql`INSERT INTO shop.customers (id, amount) VALUES ('phantom', 1)`);
  await world.run(sql`UPDATE shop.customers SET full_name = 'damaged' WHERE id <> 'c003'`);
  change(world, 'c000', { name: 'true' });
  await world.reconcile();
  await world.pass(61_000);
  await world.settle();
  t.match(await world.rows(), [
    { id: 'c000', full_name: 'true' },
    { id: 'c001', full_name: 'Name c001' },
    { id: 'c002', full_name: 'Name c002' },
    { id: 'c003', full_name: 'Name c003' },
  ]);
});

test('an incremental run asks only for what changed since the settled cursor, and never skips a key seen too lately', async (t) => {
  const world = await createWorld(t, { readLagMs: 60_000 });
  fill(world, 3, (place) => ({ version: place + 1 }));
  await world.reconcile();
  await world.reconcile({ mode: 'incremental' });
  t.same(world.source.listed.at(-1)?.query, {}, 'a counter has no cursor before a key has settled');
  await world.pass(120_000);
  change(world, 'c000', { version: 10, name: 'ten' });
  await world.reconcile({ mode: 'incremental' });
  t.equal((await readStream(world.db, KEY))?.cursor, 3n, 'the ten was seen only now');
  await world.pass(30_000);
  await world.reconcile({ mode: 'incremental' });
  t.same(world.source.listed.at(-1)?.query, { since: '3' });
  t.equal((await readStream(world.db, KEY))?.cursor, 3n);
  await world.pass(60_000);
  await world.reconcile({ mode: 'incremental' });
  t.equal((await readStream(world.db, KEY))?.cursor, 10n);
  const run = await world.reconcile({ mode: 'incremental' });
  t.same(countsOf(run.counts), { seen: 1, unchanged: 1 }, 'inclusive: the equal key is read again');
});

test('deletions that a feed shows are applied by an incremental run', async (t) => {
  const world = await createWorld(t, { deleteEvents: 'versioned' });
  fill(world, 2);
  await world.reconcile();
  change(world, 'c000', { version: 2, deleted: true });
  const run = await world.reconcile({ mode: 'incremental' });
  t.match(countsOf(run.counts), { deleted: 1 });
  t.same(
    (await world.rows()).map(({ id }) => id),
    ['c001'],
  );
});

test('a changed definition forgets the cursor and its marks, and owes a full run; the same one does neither', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp' });
  const version = await secondOf(world);
  fill(world, 1, () => ({ version }));
  await world.reconcile();
  const before = await readStream(world.db, KEY);
  t.match(before, { cursor: BigInt, marks: [{}], needsFullAt: null });
  await registerStream(world.db, KEY, world.stream.mapper.fingerprint);
  t.same(await readStream(world.db, KEY), before);
  await registerStream(world.db, KEY, 'another');
  t.match(await readStream(world.db, KEY), { cursor: null, marks: { length: 0 }, needsFullAt: Number });
});

test('one record stamped far ahead does not end incremental runs, and a full run takes back such a cursor', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp' });
  const version = await secondOf(world);
  fill(world, 2, () => ({ version }));
  await world.reconcile();
  change(world, 'c000', { version: version + 3_600_000_000 });
  for (let turn = 0; turn < 3; turn++) {
    await world.reconcile({ mode: 'incremental' });
    await world.pass(1_000);
  }
  change(world, 'c001', { name: 'later', version: await secondOf(world) });
  await world.reconcile({ mode: 'incremental' });
  t.equal((await world.row('c001'))?.full_name, 'later');
  await world.run(sql`UPDATE sync.streams SET cursor = ${version + 3_600_000_000}`);
  await world.reconcile();
  t.ok(((await readStream(world.db, KEY))?.cursor ?? 0n) < BigInt(version));
});

test('a source that forgot our cursor makes a full run owed', async (t) => {
  const world = await createWorld(t);
  fill(world, 1);
  await world.reconcile();
  t.equal((await readStream(world.db, KEY))?.needsFullAt, null);
  world.source.onPage = () => {
    throw new SourceError('gone', 'GET /customers: gone');
  };
  t.match(await world.reconcile({ mode: 'incremental' }), { state: 'failed', errorCode: 'gone' });
  t.match(await readStream(world.db, KEY), { cursor: null, needsFullAt: Number });
  t.match(
    await requestRun(world.db, world.stream, {
      mode: null,
      since: null,
      ids: null,
      isDryRun: false,
      trigger: 'schedule',
    }),
    { run: { mode: 'full' } },
  );
});

test('what came to be owed while a full run went on is still owed after it', async (t) => {
  const world = await createWorld(t);
  fill(world, 1);
  world.source.onPage = () => requireFullRun(world.db, KEY);
  await world.reconcile();
  t.not((await readStream(world.db, KEY))?.needsFullAt, null);
});

test('a dry run reports drift and writes nothing but its own report', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  await world.reconcile();
  change(world, 'c000', { name: 'missed', version: 2 });
  world.source.records.delete('c001');
  world.source.records.set('c009', customer('c009', { name: 42 }));
  world.source.records.set('c010', customer('c010', { version: 1 }));
  const tables = sql`SELECT (SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY external_id) FROM sync.record_states) AS states,
    (SELECT count(*)::int FROM sync.record_history) AS told, (SELECT count(*)::int FROM sync.dead_letters) AS letters,
    (SELECT count(*)::int FROM sync.hints) AS hints, (SELECT count(*)::int FROM sync.sweep_candidates) AS candidates,
    (SELECT string_agg(xmin::text, ' ') FROM sync.streams) AS streams, (SELECT string_agg(xmin::text, ' ') FROM sync.sync_status) AS status`;
  const [rows, before] = [await world.rows(), await world.run(tables)];
  world.counted();
  const run = await world.reconcile({ isDryRun: true });
  t.same(countsOf(run.counts), { seen: 4, inserted: 1, updated: 1, unchanged: 1, failed: 1 });
  t.equal(run.candidates, 1);
  t.same(await world.rows(), rows);
  t.same(await world.run(tables), before);
  t.equal(world.counted(), undefined);
});

test('a run over named ids reads exactly those', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  await world.reconcile();
  change(world, 'c000', { name: 'changed', version: 2 });
  change(world, 'c001', { name: 'not asked', version: 2 });
  world.source.records.delete('c002');
  const run = await world.reconcile({ mode: null, ids: ['c000', 'c002', 'c777'] });
  t.match(run, { state: 'succeeded', mode: 'ids' });
  t.same([...world.source.got].sort(), ['c000', 'c002', 'c777']);
  t.match(await world.rows(), [
    { id: 'c000', full_name: 'changed' },
    { id: 'c001', full_name: 'Name c001' },
  ]);
});

test('a second run of a stream names the one under way, a dry run may stand beside it', async (t) => {
  const world = await createWorld(t);
  const wish = { mode: 'full', since: null, ids: null, isDryRun: false, trigger: 'operator' } as const;
  const run = await world.queue();
  t.match(await requestRun(world.db, world.stream, wish), { kind: 'under_way', run: { id: run.id } });
  t.match(await requestRun(world.db, world.stream, { ...wish, isDryRun: true }), { kind: 'queued' });
});

test('a cancelled run stops at its next page and keeps what it has applied', async (t) => {
  const world = await createWorld(t);
  world.source.pageSize = 1;
  fill(world, 4);
  const { id } = await world.queue();
  world.source.onPage = async (cursor) => {
    if (cursor === 'c000') await requestCancel(world.db, id);
  };
  t.match(await world.work(await world.claim()), { state: 'cancelled' });
  t.ok((await world.rows()).length < 4);
  t.match(await readStream(world.db, KEY), { lastFullStartedAt: null });
  t.match(await world.reconcile(), { state: 'succeeded' }, 'and the stream is free again');
});

test('a cancelled run does not wait for the page that still travels', async (t) => {
  const world = await createWorld(t);
  world.source.pageSize = 1;
  fill(world, 3);
  const { id } = await world.queue();
  await requestCancel(world.db, id);
  t.match(await world.queue(), { state: 'queued' }, 'one that waits ends at once');
  const run = await world.claim();
  world.source.onPage = async (cursor, signal) => {
    if (cursor === null) {
      await requestCancel(world.db, run.id);
      return;
    }
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  t.match(await world.work(run), { state: 'cancelled' });
});

test('a source that fails ends the run as failed, in words without values, and the next run starts', async (t) => {
  const world = await createWorld(t);
  world.source.onPage = () => {
    throw new SourceError('forbidden', 'GET /customers: 403');
  };
  t.match(await world.reconcile(), { state: 'failed', errorCode: 'forbidden', error: 'GET /customers: 403' });
  const [status] = await readStatusRows(world.db, 'shop');
  t.match(status, { lastStatus: 'failed', lastError: 'forbidden: GET /customers: 403', freshAsOf: null });
  world.source.onPage = () => {};
  t.match(await world.reconcile(), { state: 'succeeded' });
});

test('an expired page cursor starts the listing again, and only so often', async (t) => {
  const world = await createWorld(t);
  world.source.pageSize = 1;
  fill(world, 3);
  let expiries = 1;
  world.source.onPage = (cursor) => {
    if (cursor === 'c001' && expiries-- > 0) throw new SourceError('cursor_expired', 'GET /customers: expired');
  };
  t.match(await world.reconcile(), { state: 'succeeded', pages: 3 });
  expiries = 99;
  t.match(await world.reconcile(), { state: 'failed' });
});

test('a row that stays held is read again later, or set aside where nobody can be asked', async (t) => {
  for (const canGet of [true, false]) {
    const world = await createWorld(t, { canGet });
    // As a row lock of another transaction would show itself.
    await world.run(sql`CREATE FUNCTION shop.held() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.full_name = 'held' THEN RAISE EXCEPTION 'held' USING ERRCODE = '55P03'; END IF; RETURN NEW; END $$`);
    await world.run(
      sql`CREATE TRIGGER held BEFORE INSERT OR UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.held()`,
    );
    fill(world, 3, (place) => (place === 1 ? { name: 'held' } : {}));
    const { id } = await world.queue();
    const working = world.work(await world.claim());
    if (canGet) {
      // The run waits for this read; the row is let go meanwhile.
      await until(async () => (await world.hints()).length > 0);
      t.match(await world.hints(), [{ external_id: 'c001', run_id: id }]);
      await world.run(sql`DROP TRIGGER held ON shop.customers`);
    }
    t.match(await working, { state: 'succeeded' });
    if (!canGet) {
      t.same(
        (await world.rows()).map((row) => row.id),
        ['c000', 'c002'],
      );
      const [letter] = await world.deadLetters();
      t.match(letter, { externalId: 'c001', errorCode: 'row_held' });
      await world.run(sql`DROP TRIGGER held ON shop.customers`);
      t.same(await redrive(world.deps, letter?.id ?? 0), { kind: 'applied' });
    }
    t.same(
      (await world.rows()).map((row) => row.id),
      ['c000', 'c001', 'c002'],
    );
  }
});

async function until(isDone: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) {
    if (await isDone()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('It never came to be');
}
