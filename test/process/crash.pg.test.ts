import { randomUUID } from 'node:crypto';
import { test } from 'tap';
import { until } from '../app/setup.ts';
import { customer, listedCursors, startShopApi } from '../app/shop.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { allApplied, createShopDatabase, missing } from './database.ts';
import { startLoad } from './load.ts';
import { startServerProcess } from './setup.ts';

const skip = skipWithoutPostgres();

test('kill -9 during load: no delivery that was acknowledged is missing, after each of several kills', {
  skip,
}, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const options = { databaseUrl: url, environment: { SYNCLINE_ROLE: 'ingest,worker' } };
  let server = await startServerProcess(t, options);
  for (let kill = 0; kill < 3; kill++) {
    const load = startLoad(() => server.address, { name: `kill${kill}`, senders: 12 });
    await load.more(150);
    await server.kill();
    await load.stop();
    t.ok(load.statuses.has(0), 'requests were under way when it died');
    t.same(await missing(sql, load.acknowledged), []);
    server = await startServerProcess(t, options);
    await allApplied(sql, load.acknowledged);
  }
  const [dead] = await sql`SELECT count(*)::int AS count FROM sync.dead_letters`;
  t.equal(dead?.count, 0);
  t.equal((await server.stop()).code, 0);
});

test('a full run interrupted by kill -9 goes on at its checkpoint in the next process', { skip }, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const api = await startShopApi(t);
  for (let count = 0; count < 55; count++) {
    const one = customer(`c${String(count).padStart(3, '0')}`);
    api.records.set(one.id, one);
  }
  let holdFrom: string | null = 'c029';
  let open = () => {};
  const held = new Promise<void>((resolve) => {
    open = resolve;
  });
  t.teardown(() => open());
  api.gate = ({ url: path }) => (holdFrom !== null && path.includes(`starting_after=${holdFrom}`) ? held : undefined);
  const options = { databaseUrl: url, apiUrl: api.origin };
  const first = await startServerProcess(t, options); // its scheduler starts the full run that is owed
  const pages = async () => (await sql<{ pages: number }[]>`SELECT pages FROM sync.sync_runs`)[0]?.pages ?? 0;
  await until('three pages are written', async () => (await pages()) === 3);
  await first.kill();
  t.same(listedCursors(api), ['', 'c009', 'c019', 'c029']);
  holdFrom = null;
  open();

  const second = await startServerProcess(t, options);
  // The lease of the dead holder is let run out early; that it runs out by itself is shown with replicas.
  await sql`UPDATE sync.sync_runs SET lease_expires_at = clock_timestamp() WHERE state = 'running'`;
  await until('the run ends', async () => {
    const [run] = await sql`SELECT state FROM sync.sync_runs`;
    return run?.state === 'succeeded';
  });
  const runs = await sql`SELECT state, pages, seen, inserted, deleted FROM sync.sync_runs`;
  t.same([...runs], [{ state: 'succeeded', pages: 6, seen: 55, inserted: 55, deleted: 0 }]);
  t.same(listedCursors(api).slice(4), ['c029', 'c039', 'c049'], 'no page before the checkpoint is asked for again');
  const [rows] = await sql`SELECT count(*)::int AS count FROM e2e_customers`;
  t.equal(rows?.count, 55);
  t.equal((await second.stop()).code, 0);
});

