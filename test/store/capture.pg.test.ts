import postgres from 'postgres';
import file, { test } from 'tap';
import type { Db } from '../../src/db/connect.ts';
import { addLocalChanges, hasLocalChanges, takeLocalChanges } from '../../src/store/local-changes.ts';
import { createOnServer } from '../helpers/database.ts';
import { createPrivatePostgres, type PrivatePostgres, skipWithoutPostgres } from '../helpers/postgres.ts';
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
} from './capture-setup.ts';

const skip = skipWithoutPostgres();
/** Roles belong to the server, not to one database of it. */
const CLERK = 'syncline_test_clerk';
const OWNER = 'syncline_test_owner';

let server: PrivatePostgres | null = null;
file.teardown(() => server?.remove());

type Teardown = { teardown(work: () => unknown): unknown };

async function setUp(t: Teardown, create = CREATE_CUSTOMERS) {
  server ??= await createPrivatePostgres(['max_prepared_transactions=5']);
  const { database, db, url = '' } = await createOnServer(t, process.env.DATABASE_URL ?? server.url, { poolSize: 6 });
  const warnings: string[] = [];
  const connect = (role?: string) => {
    const client = postgres(url, {
      max: 1,
      onnotice: (notice) => warnings.push(String(notice.message)),
      ...(role === undefined ? {} : { connection: { role } }),
    });
    t.teardown(() => client.end({ timeout: 5 }));
    return client;
  };
  await prepareTable(database, create);
  return { database, db, url, warnings, connect, user: connect() };
}

const makeRole = (db: Db, role: string) =>
  run(db, `DO $$ BEGIN CREATE ROLE ${role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`);

