import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { SourceError } from '../../src/source/error.ts';
import { readRun } from '../../src/store/runs.ts';
import { pauseSource, readSourceStates, saveBreaker } from '../../src/store/source-states.ts';
import type { Integration } from '../../src/sync/integration.ts';
import { pauseIntegration, resumeIntegration } from '../../src/sync/pause.ts';
import { readStatus } from '../../src/sync/read-status.ts';
import { cancelRun } from '../../src/sync/run-end.ts';
import { customer, shareDatabase, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);
const HOUR_MS = 3_600_000;
const REFUSED = new SourceError('unauthorized', 'GET /customers: 401', { status: 401 });

function fill(world: World, count: number): void {
  world.source.pageSize = 1;
  for (let place = 0; place < count; place++) {
    world.source.records.set(`c${place}`, customer(`c${place}`, { version: 1 }));
  }
}

const statusOf = async (world: World, limitsOf = async () => [] as const) => {
  const integrations = [...world.deps.integrations.values()];
  const [status] = await readStatus(world.db, integrations, { nextRunAt: () => null, limitsOf });
  return status;
};

test('refused credentials pause the integration: runs and reads wait, deliveries are applied, and all goes on where it was', async (t) => {
  const world = await createWorld(t);
  fill(world, 3);
  const { id } = await world.queue();
  world.source.onPage = (cursor) => {
    if (cursor === 'c0') throw REFUSED;
  };
  t.match(await world.work(await world.claim()), { state: 'released' });
  t.match(await readRun(world.db, id), { state: 'running', pages: 1, stalls: 0, resumeAt: null });
  t.match(await statusOf(world), {
    state: 'paused',
    source: { paused: { reason: 'auth', detail: 'unauthorized: GET /customers: 401', since: String } },
    entities: [{ state: 'paused', reasons: [/refuses our credentials .*restart: it then goes on/] }],
  });
  await world.pass(HOUR_MS);
  await t.rejects(world.claim(), /No run to claim/);

  await world.deliver(upsert(customer('hooked', { version: 1 })));
  await world.deliver({ events: [{ type: 'changed', id: 'c2' }] });
  await world.ingest();
  t.match(await world.row('hooked'), { id: 'hooked' }, 'what needs no read is applied');
  t.match(await world.hints(), [{ external_id: 'c2', state: 'ready' }]);
  t.match(await world.reread(), { claimed: 0 });
  t.same(world.source.got, []);

  world.source.onPage = () => {};
  t.equal(await resumeIntegration(world.db, 'shop', 'authorized'), true);
  await world.reread();
  const again = await world.claim();
  t.match(again, { id, pages: 1, pageCursor: / c0$/ });
  t.match(await world.work(again), { state: 'succeeded' });
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c0', 'c1', 'c2', 'hooked'],
  );
  t.match(await statusOf(world), { source: { paused: null } });
});

test('the way to new credentials is a browser only where a person authorizes, and else the variables that hold them', async (t) => {
  const world = await createWorld(t);
  const [shop] = world.deps.integrations.values();
  if (shop === undefined) throw new Error('There is a shop');
  await pauseSource(world.db, 'shop', { reason: 'auth', detail: 'unauthorized' });
  const wordsFor = async (newCredentials: Integration['newCredentials']) => {
    const integrations = [{ ...shop, newCredentials }];
    const [status] = await readStatus(world.db, integrations, { nextRunAt: () => null, limitsOf: async () => [] });
    return status?.entities[0]?.reasons[0];
  };
  const told = 'paused: the source refuses our credentials (unauthorized)';
  t.equal(await wordsFor({ kind: 'person' }), `${told}; authorize anew at GET /oauth/shop/start: it then goes on`);
  const one = { kind: 'settings', variables: ['SHOP_TOKEN'] } as const;
  const renew = 'put a new one into the environment variable SHOP_TOKEN and restart';
  t.equal(await wordsFor(one), `${told}; ${renew}: it then goes on`);
  t.match(
    await wordsFor({ kind: 'settings', variables: ['A', 'B'] }),
    /into the environment variables A, B and restart/,
  );
  t.match(await wordsFor({ kind: 'settings', variables: [] }), /into the definition and restart/);
});

test('a read whose credentials are refused keeps its need, costs no attempt, and pauses', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await world.deliver({ events: [{ type: 'changed', id: 'c1' }] });
  await world.ingest();
  world.source.onGet = () => {
    throw REFUSED;
  };
  for (let round = 0; round < 12; round++) {
    await world.pass(HOUR_MS);
    t.match(await world.reread(), { claimed: 1 });
    t.match(await world.reread(), { claimed: 0 });
    await resumeIntegration(world.db, 'shop', 'start');
  }
  t.match(await world.hints(), [{ state: 'ready' }]);
  t.same(await world.deadLetters(), []);
});

