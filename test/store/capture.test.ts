import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { Database, Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts';
import { align, CREATE_CUSTOMERS, capture, captured, prepareTable, run, TARGET } from './capture-setup.ts';

let shared: Promise<TestDatabase> | null = null;

async function setUp(create = CREATE_CUSTOMERS): Promise<{ database: Database; db: Db }> {
  shared ??= createTestDatabase(file);
  const { database, db } = await shared;
  await prepareTable(database, create);
  return { database, db };
}

/** As our own flows write. */
const applying = (db: Db, statements: readonly string[]) =>
  db.transaction(async (tx) => {
    await queryRows(tx, sql`SELECT set_config('sync.applying', '1', true)`);
    for (const statement of statements) await run(tx, statement);
  });

test('every row that a statement changes is captured, whatever the statement', async (t) => {
  const { db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id, amount) VALUES ('c1', 1), ('c2', 2)`);
  t.same(await captured(db), ['I c1', 'I c2']);
  await run(db, `UPDATE shop.customers SET amount = amount + 1`);
  t.same(await captured(db), ['U c1', 'U c2']);
  await run(
    db,
    `INSERT INTO shop.customers (id, amount) VALUES ('c2', 9), ('c3', 9) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount`,
  );
  t.same((await captured(db)).sort(), ['I c3', 'U c2']);
  await run(db, `DELETE FROM shop.customers WHERE id = 'c1'`);
  t.same(await captured(db), ['D c1']);
  await run(
    db,
    `MERGE INTO shop.customers AS c USING (VALUES ('c2'), ('c3'), ('c4')) AS v(id) ON c.id = v.id
     WHEN MATCHED AND v.id = 'c2' THEN DELETE WHEN MATCHED THEN UPDATE SET amount = 0
     WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)`,
  );
  t.same((await captured(db)).sort(), ['D c2', 'I c4', 'U c3']);
  await run(db, `UPDATE shop.customers SET amount = 1 WHERE false`);
  await run(db, `DELETE FROM shop.customers WHERE false`);
  t.same(await captured(db), [], 'what touches no row is no edit');
});

test('a table that is emptied is one edit', async (t) => {
  const { db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1'), ('c2')`);
  await captured(db);
  await run(db, 'TRUNCATE shop.customers');
  t.same(await captured(db), ['T']);
});

test('our own writes are not captured, and what follows them is', async (t) => {
  const { db } = await setUp();
  await applying(db, [
    `INSERT INTO shop.customers (id) VALUES ('c1'), ('c2')`,
    `INSERT INTO shop.customers (id, amount) VALUES ('c1', 5) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount`,
    `DELETE FROM shop.customers WHERE id = 'c2'`,
  ]);
  t.same(await captured(db), []);
  await run(db, `UPDATE shop.customers SET amount = 6`);
  t.same(await captured(db), ['U c1']);
});

test('what a trigger of the user’s changes because of our write is captured', async (t) => {
  const { db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id, amount) VALUES ('c1', 1), ('total', 0)`);
  await run(
    db,
    `CREATE FUNCTION shop.sum_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       UPDATE shop.customers SET amount = amount + 1 WHERE id = 'total' AND NEW.id <> 'total'; RETURN NULL; END $$`,
  );
  await run(db, 'CREATE TRIGGER sum_up AFTER UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.sum_up()');
  await captured(db);
  await applying(db, [`UPDATE shop.customers SET amount = 2 WHERE id = 'c1'`]);
  t.same(await captured(db), ['U total']);
});

test('rows that go with a row that the user removes are captured', async (t) => {
  const { db } = await setUp();
  await run(db, 'ALTER TABLE shop.customers ADD parent text REFERENCES shop.customers (id) ON DELETE CASCADE');
  await run(db, `INSERT INTO shop.customers (id, parent) VALUES ('c1', NULL), ('c2', 'c1'), ('c3', 'c2')`);
  await captured(db);
  await run(db, `DELETE FROM shop.customers WHERE id = 'c1'`);
  t.same((await captured(db)).sort(), ['D c1', 'D c2', 'D c3']);
});

test('a row of which nothing that is mapped has changed is no edit', async (t) => {
  const { db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id, full_name) VALUES ('c1', 'Ann')`);
  await captured(db);
  await run(db, `UPDATE shop.customers SET note = 'seen'`);
  await run(db, `UPDATE shop.customers SET full_name = 'Ann'`);
  t.same(await captured(db), []);
  await run(db, `UPDATE shop.customers SET full_name = 'ann'`);
  t.same(await captured(db), ['U c1']);
  await run(db, `UPDATE shop.customers SET full_name = NULL`);
  t.same(await captured(db), ['U c1'], 'null differs from every value');
  await run(db, 'UPDATE shop.customers SET deleted_at = now()');
  t.same(await captured(db), ['U c1'], 'the mark of a deleted row is watched too');
});

