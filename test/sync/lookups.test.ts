import { t as file, type Test, test } from 'tap';
import { z } from 'zod';
import { field } from '../../src/mapping/field.ts';
import { lookup } from '../../src/mapping/lookup.ts';
import { createMapper } from '../../src/mapping/mapper.ts';
import { none } from '../../src/source/pagination/none.ts';
import { createLookups, type Lookups } from '../../src/sync/lookups.ts';
import { fingerprintOf } from '../../src/sync/stream.ts';
import { sendJson, sendText } from '../helpers/fake-api.ts';
import { setup as setupSource } from '../source/setup.ts';
import { customer, shareDatabase, upsert } from './world.ts';

const FORM = { from: 'users', by: 'id', take: 'name' };
const NEVER = new AbortController().signal;
const TTL_MS = 3_600_000;
const SPACING_MS = 10_000;
const world = shareDatabase(file);

/** A users' list behind a real server, whose clock moves by the waits alone. */
async function setup(t: Test) {
  const users = new Map([['u1', 'Ada']]);
  const state = { isDown: false, isPaused: false, loads: 0 };
  const made = await setupSource(
    t,
    (response) => {
      state.loads += 1;
      if (state.isDown) sendText(response, 403, '{}');
      else sendJson(response, { users: [...users].map(([id, name]) => ({ id, name })) });
    },
    { source: { maxAttempts: 1 } },
  );
  const { clock, lines } = made;
  const deps = {
    client: made.client,
    integration: 'shop',
    isPaused: async () => state.isPaused,
    nowMs: () => clock.nowMs,
    sleep: async (ms: number) => {
      clock.nowMs += ms;
    },
    log: {
      debug() {},
      info() {},
      warn: (fields: object, message: string) => void lines2.push({ ...fields, message }),
      error() {},
    },
  };
  const lines2: object[] = [];
  const list = { path: '/users', items: 'users', pagination: none() };
  const lookups = createLookups(deps, [{ name: 'users', list, ttlMs: TTL_MS, forms: [FORM] }])(new Set(['users']));
  return { users, state, clock, lookups, lines, told: lines2 };
}

const mapper = (lookups: Lookups) => (target: Parameters<typeof createMapper>[0]['target']) =>
  createMapper({
    integration: 'shop',
    entity: 'customers',
    schema: z.object({ id: z.string(), owner: z.string().nullish(), amount: z.number(), version: z.number() }),
    key: 'id',
    version: { kind: 'counter', field: 'version' },
    mapping: {
      id: field('id'),
      name: field('owner', lookup('users', { by: 'id', take: 'name' })),
      amount: field('amount'),
      parent: field('parent'),
      code: field('code'),
    },
    target,
    lookups: lookups.read,
  });

async function setupWorld(t: Test, over: Parameters<typeof world>[1] = {}) {
  const list = await setup(t);
  const shop = await world(t, { lookups: list.lookups, mapper: mapper(list.lookups), repairs: true, ...over });
  const owned = (id: string, owner: string | null, version = 1) => ({ ...customer(id), owner, version });
  const add = (id: string, owner: string | null, version = 1) =>
    void shop.source.records.set(id, owned(id, owner, version));
  const nameOf = async (id: string) => (await shop.row(id))?.full_name;
  /** Work that was begun in the background has come to its end. */
  const settled = async () => await list.lookups.ensure(NEVER);
  return { ...list, ...shop, owned, add, nameOf, settled };
}

test('a run looks ids up in a list that is read once', async (t) => {
  const { add, reconcile, nameOf, state } = await setupWorld(t);
  for (let n = 0; n < 250; n++) add(`c${n}`, n === 7 ? null : 'u1');
  t.match(await reconcile(), { state: 'succeeded', counts: { inserted: 250 } });
  t.equal(await nameOf('c0'), 'Ada');
  t.equal(await nameOf('c7'), null);
  t.equal(state.loads, 1);
});

test('somebody who was created a second ago is found: the page is tried again after the list was read anew', async (t) => {
  const { add, reconcile, nameOf, state, users, lookups } = await setupWorld(t);
  await lookups.ensure(NEVER);
  users.set('u2', 'Grace');
  add('c1', 'u2');
  await reconcile({ mode: 'incremental' });
  t.equal(await nameOf('c1'), 'Grace');
  t.equal(state.loads, 2);
});

test('an id that nobody has even then becomes null, and is not asked for again', async (t) => {
  const { add, reconcile, nameOf, state } = await setupWorld(t);
  add('c1', 'nobody');
  t.match(await reconcile({ mode: 'incremental' }), { state: 'succeeded', counts: { failed: 0 } });
  t.equal(await nameOf('c1'), null);
  const { loads } = state;
  add('c2', 'nobody', 2);
  await reconcile({ mode: 'incremental' });
  t.equal(await nameOf('c2'), null);
  t.equal(state.loads, loads);
});

test('a name that changed reaches rows with the next full run, although no record changed', async (t) => {
  for (const versionKind of ['counter', 'timestamp'] as const) {
    const { add, reconcile, nameOf, users, clock, pass } = await setupWorld(t, { versionKind });
    add('c1', 'u1');
    await reconcile();
    users.set('u1', 'Ada L.');
    clock.nowMs += SPACING_MS;
    await pass(SPACING_MS);
    await reconcile({ mode: 'incremental' });
    await pass(SPACING_MS);
    await reconcile();
    t.equal(await nameOf('c1'), 'Ada L.', versionKind);
    t.match(await reconcile(), { counts: { unchanged: 1 } }, 'and no run after that writes');
  }
});

