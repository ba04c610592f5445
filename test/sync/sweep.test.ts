import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { findOwedFullRuns } from '../../src/store/owed-runs.ts';
import { approveRun, requestCancel } from '../../src/store/run-orders.ts';
import { readRun } from '../../src/store/runs.ts';
import { readStream } from '../../src/store/streams.ts';
import { sweep } from '../../src/sync/sweep.ts';
import { createWorker, customer, KEY, shareDatabase, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);
const HOUR_MS = 3_600_000;

function fill(world: World, count: number): string[] {
  const ids = Array.from({ length: count }, (_, place) => `c${String(place).padStart(3, '0')}`);
  for (const id of ids) world.source.records.set(id, customer(id, { version: 1 }));
  return ids;
}
const idsOf = async (world: World): Promise<string[]> => (await world.rows()).map(({ id }) => id);

test('what a full run did not list is read by id, and stays when it is still there', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  await world.reconcile();
  await world.pass(HOUR_MS);
  world.source.records.delete('c000');
  const hidden = world.source.records.get('c001');
  // As offset paging loses a row: not listed, though it exists.
  world.source.onPage = () => void world.source.records.delete('c001');
  world.source.onGet = (id) => {
    if (id === 'c001' && hidden !== undefined) world.source.records.set(id, hidden);
  };
  const run = await world.reconcile();
  t.match(run, { state: 'succeeded', candidates: 2, counts: { deleted: 1 } });
  t.same(await idsOf(world), ['c001', 'c002']);
  t.same([...world.source.got].sort(), ['c000', 'c001']);
});

test('an empty list deletes nothing and waits for an operator’s word', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  await world.reconcile();
  await world.pass(HOUR_MS);
  const records = new Map(world.source.records);
  world.source.records.clear();
  const run = await world.reconcile();
  t.match(run, { state: 'braked', candidates: 2 });
  t.equal((await world.rows()).length, 2);
  t.same(world.source.got, [], 'not one of them was read');
  for (const [id, record] of records) world.source.records.set(id, record);
  t.match(await world.reconcile(), { state: 'succeeded', candidates: 0 }, 'the next run decides anew');
  t.match(await readRun(world.db, run.id), { state: 'cancelled' }, 'and supersedes the braked one');
});

test('an empty list brakes the sweep also while every record was seen a moment ago', async (t) => {
  const world = await createWorld(t, { readLagMs: 60_000, deletions: { maxShare: 1, minimum: 100 } });
  fill(world, 2);
  await world.reconcile();
  world.source.records.clear();
  t.match(await world.reconcile(), { state: 'braked', candidates: 0 });
  t.equal((await world.rows()).length, 2);
});

test('too many absences brake the sweep, an approval sweeps just those shown and checks each again', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0.1, minimum: 2 } });
  fill(world, 10);
  await world.reconcile();
  await world.pass(HOUR_MS);
  for (const id of ['c000', 'c001', 'c002']) world.source.records.delete(id);
  const braked = await world.reconcile();
  t.match(braked, { state: 'braked', candidates: 3 });
  t.equal((await world.rows()).length, 10);
  // Between the brake and the approval one comes back and another goes.
  world.source.records.set('c002', customer('c002', { version: 1 }));
  world.source.records.delete('c009');
  t.equal(await approveRun(world.db, braked.id, 'ada'), true);
  t.equal(await approveRun(world.db, braked.id, 'bob'), false, 'once only');
  await world.work(await world.claim());
  await world.settle();
  t.same(await idsOf(world), ['c002', 'c003', 'c004', 'c005', 'c006', 'c007', 'c008', 'c009']);
  t.match(await readRun(world.db, braked.id), { state: 'succeeded', approvedBy: 'ada' });
});

test('a braked run that an operator dismisses deletes nothing and cannot be approved any more', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0, minimum: 0 } });
  fill(world, 3);
  await world.reconcile();
  world.source.records.delete('c000');
  const braked = await world.reconcile();
  t.match(braked, { state: 'braked', candidates: 1 });
  t.match(await requestCancel(world.db, braked.id), { found: 'braked', isEnded: true });
  t.match(await readRun(world.db, braked.id), { state: 'cancelled' });
  t.equal(await approveRun(world.db, braked.id, 'ada'), false);
  t.equal((await world.rows()).length, 3);
});