test('a value that only a trigger of the user’s changes is an edit', async (t) => {
  const { db } = await setUp();
  await run(
    db,
    `CREATE FUNCTION shop.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       NEW.full_name := upper(NEW.note); RETURN NEW; END $$`,
  );
  await run(db, 'CREATE TRIGGER shout BEFORE UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.shout()');
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  await captured(db);
  await run(db, `UPDATE shop.customers SET note = 'seen'`);
  t.same(await captured(db), ['U c1']);
});

test('a key that changes is a removal of the old one and an edit of the new one', async (t) => {
  const { db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id) VALUES ('a'), ('b'), ('c')`);
  await captured(db);
  await run(db, `UPDATE shop.customers SET id = 'z' WHERE id = 'a'`);
  t.same((await captured(db)).sort(), ['D a', 'U z']);
  await run(db, `UPDATE shop.customers SET id = id || '2' WHERE id IN ('b', 'c')`);
  t.same((await captured(db)).sort(), ['D b', 'D c', 'U b2', 'U c2']);
});

test('keys that go round among rows are edits and no removals', async (t) => {
  const { db } = await setUp(CREATE_CUSTOMERS.replace('PRIMARY KEY', 'UNIQUE DEFERRABLE INITIALLY DEFERRED'));
  await run(db, `INSERT INTO shop.customers (id, amount) VALUES ('a', 1), ('b', 2)`);
  await captured(db);
  await run(db, `UPDATE shop.customers SET id = CASE id WHEN 'a' THEN 'b' ELSE 'a' END`);
  t.same((await captured(db)).sort(), ['U a', 'U b']);
});

test('rows without a key are passed over, and do not hide others', async (t) => {
  const { db } = await setUp(CREATE_CUSTOMERS.replace('PRIMARY KEY', 'UNIQUE'));
  await run(db, `INSERT INTO shop.customers (id, amount) VALUES (NULL, 1), ('c1', 1)`);
  t.same(await captured(db), ['I c1']);
  await run(db, 'UPDATE shop.customers SET amount = 2');
  t.same(await captured(db), ['U c1']);
  await run(db, `UPDATE shop.customers SET id = 'c2' WHERE id IS NULL`);
  t.same(await captured(db), ['U c2']);
});

test('of a thousand rows in one statement none is missing and none is there twice', async (t) => {
  const { db } = await setUp();
  await run(db, `INSERT INTO shop.customers (id) SELECT 'c' || n FROM generate_series(1, 1000) AS n`);
  const inserted = await captured(db);
  t.equal(inserted.length, 1_000);
  t.equal(new Set(inserted).size, 1_000);
  await run(db, `UPDATE shop.customers SET amount = 1`);
  t.equal(new Set(await captured(db)).size, 1_000);
  await run(db, `DELETE FROM shop.customers`);
  t.equal(new Set(await captured(db)).size, 1_000);
});

test('keys that are numbers are written as the mapping writes them', async (t) => {
  const { database, db } = await setUp(CREATE_CUSTOMERS.replace('id text', 'id numeric(10, 2)'));
  const id = { name: 'id', sqlType: 'numeric(10, 2)', kind: 'decimal', isNotNull: true, hasDefault: false } as const;
  const target = { ...TARGET, columns: { ...TARGET.columns, id } };
  t.same(await align(database, [capture(target)]), []);
  await run(db, 'INSERT INTO shop.customers (id) VALUES (1), (2.50)');
  t.same(await captured(db), ['I 1', 'I 2.5']);
});

test('what goes wrong in the capture leaves the user’s statement alone', async (t) => {
  const { db } = await setUp();
  await run(db, 'ALTER TABLE sync.local_changes RENAME TO gone');
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1'), ('c2')`);
  await run(db, `UPDATE shop.customers SET amount = 1 WHERE id = 'c1'`);
  await run(db, `DELETE FROM shop.customers WHERE id = 'c2'`);
  await run(db, 'ALTER TABLE sync.gone RENAME TO local_changes');
  t.same(await run(db, 'SELECT id, amount FROM shop.customers'), [{ id: 'c1', amount: 1 }]);
  t.same(await captured(db), []);
  await run(db, `ALTER TABLE sync.local_changes ADD CONSTRAINT full_up CHECK (op <> 'U')`);
  await db.transaction(async (tx) => {
    await run(tx, `INSERT INTO shop.customers (id) VALUES ('c3')`);
    await run(tx, `UPDATE shop.customers SET amount = 2`);
  });
  await run(db, 'ALTER TABLE sync.local_changes DROP CONSTRAINT full_up');
  t.same(await captured(db), ['I c3'], 'what was captured before in the same transaction stays');
  t.same(await run(db, 'SELECT amount FROM shop.customers'), [{ amount: 2 }, { amount: 2 }]);
});