test('with no list at all a run writes nothing wrong and says why; later it goes through', async (t) => {
  const { add, reconcile, rows, state, clock } = await setupWorld(t);
  state.isDown = true;
  add('c1', 'u1');
  const failed = await reconcile();
  t.match(failed, { state: 'failed', errorCode: 'lookup_unavailable' });
  t.match(failed.error, '403');
  t.same(await rows(), []);
  const { loads } = state;
  await reconcile();
  t.equal(state.loads, loads, 'it is not asked for again at once');
  state.isDown = false;
  clock.nowMs += SPACING_MS;
  t.match(await reconcile(), { state: 'succeeded' });
});

test('when the list cannot be read the old one is used, and its age is told', async (t) => {
  const { add, reconcile, nameOf, state, clock, told, lookups } = await setupWorld(t);
  await lookups.ensure(NEVER);
  state.isDown = true;
  clock.nowMs += TTL_MS + 1_000;
  add('c1', 'u1');
  t.match(await reconcile(), { state: 'succeeded' });
  t.equal(await nameOf('c1'), 'Ada');
  t.match(told, [{ integration: 'shop', lookup: 'users', code: 'forbidden', ageS: 3_601 }]);
});

test('a delivery whose id is not known yet waits while the list is read, and holds up no other', async (t) => {
  const { deliver, ingest, nameOf, deliveryOf, owned, users, pass, lookups, clock, settled } = await setupWorld(t);
  await lookups.ensure(NEVER);
  clock.nowMs += SPACING_MS;
  users.set('u2', 'Grace');
  const late = await deliver(upsert(owned('c1', 'u2')));
  await deliver(upsert(owned('c2', 'u1')));
  await ingest();
  t.equal(await nameOf('c2'), 'Ada', 'the other is applied at once');
  t.match(await deliveryOf(late), { state: 'received', outcome: 'lookup', attempt: 0 });
  await settled();
  await pass(SPACING_MS);
  await ingest();
  t.equal(await nameOf('c1'), 'Grace');
});

test('deliveries wait for a list that cannot be read, and become dead letters after the last attempt', async (t) => {
  const { deliver, ingest, rows, deliveryOf, owned, pass, clock, settled, state, deadLetters, reconcile, nameOf, add } =
    await setupWorld(t);
  state.isDown = true;
  const id = await deliver(upsert(owned('c1', 'u1')));
  for (let round = 0; round < 60 && (await deliveryOf(id))?.state === 'received'; round++) {
    await ingest();
    await settled().catch(() => {});
    clock.nowMs += SPACING_MS / 2;
    await pass(600_000);
  }
  t.same(await rows(), []);
  t.match(await deadLetters(), [{ errorCode: 'lookup_unavailable', externalId: 'c1' }]);
  state.isDown = false;
  clock.nowMs += SPACING_MS;
  add('c1', 'u1');
  await reconcile();
  t.equal(await nameOf('c1'), 'Ada');
  t.same(await deadLetters(), [], 'the run superseded it');
});

test('while the integration is paused deliveries ask for no list, and waiting for one costs them no attempt', async (t) => {
  const { deliver, ingest, deliveryOf, owned, pass, clock, state, nameOf, lookups } = await setupWorld(t);
  await lookups.ensure(NEVER);
  state.isPaused = true;
  const known = await deliver(upsert(owned('c1', 'u1')));
  const waiting = await deliver(upsert(owned('c2', 'u2')));
  for (let round = 0; round < 20; round++) {
    clock.nowMs += TTL_MS;
    await pass(600_000);
    await ingest();
  }
  t.match(await deliveryOf(known), { state: 'applied' });
  t.match(await deliveryOf(waiting), { state: 'received', outcome: 'lookup', attempt: 0 });
  t.equal(state.loads, 1, 'the one before the pause');
  state.isPaused = false;
  for (let round = 0; round < 3; round++) {
    await pass(600_000);
    await ingest();
    await lookups.ensure(NEVER);
  }
  t.match(await deliveryOf(waiting), { state: 'applied' });
  t.equal(await nameOf('c2'), null, 'as the list that was read since says');
});

test('a read by id looks up as well, after the list was read anew', async (t) => {
  const { add, deliver, ingest, settle, nameOf, users, lookups, clock } = await setupWorld(t);
  await lookups.ensure(NEVER);
  clock.nowMs += SPACING_MS;
  users.set('u2', 'Grace');
  add('c1', 'u2');
  await deliver({ events: [{ type: 'changed', id: 'c1' }] });
  await ingest();
  await settle();
  t.equal(await nameOf('c1'), 'Grace');
});

test('many ids that nobody has do not hold up a run: the list is believed for longer and longer', async (t) => {
  const { add, reconcile, state, source } = await setupWorld(t);
  source.pageSize = 10;
  for (let n = 0; n < 100; n++) add(`c${n}`, `gone-${n}`);
  t.match(await reconcile(), { state: 'succeeded', counts: { inserted: 100 } });
  t.ok(state.loads <= 3, `${state.loads} loads`);
});

test('an entry list over its bound is no table', async (t) => {
  const { users, lookups } = await setup(t);
  for (let n = 0; n <= 100_000; n++) users.set(`x${n}`, 'X');
  await t.rejects(lookups.ensure(NEVER), { name: 'LookupUnavailableError', message: /100000 entries/ });
});

test('whoever aborts does not wait for the list', async (t) => {
  const { lookups } = await setup(t);
  await t.rejects(lookups.ensure(AbortSignal.abort(new Error('stop'))), { message: 'stop' });
});

test('a change of the list that is looked up in makes a full run due', async (t) => {
  const { stream, lookups } = await setupWorld(t);
  const other = { ...lookups, fingerprint: '[["users",{"path":"/v2/users"}]]' };
  t.not(fingerprintOf(stream), fingerprintOf({ ...stream, lookups: other }));
  t.not(fingerprintOf(stream), fingerprintOf({ ...stream, lookups: null }));
});
