import { setTimeout as wait } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import postgres from 'postgres';
import file, { test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import { acquireLease, releaseLease, renewLease } from '../../src/store/leases.ts';
import { claimRun } from '../../src/store/runs.ts';
import { lockSourceLimits } from '../../src/store/source-limits.ts';
import { pauseSource, readSourceStates } from '../../src/store/source-states.ts';
import { applyBatch } from '../../src/sync/apply.ts';
import { ingestOnce } from '../../src/sync/ingest.ts';
import { pauseIntegration, resumeIntegration } from '../../src/sync/pause.ts';
import { requestRun } from '../../src/sync/request-run.ts';
import { rereadOnce } from '../../src/sync/reread.ts';
import { cancelRun } from '../../src/sync/run-end.ts';
import { createOnServer } from '../helpers/database.ts';
import { createPrivatePostgres, type PrivatePostgres, skipWithoutPostgres } from '../helpers/postgres.ts';
import {
  createWorker,
  createWorld,
  customer,
  KEY,
  sightingOf,
  upsert,
  type World,
  type WorldOptions,
} from './world.ts';

const skip = skipWithoutPostgres();
const NEVER = new AbortController().signal;
/** Of ordinary statements. */
const LONGER_THAN_LOCK_TIMEOUT_MS = 500;

let server: PrivatePostgres | null = null;
file.teardown(() => server?.remove());

type Teardown = { teardown(work: () => unknown): unknown };

/** A world on a server of its own, with a connection of a user's beside it. */
async function setUp(t: Teardown, options: WorldOptions = {}) {
  server ??= await createPrivatePostgres();
  const database = await createOnServer(t, process.env.DATABASE_URL ?? server.url, { poolSize: 8 });
  const world = await createWorld(t, { ...options, database });
  const user = postgres(database.url ?? '', { max: 2, onnotice: () => {} });
  t.teardown(() => user.end({ timeout: 5 }));
  return { world, user };
}

/** Resolves when a session of ours waits for a lock: an event of the server's that has no other signal. */
async function blocked(world: World, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    const waiting = await queryRows(
      world.db,
      sql`SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    if (waiting.length > 0) return;
  }
}

test('a row that a user’s transaction holds defers its own record only, and her transaction never fails', {
  skip,
}, async (t) => {
  const { world, user } = await setUp(t);
  await world.deliver(upsert(customer('c1', { version: 1 }), customer('c2', { version: 1 })));
  await world.ingest();
  const held = await world.deliver(upsert(customer('c1', { name: 'ours', version: 2 })));
  const free = await world.deliver(upsert(customer('c2', { name: 'ours', version: 2 })));
  await user.begin(async (tx) => {
    await tx`UPDATE shop.customers SET note = 'hers' WHERE id = 'c1'`;
    t.match(await world.ingest(), { claimed: 2, applied: 1 });
    t.match(await world.deliveryOf(held), { state: 'received', outcome: 'defer' });
    t.match(await world.deliveryOf(free), { state: 'applied' });
  });
  await world.pass(3_600_000);
  await world.ingest();
  t.match(await world.row('c1'), { full_name: 'ours', note: 'hers' });
  t.same(await world.deadLetters(), []);
});

test('a reconcile page whose row is held reads that record again later', { skip }, async (t) => {
  const { world, user } = await setUp(t);
  for (const id of ['c1', 'c2']) world.source.records.set(id, customer(id, { version: 1 }));
  await world.reconcile();
  for (const id of ['c1', 'c2']) world.source.records.set(id, customer(id, { name: 'ours', version: 2 }));
  await world.queue();
  const run = await world.claim();
  let working: Promise<unknown> = Promise.resolve();
  await user.begin(async (tx) => {
    await tx`UPDATE shop.customers SET note = 'hers' WHERE id = 'c1'`;
    working = world.work(run);
    while ((await world.row('c2'))?.full_name !== 'ours') await new Promise((resolve) => setImmediate(resolve));
    t.equal((await world.row('c1'))?.full_name, 'Name c1');
  });
  t.match(await working, { state: 'succeeded' });
  t.match(await world.row('c1'), { full_name: 'ours', note: 'hers' });
});

test('two workers share the inbox: every delivery is applied once, and records end at their newest version', {
  skip,
}, async (t) => {
  const { world } = await setUp(t);
  const workers = [createWorker(world.db, world.stream), createWorker(world.db, world.stream)];
  const versions = Array.from({ length: 30 }, (_, place) => place + 1).sort(
    (left, right) => ((left * 7) % 11) - ((right * 7) % 11),
  );
  for (const version of versions) {
    await world.deliver(upsert(...['c1', 'c2', 'c3'].map((id) => customer(id, { name: `v${version}`, version }))));
  }
  const work = async ({ deps }: (typeof workers)[number]) => {
    let claimed = 0;
    for (let pass = 0; pass < 60; pass++) claimed += (await ingestOnce(deps, 3)).claimed;
    return claimed;
  };
  const claimed = await Promise.all(workers.map(work));
  await world.pass(3_600_000);
  await world.settle();
  t.ok(
    claimed.every((count) => count > 0),
    'both worked',
  );
  t.match(await world.run(sql`SELECT count(*)::int AS n FROM sync.inbox_deliveries WHERE state = 'applied'`), [
    { n: 30 },
  ]);
  t.same(
    (await world.rows()).map((row) => row.full_name),
    ['v30', 'v30', 'v30'],
  );
  const order = await world.run(
    sql`SELECT external_id, version::int AS version FROM sync.record_history WHERE decision IN ('insert', 'update') ORDER BY external_id, applied_seq`,
  );
  t.same(
    order,
    [...order].sort(
      (left, right) =>
        String(left.external_id).localeCompare(String(right.external_id)) ||
        Number(left.version) - Number(right.version),
    ),
    'and never stepped back',
  );
});

test('two workers that see a record for the first time at once make one row of the newer version', {
  skip,
}, async (t) => {
  const { world } = await setUp(t);
  for (let round = 0; round < 20; round++) {
    const id = `c${round}`;
    const seen = [2, 1].map((version) => sightingOf(world.stream, customer(id, { name: `v${version}`, version })));
    await Promise.all(
      seen.map((one) => world.db.transaction((tx) => applyBatch(tx, world.stream, [one], { repairs: false }))),
    );
    t.equal((await world.row(id))?.full_name, 'v2');
  }
});

test('a record seen while we waited for its lock keeps the time of that sighting', { skip }, async (t) => {
  const { world } = await setUp(t, { versionKind: 'timestamp' });
  const version = 1_700_000_000_000_000;
  const page = async (name: string, at: number) =>
    sightingOf(world.stream, customer('c1', { name, version }), { channel: 'page', lo: at - 10, hi: at });
  await world.db.transaction(async (tx) =>
    applyBatch(tx, world.stream, [await page('A', (await world.now()) - 1_000_000)], { repairs: false }),
  );
  let waiting: Promise<unknown> = Promise.resolve();
  let isDone = false;
  let rivalHi = 0;
  await world.db.transaction(async (rival) => {
    await queryRows(rival, sql`SELECT 1 AS one FROM sync.record_states FOR UPDATE`);
    const seen = await page('B', await world.now());
    waiting = world.db
      .transaction((tx) => applyBatch(tx, world.stream, [seen], { repairs: false }))
      .finally(() => {
        isDone = true;
      });
    await blocked(world, () => isDone);
    rivalHi = await world.now();
    await applyBatch(rival, world.stream, [await page('C', rivalHi)], { repairs: false });
  });
  await waiting;
  const state = await world.stateOf('c1');
  t.equal(state?.hi, rivalHi, 'it is not cut to the time at which the waiting one began');
  t.equal((await world.row('c1'))?.full_name, 'C');
});

test('two workers never read for one hint, and never hold one run', { skip }, async (t) => {
  const { world } = await setUp(t);
  for (let place = 0; place < 20; place++) {
    world.source.records.set(`c${place}`, customer(`c${place}`, { version: 1 }));
    await world.deliver({ events: [{ type: 'changed', id: `c${place}` }] });
  }
  await world.ingest();
  const reads = await Promise.all(
    [1, 2, 3].map(() => rereadOnce(createWorker(world.db, world.stream).deps, 10, NEVER)),
  );
  t.equal(
    reads.reduce((sum, { claimed }) => sum + claimed, 0),
    20,
  );
  t.equal(new Set(world.source.got).size, 20);
  t.equal(world.source.got.length, 20);

  const wish = { mode: 'full', since: null, ids: null, isDryRun: false, trigger: 'schedule' } as const;
  const answers = await Promise.all([1, 2, 3, 4].map(() => requestRun(world.db, world.stream, wish)));
  t.equal(answers.filter(({ kind }) => kind === 'queued').length, 1);
  const claims = await Promise.all([1, 2, 3, 4].map(() => claimRun(world.db, { streams: [KEY], leaseMs: 60_000 })));
  t.equal(claims.filter((run) => run !== null).length, 1);
});

test('hints made for one record by several workers at once become one', { skip }, async (t) => {
  const { world } = await setUp(t);
  const workers = [1, 2, 3, 4].map(() => createWorker(world.db, world.stream));
  for (let place = 0; place < 12; place++)
    await world.deliver({
      events: [
        { type: 'changed', id: 'c1' },
        { type: 'changed', id: 'c2' },
      ],
    });
  await Promise.all(workers.map(({ deps }) => ingestOnce(deps, 3)));
  await world.settle();
  t.same([...new Set(world.source.got)].sort(), ['c1', 'c2']);
  t.match(await world.run(sql`SELECT count(*)::int AS n FROM sync.inbox_deliveries WHERE state = 'applied'`), [
    { n: 12 },
  ]);
});

test('a lease has one holder, who loses it when it lapses and cannot renew it after', { skip }, async (t) => {
  const { world } = await setUp(t);
  const take = (holder: string, leaseMs: number) => acquireLease(world.db, { name: 'schedule', holder, leaseMs });
  const taken = await Promise.all(['a', 'b', 'c'].map((holder) => take(holder, 60_000)));
  const [lease, ...others] = taken.filter((one) => one !== null);
  t.equal(others.length, 0);
  if (lease == null) return;
  t.equal(await renewLease(world.db, lease, 60_000), true);
  await world.run(sql`UPDATE sync.leases SET expires_at = clock_timestamp() - interval '1 second'`);
  t.equal(await renewLease(world.db, lease, 60_000), false, 'lapsed is lost, even with nobody else there');
  const heir = await take('heir', 60_000);
  t.ok((heir?.fence ?? 0) > lease.fence);
  await releaseLease(world.db, lease);
  t.equal(await take('late', 60_000), null, 'the old holder cannot give the new one’s lease back');
  if (heir !== null) await releaseLease(world.db, heir);
  t.not(await take('late', 60_000), null);
});

test('an operator cancels and resumes while a page is being written: her word waits for it, or passes it by', {
  skip,
}, async (t) => {
  const { world } = await setUp(t);
  world.source.pageSize = 1;
  // Many pages: the next one may get hold of the run before who waits for it, but not every time.
  for (let c = 0; c < 50; c++) world.source.records.set(`c${c}`, customer(`c${c}`, { version: 1 }));
  const { id } = await world.queue();
  const run = await world.claim();
  let cancelled: Promise<unknown> = Promise.resolve();
  let isFirst = true;
  const worker = createWorker(world.db, world.stream, {
    async at(point) {
      if (point !== 'C9' || !isFirst) return;
      isFirst = false;
      await pauseSource(world.db, 'shop', { reason: 'operator', detail: null });
      t.equal(await resumeIntegration(world.db, 'shop', 'operator'), true);
      cancelled = cancelRun(world.db, id);
      cancelled.catch(() => {});
      await blocked(world, () => false);
      await wait(LONGER_THAN_LOCK_TIMEOUT_MS);
    },
  });
  const { state, pages } = await world.work(run, worker);
  t.equal(state, 'cancelled');
  t.ok(pages < 50, 'long before the end');
  t.same(await cancelled, { found: 'running', isEnded: false });
});

test('a pause and a resume stand in line for the limits of the source instead of failing', { skip }, async (t) => {
  const { world, user } = await setUp(t);
  const changes: readonly (readonly [() => Promise<unknown>, boolean])[] = [
    [() => pauseIntegration(world.db, 'shop', null), true],
    [() => resumeIntegration(world.db, 'shop', 'operator'), false],
  ];
  await lockSourceLimits(world.db, 'shop'); // makes the row
  for (const [change, isPaused] of changes) {
    let changed: Promise<unknown> = Promise.resolve();
    await user.begin(async (tx) => {
      await tx`SELECT 1 FROM sync.source_states FOR UPDATE`;
      changed = change();
      changed.catch(() => {});
      await blocked(world, () => false);
      await wait(LONGER_THAN_LOCK_TIMEOUT_MS);
    });
    await changed;
    t.equal((await readSourceStates(world.db)).get('shop')?.paused != null, isPaused);
  }
});

test('a page transaction of a run keeps its heir out until it has ended', { skip }, async (t) => {
  const { world } = await setUp(t);
  world.source.pageSize = 1;
  for (const id of ['c1', 'c2']) world.source.records.set(id, customer(id, { version: 1 }));
  await world.queue();
  const run = await world.claim();
  const worker = createWorker(world.db, world.stream, {
    async at(point) {
      if (point !== 'C9') return;
      // The lease has not been committed as renewed, and by its old value it may have lapsed: the row lock decides.
      t.equal(await claimRun(world.db, { streams: [KEY], leaseMs: 60_000 }), null);
    },
  });
  t.match(await world.work(run, worker), { state: 'succeeded' });
});