test('PostgreSQL stopped and started under load: the server lives, says 503, and is ready again by itself', {
  skip,
}, async (t) => {
  const { server, url, sql } = await createShopDatabase(t);
  const options = { databaseUrl: url, environment: { SYNCLINE_ROLE: 'ingest,worker' } };
  const syncline = await startServerProcess(t, options);
  const acknowledged = new Set<string>();
  for (const [turn, stop] of [server.stopImmediate, server.stop].entries()) {
    const load = startLoad(() => syncline.address, { name: `away${turn}-${randomUUID()}` });
    await load.more(50);
    await stop();
    const refused = await fetch(`${syncline.address}/webhooks/nobody`, { method: 'POST' });
    t.equal(refused.status, 404, 'what needs no database is answered as before');
    await until('deliveries are refused', () => (load.statuses.get(503) ?? 0) >= 5);
    const ready = await fetch(`${syncline.address}/health/ready`);
    t.equal(ready.status, 503);
    t.match(await ready.json(), { status: 'fail', checks: { database: { status: 'fail' } } });
    t.equal((await fetch(`${syncline.address}/health`)).status, 200);
    const status = await fetch(`${syncline.address}/status`);
    t.equal(status.status, 503);
    t.match(status.headers.get('retry-after'), /^\d+$/);
    const before = load.acknowledged.size;
    await server.start();
    await load.more(50);
    t.ok(load.acknowledged.size >= before + 50);
    await until('it is ready again', async () => (await fetch(`${syncline.address}/health/ready`)).status === 200);
    await load.stop();
    const others = [...load.statuses.keys()].filter((code) => code !== 202 && code !== 503);
    t.same(others, [], 'no request broke, none was answered with a failure of ours');
    for (const id of load.acknowledged) acknowledged.add(id);
    t.same(await missing(sql, acknowledged), []);
  }
  await allApplied(sql, acknowledged);
  t.equal(syncline.child.exitCode, null);
  t.equal((await syncline.stop()).code, 0);
});

test('sessions that PostgreSQL ends under load cost retries, nothing else', { skip }, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const options = { databaseUrl: url, environment: { SYNCLINE_ROLE: 'ingest,worker' } };
  const syncline = await startServerProcess(t, options);
  const load = startLoad(() => syncline.address, { name: 'terminated' });
  for (let round = 0; round < 5; round++) {
    await load.more(30);
    const ended = await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'syncline' AND datname = current_database()`;
    t.ok(ended.length > 0, `${ended.length} sessions were ended`);
  }
  await load.more(30);
  await load.stop();
  t.same(
    [...load.statuses.keys()].filter((code) => code !== 202 && code !== 503),
    [],
  );
  await allApplied(sql, load.acknowledged);
  t.equal((await syncline.stop()).code, 0);
});

test('a run whose database sessions end goes on at its checkpoint by itself', { skip }, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const api = await startShopApi(t);
  for (let count = 0; count < 45; count++) {
    const one = customer(`c${String(count).padStart(3, '0')}`);
    api.records.set(one.id, one);
  }
  let open = () => {};
  const held = new Promise<void>((resolve) => {
    open = resolve;
  });
  t.teardown(() => open());
  let isBroken = false;
  api.gate = async ({ url: path }) => {
    if (isBroken || !path.includes('starting_after=c019')) return;
    isBroken = true;
    await held;
  };
  const syncline = await startServerProcess(t, { databaseUrl: url, apiUrl: api.origin });
  await until(
    'two pages are written',
    async () => (await sql`SELECT 1 FROM sync.sync_runs WHERE pages = 2`).length === 1,
  );
  // Held by a rival, the run's row makes its next transaction wait, and end together with its session.
  await sql.begin(async (tx) => {
    await tx`SELECT 1 FROM sync.sync_runs FOR UPDATE`;
    open();
    await until('the run waits for its row', async () => {
      const waiting = await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'syncline' AND datname = current_database() AND wait_event_type = 'Lock'`;
      return waiting.length > 0;
    });
  });
  await until(
    'the run ends',
    async () => (await sql`SELECT 1 FROM sync.sync_runs WHERE finished_at IS NOT NULL`).length === 1,
    6_000,
  );
  const runs = await sql`SELECT state, pages, seen, inserted, error FROM sync.sync_runs`;
  t.same([...runs], [{ state: 'succeeded', pages: 5, seen: 45, inserted: 45, error: null }]);
  t.notOk(listedCursors(api).slice(3).includes('c009'), 'no page before the checkpoint is asked for again');
  t.equal((await syncline.stop()).code, 0);
});
