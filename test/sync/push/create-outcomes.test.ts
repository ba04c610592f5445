import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { createAtSource } from '../../../src/sync/edit-at-source.ts';
import { wantRead } from '../../../src/sync/look-again.ts';
import { discardPush } from '../../../src/sync/parked-pushes.ts';
import { sharePushes, writesWith } from './world.ts';

const createWorld = sharePushes(file);
const KEYS = { idempotency: { header: 'Idempotency-Key', ttlMs: 86_400_000 } } as const;
const SILENT = { marker: { field: 'origin', searchParam: null } } as const;
const SEARCH = { marker: { field: 'origin', searchParam: 'origin' } } as const;

type World = Awaited<ReturnType<typeof createWorld>>;
const ids = async (world: World): Promise<string[]> => (await world.rows()).map(({ id }) => id);

async function work(world: World, rounds: number, ms = 61_000): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await world.plan();
    await world.resolve();
    await world.push();
    await world.pass(ms);
  }
}

test('a create that the source has confirmed is not sent again, though doubles are allowed', async (t) => {
  const world = await createWorld(t, { twoWay: { mayDuplicateCreates: true } });
  world.shop.showsRecord = false;
  await world.inserted('local-1', 'Ann');
  await work(world, 4);
  t.equal(world.shop.records.size, 1);
  t.same(await world.states(), ['create parked cannot_settle']);
  t.match(await world.run(sql`SELECT error_code FROM sync.outbox_pushes`), [{ error_code: 'created_unseen' }]);
});

test('where doubles are allowed, a create that never answers is sent as often as its row may be called, and no more', async (t) => {
  const world = await createWorld(t, { twoWay: { mayDuplicateCreates: true, budget: { calls: 3, perMs: 600_000 } } });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = Array.from({ length: 8 }, () => ({ kind: 'answer_lost' }) as const);
  await work(world, 8, 301_000);
  t.equal(world.shop.records.size, 3);
  t.same((await world.states()).at(-1), 'create parked create_unknown');
});

test('a confirmed create that shows nothing is searched for at once, and its request is not repeated', async (t) => {
  const world = await createWorld(t, { twoWay: { ...KEYS, ...SEARCH, writes: writesWith({ recordAt: null }) } });
  world.shop.knowsKeys = true;
  world.shop.showsRecord = false;
  await world.inserted('local-1', 'Ann');
  await work(world, 2, 5_000);
  t.equal(world.shop.sent.length, 1);
  t.same(await ids(world), ['shop-1']);
});

test('a confirmed create that the search does not show yet is searched for again, and not sent again', async (t) => {
  const world = await createWorld(t, { twoWay: SEARCH });
  world.shop.showsRecord = false;
  await world.inserted('local-1', 'Ann');
  await world.plan();
  await world.push();
  const [id, record] = [...world.shop.records][0] ?? [];
  world.shop.records.clear();
  await world.pass(5_000);
  for (let look = 0; look < 3; look++) {
    t.match(await world.resolve(), { unknown: 1 });
    await world.pass(61_000);
  }
  if (id !== undefined && record !== undefined) world.shop.records.set(id, record);
  t.match(await world.resolve(), { settled: 1 });
  t.equal(world.shop.sent.length, 1);
});

test('a confirmed create that shows nothing is linked by the record that carries its marker', async (t) => {
  const world = await createWorld(t, { twoWay: SILENT });
  world.shop.showsRecord = false;
  await world.inserted('local-1', 'Ann');
  await world.plan();
  await world.push();
  const seen = world.see('shop-1', { ...world.shop.records.get('shop-1') }, { hi: await world.now() });
  t.same(await world.apply([seen]), ['defer']);
  await world.pass(1_000);
  t.match(await world.resolve(), { settled: 1 });
  t.same(await ids(world), ['shop-1']);
});

test('a create that is parked as unknown is linked, not doubled, once its marker is seen', async (t) => {
  const world = await createWorld(t, { twoWay: SILENT });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  await world.push();
  await world.pass(700_000);
  await world.resolve();
  t.same(await world.states(), ['create parked create_unknown']);
  const seen = world.see('shop-1', { ...world.shop.records.get('shop-1') }, { hi: await world.now() });
  t.same(await world.apply([seen]), ['defer']);
  t.match(await world.resolve(), { settled: 1 });
  t.same(await world.apply([seen]), ['noop']);
  t.same(await ids(world), ['shop-1']);
  t.same(await world.states(), ['create done']);
});

test('an echo settles its push while the source must not be asked', async (t) => {
  const world = await createWorld(t, { twoWay: SILENT });
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  await world.push();
  await world.apply([world.see('shop-1', { ...world.shop.records.get('shop-1') }, { hi: await world.now() })]);
  await world.inTx(async (tx) => tx.blockUntil((await tx.now()) + 600_000_000));
  t.match(await world.resolve(), { settled: 1 });
  t.same(await ids(world), ['shop-1']);
});

