import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { captureOf } from '../../src/db/capture-sql.ts';
import type { Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import type { TargetTable } from '../../src/model/target.ts';
import { silenceCapture } from '../../src/store/capture.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts';
import {
  align,
  CREATE_CUSTOMERS,
  CUSTOMERS,
  capture,
  captured,
  prepareTable,
  restore,
  run,
  TARGET,
  triggersOn,
} from '../store/capture-setup.ts';

let shared: Promise<TestDatabase> | null = null;

async function setUp() {
  shared ??= createTestDatabase(file);
  const { database, db } = await shared;
  await prepareTable(database);
  return { database, db };
}

test('a stream that is a mirror again is captured no more, and nothing of its capture stays', async (t) => {
  const { database, db } = await setUp();
  t.equal((await triggersOn(db, 'shop.customers')).length, 4);
  t.same(await align(database, []), []);
  t.same(await triggersOn(db, 'shop.customers'), []);
  t.same(await run(db, `SELECT proname FROM pg_proc WHERE pronamespace = 'sync'::regnamespace`), []);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), []);
});

test('where all is as it should be nothing is touched', async (t) => {
  const { database, db } = await setUp();
  const marks = () =>
    run(
      db,
      `SELECT xmin::text AS made FROM pg_trigger WHERE tgrelid = 'shop.customers'::regclass
       UNION ALL SELECT xmin::text FROM pg_proc WHERE pronamespace = 'sync'::regnamespace`,
    );
  const before = await marks();
  t.equal(before.length, 5);
  const refusing = { ...database, exclusively: () => Promise.reject(new Error('nothing is to be locked')) };
  t.same(await align(refusing, [capture()]), []);
  t.same(await marks(), before);
});

test('a table made anew is captured after the next start', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'DROP TABLE shop.customers');
  await run(db, CREATE_CUSTOMERS);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), []);
  t.same(await align(database, [capture()]), []);
  await run(db, 'UPDATE shop.customers SET amount = 1');
  t.same(await captured(db), ['U c1']);
});

test('a running server captures a table again that was made anew, or whose triggers were removed', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'DROP TABLE shop.customers');
  t.same(await restore(database, [capture()]), [], 'it is not there yet');
  await run(db, CREATE_CUSTOMERS);
  t.same(await restore(database, [capture()]), []);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), ['I c1']);
  for (const name of await triggersOn(db, 'shop.customers')) await run(db, `DROP TRIGGER ${name} ON shop.customers`);
  t.same(await restore(database, [capture()]), []);
  await run(db, 'UPDATE shop.customers SET amount = 1');
  t.same(await captured(db), ['U c1']);
});

test('a table that cannot be captured keeps no other from being captured again', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'CREATE TABLE shop.orders (LIKE shop.customers INCLUDING ALL)');
  const orders = { ...TARGET, name: 'orders' };
  const other = { integration: 'shop', entity: 'orders' };
  t.same(await align(database, [capture(), capture(orders, other)]), []);
  await run(db, 'DROP TABLE shop.customers, shop.orders');
  await run(db, CREATE_CUSTOMERS);
  await run(db, 'CREATE TABLE shop.orders (LIKE shop.customers)');
  await run(db, 'CREATE FOREIGN DATA WRAPPER far');
  await run(db, 'CREATE SERVER away FOREIGN DATA WRAPPER far');
  await run(db, 'CREATE FOREIGN TABLE shop.far_orders () INHERITS (shop.orders) SERVER away');
  t.match(await restore(database, [capture(orders, other), capture()]), [{ problem: /foreign table/ }]);
  t.equal((await triggersOn(db, 'shop.customers')).length, 4);
  await run(db, 'DROP FOREIGN DATA WRAPPER far CASCADE');
});

test('a running server leaves a capture alone that another configuration has set up', async (t) => {
  const { database, db } = await setUp();
  const { name, ...columns } = TARGET.columns;
  const narrower = { ...TARGET, columns, contentProperties: ['id', 'amount'] };
  const other = { integration: 'crm', entity: 'people' };
  t.same(await align(database, [capture(narrower), capture(TARGET, other)]), []);
  const before = await run(
    db,
    `SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'sync'::regnamespace ORDER BY 1`,
  );
  await run(db, 'ALTER TABLE shop.customers DISABLE TRIGGER ALL');
  t.same(await restore(database, [capture()]), []);
  t.same(
    await run(db, `SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'sync'::regnamespace ORDER BY 1`),
    before,
  );
  t.same(
    await run(db, `SELECT 1 AS one FROM pg_trigger WHERE tgrelid = 'shop.customers'::regclass AND tgenabled = 'O'`),
    [],
  );
});

test('a table that was renamed and replaced is let go', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'ALTER TABLE shop.customers RENAME TO old_customers');
  await run(db, CREATE_CUSTOMERS.replace('PRIMARY KEY', 'UNIQUE'));
  t.same(await align(database, [capture()]), []);
  await run(db, `INSERT INTO shop.old_customers (id) VALUES ('old')`);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('new')`);
  t.same(await captured(db), ['I new']);
  t.same(await triggersOn(db, 'shop.old_customers'), []);
});

test('a trigger that was switched off or removed is back after the next start', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'ALTER TABLE shop.customers DISABLE TRIGGER ALL');
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), []);
  await align(database, [capture()]);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c2')`);
  t.same(await captured(db), ['I c2']);
  const [name = ''] = (await triggersOn(db, 'shop.customers')).filter((one) => one.endsWith('_update'));
  await run(db, `DROP TRIGGER ${name} ON shop.customers`);
  await align(database, [capture()]);
  await run(db, 'UPDATE shop.customers SET amount = 1');
  t.same(await captured(db), ['U c1', 'U c2']);
});

