import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { SourceError } from '../../src/source/error.ts';
import { readRun } from '../../src/store/runs.ts';
import { readStream } from '../../src/store/streams.ts';
import { createWorker, customer, KEY, shareDatabase, type World } from './world.ts';

const createWorld = shareDatabase(file);
const HOUR_MS = 3_600_000;

function fill(world: World, count: number): void {
  world.source.pageSize = 1;
  for (let place = 0; place < count; place++)
    world.source.records.set(`c${place}`, customer(`c${place}`, { version: place + 1 }));
}
const cursorsOf = (world: World): (string | null)[] => world.source.listed.map(({ cursor }) => cursor);

for (const [point, appliedPages] of [
  ['C8', 0],
  ['C9', 0],
  ['C10', 1],
] as const) {
  test(`a run that dies at ${point} is taken up by another worker at its checkpoint`, async (t) => {
    const world = await createWorld(t);
    fill(world, 4);
    const { id } = await world.queue();
    // Its first page goes through.
    const dying = createWorker(world.db, world.stream, { crashAt: point, afterPasses: 1 });
    await t.rejects(world.work(await world.claim(), dying));
    t.match(await readRun(world.db, id), { state: 'running', pages: 1 + appliedPages });
    t.equal((await world.rows()).length, 1 + appliedPages, 'rows and checkpoint agree');
    world.source.listed.length = 0;
    await t.rejects(world.claim(), 'nobody takes it while its lease runs');
    await world.pass(HOUR_MS);
    t.match(await world.work(await world.claim()), { state: 'succeeded' });
    t.same(cursorsOf(world), ['c0', 'c1', 'c2'].slice(appliedPages), 'it goes on, and reads no page again');
    t.equal((await world.rows()).length, 4);
    t.match(await readRun(world.db, id), { state: 'succeeded', pages: 4, counts: { seen: 4, inserted: 4 } });
  });
}

test('a run that dies before its completion is completed by the next worker, without listing again', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  await world.reconcile();
  await world.pass(HOUR_MS);
  world.source.records.delete('c0');
  await world.queue();
  await t.rejects(world.work(await world.claim(), createWorker(world.db, world.stream, { crashAt: 'C11' })));
  world.source.listed.length = 0;
  await world.pass(HOUR_MS);
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.same(cursorsOf(world), []);
  t.same(
    (await world.rows()).map(({ id }) => id),
    ['c1'],
  );
});

test('where page cursors do not outlive a process the listing starts again', async (t) => {
  const world = await createWorld(t, { pagination: 'link_header' });
  fill(world, 3);
  const { id } = await world.queue();
  await t.rejects(world.work(await world.claim(), createWorker(world.db, world.stream, { crashAt: 'C10' })));
  world.source.listed.length = 0;
  await world.pass(HOUR_MS);
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.same(cursorsOf(world), [null, 'c0', 'c1']);
  t.match(await readRun(world.db, id), { pages: 3, candidates: 0 });
});

test('a holder whose lease was taken over writes nothing more', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  const { id } = await world.queue();
  const lost = await world.claim();
  world.source.onPage = async (cursor) => {
    if (cursor !== 'c0') return;
    world.source.onPage = () => {};
    await world.pass(HOUR_MS);
    const heir = await world.claim();
    t.equal(heir.id, id);
    await world.run(sql`UPDATE sync.sync_runs SET page_cursor = 'the heir’s'`);
  };
  t.match(await world.work(lost), { state: 'lost' });
  t.match(await readRun(world.db, id), { state: 'running', pageCursor: 'the heir’s', pages: 1 });
  t.equal((await world.rows()).length, 1, 'the page in flight was rolled back');
});

test('a holder that fails after its lease was taken over leaves the heir’s pages and the cursor alone', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  await world.reconcile();
  await world.pass(HOUR_MS);
  await world.reconcile({ mode: 'incremental' });
  await world.queue();
  const lost = await world.claim();
  const before = await readStream(world.db, KEY);
  world.source.onPage = async (cursor) => {
    if (cursor !== 'c0') return;
    await world.pass(HOUR_MS);
    await world.claim();
    throw new SourceError('gone', 'GET /customers: gone');
  };
  t.match(await world.work(lost), { state: 'lost' });
  t.match(await readRun(world.db, lost.id), { state: 'running', errorCode: null });
  t.match(await world.run(sql`SELECT count(*)::int AS n FROM sync.run_pages`), [{ n: 1 }]);
  const after = await readStream(world.db, KEY);
  t.equal(after?.cursor, before?.cursor);
  t.equal(after?.needsFullAt, null);
});

test('a page whose transaction fails by a deadlock is written at the next try', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  const { id } = await world.queue();
  let deadlocks = 2;
  const worker = createWorker(world.db, world.stream, {
    at: (point) => {
      if (point === 'C9' && deadlocks-- > 0) throw Object.assign(new Error('deadlock'), { code: '40P01' });
    },
  });
  t.match(await world.work(await world.claim(), worker), { state: 'succeeded' });
  t.same(cursorsOf(world), [null, 'c0', 'c1'], 'no page is asked for twice');
  t.match(await readRun(world.db, id), { pages: 3, counts: { seen: 3, inserted: 3 } });
});

test('a stop gives the run back, and the next worker goes on at once', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  const { id } = await world.queue();
  const stop = new AbortController();
  world.source.onPage = (cursor, signal) => {
    if (cursor !== 'c0') return;
    stop.abort();
    signal.throwIfAborted();
  };
  t.match(await world.work(await world.claim(), world.worker, stop.signal), { state: 'released' });
  world.source.onPage = () => {};
  t.match(await readRun(world.db, id), { state: 'running', pages: 1 });
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.equal((await world.rows()).length, 3);
});

test('the run’s start stays its first claim, whoever takes it up', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  const { id } = await world.queue();
  const first = await world.claim();
  await world.pass(HOUR_MS);
  const second = await world.claim();
  t.equal(second.startedAt, first.startedAt - HOUR_MS * 1000);
  t.not(second.leaseToken, first.leaseToken);
  await world.work(second);
  t.match(await readRun(world.db, id), { startedAt: second.startedAt });
});
