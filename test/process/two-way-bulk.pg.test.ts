import { test } from 'tap';
import { until } from '../app/setup.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { ROUNDS, startTwoWay } from './torture/world.ts';

const skip = skipWithoutPostgres();
const MANY_ROWS = 100_000;

test('100,000 rows in one statement are captured, each of them; an emptied table is held back', { skip }, async (t) => {
  const world = await startTwoWay(t, ['a', 'b']);
  const { clerk, sql, source } = world;
  const filler = await world.serve();
  await world.filled();
  await filler.stop();
  const server = await world.serve('ingest'); // captures, and takes nothing of what it has captured
  await clerk`INSERT INTO torture_items (external_id, ref, name, amount)
    SELECT 'new-' || n, 'bulk' || n, 'bulk', n FROM generate_series(1, ${MANY_ROWS}::int) AS n`;
  await sql`TRUNCATE sync.local_changes`;
  await clerk`UPDATE torture_items SET amount = amount + 1 WHERE ref LIKE 'bulk%'`;
  const [captured] = await sql`SELECT count(*)::int AS count FROM
    (SELECT DISTINCT unnest(target_keys) FROM sync.local_changes WHERE op = 'U') AS keys`;
  t.equal(captured?.count, MANY_ROWS);
  await server.stop();

  await sql`TRUNCATE sync.local_changes`;
  await clerk`TRUNCATE torture_items`;
  const worker = await world.serve('worker');
  const held = async () => (await sql`SELECT held_deletes FROM sync.streams`)[0]?.held_deletes ?? null;
  await until('removals are held back', async () => (await held()) !== null, ROUNDS);
  t.equal((await source.truth()).length, 2, 'nothing was removed at the source');
  t.equal((await source.writes()).counters.writes.received, 0);
  t.equal((await worker.stop()).code, 0);
});
