import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { connectDatabase } from '../../src/db/connect.ts';
import { connectEmbedded, IN_MEMORY } from '../../src/db/embedded.ts';
import { openEmbeddedClient } from '../../src/db/embedded-client.ts';
import { createUpkeepPass } from '../../src/db/embedded-upkeep.ts';
import { failureKind } from '../../src/db/failure.ts';
import { migrateDatabase, migrationState } from '../../src/db/migrate.ts';
import { queryRows } from '../../src/db/query.ts';
import { migratedDump, silentLog } from '../helpers/database.ts';
import { createGate } from '../helpers/gate.ts';

test('what was committed is there after the database was closed and opened again', async (t) => {
  const dataDir = `${t.testdir()}/not/yet/there`;
  const first = await connectDatabase({ dataDir, log: silentLog });
  t.equal(first.kind, 'embedded');
  t.equal(first.db, first.ingestDb);
  await migrateDatabase(first);
  await first.db.execute(sql`INSERT INTO sync.leases (name) VALUES ('kept')`);
  await first.close();
  await first.close();

  const second = await connectDatabase({ dataDir, log: silentLog });
  t.equal(await migrationState(second.db), 'current');
  t.same(await queryRows(second.db, sql`SELECT name FROM sync.leases`), [{ name: 'kept' }]);
  await second.close();
});

test('after it is closed every statement is refused as a lost connection', async (t) => {
  const database = await connectEmbedded({ dataDir: IN_MEMORY, dump: await migratedDump(), log: silentLog });
  await database.close();
  const error: unknown = await database.db.execute(sql`SELECT 1`).catch((reason) => reason);
  t.equal(failureKind(error), 'connection');
  t.match(error, { cause: { code: 'closed' } });
});

test('closing lets the statements finish that were made before', async (t) => {
  const database = await connectEmbedded({ dataDir: IN_MEMORY, dump: await migratedDump(), log: silentLog });
  const statement = queryRows(database.db, sql`SELECT count(*)::int AS count FROM generate_series(1, 200000)`);
  await database.close();
  t.same(await statement, [{ count: 200_000 }]);
});

test('statements made outside of a transaction wait until it ends', async (t) => {
  const { db, close } = await connectEmbedded({ dataDir: IN_MEMORY, dump: await migratedDump(), log: silentLog });
  t.teardown(close);
  const order: string[] = [];
  const { opened: gate, open } = createGate();
  const first = db.transaction(async (tx) => {
    await tx.execute(sql`SELECT 1`);
    await gate;
    await tx.execute(sql`SELECT 1`);
    order.push('first');
  });
  const outside = db.execute(sql`SELECT 1`).then(() => order.push('outside'));
  const second = db.transaction(async (tx) => {
    await tx.execute(sql`SELECT 1`);
    order.push('second');
  });
  open();
  await Promise.all([first, outside, second]);
  t.same(order, ['first', 'outside', 'second']);
});

test('a statement of a transaction that has ended is refused instead of joining the next one', async (t) => {
  const client = await openEmbeddedClient({ dataDir: IN_MEMORY, dump: await migratedDump() });
  t.teardown(() => client.close());
  const kept = await client.transaction(async (queries) => queries);
  await t.rejects(kept.query('SELECT 1'), { code: 'closed' });
});

test('when the thread dies, open and later statements reject with a code', async (t) => {
  const client = await openEmbeddedClient({ dataDir: IN_MEMORY, dump: await migratedDump() });
  // Ends PGlite's thread from within, as a failure of its engine would.
  const open = client.query('SELECT 1');
  const waiting = client.transaction(async (queries) => {
    await queries.query('SELECT 1');
    client.abort();
    await queries.query('SELECT pg_sleep(60)');
  });
  await open;
  await t.rejects(waiting, { code: 'crashed' });
  await t.rejects(client.query('SELECT 1'), { code: 'crashed' });
  t.equal(client.pendingCount(), 0);
  await client.close();
});

test('upkeep writes a checkpoint and vacuums a worn table once a minute has passed', async (t) => {
  const client = await openEmbeddedClient({ dataDir: IN_MEMORY, dump: await migratedDump() });
  t.teardown(() => client.close());
  await client.exec(
    'CREATE TABLE worn (id int); INSERT INTO worn SELECT generate_series(1, 5000); DELETE FROM worn WHERE id > 100',
  );
  await client.exec('SELECT pg_stat_force_next_flush()');
  await client.query('SELECT 1');
  const runOnce = createUpkeepPass(client, 0);
  const before = await logBytes(client);
  t.ok(before > 100_000);
  await runOnce(59_000);
  t.ok((await logBytes(client)) >= before, 'nothing is due yet');
  await runOnce(61_000);
  t.ok((await logBytes(client)) < before, 'a checkpoint moved the redo point');
  await client.exec('SELECT pg_stat_force_next_flush()');
  const { rows } = await client.query(
    `SELECT vacuum_count::int AS vacuums, n_dead_tup::int AS dead FROM pg_stat_user_tables WHERE relname = 'worn'`,
  );
  t.same(rows, [{ vacuums: 1, dead: 0 }]);
});

async function logBytes(client: { query(sql: string): Promise<{ rows: unknown[] }> }): Promise<number> {
  const { rows } = await client.query(
    `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::float8 AS bytes FROM pg_control_checkpoint()`,
  );
  const row: unknown = rows[0];
  return typeof row === 'object' && row !== null && 'bytes' in row ? Number(row.bytes) : 0;
}