test('a mapping that takes another column has edits of that column captured', async (t) => {
  const { database, db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  await captured(db);
  const note = { name: 'note', sqlType: 'text', kind: 'text', isNotNull: false, hasDefault: false } as const;
  const wider: TargetTable = {
    ...TARGET,
    columns: { ...TARGET.columns, note },
    contentProperties: [...TARGET.contentProperties, 'note'],
  };
  t.same(await align(database, [capture(wider)]), []);
  await run(db, `UPDATE shop.customers SET note = 'mapped now'`);
  t.same(await captured(db), ['U c1']);
  t.equal((await triggersOn(db, 'shop.customers')).length, 4, 'in the place of the old ones');
});

test('several integrations capture the edits of one table, each for itself', async (t) => {
  const { database, db } = await setUp();
  const other = { integration: 'crm', entity: 'people' };
  t.same(await align(database, [capture(), capture(TARGET, other)]), []);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), ['I c1']);
  t.same(await captured(db, other), ['I c1']);
  t.same(await align(database, [capture(TARGET, other)]), []);
  await run(db, 'UPDATE shop.customers SET amount = 1');
  t.same(await captured(db), []);
  t.same(await captured(db, other), ['U c1']);
});

test('names of every kind are taken as names', async (t) => {
  const { database, db } = await setUp();
  const odd: TargetTable = {
    ...TARGET,
    schema: `Odd "schema"; --`,
    name: `it's $body$ a "table" with a name that is as long as can be, é`,
    columns: {
      ...TARGET.columns,
      id: { ...TARGET.columns.id, name: `the "key" $$` } as TargetTable['columns'][string],
    },
  };
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  const table = `${quoted(odd.schema)}.${quoted(odd.name)}`;
  await run(db, `DROP SCHEMA IF EXISTS ${quoted(odd.schema)} CASCADE`);
  await run(db, `CREATE SCHEMA ${quoted(odd.schema)}`);
  const create = CREATE_CUSTOMERS.replace('shop.customers', () => table).replace(
    'id text',
    () => `"the ""key"" $$" text`,
  );
  await run(db, create);
  const key = { integration: `a-${'long-'.repeat(12)}`.slice(0, 63), entity: 'e'.repeat(63) };
  t.same(await align(database, [capture(odd, key)]), []);
  await run(db, `INSERT INTO ${table} VALUES ('it''s'), ('"')`);
  t.same(await captured(db, key), [`I it's`, 'I "']);
  await align(database, [capture()]);
  await run(db, `DROP SCHEMA ${quoted(odd.schema)} CASCADE`);
});

test('a table that is not there yet is passed over', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'DROP TABLE shop.customers');
  t.same(await align(database, [capture()]), []);
});

test('a key that has no one text is refused, and named', async (t) => {
  const { database, db } = await setUp();
  await run(db, 'DROP TABLE shop.customers');
  await run(db, CREATE_CUSTOMERS.replace('id text', 'id timestamptz'));
  const id = {
    name: 'id',
    sqlType: 'timestamp with time zone',
    kind: 'timestamp',
    isNotNull: true,
    hasDefault: false,
  } as const;
  const [problem, ...others] = await align(database, [capture({ ...TARGET, columns: { ...TARGET.columns, id } })]);
  t.same(others, []);
  t.match(problem?.problem, /id of type timestamp with time zone as its key/);
  t.same(await triggersOn(db, 'shop.customers'), []);
});

/** The transaction up to which rows are known. */
async function readHorizon(db: Db): Promise<string | null> {
  const [row] = await queryRows<{ xid: string | null }>(
    db,
    sql`SELECT audited_xid::text AS xid FROM sync.streams WHERE integration = ${CUSTOMERS.integration} AND entity = ${CUSTOMERS.entity}`,
  );
  return row?.xid ?? null;
}

test('rows that come while a capture is silenced are known once it captures again, and are no edits', async (t) => {
  const { database, db } = await setUp();
  const first = await readHorizon(db);
  const { functionName } = captureOf(capture());
  await db.transaction((tx) => silenceCapture(tx, { functionName, stream: CUSTOMERS }));
  t.equal(await readHorizon(db), null);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), []);
  await align(database, [capture()]);
  t.ok(BigInt((await readHorizon(db)) ?? 0) > BigInt(first ?? 0));
});

test('rows that stood there before edits were captured are known by their transaction', async (t) => {
  const { database, db } = await setUp();
  const first = await readHorizon(db);
  t.match(first, /^\d+$/);
  await run(db, 'DROP TABLE shop.customers');
  await run(db, CREATE_CUSTOMERS);
  await align(database, [capture()]);
  t.equal(await readHorizon(db), first, 'a table made anew may hold edits that nobody captured');
  await align(database, []);
  t.equal(await readHorizon(db), null);
});
