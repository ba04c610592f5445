import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { fieldHashesOf } from '../../../src/sync/token-match.ts';
import { shareTwoWay, type TwoWayWorld } from './world.ts';

const createWorld = shareTwoWay(file);

const sent = (world: TwoWayWorld, patch: { [property: string]: string }) =>
  fieldHashesOf(patch, world.stream.mapper.hashOf);

test('while a push is in flight its record is left alone, and other records are not', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1'), world.see('c2')]);
  await world.edit('c1', { full_name: 'Here' });
  const { push } = await world.startPush('c1', { preVersion: 1n });
  const both = [world.see('c1', { price: '12', version: 2 }), world.see('c2', { price: '12', version: 2 })];
  t.same(await world.apply(both), ['defer', 'update']);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '9.50' });
  t.match(await world.stateOf('c1'), { version: 1n });
  t.same(await world.apply([world.gone('c1')]), ['defer']);
  await world.inTx((tx) => tx.finishPush(push, { to: 'done' }));
  t.same(await world.apply(both), ['update', 'noop']);
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '12.00' });
});

test('what is known or too old does not wait for a push', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1', { version: 3 })]);
  await world.startPush('c1', { preVersion: 3n });
  const before = await world.stateOf('c1');
  t.same(await world.apply([world.see('c1', { version: 3 }), world.see('c1', { name: 'Old', version: 2 })]), [
    'noop',
    'stale',
  ]);
  t.same(await world.apply([world.see('c1', { version: 4 })]), ['noop'], 'a touch without a change');
  t.same(await world.stateOf('c1'), before, 'nothing is noted either');
});

test('the first sighting of what was sent is kept with its token, if it is later than the call', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1', { version: 5 })]);
  await world.edit('c1', { full_name: 'Here' });
  const { tokenId } = await world.startPush('c1', { preVersion: 5n, fieldHashes: sent(world, { name: 'Here' }) });
  t.same(await world.apply([world.see('c1', { name: 'There', version: 6 })]), ['defer']);
  t.equal((await world.tokenOf(tokenId))?.echo, null, 'somebody else’s change');
  t.same(await world.apply([world.see('c1', { name: 'Here', version: 7 })]), ['defer']);
  t.same(await world.apply([world.see('c1', { name: 'Here', price: '1', version: 8 })]), ['defer']);
  t.match((await world.tokenOf(tokenId))?.echo, { version: 7n, content: { name: 'Here', price: '9.5' } });
});

test('without versions only a read that began after the call shows that it was carried out', async (t) => {
  const world = await createWorld(t, { versionKind: 'none' });
  const now = await world.now();
  await world.apply([world.see('c1', {}, { channel: 'get', lo: now - 2, hi: now - 1 })]);
  const { tokenId } = await world.startPush('c1', { fieldHashes: sent(world, { name: 'Here' }) });
  await world.run(sql`UPDATE sync.outbox_pushes SET first_call_at = clock_timestamp()`);
  const here = (lo: number, hi: number) => world.see('c1', { name: 'Here' }, { channel: 'get', lo, hi });
  t.same(await world.apply([here(now, now + 1)]), ['defer']);
  t.equal((await world.tokenOf(tokenId))?.echo, null);
  const later = await world.now();
  t.same(await world.apply([here(later, later + 1)]), ['defer']);
  t.match((await world.tokenOf(tokenId))?.echo, { lo: later });
});

test('a record never seen waits while it may be the one that we have just created', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('known')]);
  await world.run(sql`INSERT INTO shop.customers (id, full_name, amount) VALUES ('local-1', 'Mine', 1)`);
  const { push } = await world.startPush('local-1', { op: 'create' });
  const hi = await world.now();
  t.same(
    await world.apply([world.see('c9', { name: 'Mine' }, { hi }), world.see('known', { price: '2', version: 2 })]),
    ['defer', 'update'],
  );
  t.equal(await world.rowOf('c9'), undefined);
  await world.inTx((tx) =>
    tx.finishPush(push, { to: 'parked', reason: 'create_unknown', errorCode: 'create_unknown', error: 'nobody knows' }),
  );
  t.same(await world.apply([world.see('c9', { name: 'Mine' })]), ['insert'], 'a parked create holds nobody up');
});