test('an approved sweep is not begun while another run of its stream is open', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0, minimum: 0 } });
  fill(world, 3);
  await world.reconcile();
  world.source.records.delete('c000');
  const braked = await world.reconcile();
  await world.queue();
  t.equal(await approveRun(world.db, braked.id, 'ada'), false);
  t.match(await readRun(world.db, braked.id), { state: 'braked' });
});

test('a run that is cancelled after its last page sweeps nothing, by reads or without', async (t) => {
  for (const canGet of [true, false]) {
    const world = await createWorld(t, { canGet });
    fill(world, 2);
    await world.reconcile();
    await world.pass(HOUR_MS);
    world.source.records.delete('c000');
    if (!canGet) await world.reconcile();
    const { id } = await world.queue();
    const worker = createWorker(world.db, world.stream, {
      at: async (point) => {
        if (point === 'C10') await requestCancel(world.db, id);
      },
    });
    t.match(await world.work(await world.claim(), worker), { state: 'cancelled' });
    t.same(await idsOf(world), ['c000', 'c001'], `reads by id: ${canGet}`);
  }
});

test('a full run that could not sweep pays nothing that is owed, and the next try waits', async (t) => {
  const world = await createWorld(t);
  fill(world, 1);
  const owed = () => findOwedFullRuns(world.db, { failedForMs: 0, partialForMs: HOUR_MS });
  t.equal((await owed()).length, 1);
  world.source.extraItems = [{ id: 17, name: 'who?' }];
  t.match(await world.reconcile(), { state: 'partial' });
  t.match(await readStream(world.db, KEY), { needsFullAt: Number, lastFullStartedAt: Number });
  t.same(await owed(), []);
  await world.run(sql`UPDATE sync.sync_runs SET finished_at = finished_at - interval '2 hours'`);
  t.equal((await owed()).length, 1);
  world.source.extraItems = [];
  await world.reconcile();
  t.match(await readStream(world.db, KEY), { needsFullAt: null });
});

test('an approved sweep that deliveries hold back is braked again, one without approval is left out', async (t) => {
  const world = await createWorld(t, { canGet: false, deletions: { maxShare: 0, minimum: 0 } });
  fill(world, 2);
  await world.reconcile();
  await world.pass(HOUR_MS);
  world.source.records.delete('c000');
  const braked = await world.reconcile();
  t.match(braked, { state: 'braked', candidates: 1 });
  await world.deliver(upsert(customer('c001', { version: 2 })));
  t.equal(await approveRun(world.db, braked.id, 'ada'), true);
  const approved = await world.claim();
  const sweepNow = () => sweep(world.deps, world.stream, approved, new AbortController().signal, 0);
  t.match(await sweepNow(), { kind: 'held', state: 'braked', candidates: 1 });
  await world.run(sql`UPDATE sync.sync_runs SET approved_by = NULL`);
  t.match(await sweepNow(), { kind: 'held', state: 'partial' });
  t.same(await idsOf(world), ['c000', 'c001']);
});

test('as many absences as the brake allows are swept', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0.3, minimum: 0 } });
  fill(world, 10);
  await world.reconcile();
  for (const id of ['c000', 'c001', 'c002']) world.source.records.delete(id);
  t.match(await world.reconcile(), { state: 'succeeded', candidates: 3 });
  t.equal((await world.rows()).length, 7);
});

test('a row whose id cannot be read keeps the run from sweeping', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  await world.reconcile();
  world.source.records.delete('c000');
  world.source.extraItems = [{ id: 17, name: 'who?' }];
  t.match(await world.reconcile(), { state: 'partial', candidates: null, isIdsComplete: false });
  t.same(await idsOf(world), ['c000', 'c001']);
  t.match(await world.deadLetters(), [{ externalId: null, errorCode: 'bad_id' }]);
});

test('a row that is listed but does not map is no candidate', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  await world.reconcile();
  world.source.records.set('c000', { id: 'c000', name: 42 });
  t.match(await world.reconcile(), { state: 'partial', candidates: 0 });
  t.same(await idsOf(world), ['c000', 'c001']);
});

test('a record that leaves the entity is removed by a full run', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  await world.reconcile();
  world.source.records.set('c000', { id: 'c000', kind: 'product' });
  t.match(await world.reconcile(), { state: 'succeeded', candidates: 1, counts: { ignored: 1, deleted: 1 } });
  t.same(await idsOf(world), ['c001']);
});