test('of a hundred and one creates under way each is known by its marker', async (t) => {
  const world = await createWorld(t, { twoWay: SILENT });
  for (let n = 0; n < 101; n++) await world.inserted(`local-${n}`, 'Ann');
  world.shop.fates = Array.from({ length: 101 }, () => ({ kind: 'answer_lost' }) as const);
  await world.plan();
  await world.plan();
  await world.push(200);
  t.equal(world.shop.records.size, 101);
  const hi = await world.now();
  const outcomes = await world.apply([...world.shop.records].map(([id, record]) => world.see(id, record, { hi })));
  t.same([...new Set(outcomes)], ['defer']);
});

test('a row inserted under the key of a record that was deleted here survives its create', async (t) => {
  const creatable = new Set(['id', 'name', 'price', 'tags']);
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', creatable } });
  await world.known('sku-1', { version: 7 });
  await world.removed('sku-1');
  await world.pushAll();
  await world.inserted('sku-1', 'Again');
  await world.edit('sku-1', { note: 'my own note' });
  world.shop.ids = ['sku-1'];
  await world.pushAll();
  t.match(await world.rowOf('sku-1'), { full_name: 'Again', note: 'my own note' });
  t.match(await world.stateOf('sku-1'), { status: 'live', version: 1n });
  t.same(await world.conflicts(), []);
});

test('a record that is created again under the id it had before keeps its row', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'target_wins' } });
  await world.known('c1', { version: 7 });
  await world.edit('c1', { note: 'mine' });
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.records.delete('c1');
  await world.apply([world.gone('c1', { hi: (await world.now()) - 1_000 }, 8n)]);
  world.shop.ids = ['c1'];
  await world.pushAll();
  t.match(await world.rowOf('c1'), { full_name: 'Edited', note: 'mine' });
  t.notOk((await world.conflicts()).some(({ kind }) => kind === 'created_and_deleted'));
});

test('a record that a request creates is merged with a row that stands under its key', async (t) => {
  const world = await createWorld(t, { twoWay: { mode: 'source-first' } });
  await world.run(
    sql`INSERT INTO shop.customers (id, full_name, amount, price, note) VALUES ('shop-1', 'By hand', 1, 5, 'mine')`,
  );
  const values = { values: { name: 'By request' }, repeated: {} };
  const made = await createAtSource(world.deps, values, null, new AbortController().signal);
  t.match(made, { kind: 'done' });
  t.match(await world.rowOf('shop-1'), { full_name: 'By request', note: 'mine' });
  t.match(await world.conflicts(), [{ kind: 'adopted', target_key: 'shop-1', outcome: 'remote' }]);
  t.match((await world.conflicts())[0]?.local, { name: 'By hand' });
});

test('values that were not sent are kept when the record has a row of its own', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.edit('local-1', { amount: 77 });
  world.shop.fates = [
    {
      kind: 'with',
      after: async () => {
        // A record of which nobody could know that it is ours, by a clock that is behind.
        await world.apply([world.see('shop-1', { ...world.shop.records.get('shop-1') }, { hi: 1 })]);
      },
    },
  ];
  await world.pushAll();
  t.same(await ids(world), ['shop-1']);
  t.match(await world.conflicts(), [{ kind: 'adopted', local: { amount: 77 }, outcome: 'remote' }]);
});

test('the token of a create that a person gives up is kept for a while, and not for ever', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  world.shop.fates = [{ kind: 'answer_lost' }];
  await work(world, 2);
  const [push] = await world.run(sql`SELECT id::text AS id FROM sync.outbox_pushes WHERE state = 'parked'`);
  t.match(await discardPush(world.deps, { id: String(push?.id), targetKey: 'local-1' }, 'x'), { kind: 'discarded' });
  t.match(await world.tokens(), [{ state: 'rejected' }]);
});

test('a record that was created and could not be settled is read once its create is discarded', async (t) => {
  const world = await createWorld(t);
  await world.inserted('local-1', 'Ann');
  await world.run(sql`INSERT INTO shop.customers (id, full_name, amount) VALUES ('shop-1', 'In the way', 1)`);
  await world.pushAll();
  const [push] = await world.run(sql`SELECT id::text AS id FROM sync.outbox_pushes WHERE state = 'parked'`);
  await discardPush(world.deps, { id: String(push?.id), targetKey: 'local-1' }, 'x');
  t.match(await world.hints(), [{ external_id: 'shop-1' }]);
});

test('a record that was asked for before a create was sent is not held up by it, however often it had to wait for others', async (t) => {
  const world = await createWorld(t);
  const lost = { kind: 'answer_lost' } as const;
  world.shop.fates = [lost, lost];
  await world.inserted('local-1', 'Ann');
  await world.plan();
  await world.push();
  await world.pass(52_000);
  const others = { id: 'x1', name: 'Others', amount: 1, price: null, tags: null, code: null, version: 1 };
  world.shop.records.set('x1', others);
  await world.inTx((tx) => wantRead(tx, 'x1'));
  await world.inserted('local-2', 'Ben');
  await world.plan();
  await world.push();
  await world.reread();
  t.equal(await world.rowOf('x1'), undefined, 'the first create may have made it');
  await world.resolve();
  t.same(await world.states(), ['create parked create_unknown', 'create unknown']);
  await world.run(sql`UPDATE sync.hints SET run_at = clock_timestamp()`);
  await world.reread();
  t.match(await world.rowOf('x1'), { full_name: 'Others' });
});
