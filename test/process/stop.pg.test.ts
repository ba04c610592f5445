import { test } from 'tap';
import { until } from '../app/setup.ts';
import { customer, listedCursors, startShopApi } from '../app/shop.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { allApplied, createShopDatabase, missing } from './database.ts';
import { startLoad } from './load.ts';
import { startServerProcess } from './setup.ts';

const MAX_STOP_MS = 10_000;

test('SIGTERM under load: what was accepted stays, leases are given back, and the next process goes on at once', {
  skip: skipWithoutPostgres(),
}, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const api = await startShopApi(t);
  for (let count = 0; count < 35; count++) {
    const one = customer(`c${String(count).padStart(3, '0')}`);
    api.records.set(one.id, one);
  }
  let isHeld = true;
  let open = () => {};
  const held = new Promise<void>((resolve) => {
    open = resolve;
  });
  t.teardown(() => open());
  api.gate = ({ url: path }) => (isHeld && path.includes('starting_after=c019') ? held : undefined);
  const first = await startServerProcess(t, { databaseUrl: url, apiUrl: api.origin });
  await until(
    'two pages are written',
    async () => (await sql`SELECT 1 FROM sync.sync_runs WHERE pages = 2`).length === 1,
  );
  const waiting = fetch(`${first.address}/sync/reconcile?wait=true`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ integration: 'shop', mode: 'full', dryRun: true }),
  });
  await until(
    'both runs are under way',
    async () => (await sql`SELECT 1 FROM sync.sync_runs WHERE state = 'running'`).length === 2,
  );
  const load = startLoad(() => first.address, { name: 'stop' });
  await load.more(100);

  const ended = await first.stop();
  await load.stop();
  t.same({ code: ended.code, signal: ended.signal }, { code: 0, signal: null });
  t.ok(ended.tookMs < MAX_STOP_MS, `${Math.round(ended.tookMs)} ms`);
  t.same(
    [...load.statuses.keys()].filter((status) => ![202, 503, 0].includes(status)),
    [],
  );
  t.same(await missing(sql, load.acknowledged), []);
  t.equal((await waiting).status, 202, 'who waits for a run is answered with the run as it stands');
  const runs =
    await sql`SELECT state, is_dry_run, lease_token, lease_expires_at FROM sync.sync_runs ORDER BY is_dry_run`;
  t.match(
    [...runs],
    [
      { state: 'running', is_dry_run: false, lease_token: null, lease_expires_at: null },
      { state: 'running', is_dry_run: true, lease_token: null, lease_expires_at: null },
    ],
  );
  t.same([...(await sql`SELECT name FROM sync.leases WHERE expires_at > now()`)], []);
  t.same([...(await sql`SELECT 1 FROM pg_stat_activity WHERE application_name = 'syncline'`)], []);

  isHeld = false;
  open();
  const before = api.seen.length;
  const second = await startServerProcess(t, { databaseUrl: url, apiUrl: api.origin });
  await until(
    'the runs end',
    async () => (await sql`SELECT 1 FROM sync.sync_runs WHERE state <> 'succeeded'`).length === 0,
    1_500,
  );
  const again = listedCursors({ ...api, seen: api.seen.slice(before) });
  t.ok(again.filter((cursor) => cursor === '').length <= 1, 'at most the dry run begins anew');
  await allApplied(sql, load.acknowledged);
  const sweep = await sql`SELECT deleted FROM sync.sync_runs WHERE NOT is_dry_run`;
  t.equal(sweep.length, 1);
  t.equal((await second.stop()).code, 0);
});
