import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import type { NewDelivery } from '../../src/model/inbox.ts';
import { insertDeliveries, type StoredDelivery } from '../../src/store/inbox.ts';
import { BacklogFullError, createGroupCommit, type InsertDeliveries } from '../../src/sync/group-commit.ts';
import { shareDatabase } from './world.ts';

const createWorld = shareDatabase(file);

const delivery = (over: Partial<NewDelivery> = {}): NewDelivery => ({
  integration: 'shop',
  dedupeKey: null,
  deliveryId: null,
  headers: {},
  correlationId: randomUUID(),
  body: Buffer.from('{}'),
  ...over,
});
const storedAs = (deliveries: readonly NewDelivery[]): Map<string, StoredDelivery> =>
  new Map(deliveries.map(({ correlationId }, place) => [correlationId, { id: place + 1, receivedAt: 1 }]));

/** An insert that waits until the test lets it go. */
function gatedInsert() {
  const calls: { readonly size: number; readonly finish: (error?: unknown) => void }[] = [];
  const insert: InsertDeliveries = (deliveries) =>
    new Promise((resolve, reject) => {
      const finish = (error?: unknown) => (error === undefined ? resolve(storedAs(deliveries)) : reject(error));
      calls.push({ size: deliveries.length, finish });
    });
  return { insert, calls };
}

test('deliveries that come while a statement is under way go together in the next one', async (t) => {
  const { insert, calls } = gatedInsert();
  const { store } = createGroupCommit(insert);
  const waiting = Array.from({ length: 10 }, () => store(delivery()));
  t.same(
    calls.map(({ size }) => size),
    [1, 1],
    'a lone one goes at once, and one more beside it',
  );
  calls[0]?.finish();
  await waiting[0];
  await new Promise((resolve) => setImmediate(resolve));
  t.same(
    calls.map(({ size }) => size),
    [1, 1, 8],
  );
  for (const { finish } of calls) finish();
  t.equal((await Promise.all(waiting)).length, 10);
});

test('nobody is told before the commit', async (t) => {
  const { insert, calls } = gatedInsert();
  let isTold = false;
  const told = createGroupCommit(insert)
    .store(delivery())
    .then(() => {
      isTold = true;
    });
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(isTold, false);
  calls[0]?.finish();
  await told;
});

test('a delivery that the database refuses does not fail its neighbours', async (t) => {
  const refused = Object.assign(new Error('refused'), { code: '22021' });
  const bad = delivery({ deliveryId: 'bad' });
  const { store } = createGroupCommit(async (deliveries) => {
    if (deliveries.includes(bad)) throw refused;
    return storedAs(deliveries);
  });
  const results = await Promise.allSettled([delivery(), delivery(), delivery(), bad, delivery()].map(store));
  t.same(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
});

test('while the database is away every sender is refused by one attempt', async (t) => {
  let attempts = 0;
  const { store } = createGroupCommit(async () => {
    attempts++;
    await new Promise((resolve) => setImmediate(resolve));
    throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  });
  const results = await Promise.allSettled(Array.from({ length: 50 }, () => store(delivery({ dedupeKey: 'same' }))));
  t.ok(results.every(({ status }) => status === 'rejected'));
  t.ok(attempts <= 3, `${attempts} attempts`);
});

test('after a failure later deliveries are stored again', async (t) => {
  let isAway = true;
  const { store } = createGroupCommit(async (deliveries) => {
    if (isAway) throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    return storedAs(deliveries);
  });
  await t.rejects(store(delivery()));
  isAway = false;
  t.ok(await store(delivery()));
});

test('a backlog that is full refuses more and takes them again later', async (t) => {
  const { insert, calls } = gatedInsert();
  const { store } = createGroupCommit(insert);
  const waiting = Array.from({ length: 10_002 }, () => store(delivery()));
  await t.rejects(store(delivery()), BacklogFullError);
  calls[0]?.finish();
  await waiting[0];
  await new Promise((resolve) => setImmediate(resolve));
  const late = store(delivery());
  for (let place = 0; place < calls.length; place++) {
    calls[place]?.finish();
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(await late);
  await Promise.all(waiting);
  t.ok(
    calls.every(({ size }) => size <= 100),
    'a statement takes a bounded number',
  );
});

test('bytes count too: what waits and what goes in one statement is bounded', async (t) => {
  const { insert, calls } = gatedInsert();
  const { store } = createGroupCommit(insert);
  const body = Buffer.alloc(5 * 1024 * 1024);
  const waiting = Array.from({ length: 6 }, () => store(delivery({ body })));
  for (let place = 0; place < 6; place++) {
    calls[place]?.finish();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(waiting);
  t.same(
    calls.map(({ size }) => size),
    [1, 1, 1, 1, 1, 1],
  );
  const huge = Array.from({ length: 54 }, () => store(delivery({ body })));
  const refused = (await Promise.allSettled([...huge.slice(53)])).map(({ status }) => status);
  t.same(refused, ['rejected']);
  for (let place = 6; place < calls.length; place++) {
    calls[place]?.finish();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.allSettled(huge);
});

test('of equal deliveries in one batch one is stored and the others are told apart', async (t) => {
  const world = await createWorld(t);
  const { store } = createGroupCommit((deliveries) => insertDeliveries(world.db, deliveries));
  const sent = [
    delivery(),
    delivery({ dedupeKey: 'd1', body: Buffer.from('1') }),
    delivery({ dedupeKey: 'd1', body: Buffer.from('2') }),
    delivery({ dedupeKey: 'd2', body: Buffer.from([0, 255, 39]) }),
    delivery({ dedupeKey: 'd1', integration: 'other' }),
    delivery(),
  ];
  const stored = await Promise.all(sent.map(store));
  const isNew = stored.map((one) => one !== undefined);
  // Which of the twins comes first is the database's to say.
  t.equal(isNew.filter((one) => !one).length, 1);
  t.not(isNew[1], isNew[2]);
  t.equal(await store(delivery({ dedupeKey: 'd2' })), undefined, 'and a later one as well');
  const bodies = await queryRows<{ body: Buffer }>(
    world.db,
    sql`SELECT body FROM sync.inbox_deliveries WHERE dedupe_key IS NOT NULL ORDER BY dedupe_key, integration`,
  );
  const winner = isNew[1] ? sent[1] : sent[2];
  const expected = [Buffer.from('{}'), winner?.body, Buffer.from([0, 255, 39])];
  t.same(
    bodies.map(({ body }) => body),
    expected,
    'each body is its own',
  );
});