test('a record that carries the id of a write waits for that write alone, and settles it', async (t) => {
  const world = await createWorld(t, { twoWay: { marker: { field: 'made_by', searchParam: null } } });
  const { tokenId } = await world.startPush('local-1', { op: 'create' });
  const other = crypto.randomUUID();
  t.same(
    await world.apply([
      world.see('c1', { made_by: other }),
      world.see('c2', { made_by: tokenId }),
      world.see('c3', {}, { hi: await world.now() }),
    ]),
    ['insert', 'defer', 'defer'],
  );
  t.match((await world.tokenOf(tokenId))?.echo, { externalId: 'c2', marker: tokenId });
});

test('a record that was known before a create was sent does not wait for it', async (t) => {
  const world = await createWorld(t);
  const before = await world.now();
  await world.startPush('local-1', { op: 'create' });
  const hi = await world.now();
  t.same(await world.apply([world.see('c1', {}, { hi: before })]), ['insert'], 'seen before');
  const asked = { ...world.see('c2', {}, { channel: 'get', lo: hi, hi }), knownAt: before };
  t.same(await world.apply([asked]), ['insert'], 'asked for before');
  t.same(await world.apply([world.see('c3', {}, { hi })]), ['defer']);
});

test('a record that comes back under the key of a row whose create is under way waits for that', async (t) => {
  const world = await createWorld(t);
  await world.startPush('c1', { op: 'create' });
  t.same(await world.apply([world.see('c1')]), ['defer']);
});

test('an absence that nobody has seen before is not held up by creates', async (t) => {
  const world = await createWorld(t);
  await world.startPush('local-1', { op: 'create' });
  t.same(await world.apply([world.gone('c7')]), ['noop']);
});

test('a list without versions that shows the world before our own write is checked by a read', async (t) => {
  const world = await createWorld(t, { versionKind: 'none', readLagMs: 1_000 });
  const start = (await world.now()) - 100;
  await world.apply([world.see('c1', {}, { channel: 'get', lo: start, hi: start + 1 })]);
  const before = await world.stateOf('c1');
  await world.apply([world.see('c1', { name: 'Here' }, { channel: 'get', lo: start + 10, hi: start + 11 })]);
  const token = {
    id: crypto.randomUUID(),
    state: 'pending',
    externalId: 'c1',
    targetKey: 'c1',
    preHash: before?.baseHash ?? null,
    fieldHashes: {},
    resultHash: null,
    resultVersion: null,
    resultEtag: null,
    echo: null,
    seenCount: 0,
    createdAt: await world.now(),
    expiresAt: null,
  } as const;
  await world.inTx((tx) => tx.insertToken(token));
  const page = world.see('c1', {}, { channel: 'page', lo: start + 20, hi: start + 21 });
  t.same(await world.apply([page]), ['verify']);
  t.match(await world.rowOf('c1'), { full_name: 'Here' });
  t.match(await world.hints(), [{ external_id: 'c1', reason: 'verify' }]);
  await world.run(sql`UPDATE sync.change_tokens SET created_at = created_at - interval '11 seconds'`);
  t.same(await world.apply([page]), ['update'], 'long after the write it is news');
});

test('echoes are counted with the token they match, and are recognised without it', async (t) => {
  const world = await createWorld(t);
  await world.apply([world.see('c1')]);
  const { push, tokenId } = await world.startPush('c1', { preVersion: 1n });
  const echo = world.see('c1', { name: 'Here', version: 2 });
  await world.inTx((tx) => tx.finishPush(push, { to: 'done' }));
  await world.apply([echo]);
  const token = await world.tokenOf(tokenId);
  await world.inTx(async (tx) => {
    if (token === null) throw new Error('The token is gone');
    await tx.saveToken({ ...token, state: 'confirmed', resultVersion: 2n, expiresAt: (await tx.now()) + 60_000_000 });
  });
  t.same(await world.apply([echo]), ['noop']);
  t.same(await world.apply([echo]), ['noop']);
  t.equal((await world.tokenOf(tokenId))?.seenCount, 2);
  await world.run(sql`DELETE FROM sync.change_tokens`);
  const before = await world.rowOf('c1');
  t.same(await world.apply([echo]), ['noop'], 'correct without any token');
  t.same(await world.rowOf('c1'), before);
  t.same(await world.pushes(), [{ target_key: 'c1', external_id: 'c1', state: 'done' }]);
});
