import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { LeasedRun } from '../../src/model/run.ts';
import { SourceError } from '../../src/source/error.ts';
import { approveRun } from '../../src/store/run-orders.ts';
import { claimRun, listRuns, readRun } from '../../src/store/runs.ts';
import { readStatusRows } from '../../src/store/status.ts';
import { LookupUnavailableError } from '../../src/sync/failures.ts';
import { cancelRun, type RunReport } from '../../src/sync/run-end.ts';
import { stallWaitMs } from '../../src/sync/run-stall.ts';
import type { Stream } from '../../src/sync/stream.ts';
import { createWorker, customer, shareDatabase, type World } from './world.ts';

const createWorld = shareDatabase(file);
const HOUR_MS = 3_600_000;

const down = (retryAfterMs: number | null = null) =>
  new SourceError('server_error', 'GET /customers: 503', { status: 503, retryAfterMs });

/** Customers `c000`, `c001` …, each a page of its own. */
function fill(world: World, count: number): void {
  world.source.pageSize = 1;
  for (let place = 0; place < count; place++) {
    const id = `c${String(place).padStart(3, '0')}`;
    world.source.records.set(id, customer(id, { version: 1 }));
  }
}

const idsOf = async (world: World) => (await world.rows()).map((row) => row.id);
const runs = (world: World) => listRuns(world.db, { integration: null, entity: null, state: null, limit: 10 });
/** As if the time until every run may go on had passed; nothing else ages. */
const skipWaits = (world: World) => world.run(sql`UPDATE sync.sync_runs SET resume_at = clock_timestamp()`);
async function workAgain(world: World): Promise<{ readonly run: LeasedRun; readonly state: RunReport['state'] }> {
  await skipWaits(world);
  const run = await world.claim();
  return { run, state: (await world.work(run)).state };
}

test('a run whose source goes away goes on at its page: nothing is read twice, nothing is lost, and it is one run', async (t) => {
  const world = await createWorld(t);
  fill(world, 5);
  const { id } = await world.queue();
  let isDown = true;
  world.source.onPage = (cursor) => {
    if (cursor === 'c002' && isDown) throw down();
  };
  t.match(await world.work(await world.claim()), { state: 'stalled' });
  t.match(await readRun(world.db, id), {
    state: 'running',
    pages: 3,
    stalls: 1,
    resumeAt: Number,
    errorCode: 'server_error',
    error: 'GET /customers: 503',
  });
  t.same(await idsOf(world), ['c000', 'c001', 'c002']);
  await t.rejects(world.claim(), /No run to claim/, 'not before its time');
  isDown = false;
  t.match(await workAgain(world), { run: { id }, state: 'succeeded' });
  t.match(await readRun(world.db, id), { state: 'succeeded', pages: 5, stalls: 0, error: null, counts: { seen: 5 } });
  t.same(await idsOf(world), ['c000', 'c001', 'c002', 'c003', 'c004']);
  t.same(
    world.source.listed.map(({ cursor }) => cursor),
    [null, 'c000', 'c001', 'c002', 'c002', 'c003'],
  );
  t.equal((await runs(world)).length, 1);
});

test('a list whose pages cannot be gone back to starts again, and one that dies at the same page each time ends', async (t) => {
  for (const pagination of ['cursor', 'link_header'] as const) {
    const world = await createWorld(t, { pagination });
    fill(world, 4);
    const { id } = await world.queue();
    world.source.onPage = (cursor) => {
      if (cursor === 'c001') throw down();
    };
    let state = (await world.work(await world.claim())).state;
    let rounds = 1;
    for (; state === 'stalled' && rounds < 30; rounds++) state = (await workAgain(world)).state;
    t.equal(state, 'failed', pagination);
    t.equal(rounds, 10, 'ten interruptions without a page that is new');
    t.match(await readRun(world.db, id), { state: 'failed', errorCode: 'server_error', resumeAt: null });
    t.match(await readStatusRows(world.db, 'shop'), [
      { lastStatus: 'failed', lastError: 'server_error: GET /customers: 503' },
    ]);
    const firstPages = world.source.listed.filter(({ cursor }) => cursor === null).length;
    t.equal(firstPages, pagination === 'cursor' ? 1 : 10);
    t.equal((await world.rows()).length, 2, 'what was read stays');
  }
});

