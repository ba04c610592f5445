import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { test } from 'tap';
import { until } from '../app/setup.ts';
import type { Customer } from '../app/shop.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { type HostileApi, startHostileApi } from '../hostile/start-api.ts';
import { createShopDatabase, type Sql } from './database.ts';
import { type ServerProcess, SHOP_CONFIG, startServerProcess } from './setup.ts';

const skip = skipWithoutPostgres();
const CONFIG = join(dirname(SHOP_CONFIG), SHOP_CONFIG.replace(/^.*server\.config/, 'hostile.config'));
const MAX_RUNS = 40;
const POLL_ROUNDS = 6_000;
const SEED = 20_260_102;
/** A second for what waits, and what the end of a process takes: database connections, the last log lines. */
const MAX_STOP_MS = 2_500;

async function start(t: Test, environment: Readonly<Record<string, string>> = {}) {
  const { url, sql } = await createShopDatabase(t);
  const api = await startHostileApi(t, SEED);
  const serve = (roles: string) =>
    startServerProcess(t, {
      databaseUrl: url,
      apiUrl: api.origin,
      environment: { SYNCLINE_CONFIG: CONFIG, SYNCLINE_ROLE: roles, ...environment },
    });
  return { sql, api, serve };
}

const post = (server: ServerProcess, mode: string) =>
  fetch(`${server.address}/sync/reconcile`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ integration: 'shop', mode }),
  });

/** What waits for its source does not wait in a test. */
const hurry = async (sql: Sql) => {
  await sql`UPDATE sync.sync_runs SET resume_at = clock_timestamp() WHERE resume_at > clock_timestamp()`;
};

/** Runs until one succeeds: what a person or a schedule would do. @returns how many it took. */
async function runUntilWhole(server: ServerProcess, sql: Sql, mode: string): Promise<number> {
  for (let runs = 1; runs <= MAX_RUNS; runs++) {
    await post(server, mode);
    await until(
      'the run ends',
      async () => {
        await hurry(sql);
        return (await sql`SELECT 1 FROM sync.sync_runs WHERE state IN ('queued', 'running')`).length === 0;
      },
      POLL_ROUNDS,
    );
    const [last] = await sql`SELECT state FROM sync.sync_runs ORDER BY created_at DESC LIMIT 1`;
    if (last?.state === 'succeeded') return runs;
  }
  throw new Error(`None of ${MAX_RUNS} runs succeeded`);
}

/** Record by record, in the words of the source. */
async function compare(sql: Sql, api: HostileApi) {
  const rows = await sql<{ id: string; email: string; amount: number; updated_at: Date }[]>`
    SELECT external_id AS id, email, amount, updated_at FROM e2e_customers ORDER BY external_id`;
  const target = rows.map(({ id, email, amount, updated_at }) => ({
    id,
    email,
    amount_cents: amount,
    updated_at: new Date(updated_at).toISOString(),
  }));
  const records = await api.command<Customer[]>('/records');
  return { target, source: records.sort((left, right) => (left.id < right.id ? -1 : 1)) };
}

const isHealthy = async (server: ServerProcess) => {
  const answers = ['/health', '/health/ready', '/status'].map(
    async (path) => (await fetch(server.address + path)).status,
  );
  return (await Promise.all(answers)).join();
};

test('a third of all answers are faults: the target equals the source, record by record, and the server stays healthy', {
  skip,
}, async (t) => {
  const { sql, api, serve } = await start(t);
  await api.command('/fill?count=2000');
  await api.command('/faults?share=0.33&terminal=0.01');
  const server = await serve('ingest,worker');

  await runUntilWhole(server, sql, 'full');
  const filled = await compare(sql, api);
  t.same(filled.target, filled.source, 'after the first fill');
  t.equal(filled.target.length, 2_000);
  const [states] = await sql`SELECT count(*)::int AS count, max(applied_seq)::int AS most FROM sync.record_states`;
  t.same(states, { count: 2_000, most: 1 }, 'each record was written once');
  t.equal(await isHealthy(server), '200,200,200');

  await api.command('/change?count=300');
  await runUntilWhole(server, sql, 'incremental');
  const changed = await compare(sql, api);
  t.same(changed.target, changed.source, 'after changes');

  await api.command('/remove?count=15');
  await api.command('/change?count=100');
  await runUntilWhole(server, sql, 'full');
  await until(
    'the deletions are verified, one read at a time',
    async () => {
      await sql`UPDATE sync.hints SET run_at = clock_timestamp() WHERE run_at > clock_timestamp()`;
      return (await sql`SELECT 1 FROM sync.hints`).length === 0;
    },
    POLL_ROUNDS,
  );
  const swept = await compare(sql, api);
  t.same(swept.target, swept.source, 'after deletions');

  const told = await api.command<{ fine: number; faults: number; terminal: number }>('/told');
  t.ok(told.faults > told.fine / 4, `${told.faults} faults and ${told.terminal} that end a run, ${told.fine} answers`);
  t.same(await api.foreignSeen(), { connections: 0, requests: [] });
  const [dead] = await sql`SELECT count(*)::int AS count FROM sync.dead_letters`;
  t.equal(dead?.count, 0, 'no fault of the source is a fault of a record');
  t.equal(await isHealthy(server), '200,200,200');
  t.equal((await server.stop()).code, 0);
});

