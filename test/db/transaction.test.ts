import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { failureKind, sqlState } from '../../src/db/failure.ts';
import { queryRows } from '../../src/db/query.ts';
import { createTestDatabase } from '../helpers/database.ts';

const names = sql`SELECT name FROM sync.leases ORDER BY name`;
const insert = (name: string) => sql`INSERT INTO sync.leases (name) VALUES (${name})`;

test('a transaction whose work throws leaves nothing behind', async (t) => {
  const { db } = await createTestDatabase(t);
  const failing = db.transaction(async (tx) => {
    await tx.execute(insert('a'));
    throw new Error('stop');
  });
  await t.rejects(failing, { message: 'stop' });
  t.same(await queryRows(db, names), []);
});

test('a failed statement rolls the whole transaction back, even when its error is swallowed', async (t) => {
  const { db } = await createTestDatabase(t);
  const swallowing = db.transaction(async (tx) => {
    await tx.execute(insert('a'));
    await tx.execute(insert('a')).catch(() => {});
  });
  await t.rejects(swallowing);
  t.same(await queryRows(db, names), []);
});

test('a savepoint takes back its own statements and keeps those before it', async (t) => {
  const { db } = await createTestDatabase(t);
  await db.transaction(async (tx) => {
    await tx.execute(insert('kept'));
    const inner = tx.transaction(async (nested) => {
      await nested.execute(insert('lost'));
      await nested.execute(insert('kept'));
    });
    const error: unknown = await inner.catch((reason) => reason);
    t.equal(sqlState(error), '23505');
    t.equal(failureKind(error), 'constraint');
    await tx.execute(insert('later'));
  });
  t.same(await queryRows(db, names), [{ name: 'kept' }, { name: 'later' }]);
});

test('many transactions and statements at once each see only whole ones', async (t) => {
  const { db } = await createTestDatabase(t);
  await db.execute(sql`INSERT INTO sync.leases (name, fence) VALUES ('a', 100), ('b', 0)`);
  const move = () =>
    db.transaction(async (tx) => {
      // In one order always, so that servers with many sessions do not deadlock.
      await tx.execute(sql`UPDATE sync.leases SET fence = fence - 1 WHERE name = 'a'`);
      await tx.execute(sql`UPDATE sync.leases SET fence = fence + 1 WHERE name = 'b'`);
    });
  const sum = () => queryRows<{ sum: string }>(db, sql`SELECT sum(fence)::text AS sum FROM sync.leases`);
  const work = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? move() : sum()));
  const seen = (await Promise.all(work)).filter((rows) => Array.isArray(rows)).map((rows) => rows[0]?.sum);
  t.same(new Set(seen), new Set(['100']));
  t.same(await queryRows(db, sql`SELECT fence FROM sync.leases WHERE name = 'b'`), [{ fence: '10' }]);
});

test('a transaction can be asked for by isolation level', async (t) => {
  const { db } = await createTestDatabase(t);
  const level = await db.transaction(
    (tx) => queryRows(tx, sql`SELECT current_setting('transaction_isolation') AS level`),
    {
      isolationLevel: 'serializable',
    },
  );
  t.same(level, [{ level: 'serializable' }]);
});
