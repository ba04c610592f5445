import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { expireTokens } from '../../../src/store/change-tokens.ts';
import { expireConflicts, expirePushes } from '../../../src/store/push-status.ts';
import { pushReasons, readPushStatus } from '../../../src/sync/push-status.ts';
import { KEY } from '../world.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
const DAY_MS = 86_400_000;

test('the status tells how many pushes are open, since when, and what a person has to do', async (t) => {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', massDelete: { maxShare: 0, minimum: 0 } } });
  const status = async () => (await readPushStatus(world.db, await world.now()))(KEY);
  const nothing = { editsCaptured: 0, ready: 0, calling: 0, unknown: 0, parked: 0, heldDeletes: null };
  t.match(await status(), { ...nothing, oldestWaitMs: null, oldestUnknownMs: null });
  t.same(pushReasons(await status(), false), []);

  for (const id of ['c1', 'c2', 'c3']) await world.known(id);
  await world.edited('c1', { full_name: 'Edited' });
  t.match(await status(), { ...nothing, editsCaptured: 1 });
  await world.plan();
  t.match(await status(), { ...nothing, ready: 1 });
  world.shop.fates = [{ kind: 'lost' }];
  await world.push();
  await world.pass(700_000);
  t.match(await status(), { ...nothing, unknown: 1 });
  t.match(pushReasons(await status(), false), [
    /^whether the source has carried out 1 pushes is unknown, of one for 12 min/,
  ]);
  t.same(pushReasons(await status(), true), [], 'of a paused integration that says nothing');

  await world.edited('c2', { full_name: 'Refused' });
  world.shop.fates = [{ kind: 'answer', answer: { kind: 'refused', code: 'bad_request', words: '422' } }];
  await world.plan();
  await world.push();
  await world.removed('c3');
  await world.plan();
  t.match(await status(), { parked: 1, ready: 1, heldDeletes: /^1 rows were removed/ });
  t.match(pushReasons(await status(), true), [/^removals of rows are held back/, /^1 pushes wait for a person/]);
});

test('a push of unknown outcome is counted at once, with its age, and is a reason only once it has been for ten minutes', async (t) => {
  const world = await createWorld(t);
  const status = async () => (await readPushStatus(world.db, await world.now()))(KEY);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  await world.plan();
  world.shop.fates = [{ kind: 'lost' }];
  await world.push();
  t.match(await status(), { unknown: 1, ready: 0, oldestUnknownMs: Number, oldestWaitMs: null });
  t.same(pushReasons(await status(), false), []);
  await world.pass(590_000);
  t.ok(((await status()).oldestUnknownMs ?? 0) >= 590_000);
  t.same(pushReasons({ ...(await status()), oldestUnknownMs: 600_000 }, false), []);
  t.match(pushReasons({ ...(await status()), oldestUnknownMs: 600_001 }, false), [/is unknown, of one for 10 min/]);
});

test('an edit that an open conflict holds does not wait too long', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'manual' } });
  const status = async () => (await readPushStatus(world.db, await world.now()))(KEY);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Here' });
  await world.plan();
  await world.apply([world.see('c1', { name: 'There', version: 2 })]);
  await world.pass(3_600_000);
  t.match(await status(), { ready: 1, openConflicts: 1, oldestWaitMs: null });
  t.match(pushReasons(await status(), false), [/conflict/]);
});

test('what is over is kept for its time, its values for less, and what is open for ever', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'manual' } });
  for (const id of ['c1', 'c2', 'c3']) await world.known(id);
  await world.edited('c1', { full_name: 'Done' });
  await world.pushAll();
  await world.edited('c2', { full_name: 'Unknown' });
  world.shop.fates = [{ kind: 'lost' }];
  await world.pushAll();
  await world.edited('c3', { amount: 5 });
  await world.pushAll();
  await world.edited('c3', { full_name: 'Here' });
  await world.apply([world.see('c3', { name: 'There', version: 2 })]);

  const clean = async () => {
    await expirePushes(world.db, { payloadForMs: 3 * DAY_MS, keepForMs: 14 * DAY_MS, limit: 100 });
    await expireTokens(world.db, 100);
    await expireConflicts(world.db, { keepForMs: 90 * DAY_MS, limit: 100 });
    return {
      pushes: (
        await world.run(sql`SELECT state || CASE WHEN request IS NULL THEN '' ELSE ' with values' END AS told
                            FROM sync.outbox_pushes WHERE target_key <> 'c3' ORDER BY target_key`)
      ).map(({ told }) => told),
      tokens: (await world.tokens()).map(({ state }) => state).sort(),
      conflicts: (await world.conflicts()).map(({ outcome }) => outcome),
    };
  };
  const age = async (days: number) => {
    const by = sql.raw(`interval '${days} days'`);
    await world.run(sql`UPDATE sync.outbox_pushes SET finished_at = finished_at - ${by}`);
    await world.run(sql`UPDATE sync.change_tokens SET expires_at = expires_at - ${by}`);
    await world.run(sql`UPDATE sync.conflicts SET created_at = created_at - ${by}, resolved_at = resolved_at - ${by}`);
  };
  t.same(await clean(), {
    pushes: ['done with values', 'unknown with values'],
    tokens: ['confirmed', 'pending'],
    conflicts: ['remote', null],
  });
  await age(4);
  t.same((await clean()).pushes, ['done', 'unknown with values']);
  await age(11);
  t.same(await clean(), { pushes: ['unknown with values'], tokens: ['pending'], conflicts: ['remote', null] });
  await age(80);
  t.same((await clean()).conflicts, [null]);
});
