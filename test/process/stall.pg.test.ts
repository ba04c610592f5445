import { test } from 'tap';
import { until } from '../app/setup.ts';
import { customer } from '../app/shop.ts';
import { sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { createShopDatabase } from './database.ts';
import { type ServerProcess, startServerProcess } from './setup.ts';

const skip = skipWithoutPostgres();
const RECORDS = 45;
const PAGE_SIZE = 10;
const HOUR_S = 3_600;

const idOf = (place: number): string => `c${String(place).padStart(3, '0')}`;

test('a stalled run outlives the end of all its processes, waits its time out, and goes on in one of the next at its page', {
  skip,
}, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const asked: string[] = [];
  const shop = { refusesAfter: idOf(19) as string | null };
  const api = await startFakeApi(t, (response, request) => {
    const after = new URL(request.url, 'http://shop').searchParams.get('starting_after') ?? '';
    if (after === shop.refusesAfter) return sendText(response, 429, '{}', { 'retry-after': String(HOUR_S) });
    asked.push(after);
    const ids = Array.from({ length: RECORDS }, (_, place) => idOf(place)).filter((id) => id > after);
    const data = ids.slice(0, PAGE_SIZE).map((id) => customer(id));
    return sendJson(response, { data, next_cursor: ids.length > PAGE_SIZE ? data.at(-1)?.id : null });
  });
  const options = { databaseUrl: url, apiUrl: api.origin };
  const startTwo = () => Promise.all([startServerProcess(t, options), startServerProcess(t, options)]);
  const full = async () =>
    (
      await sql`SELECT id, state, pages, stalls, seen, resume_at FROM sync.sync_runs WHERE NOT is_dry_run ORDER BY created_at`
    )[0];
  const dryRun = async ({ address }: ServerProcess) =>
    await fetch(`${address}/sync/reconcile?wait=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ integration: 'shop', mode: 'full', dryRun: true }),
    });

  const first = await startTwo(); // the full run of a new stream begins by itself
  await until('its run stalls', async () => (await full())?.stalls === 1);
  const stalled = await full();
  t.match(stalled, { state: 'running', pages: 2 });
  await Promise.all(first.map((one) => one.kill()));

  shop.refusesAfter = null;
  // What the killed ones had learned of the limit would hold the next ones back as well.
  await sql`UPDATE sync.source_states SET limits = NULL`;
  const [next, other] = await startTwo();
  t.equal((await dryRun(next)).status, 200, 'a younger run is taken up and ended');
  t.match(await full(), { stalls: 1, resume_at: stalled?.resume_at }, 'this one still waits');
  const before = asked.length;
  await sql`UPDATE sync.sync_runs SET resume_at = clock_timestamp() WHERE resume_at IS NOT NULL`;
  await until('it ends', async () => (await full())?.state === 'succeeded');
  t.match(await full(), { id: stalled?.id, pages: 5, seen: RECORDS, stalls: 0, resume_at: null });
  t.same(asked.slice(before), [idOf(19), idOf(29), idOf(39)], 'each page that was left once, by one of the two');
  const [row] = await sql`SELECT count(*)::int AS count FROM e2e_customers`;
  t.equal(row?.count, RECORDS);
  t.same(
    (await Promise.all([next.stop(), other.stop()])).map(({ code }) => code),
    [0, 0],
  );
});