test('interruptions with new pages between them do not add up', async (t) => {
  const world = await createWorld(t);
  fill(world, 15);
  await world.queue();
  const interrupted = new Set<string | null>();
  world.source.onPage = (cursor) => {
    if (interrupted.has(cursor)) return;
    interrupted.add(cursor);
    throw down();
  };
  let state = (await world.work(await world.claim())).state;
  for (let round = 0; state === 'stalled' && round < 30; round++) state = (await workAgain(world)).state;
  t.equal(state, 'succeeded');
  t.equal(interrupted.size, 15);
  t.equal((await world.rows()).length, 15);
});

test('a Retry-After of an hour is kept to, and nobody is held meanwhile', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  const { id } = await world.queue();
  world.source.onPage = () => {
    throw new SourceError('rate_limited', 'GET /customers: 429', { status: 429, retryAfterMs: HOUR_MS });
  };
  t.match(await world.work(await world.claim()), { state: 'stalled' });
  const run = await readRun(world.db, id);
  const waitMs = ((run?.resumeAt ?? 0) - (await world.now())) / 1000;
  t.ok(waitMs > HOUR_MS - 60_000 && waitMs <= HOUR_MS, 'an hour from now');
  const dry = await world.queue({ isDryRun: true });
  world.source.onPage = () => {};
  t.equal((await world.claim()).id, dry.id, 'the other run is taken, this one is not');
  await world.pass(HOUR_MS);
  const again = await world.claim();
  t.equal(again.id, id);
  t.match(await world.work(again), { state: 'succeeded' });
});

test('a list for lookups that the source cannot give now stalls a run as its pages do', async (t) => {
  let isDown = true;
  const ensure = async () => {
    if (isDown) throw new LookupUnavailableError('the list of users cannot be read', down());
  };
  const lookups = { ensure, read: () => ({ kind: 'missing' as const }), request: () => [], fingerprint: '' };
  const world = await createWorld(t, { lookups: lookups as unknown as Stream['lookups'] });
  fill(world, 2);
  const { id } = await world.queue();
  t.match(await world.work(await world.claim()), { state: 'stalled' });
  t.match(await readRun(world.db, id), { stalls: 1, errorCode: 'server_error' });
  isDown = false;
  t.match(await workAgain(world), { run: { id }, state: 'succeeded' });
});

test('a stalled run that is cancelled ends at once, and tells so', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  const { id } = await world.queue();
  world.source.onPage = (cursor) => {
    if (cursor !== null) throw down();
  };
  await world.work(await world.claim());
  t.same(await cancelRun(world.db, id), { found: 'running', isEnded: true });
  t.match(await readRun(world.db, id), { state: 'cancelled', finishedAt: Number, resumeAt: null, error: null });
  t.match(await readStatusRows(world.db, 'shop'), [{ lastStatus: 'partial', lastError: 'the run was cancelled' }]);
  t.same(await world.run(sql`SELECT 1 FROM sync.run_pages`), [], 'what it had listed is forgotten');
  t.match(await world.queue(), { state: 'queued' }, 'the stream is free');
});

test('a run that is cancelled while its source fails does not stall', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  const { id } = await world.queue();
  world.source.onPage = async () => {
    t.same(await cancelRun(world.db, id), { found: 'running', isEnded: false });
    throw down();
  };
  t.match(await world.work(await world.claim()), { state: 'cancelled' });
});