/** Resolves when somebody waits for a lock: an event of the server's that has no other signal. */
async function blocked(db: Db): Promise<void> {
  for (;;) {
    const waiting = await run(
      db,
      `SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    if (waiting.length > 0) return;
  }
}

test('a user without any right in our schema edits her table, and is captured', { skip }, async (t) => {
  const { db, connect, warnings } = await setUp(t);
  await makeRole(db, CLERK);
  await run(db, `GRANT USAGE ON SCHEMA shop TO ${CLERK}`);
  await run(db, `GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON shop.customers TO ${CLERK}`);
  const clerk = connect(CLERK);
  await t.rejects(clerk`SELECT count(*) FROM sync.local_changes`, { code: '42501' });
  await clerk`INSERT INTO shop.customers (id) VALUES ('c1'), ('c2')`;
  await clerk`UPDATE shop.customers SET amount = 1 WHERE id = 'c1'`;
  await clerk`DELETE FROM shop.customers WHERE id = 'c2'`;
  await clerk`TRUNCATE shop.customers`;
  t.same(await captured(db), ['I c1', 'I c2', 'U c1', 'D c2', 'T']);
  t.same(warnings, []);
});

test('what a user puts into her path, and a table of her own, change nothing of what is captured', {
  skip,
}, async (t) => {
  const { db, connect } = await setUp(t);
  await makeRole(db, CLERK);
  await run(db, `GRANT USAGE ON SCHEMA shop, sync TO ${CLERK}`);
  await run(db, `GRANT SELECT, INSERT ON shop.customers TO ${CLERK}`);
  await run(db, `CREATE SCHEMA mine AUTHORIZATION ${CLERK}`);
  const clerk = connect(CLERK);
  await clerk`CREATE FUNCTION mine.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT '1' $$`;
  await clerk`CREATE FUNCTION mine.array_append(text[], text) RETURNS text[] LANGUAGE sql AS $$ SELECT '{forged}'::text[] $$`;
  await clerk`CREATE TEMP TABLE changed_rows (id text)`;
  await clerk`INSERT INTO changed_rows VALUES ('forged')`;
  await clerk`SET search_path = mine, pg_catalog`;
  await clerk`INSERT INTO shop.customers (id) VALUES ('c1')`;
  t.same(await captured(db), ['I c1']);
  const [found] = await run(db, `SELECT proname AS name FROM pg_proc WHERE pronamespace = 'sync'::regnamespace`);
  await clerk`CREATE TABLE mine.customers (id text)`;
  await t.rejects(
    clerk.unsafe(`CREATE TRIGGER forging AFTER INSERT ON mine.customers REFERENCING NEW TABLE AS changed_rows
      FOR EACH STATEMENT EXECUTE FUNCTION sync.${found?.name}()`),
    { code: '42501' },
  );
});

test('a hundred thousand rows in one statement are all captured, and taken again in bounded steps', {
  skip,
}, async (t) => {
  const { db, user } = await setUp(t);
  await user`INSERT INTO shop.customers (id) SELECT 'c' || n FROM generate_series(1, 100000) AS n`;
  await user`TRUNCATE sync.local_changes`;
  await user`UPDATE shop.customers SET amount = 1`;
  const keys = new Set<string>();
  let count = 0;
  for (;;) {
    const taken = await takeLocalChanges(db, CUSTOMERS, 5_000);
    if (taken.length === 0) break;
    t.ok(taken.length < 5_064);
    count += taken.length;
    for (const { targetKey } of taken) keys.add(targetKey);
  }
  t.equal(keys.size, 100_000);
  t.equal(count, 100_000);
});

test('COPY and MERGE are captured as the statements that they stand for', { skip }, async (t) => {
  const { db, user } = await setUp(t);
  const writable = await user`COPY shop.customers (id, amount) FROM STDIN`.writable();
  await new Promise<void>((resolve, reject) => {
    writable.on('error', reject).on('finish', resolve);
    writable.end('c1\t1\nc2\t2\nc3\t3\n');
  });
  t.same(await captured(db), ['I c1', 'I c2', 'I c3']);
  const [version] = await user`SELECT current_setting('server_version_num')::int AS number`;
  if (version?.number < 150_000) return;
  await user`MERGE INTO shop.customers AS c USING (VALUES ('c1'), ('c2'), ('c4')) AS v(id) ON c.id = v.id
    WHEN MATCHED AND v.id = 'c1' THEN DELETE WHEN MATCHED THEN UPDATE SET amount = 9 WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)`;
  t.same((await captured(db)).sort(), ['D c1', 'I c4', 'U c2']);
});

test('a locked or missing place for edits delays a user’s statement by next to nothing, and fails none', {
  skip,
}, async (t) => {
  const { db, user, connect, warnings } = await setUp(t);
  const holder = connect();
  await holder.begin(async (tx) => {
    await tx`LOCK TABLE sync.local_changes IN ACCESS EXCLUSIVE MODE`;
    // Were it to wait for the lock it would wait for ever: the lock is released after it.
    await user`INSERT INTO shop.customers (id) VALUES ('c1')`;
  });
  t.same(await captured(db), []);
  t.match(warnings, [/did not capture an edit of .*customers \(SQLSTATE 55P03\)/]);
  await run(db, 'DROP TABLE sync.local_changes CASCADE');
  await user.begin(async (tx) => {
    await tx`INSERT INTO shop.customers (id) VALUES ('c2')`;
    await tx`UPDATE shop.customers SET amount = 5`;
    await tx`DELETE FROM shop.customers WHERE id = 'c1'`;
  });
  t.same([...(await user`SELECT id, amount FROM shop.customers`)], [{ id: 'c2', amount: 5 }]);
  t.equal(warnings.length, 4);
  t.notMatch(warnings.join('\n'), /c1|c2/, 'no value is told');
});

test('what became visible out of order is taken all the same', { skip }, async (t) => {
  const { db, user, connect } = await setUp(t);
  const slow = connect();
  await slow.begin(async (tx) => {
    await tx`INSERT INTO shop.customers (id) VALUES ('first')`;
    await user`INSERT INTO shop.customers (id) VALUES ('second')`;
    t.match(await takeLocalChanges(db, CUSTOMERS, 10), [{ targetKey: 'second' }]);
    t.same(await hasLocalChanges(db, CUSTOMERS), false);
  });
  t.same(await hasLocalChanges(db, CUSTOMERS), true);
  t.match(await takeLocalChanges(db, CUSTOMERS, 10), [{ targetKey: 'first' }]);
});

test('two that take at the same time take different edits, and neither waits', { skip }, async (t) => {
  const { db } = await setUp(t);
  for (const key of ['a', 'b', 'c', 'd']) await addLocalChanges(db, CUSTOMERS, 'U', [key]);
  await db.transaction(async (tx) => {
    const mine = await takeLocalChanges(tx, CUSTOMERS, 2);
    const theirs = await takeLocalChanges(db, CUSTOMERS, 10);
    t.same(
      [...mine, ...theirs].map(({ targetKey }) => targetKey),
      ['a', 'b', 'c', 'd'],
    );
    t.equal(mine.length, 2);
  });
});

test('no user’s statement waits for one that takes her edits', { skip }, async (t) => {
  const { db, user } = await setUp(t);
  await user`INSERT INTO shop.customers (id) VALUES ('c1')`;
  await db.transaction(async (tx) => {
    t.equal((await takeLocalChanges(tx, CUSTOMERS, 10)).length, 1);
    // In this test's own flow: it would never end if it waited for the transaction around it.
    await user`UPDATE shop.customers SET amount = 2`;
  });
  t.same(await captured(db), ['U c1']);
});

test('a transaction that holds the table keeps the start waiting, not the other way round, and is named', {
  skip,
}, async (t) => {
  const { database, db, user, connect } = await setUp(t);
  await align(database, []);
  const other = connect();
  let naps = 0;
  const problems = await user.begin(async (tx) => {
    await tx`INSERT INTO shop.customers (id) VALUES ('hers')`;
    const [me] = await tx`SELECT pg_backend_pid() AS pid`;
    const found = await align(database, [capture()], async () => {
      naps++;
      // Between two attempts nobody waits: another writer goes through.
      await other`INSERT INTO shop.customers (id) VALUES (${`other ${naps}`})`;
    });
    t.match(found, [{ problem: new RegExp(`is held by process ${me?.pid} since \\d{4}-.*pg_terminate_backend`) }]);
    return found.length;
  });
  t.equal(problems, 1);
  t.ok(naps > 1);
  t.same(await triggersOn(db, 'shop.customers'), []);
  t.same(await align(database, [capture()]), []);
  t.equal((await triggersOn(db, 'shop.customers')).length, 4);
  t.equal((await user`SELECT 1 FROM shop.customers WHERE id = 'hers'`).length, 1);
});

test('a writer who comes while the start waits for the table waits for it a moment only', { skip }, async (t) => {
  const { database, db, user, connect } = await setUp(t);
  await align(database, []);
  const other = connect();
  let aligning: Promise<unknown> = Promise.resolve();
  await user.begin(async (tx) => {
    await tx`INSERT INTO shop.customers (id) VALUES ('hers')`;
    aligning = align(database, [capture()]);
    await blocked(db);
    // She stands behind our wait for the lock, which nobody but its time-out ends.
    await other`INSERT INTO shop.customers (id) VALUES ('other')`;
  });
  t.same(await aligning, [], 'once the table is free');
});

test('readers keep no triggers from being created', { skip }, async (t) => {
  const { database, user } = await setUp(t);
  await align(database, []);
  await user.begin(async (tx) => {
    await tx`SELECT * FROM shop.customers`;
    t.same(await align(database, [capture()]), []);
  });
});

test('a capture that cannot be removed now does nothing, and goes at a later start', { skip }, async (t) => {
  const { database, db, user, connect } = await setUp(t);
  const other = connect();
  await user.begin(async (tx) => {
    await tx`SELECT * FROM shop.customers`;
    t.same(await align(database, []), [], 'it keeps no server from starting');
    await other`INSERT INTO shop.customers (id) VALUES ('c1')`;
    t.same(await captured(db), []);
  });
  t.equal((await triggersOn(db, 'shop.customers')).length, 4);
  await align(database, []);
  t.same(await triggersOn(db, 'shop.customers'), []);
});

test('two servers that start together put one capture in place', { skip }, async (t) => {
  const { database, db, user } = await setUp(t);
  await align(database, []);
  t.same(await Promise.all([1, 2, 3].map(() => align(database, [capture()]))), [[], [], []]);
  await user`INSERT INTO shop.customers (id) VALUES ('c1')`;
  t.same(await captured(db), ['I c1']);
});

test('a table of another owner is captured by the right TRIGGER alone, and let go without it', { skip }, async (t) => {
  const { database, db } = await setUp(t);
  await align(database, []);
  const runner = `${OWNER}_${process.pid}`;
  await run(db, `CREATE ROLE ${runner} LOGIN`);
  await run(db, `GRANT ALL ON SCHEMA sync, shop TO ${runner}`);
  await run(db, `GRANT ALL ON ALL TABLES IN SCHEMA sync TO ${runner}`);
  await run(db, `GRANT ALL ON ALL SEQUENCES IN SCHEMA sync TO ${runner}`);
  await run(db, `GRANT SELECT, INSERT, UPDATE, DELETE ON shop.customers TO ${runner}`);
  const asRunner = <T>(work: (of: Pick<typeof database, 'db' | 'exclusively'>) => Promise<T>): Promise<T> =>
    db.transaction(async (tx) => {
      await run(tx, `SET LOCAL ROLE ${runner}`);
      return await work({ db: tx, exclusively: (_name, inner) => inner(tx) });
    });
  const aligned = (wanted: Parameters<typeof align>[1]) => asRunner((of) => align({ ...database, ...of }, wanted));
  t.match(await aligned([capture()]), [{ problem: /must let the database user create triggers.*grant TRIGGER/ }]);
  await run(db, `GRANT TRIGGER ON shop.customers TO ${runner}`);
  t.same(await aligned([capture()]), []);
  await run(db, `INSERT INTO shop.customers (id) VALUES ('c1')`);
  t.same(await captured(db), ['I c1']);
  await run(db, `REVOKE TRIGGER ON shop.customers FROM ${runner}`);
  t.same(await aligned([capture()]), [], 'what is there needs no rights');
  t.same(await aligned([]), []);
  t.same(await triggersOn(db, 'shop.customers'), []);
  await run(db, `DROP OWNED BY ${runner}`);
  await run(db, `DROP ROLE ${runner}`);
});

test('rows that row-level security hides from us would look removed, so that such a table is refused', {
  skip,
}, async (t) => {
  const { database, db, connect } = await setUp(t);
  await makeRole(db, CLERK);
  await run(db, 'ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY');
  await run(db, `CREATE POLICY hers ON shop.customers FOR ALL TO ${CLERK} USING (id LIKE 'c%')`);
  await run(db, `GRANT USAGE ON SCHEMA shop TO ${CLERK}`);
  await run(db, `GRANT ALL ON shop.customers TO ${CLERK}`);
  t.same(await align(database, [capture()]), [], 'a superuser sees all');
  const clerk = connect(CLERK);
  await clerk`INSERT INTO shop.customers (id) VALUES ('c1')`;
  t.same(await captured(db), ['I c1']);
  const problems = await db.transaction(async (tx) => {
    await run(tx, `GRANT USAGE ON SCHEMA sync TO ${CLERK}`);
    await run(tx, `GRANT SELECT ON ALL TABLES IN SCHEMA sync TO ${CLERK}`);
    await run(tx, `SET LOCAL ROLE ${CLERK}`);
    return await align({ ...database, db: tx }, [capture()]);
  });
  t.match(problems, [{ problem: /hides rows from the database user by row-level security/ }]);
});

test('edits of a partitioned table are captured, also of rows that move between partitions', { skip }, async (t) => {
  const partitioned = `${CREATE_CUSTOMERS} PARTITION BY RANGE (id)`;
  const { db, user } = await setUp(t, partitioned);
  await user`CREATE TABLE shop.low PARTITION OF shop.customers FOR VALUES FROM (MINVALUE) TO ('m')`;
  await user`CREATE TABLE shop.high PARTITION OF shop.customers FOR VALUES FROM ('m') TO (MAXVALUE)`;
  await user`INSERT INTO shop.customers (id) VALUES ('a'), ('z')`;
  t.same((await captured(db)).sort(), ['I a', 'I z']);
  await user`UPDATE shop.customers SET id = 'n' WHERE id = 'a'`;
  t.same((await captured(db)).sort(), ['D a', 'U n']);
  await user`DELETE FROM shop.customers WHERE id IN ('n', 'z')`;
  t.same((await captured(db)).sort(), ['D n', 'D z']);
});

test('a foreign table among the children of a table is refused, because her writes would fail', { skip }, async (t) => {
  const { database, db } = await setUp(t);
  await run(db, 'CREATE EXTENSION IF NOT EXISTS postgres_fdw').catch(() => t.comment('no postgres_fdw here'));
  const [fdw] = await run(db, `SELECT 1 AS one FROM pg_extension WHERE extname = 'postgres_fdw'`);
  if (fdw === undefined) return;
  await run(db, 'CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw');
  await align(database, []);
  await run(db, 'CREATE FOREIGN TABLE shop.far () INHERITS (shop.customers) SERVER elsewhere');
  t.match(await align(database, [capture()]), [{ problem: /has a foreign table among its children/ }]);
});

test('generated columns are compared as they come out', { skip }, async (t) => {
  const { database, db, user } = await setUp(
    t,
    CREATE_CUSTOMERS.replace('full_name text', `full_name text GENERATED ALWAYS AS (upper(note)) STORED`),
  );
  t.same(await align(database, [capture(TARGET)]), []);
  await user`INSERT INTO shop.customers (id, note) VALUES ('c1', 'ann')`;
  t.same(await captured(db), ['I c1']);
  await user`UPDATE shop.customers SET note = 'Ann'`;
  t.same(await captured(db), []);
  await user`UPDATE shop.customers SET note = 'Bob'`;
  t.same(await captured(db), ['U c1']);
});

test('no column of the table is bound to the triggers: its type can be changed, and it can be dropped', {
  skip,
}, async (t) => {
  const { db, user } = await setUp(t, CREATE_CUSTOMERS.replace('id text', 'id integer'));
  await user`INSERT INTO shop.customers (id) VALUES (1)`;
  await user`ALTER TABLE shop.customers ALTER COLUMN id TYPE bigint, ALTER COLUMN amount TYPE numeric`;
  await user`UPDATE shop.customers SET amount = 2`;
  t.same(await captured(db), ['I 1', 'U 1']);
  await user`ALTER TABLE shop.customers DROP COLUMN amount`;
  await user`UPDATE shop.customers SET full_name = 'Ann'`;
  t.same(await captured(db), [], 'until the mapping knows');
  t.same([...(await user`SELECT full_name FROM shop.customers`)], [{ full_name: 'Ann' }]);
});

test('serializable transactions of users do not fail for our sake', { skip }, async (t) => {
  const { db, user, connect } = await setUp(t);
  await user`INSERT INTO shop.customers (id) VALUES ('c1'), ('c2')`;
  await captured(db);
  const other = connect();
  await user.begin('ISOLATION LEVEL SERIALIZABLE', async (one) => {
    await one`UPDATE shop.customers SET amount = 1 WHERE id = 'c1'`;
    await other.begin('ISOLATION LEVEL SERIALIZABLE', async (two) => {
      await two`UPDATE shop.customers SET amount = 2 WHERE id = 'c2'`;
    });
    await takeLocalChanges(db, CUSTOMERS, 10);
    await one`INSERT INTO shop.customers (id) VALUES ('c3')`;
  });
  t.same((await captured(db)).sort(), ['I c3', 'U c1']);
});

test('a transaction that is prepared for a commit in two phases is captured', { skip }, async (t) => {
  const { db, user } = await setUp(t);
  const [limit] = await user`SELECT current_setting('max_prepared_transactions')::int AS number`;
  if (limit?.number === 0) return t.comment('this server takes none');
  await user.unsafe(`BEGIN; INSERT INTO shop.customers (id) VALUES ('c1'); PREPARE TRANSACTION 'two phases'`);
  t.same(await captured(db), []);
  await user.unsafe(`COMMIT PREPARED 'two phases'`);
  t.same(await captured(db), ['I c1']);
});

test('a running server that cannot have the table says who holds it, and keeps nobody waiting', { skip }, async (t) => {
  const { database, db, user, connect } = await setUp(t);
  const other = connect();
  await user`DROP TABLE shop.customers`;
  await user.unsafe(CREATE_CUSTOMERS);
  await user.begin(async (tx) => {
    await tx`INSERT INTO shop.customers (id) VALUES ('hers')`;
    const [me] = await tx`SELECT pg_backend_pid() AS pid`;
    t.match(await restore(database, [capture()]), [{ problem: new RegExp(`is held by process ${me?.pid} since`) }]);
    await other`INSERT INTO shop.customers (id) VALUES ('other')`;
  });
  t.same(await triggersOn(db, 'shop.customers'), []);
  t.same(await restore(database, [capture()]), []);
  await user`UPDATE shop.customers SET amount = 1`;
  t.same(await captured(db), ['U hers', 'U other']);
});
