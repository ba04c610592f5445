import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import {
  addLocalChanges,
  countLocalChanges,
  expireLocalChanges,
  hasLocalChanges,
  takeLocalChanges,
} from '../../src/store/local-changes.ts';
import { pauseStream, registerStream } from '../../src/store/streams.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts';

const SHOP = { integration: 'shop', entity: 'customers' };
const OTHER = { integration: 'shop', entity: 'orders' };
const DAY_MS = 86_400_000;

let shared: Promise<TestDatabase> | null = null;

async function emptyDatabase(): Promise<Db> {
  shared ??= createTestDatabase(file);
  const { db } = await shared;
  await queryRows(db, sql`TRUNCATE sync.local_changes`);
  return db;
}

const keysFrom = (start: number, count: number) => Array.from({ length: count }, (_, place) => `k${start + place}`);

test('edits are taken once, in the order in which they came, each with its row', async (t) => {
  const db = await emptyDatabase();
  await addLocalChanges(db, SHOP, 'I', ['a', 'b']);
  await addLocalChanges(db, SHOP, 'U', ['b']);
  await addLocalChanges(db, OTHER, 'U', ['b']);
  await addLocalChanges(db, SHOP, 'D', ['a']);
  const taken = await takeLocalChanges(db, SHOP, 100);
  t.same(
    taken.map(({ targetKey, op }) => `${op} ${targetKey}`),
    ['I a', 'I b', 'U b', 'D a'],
  );
  t.ok(taken.every(({ at }) => Number.isSafeInteger(at) && at > 1.6e15));
  t.same(await takeLocalChanges(db, SHOP, 100), []);
  t.equal((await takeLocalChanges(db, OTHER, 100)).length, 1);
});

test('the newest are taken first where that is asked for', async (t) => {
  const db = await emptyDatabase();
  for (const key of ['a', 'b', 'c']) await addLocalChanges(db, SHOP, 'U', [key]);
  const take = async () => (await takeLocalChanges(db, SHOP, 1, 'newest')).map(({ targetKey }) => targetKey);
  t.same([await take(), await take(), await take(), await take()], [['c'], ['b'], ['a'], []]);
});

test('no more is taken than was asked for and the rest of one line', async (t) => {
  const db = await emptyDatabase();
  await addLocalChanges(db, SHOP, 'U', keysFrom(0, 1_000));
  const counts: number[] = [];
  const seen = new Set<string>();
  for (let pass = 0; pass < 20; pass++) {
    const taken = await takeLocalChanges(db, SHOP, 100);
    if (taken.length === 0) break;
    counts.push(taken.length);
    for (const { targetKey } of taken) seen.add(targetKey);
  }
  t.ok(
    counts.every((count) => count < 164),
    counts.join(' '),
  );
  t.equal(seen.size, 1_000);
});

test('a limit of one takes one line', async (t) => {
  const db = await emptyDatabase();
  for (const key of ['a', 'b']) await addLocalChanges(db, SHOP, 'U', [key]);
  t.match(await takeLocalChanges(db, SHOP, 1), [{ targetKey: 'a' }]);
  t.match(await takeLocalChanges(db, SHOP, 1), [{ targetKey: 'b' }]);
});

test('what a transaction took is there again when it is rolled back', async (t) => {
  const db = await emptyDatabase();
  await addLocalChanges(db, SHOP, 'U', ['a']);
  await t.rejects(
    db.transaction(async (tx) => {
      t.equal((await takeLocalChanges(tx, SHOP, 10)).length, 1);
      throw new Error('the process dies');
    }),
  );
  t.equal((await takeLocalChanges(db, SHOP, 10)).length, 1);
});

test('a table that was emptied is one edit without a row', async (t) => {
  const db = await emptyDatabase();
  await queryRows(
    db,
    sql`INSERT INTO sync.local_changes (integration, entity, target_keys, op) VALUES ('shop', 'customers', '{}', 'T')`,
  );
  t.match(await countLocalChanges(db), [{ ...SHOP, edits: 1 }]);
  t.match(await takeLocalChanges(db, SHOP, 10), [{ targetKey: '', op: 'T' }]);
});

test('edits are found of the stream that they are of, unless it is paused', async (t) => {
  const db = await emptyDatabase();
  await registerStream(db, OTHER, 'f');
  t.equal(await hasLocalChanges(db, OTHER), false);
  await addLocalChanges(db, OTHER, 'U', ['a']);
  t.equal(await hasLocalChanges(db, OTHER), true);
  t.equal(await hasLocalChanges(db, SHOP), false);
  await pauseStream(db, OTHER, 'its table is gone');
  t.equal(await hasLocalChanges(db, OTHER), false);
  await pauseStream(db, OTHER, null);
  t.equal(await hasLocalChanges(db, OTHER), true);
});

test('the backlog counts rows and tells the oldest, by stream', async (t) => {
  const db = await emptyDatabase();
  t.same(await countLocalChanges(db), []);
  await addLocalChanges(db, SHOP, 'U', keysFrom(0, 130));
  await addLocalChanges(db, OTHER, 'D', ['a']);
  await queryRows(db, sql`UPDATE sync.local_changes SET at = '2025-01-01T00:00:00Z' WHERE entity = 'orders'`);
  const [customers, orders] = await countLocalChanges(db);
  t.match(customers, { ...SHOP, edits: 130 });
  t.match(orders, { ...OTHER, edits: 1, oldestAt: Date.UTC(2025, 0, 1) * 1_000 });
});

test('edits of streams that nobody knows are removed after a day, and of known ones never', async (t) => {
  const db = await emptyDatabase();
  for (const key of [SHOP, OTHER]) await addLocalChanges(db, key, 'U', ['old']);
  await queryRows(db, sql`UPDATE sync.local_changes SET at = at - interval '2 days'`);
  await addLocalChanges(db, OTHER, 'U', ['young']);
  t.equal(await expireLocalChanges(db, [SHOP], { keepForMs: DAY_MS, limit: 10 }), 1);
  t.match(await takeLocalChanges(db, SHOP, 10), [{ targetKey: 'old' }]);
  t.match(await takeLocalChanges(db, OTHER, 10), [{ targetKey: 'young' }]);
});