test('a run ends at its deadline: at a page, while it stalls, and when it is taken up again', async (t) => {
  const late = (world: World) =>
    world.run(sql`UPDATE sync.sync_runs SET deadline_at = clock_timestamp() - interval '1 second'`);
  const atPage = await createWorld(t);
  fill(atPage, 3);
  await atPage.queue();
  atPage.source.onPage = async (cursor) => {
    if (cursor !== null) await late(atPage);
  };
  t.match(await atPage.work(await atPage.claim()), { state: 'failed' });
  t.match(await runs(atPage), [{ errorCode: 'deadline' }]);

  const atStall = await createWorld(t);
  fill(atStall, 3);
  await atStall.queue();
  atStall.source.onPage = async () => {
    await late(atStall);
    throw down();
  };
  t.match(await atStall.work(await atStall.claim()), { state: 'failed' });
  t.match(await runs(atStall), [{ errorCode: 'deadline' }]);

  const asleep = await createWorld(t, { deadlineMs: HOUR_MS });
  fill(asleep, 3);
  await asleep.queue();
  asleep.source.onPage = () => {
    throw down(48 * HOUR_MS);
  };
  t.match(await asleep.work(await asleep.claim()), { state: 'stalled' });
  await asleep.pass(HOUR_MS);
  t.match(await asleep.work(await asleep.claim()), { state: 'failed' }, 'not two days later');
  t.match(await runs(asleep), [{ errorCode: 'deadline' }]);
});

test('the sweep of a run that was approved late has a deadline of its own', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0, minimum: 0 } });
  fill(world, 3);
  await world.reconcile();
  world.source.records.delete('c000');
  await world.pass(HOUR_MS);
  const braked = await world.reconcile();
  t.match(braked, { state: 'braked' });
  await world.pass(48 * HOUR_MS);
  t.equal(await approveRun(world.db, braked.id, 'ada'), true);
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.same(await idsOf(world), ['c001', 'c002']);
});

test('a run that goes on under another list begins it anew: its old cursor may be a place there, with unread records before it', async (t) => {
  const world = await createWorld(t);
  fill(world, 5);
  const { id } = await world.queue();
  world.source.onPage = (cursor) => {
    if (cursor === 'c002') throw down();
  };
  t.match(await world.work(await world.claim()), { state: 'stalled' });
  world.source.records.set('a000', customer('a000', { version: 1 })); // only the new list shows it
  world.source.onPage = () => {};
  const changed = createWorker(world.db, { ...world.stream, list: { ...world.stream.list, path: '/v2/customers' } });
  await skipWaits(world);
  t.match(await world.work(await world.claim(), changed), { state: 'succeeded' });
  t.match(await readRun(world.db, id), { state: 'succeeded', pages: 6, counts: { seen: 6 } });
  t.same(await idsOf(world), ['a000', 'c000', 'c001', 'c002', 'c003', 'c004']);
});

test('a run of an entity that this server does not know is left to those that do', async (t) => {
  const world = await createWorld(t);
  fill(world, 1);
  await world.queue();
  t.equal(await claimRun(world.db, { streams: [{ integration: 'shop', entity: 'orders' }], leaseMs: 1_000 }), null);
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
});

test('a run whose reads are held up ends at its deadline', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await world.queue({ mode: null, ids: ['c1'] });
  world.source.onGet = async () => {
    await world.run(sql`UPDATE sync.sync_runs SET deadline_at = clock_timestamp() - interval '1 second'`);
    throw down(HOUR_MS);
  };
  t.match(await world.work(await world.claim()), { state: 'failed' });
  t.match(await runs(world), [{ mode: 'ids', errorCode: 'deadline' }]);
  t.match(await world.hints(), [{ external_id: 'c1', state: 'ready' }], 'the read is wanted all the same');
});

test('waits between interruptions grow, differ, and are never shorter than the source asks for', (t) => {
  t.equal(stallWaitMs(1, null, 0), 2_500);
  t.equal(stallWaitMs(1, null, 0.999) < 5_000, true);
  t.equal(stallWaitMs(4, null, 0), 20_000);
  t.equal(stallWaitMs(1_000, null, 0.999) < 300_000, true);
  t.equal(stallWaitMs(1, HOUR_MS, 0.5), HOUR_MS);
  t.end();
});
