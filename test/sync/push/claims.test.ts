import file, { test } from 'tap';
import { claimPushes } from '../../../src/sync/claim-pushes.ts';
import { editAtSource } from '../../../src/sync/edit-at-source.ts';
import type { PushDeps } from '../../../src/sync/push-deps.ts';
import { createGate } from '../../helpers/gate.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
const NEVER = new AbortController().signal;

/** As `deps`, but something happens before the transaction of this number begins. */
function beforeTransaction(deps: PushDeps, number: number, work: () => Promise<void>): PushDeps {
  let begun = 0;
  const transaction: PushDeps['store']['transaction'] = async (flow) => {
    begun += 1;
    if (begun === number) await work();
    return await deps.store.transaction(flow);
  };
  return { ...deps, store: { transaction } };
}

test('a request that begins after a push of its row was found due is waited for, and the row keeps its edit', async (t) => {
  const world = await createWorld(t, { twoWay: { mode: 'source-first' } });
  await world.known('c1');
  await world.edited('c1', { full_name: 'By psql' });
  await world.plan();
  const [sent, answered] = [createGate(), createGate()];
  const before = async () => {
    sent.open();
    await answered.opened;
  };
  world.shop.fates = [{ kind: 'with', before }];
  let request: Promise<unknown> = Promise.resolve();
  const deps = beforeTransaction(world.deps, 2, async () => {
    const values = { values: { price: '3.00' }, repeated: {} };
    request = editAtSource(world.deps, 'c1', values, { ifMatch: null, form: 'some' }, NEVER);
    await sent.opened;
  });
  t.match(await claimPushes(deps, 10), { calls: [], parked: 0 });
  t.same((await world.states()).sort(), ['update calling', 'update ready']);
  answered.open();
  t.match(await request, { kind: 'done' });
  await world.pushAll();
  t.match(world.shop.records.get('c1'), { name: 'By psql', price: '3.00' });
  t.ok(await world.isInLine('c1'));
});

test('what has nothing to send holds nothing up: one pass looks past it to what has', async (t) => {
  const world = await createWorld(t);
  const untouched = ['c1', 'c2', 'c3', 'c4', 'c5'];
  for (const id of [...untouched, 'c6', 'c7']) await world.known(id);
  for (const id of untouched) await world.edited(id, { full_name: `Name ${id}` });
  await world.plan();
  for (const id of ['c6', 'c7']) {
    await world.edited(id, { full_name: 'By psql' });
    await world.plan();
  }
  const { calls, looked } = await claimPushes(world.deps, 1);
  t.same(
    calls.map(({ push }) => push.targetKey),
    ['c6'],
  );
  t.equal(looked, 6, 'the one that may not be sent in this pass is left as it was');
  t.same(
    (await world.states()).sort(),
    ['update calling', 'update ready', ...untouched.map(() => 'update done')].sort(),
  );
});

test('those that wait are taken from either end', async (t) => {
  const world = await createWorld(t);
  for (const id of ['c1', 'c2', 'c3']) {
    await world.known(id);
    await world.edited(id, { full_name: 'By psql' });
    await world.plan();
  }
  const keyOf = async (order: 'oldest' | 'newest') =>
    (await claimPushes(world.deps, 1, order)).calls.map(({ push }) => push.targetKey);
  t.same([await keyOf('newest'), await keyOf('oldest'), await keyOf('newest')], [['c3'], ['c1'], ['c2']]);
});
