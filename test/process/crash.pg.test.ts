import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { type Test, test } from 'tap';
import { until } from '../app/setup.ts';
import { CREATE_CUSTOMERS, customer, listedCursors, startShopApi } from '../app/shop.ts';
import { createOnServer } from '../helpers/database.ts';
import { skipWithoutPostgres, startPostgres } from '../helpers/postgres.ts';
import { startLoad } from './load.ts';
import { startServerProcess } from './setup.ts';

const skip = skipWithoutPostgres();

/** A migrated database with the shop's table, on a server of its own, and a client that outlives its restarts. */
async function createShopDatabase(t: Test) {
  const server = await startPostgres(t);
  const { url, database } = await createOnServer(t, server.url);
  await database.close(); // only its making was needed: its connections would not survive what follows
  if (url === undefined) throw new Error('No URL');
  const sql = postgres(url, { max: 2, onnotice: () => {}, connect_timeout: 5 });
  t.teardown(() => sql.end({ timeout: 1 }));
  await sql.unsafe(CREATE_CUSTOMERS);
  // A first run would be started by itself, and mix with what a test counts.
  return { server, url, sql };
}
type Sql = postgres.Sql;

/** Of these records, those that neither stand as a row nor wait in the inbox: must be none. */
async function missing(sql: Sql, ids: ReadonlySet<string>): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT external_id AS id FROM e2e_customers
    UNION SELECT convert_from(body, 'UTF8')::jsonb #>> '{data,id}' FROM sync.inbox_deliveries WHERE body IS NOT NULL`;
  const found = new Set(rows.map(({ id }) => id));
  return [...ids].filter((id) => !found.has(id));
}

const allApplied = (sql: Sql, ids: ReadonlySet<string>) =>
  until('every acknowledged delivery is a row', async () => {
    const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM e2e_customers WHERE external_id = ANY(${[...ids]})`;
    return row?.count === ids.size;
  });

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
