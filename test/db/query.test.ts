import { inspect } from 'node:util';
import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { failureKind, isConnectionError, sqlState } from '../../src/db/failure.ts';
import { queryRows } from '../../src/db/query.ts';
import { hints } from '../../src/db/schema.ts';
import { createTestDatabase } from '../helpers/database.ts';

test('values come back in the same form from either driver', async (t) => {
  const { db } = await createTestDatabase(t);
  const bytes = Buffer.from([0, 1, 39, 92, 255, 0]);
  const list = ['a', 'b"c', '{d,e}', '\\', null, 'NULL', ''];
  const [row] = await queryRows(
    db,
    sql`SELECT ${bytes}::bytea AS bytes, 9007199254740993::int8 AS big, count(*) AS count, 7::int4 AS small,
      1.50::numeric AS exact, 0.5::float8 AS real, true AS yes, NULL::text AS nothing,
      ${JSON.stringify({ a: [1, "x'y"] })}::text::jsonb AS json, ${sql.param(list)}::text[] AS list,
      ${sql.param(['1', '9007199254740993'])}::int8[] AS bigs,
      ${'2024-02-29T12:34:56.123456Z'}::timestamptz AS at, 'infinity'::timestamptz AS never, '2024-02-29'::date AS day,
      ${5}::text AS five`,
  );
  t.same(row, {
    bytes,
    big: '9007199254740993',
    count: '1',
    small: 7,
    exact: '1.50',
    real: 0.5,
    yes: true,
    nothing: null,
    json: { a: [1, "x'y"] },
    list,
    bigs: ['1', '9007199254740993'],
    at: '2024-02-29 12:34:56.123456+00',
    never: 'infinity',
    day: '2024-02-29',
    five: '5',
  });
  t.ok(Buffer.isBuffer(row?.bytes), 'bytes are a Buffer');
});

test('many bodies travel as one array of bytes, and large ones arrive whole', async (t) => {
  const { db } = await createTestDatabase(t);
  const big = Buffer.alloc(200_000, 0xab);
  const joined = Buffer.concat([Buffer.from('one\0'), big]);
  const rows = await queryRows<{ body: Buffer }>(
    db,
    sql`SELECT substring(${joined}::bytea FROM o FOR l) AS body FROM unnest(${sql.param([1, 5])}::int[], ${sql.param([4, big.length])}::int[]) AS p(o, l)`,
  );
  t.same(rows[0]?.body, Buffer.from('one\0'));
  t.ok(rows[1]?.body.equals(big));
});

test('the query builder reads and writes through either driver', async (t) => {
  const { db } = await createTestDatabase(t);
  const [made] = await db
    .insert(hints)
    .values({ integration: 'i', entity: 'e', externalId: 'x', reason: 'test', needLo: new Date(0) })
    .returning();
  t.equal(typeof made?.id, 'number');
  t.equal(made?.needLo.getTime(), 0);
  t.same(await db.select({ id: hints.id }).from(hints), [{ id: made?.id }]);
});

test('a failed statement is sorted by what its caller must do', async (t) => {
  const { db } = await createTestDatabase(t);
  const kindOf = async (query: string) => {
    const error: unknown = await db.execute(sql.raw(query)).then(
      () => null,
      (reason) => reason,
    );
    return [sqlState(error), failureKind(error)];
  };
  await db.execute(sql`CREATE TABLE parent (id int PRIMARY KEY)`);
  await db.execute(sql`CREATE TABLE child (id int NOT NULL REFERENCES parent, CHECK (id < 10))`);
  t.same(await kindOf(`SELECT 'x'::int`), ['22P02', 'data']);
  t.same(await kindOf(`SELECT '{"a":"\\u0000"}'::jsonb`), ['22P05', 'data']);
  t.same(await kindOf(`INSERT INTO child VALUES (NULL)`), ['23502', 'constraint']);
  t.same(await kindOf(`INSERT INTO child VALUES (11)`), ['23514', 'constraint']);
  t.same(await kindOf(`INSERT INTO child VALUES (1)`), ['23503', 'foreign_key']);
  t.same(await kindOf(`SELECT * FROM nowhere`), ['42P01', 'schema']);
  t.same(await kindOf(`SELECT nothing FROM parent`), ['42703', 'schema']);
  t.same(await kindOf(`SELECT * FROM nowhere.parent`), ['42P01', 'schema']);
});

test('what leaves of a failed statement names codes and parts of the schema, and quotes no value and no SQL', async (t) => {
  const { db } = await createTestDatabase(t);
  await db.execute(
    sql`CREATE TABLE leaky (id int PRIMARY KEY, email text CONSTRAINT short CHECK (length(email) < 12))`,
  );
  const value = 'CANARY-value@example.com';
  const statements = [
    sql`INSERT INTO leaky VALUES (1, ${value})`,
    sql`INSERT INTO leaky VALUES (${value}::text::int, 'x')`,
    sql`SELECT ${value}::text::jsonb -- CANARY`,
    sql`SELECT canary_column FROM leaky WHERE email = ${value}`,
    sql`SELECT 1 / length(replace(${value}::text, ${value}, ''))`,
    sql`INSERT INTO leaky SELECT NULL, ${value}`,
  ];
  const codes: string[] = [];
  for (const statement of statements) {
    for (const ask of [() => queryRows(db, statement), () => db.transaction((tx) => queryRows(tx, statement))]) {
      const error: unknown = await ask().catch((reason) => reason);
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), /CANARY|canary|SELECT|INSERT/);
      t.notMatch(JSON.stringify(error), /CANARY/i);
      codes.push(sqlState(error) ?? 'none');
    }
  }
  t.same([...new Set(codes)], ['23514', '22P02', '42703', '22012', '23502']);
  const refused: unknown = await queryRows(db, statements[0] ?? sql``).catch((reason) => reason);
  t.match(refused, { name: 'StatementError', code: '23514', table: 'leaky', constraint: 'short' });
  t.equal(codes.length, 2 * statements.length);
});

test('text with NUL fails as data and the database stays usable', async (t) => {
  const { db } = await createTestDatabase(t);
  const error: unknown = await queryRows(db, sql`SELECT ${'a\0b'}::text AS x`).catch((reason) => reason);
  t.equal(failureKind(error), 'data');
  t.same(await queryRows(db, sql`SELECT 1 AS one`), [{ one: 1 }]);
});

test('an error that no database reported is sorted too', async (t) => {
  t.equal(isConnectionError(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })), true);
  t.equal(
    isConnectionError(new Error('x', { cause: Object.assign(new Error('y'), { code: 'CONNECTION_CLOSED' }) })),
    true,
  );
  t.equal(failureKind(new Error('x')), 'other');
  t.equal(failureKind('x'), 'other');
  t.equal(sqlState(Object.assign(new Error('x'), { code: 'EPIPE' })), null);
  const circular = new Error('x');
  circular.cause = circular;
  t.equal(failureKind(circular), 'other');
});
