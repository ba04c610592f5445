import { setTimeout as wait } from 'node:timers/promises';
import { test } from 'tap';
import { until } from '../app/setup.ts';
import { customer, event, listedCursors, signShop, startShopApi } from '../app/shop.ts';
import { createGate } from '../helpers/gate.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { createShopDatabase } from './database.ts';
import { startServerProcess } from './setup.ts';

const skip = skipWithoutPostgres();
const TICKS = 4;
const DELIVERIES = 300;

test('two replicas on one database', { skip }, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const api = await startShopApi(t);
  const options = { databaseUrl: url, apiUrl: api.origin, environment: { TEST_INCREMENTAL: '* * * * * *' } };
  const replicas = await Promise.all([startServerProcess(t, options), startServerProcess(t, options)]);
  const [one, other] = replicas;

  await t.test('a delivery that both get is accepted once and applied once', async (t) => {
    const statuses: string[] = [];
    for (let first = 0; first < DELIVERIES; first += 20) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, offset) => {
          const body = event('customer.created', customer(`both-${first + offset}`));
          const headers = signShop(body);
          const answers = await Promise.all(
            replicas.map(({ address }) => fetch(`${address}/webhooks/shop`, { method: 'POST', body, headers })),
          );
          statuses.push(
            answers
              .map(({ status }) => status)
              .sort()
              .join(),
          );
        }),
      );
    }
    t.same(new Set(statuses), new Set(['200,202']));
    await until('all are applied', async () => {
      const [row] = await sql`SELECT count(*)::int AS count FROM e2e_customers`;
      return row?.count === DELIVERIES;
    });
    const [record] = await sql`SELECT max(applied_seq)::int AS most, count(*)::int AS count FROM sync.record_states`;
    t.same(record, { most: 1, count: DELIVERIES });
    const [told] = await sql`SELECT count(*)::int AS count FROM sync.record_history`;
    t.equal(told?.count, DELIVERIES, 'one decision for each');
    const inbox = await sql`SELECT state, count(*)::int AS count FROM sync.inbox_deliveries GROUP BY state`;
    t.same([...inbox], [{ state: 'applied', count: DELIVERIES }]);
  });

  await t.test('one of them schedules; when it goes, the other takes over', async (t) => {
    const scheduled = async (after: Date) =>
      await sql<{ count: number }[]>`SELECT count(*)::int AS count FROM sync.sync_runs
        WHERE trigger = 'schedule' AND created_at > ${after} GROUP BY date_trunc('second', created_at)`;
    const begin = new Date();
    await until('it has scheduled a few runs', async () => (await scheduled(begin)).length >= TICKS);
    t.same(new Set((await scheduled(begin)).map(({ count }) => count)), new Set([1]), 'one run a second');
    const [lease] = await sql<{ holder: string; fence: number }[]>`SELECT holder, fence::int AS fence FROM sync.leases`;
    t.equal(lease?.fence, 1, 'nobody else has ever held it');
    // Which of the two it is only shows when one goes.
    const ended = await one?.stop();
    t.equal(ended?.code, 0);
    t.ok((ended?.tookMs ?? 0) < 10_000);
    const held = await sql`SELECT 1 FROM sync.sync_runs WHERE lease_token IS NOT NULL AND state <> 'running'`;
    t.equal(held.length, 0);
    const gone = new Date();
    await until('the other schedules', async () => (await scheduled(gone)).length >= 2);
    const last = await other?.stop();
    t.equal(last?.code, 0);
    const [released] = await sql`SELECT expires_at = '-infinity' AS free FROM sync.leases`;
    t.equal(released?.free, true, 'the last one gave its lease back');
    const open = await sql`SELECT 1 FROM sync.sync_runs WHERE lease_token IS NOT NULL`;
    t.equal(open.length, 0, 'no run is held by nobody');
  });
});

test('a run whose holder is stopped past its lease is taken over, and the old holder commits nothing more', {
  skip,
}, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const api = await startShopApi(t);
  for (let count = 0; count < 45; count++) {
    const one = customer(`c${String(count).padStart(3, '0')}`);
    api.records.set(one.id, one);
  }
  const [stale, fresh] = [createGate(), createGate()];
  t.teardown(() => {
    stale.open();
    fresh.open();
  });
  let isStaleAsked = false;
  api.gate = async ({ url: path }) => {
    // Only the old holder's: its heir asks for the same page and gets it.
    if (path.includes('starting_after=c019') && !isStaleAsked) {
      isStaleAsked = true;
      await stale.opened;
    }
    // Asked for again after a time-out, it waits again.
    if (path.includes('starting_after=c029')) await fresh.opened;
  };
  const old = await startServerProcess(t, { databaseUrl: url, apiUrl: api.origin });
  const run = async () =>
    (await sql`SELECT state, pages, seen, inserted, page_cursor, lease_token FROM sync.sync_runs`)[0];
  await until('two pages are written', async () => (await run())?.pages === 2);
  const token = (await run())?.lease_token;
  const environment = { SYNCLINE_ROLE: 'worker' };
  const heir = await startServerProcess(t, { databaseUrl: url, apiUrl: api.origin, environment });
  await wait(100); // the heir looks for runs and finds none to take
  t.equal((await run())?.lease_token, token, 'while the lease stands nobody takes it');
  old.child.kill('SIGSTOP');
  await until('the heir has written its first page', async () => (await run())?.pages === 3, 6_000);
  t.not((await run())?.lease_token, token);

  // The heir waits for its next page, the run is open, and the old holder comes back with the page that it had asked for.
  const snapshot = async () => ({
    run: await run(),
    states: [...(await sql`SELECT xmin::text, * FROM sync.record_states ORDER BY external_id`)],
    rows: [...(await sql`SELECT xmin::text, * FROM e2e_customers ORDER BY external_id`)],
    pages: [...(await sql`SELECT xmin::text, page FROM sync.run_pages ORDER BY page`)],
  });
  const before = await snapshot();
  const asked = api.seen.length;
  old.child.kill('SIGCONT');
  stale.open();
  // It asks for the page after only when it has that one in its hands, to be written.
  await until('it has its page', () => listedCursors({ ...api, seen: api.seen.slice(asked) }).includes('c029'));
  t.equal((await fetch(`${old.address}/health`)).status, 200);
  t.equal((await old.stop()).code, 0);
  t.same(await snapshot(), before);

  fresh.open();
  await until('the heir ends the run', async () => (await run())?.state === 'succeeded');
  t.match(await run(), { pages: 5, seen: 45, inserted: 45 });
  t.equal((await heir.stop()).code, 0);
});