for (const [name, mode, timeoutMs] of [
  ['waits as it was told by a 429', '/status?code=429&wait=30', 5_000],
  ['waits between attempts after a 500', '/status?code=500&wait=20', 5_000],
  ['waits for an answer that never comes', '/silent', 60_000],
  ['reads a body that comes byte by byte', '/slow/body', 60_000],
] as const) {
  test(`a server that ${name} stops within its bounds`, { skip }, async (t) => {
    const { sql, api, serve } = await start(t, { TEST_TIMEOUT_MS: String(timeoutMs) });
    await api.command('/fill?count=100');
    await api.command(`/mode?is=${encodeURIComponent(mode)}`);
    const server = await serve('ingest,worker');
    t.equal((await post(server, 'full')).status, 202);
    await until('the source was asked', async () => (await api.command<{ mode: number }>('/told')).mode > 0);
    t.equal(await isHealthy(server), '200,200,200');
    const { code, tookMs } = await server.stop();
    t.equal(code, 0);
    t.ok(tookMs < MAX_STOP_MS, `${Math.round(tookMs)} ms`);
    t.match([...(await sql`SELECT state, lease_token FROM sync.sync_runs`)], [{ state: 'running', lease_token: null }]);
  });
}

test('a source that is down for a while: the run waits for it without a worker, and goes on where it stood', {
  skip,
}, async (t) => {
  const { sql, api, serve } = await start(t);
  await api.command('/fill?count=1000');
  await api.command(`/down?from=c000299&is=${encodeURIComponent('/reset/before')}`);
  const server = await serve('ingest,worker');
  t.equal((await post(server, 'full')).status, 202);
  const readRun = async () =>
    (await sql`SELECT state, pages, stalls > 0 AS has_stalled, lease_token, seen FROM sync.sync_runs`)[0];
  await until('the run waits', async () => (await readRun())?.has_stalled === true);
  t.same(await readRun(), { state: 'running', pages: 6, has_stalled: true, lease_token: null, seen: 300 });
  t.equal((await sql`SELECT 1 FROM e2e_customers`).length, 300);
  t.equal(await isHealthy(server), '200,200,200');

  const before = (await api.command<{ cursors: string[] }>('/told')).cursors.length;
  await api.command('/mode?is=');
  await until(
    'the run ends',
    async () => {
      await hurry(sql);
      return (await readRun())?.state === 'succeeded';
    },
    POLL_ROUNDS,
  );
  const { cursors } = await api.command<{ cursors: string[] }>('/told');
  t.same(new Set(cursors.slice(before)).size, 14, 'no page before the interruption is asked for again');
  t.notOk(cursors.slice(before).includes(''));
  const { target, source } = await compare(sql, api);
  t.same(target, source);
  t.equal((await server.stop()).code, 0);
});

test('items that are no records, or nested 100,000 deep, cost themselves and nothing else', { skip }, async (t) => {
  const { sql, api, serve } = await start(t);
  await api.command('/poison');
  const server = await serve('ingest,worker');
  t.equal((await post(server, 'full')).status, 202);
  await until(
    'the run ends',
    async () => (await sql`SELECT 1 FROM sync.sync_runs WHERE finished_at IS NOT NULL`).length > 0,
  );
  const rows = await sql<{ id: string }[]>`SELECT external_id AS id FROM e2e_customers ORDER BY external_id`;
  t.same(
    rows.map(({ id }) => id),
    ['good-1', 'good-2', 'odd-1', 'odd-2', 'odd-3'],
  );
  const [run] = await sql`SELECT state, seen, inserted, failed, error_code FROM sync.sync_runs`;
  t.match(run, { state: 'partial', inserted: 5, error_code: null });
  t.equal(await isHealthy(server), '200,200,200');
  t.equal((await server.stop()).code, 0);
});