test('what came by webhook while the run went on is no candidate', async (t) => {
  for (const canGet of [true, false]) {
    const world = await createWorld(t, { canGet });
    fill(world, 1);
    await world.reconcile();
    world.source.onPage = async () => {
      await world.deliver(upsert(customer('new', { version: 1 })));
      await world.ingest();
    };
    t.match(await world.reconcile(), { candidates: 0 });
    t.same(await idsOf(world), ['c000', 'new'], `reads by id: ${canGet}`);
  }
});

test('without reads by id a record goes after two complete runs in a row did not list it, not after one', async (t) => {
  const world = await createWorld(t, { canGet: false });
  const record = customer('c000', { version: 1 });
  fill(world, 2);
  await world.reconcile();
  const absences = async () =>
    (await world.run(sql`SELECT absent_runs::int AS n FROM sync.record_states WHERE external_id = 'c000'`))[0]?.n;
  world.source.records.delete('c000');
  t.match(await world.reconcile(), { candidates: 1, counts: { deleted: 0 } });
  t.equal(await absences(), 1);
  world.source.records.set('c000', record);
  await world.reconcile();
  t.equal(await absences(), 0, 'listed again, it counts from the beginning');
  world.source.records.delete('c000');
  await world.reconcile();
  t.same(await idsOf(world), ['c000', 'c001']);
  world.counted();
  t.match(await world.reconcile(), { state: 'succeeded', counts: { deleted: 1 } });
  t.same(await idsOf(world), ['c001']);
  t.match(world.counted(), { driftDeleted: 1 });
});

test('a run that dies in the middle of its sweep does not count an absence twice', async (t) => {
  const world = await createWorld(t, { canGet: false });
  fill(world, 2);
  await world.reconcile();
  world.source.records.delete('c000');
  await world.queue();
  const dying = createWorker(world.db, world.stream, { crashAt: 'C12' });
  await t.rejects(world.work(await world.claim(), dying));
  await world.pass(HOUR_MS);
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.same(await idsOf(world), ['c000', 'c001']);
  t.match(await world.run(sql`SELECT absent_runs::int AS n FROM sync.record_states WHERE external_id = 'c000'`), [
    { n: 1 },
  ]);
});

test('an approved sweep without reads by id spares what was seen since', async (t) => {
  const world = await createWorld(t, { canGet: false, versionKind: 'none', deletions: { maxShare: 0, minimum: 0 } });
  fill(world, 3);
  await world.reconcile();
  await world.pass(HOUR_MS);
  world.source.records.delete('c000');
  world.source.records.delete('c001');
  const braked = await world.reconcile();
  t.match(braked, { state: 'braked', candidates: 2 });
  await world.deliver(upsert(customer('c001', { name: 'alive' })));
  await world.ingest();
  await approveRun(world.db, braked.id, 'ada');
  await world.work(await world.claim());
  t.same(await idsOf(world), ['c001', 'c002']);
});

test('a sweep without reads waits for deliveries that may speak of its candidates', async (t) => {
  const world = await createWorld(t, { canGet: false });
  fill(world, 2);
  await world.reconcile();
  world.source.records.delete('c000');
  await world.reconcile();
  world.source.onPage = async () => void (await world.deliver(upsert(customer('c000', { name: 'alive', version: 2 }))));
  await world.queue();
  const working = world.work(await world.claim());
  const hasListed = async () =>
    (await world.run(sql`SELECT 1 AS one FROM sync.sync_runs WHERE state = 'running' AND is_listed`)).length > 0;
  while (!(await hasListed())) await new Promise((resolve) => setImmediate(resolve));
  await world.ingest();
  t.match(await working, { state: 'succeeded' });
  t.match(await world.row('c000'), { full_name: 'alive' });
});

test('when the list of seen ids is lost, as in a database crash, the listing starts again and nothing is deleted by it', async (t) => {
  const world = await createWorld(t);
  world.source.pageSize = 1;
  fill(world, 3);
  await world.reconcile();
  await world.pass(HOUR_MS);
  world.source.onPage = async (cursor) => {
    if (cursor !== 'c001') return;
    world.source.onPage = () => {};
    await world.run(sql`TRUNCATE sync.run_pages`);
  };
  world.source.listed.length = 0;
  t.match(await world.reconcile(), { state: 'succeeded', pages: 3, candidates: 0 });
  t.same(
    world.source.listed.map(({ cursor }) => cursor),
    [null, 'c000', 'c001', null, 'c000', 'c001'],
  );
  t.equal((await world.rows()).length, 3);
  t.same(world.source.got, []);
});