test('what an operator paused only an operator resumes, and both may be said twice', async (t) => {
  const world = await createWorld(t);
  await pauseIntegration(world.db, 'shop', 'the table is rebuilt');
  const first = (await readSourceStates(world.db)).get('shop')?.paused;
  await pauseIntegration(world.db, 'shop', 'the table is rebuilt');
  t.same((await readSourceStates(world.db)).get('shop')?.paused, first, 'since when it was first said');
  t.equal(await resumeIntegration(world.db, 'shop', 'authorized'), false);
  t.equal(await resumeIntegration(world.db, 'shop', 'start'), false);
  t.match(await statusOf(world), { entities: [{ reasons: [/by an operator \(the table is rebuilt\)/] }] });
  t.equal(await resumeIntegration(world.db, 'shop', 'operator'), true);
  t.equal(await resumeIntegration(world.db, 'shop', 'operator'), false);
});

test('a run under way keeps the page that it holds when somebody pauses, and its deadline moves by the pause', async (t) => {
  const world = await createWorld(t);
  fill(world, 4);
  const { id } = await world.queue();
  world.source.onPage = async (cursor) => {
    if (cursor === 'c0') await pauseIntegration(world.db, 'shop', null);
  };
  t.match(await world.work(await world.claim()), { state: 'released' });
  const before = await readRun(world.db, id);
  t.ok((before?.pages ?? 0) >= 1);
  await world.run(sql`UPDATE sync.source_states SET paused_at = paused_at - interval '3 days'`);
  await world.run(sql`UPDATE sync.sync_runs SET deadline_at = clock_timestamp() - interval '2 days'`);
  await resumeIntegration(world.db, 'shop', 'operator');
  world.source.onPage = () => {};
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c0', 'c1', 'c2', 'c3'],
  );
});

test('the pause that counts against no deadline begins with its first reason, and a run that is paused is never late', async (t) => {
  const world = await createWorld(t, { deadlineMs: HOUR_MS });
  fill(world, 4);
  const { id } = await world.queue();
  world.source.onPage = async (cursor) => {
    if (cursor === null) return;
    await pauseIntegration(world.db, 'shop', null);
    await world.run(sql`UPDATE sync.sync_runs SET deadline_at = clock_timestamp()`);
    throw new SourceError('server_error', 'GET /customers: 503', { status: 503 });
  };
  t.match(await world.work(await world.claim()), { state: 'stalled' }, 'not failed');
  world.source.onPage = () => {};
  await resumeIntegration(world.db, 'shop', 'operator');
  await world.run(sql`UPDATE sync.sync_runs SET resume_at = NULL, deadline_at = clock_timestamp() + interval '1 hour'`);

  await pauseSource(world.db, 'shop', { reason: 'auth', detail: 'unauthorized' });
  await world.run(sql`UPDATE sync.source_states SET paused_at = paused_at - interval '3 days'`);
  await world.run(sql`UPDATE sync.sync_runs SET deadline_at = deadline_at - interval '3 days'`);
  await pauseIntegration(world.db, 'shop', 'the key is being made');
  t.match((await readSourceStates(world.db)).get('shop')?.paused, {
    reason: 'operator',
    detail: 'the key is being made',
  });
  await resumeIntegration(world.db, 'shop', 'operator');
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.match(await readRun(world.db, id), { state: 'succeeded', counts: { seen: 4 } });
});

test('a run whose worker died after somebody had cancelled it ends although its integration is paused', async (t) => {
  const world = await createWorld(t);
  fill(world, 2);
  const { id } = await world.queue();
  await world.claim();
  t.match(await cancelRun(world.db, id), { isEnded: false });
  await pauseIntegration(world.db, 'shop', null);
  await world.pass(HOUR_MS);
  t.match(await world.work(await world.claim()), { state: 'cancelled' });
  t.same(world.source.listed, [], 'and nothing is asked of the source for it');
});

test('an open breaker is told with its reason, and limits that are slow or fail hold nobody up', async (t) => {
  const world = await createWorld(t);
  await saveBreaker(world.db, 'shop', { state: 'open', reason: 'network: refused' });
  t.match(await statusOf(world, () => Promise.reject(new Error('no'))), {
    source: { breaker: { state: 'open', since: String, reason: 'network: refused' }, limits: null },
    entities: [{ state: 'degraded', reasons: [/^the circuit breaker is open since .*: network: refused/] }],
  });
  await saveBreaker(world.db, 'shop', { state: 'half_open', reason: null });
  t.match(await statusOf(world, () => new Promise(() => {})), {
    source: { breaker: { state: 'half_open', reason: 'network: refused' }, limits: null },
  });
  await saveBreaker(world.db, 'shop', { state: 'closed', reason: null });
  t.match(await statusOf(world), { source: { breaker: { state: 'closed', reason: null }, limits: [] } });
});
