import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { SourceError } from '../../../src/source/error.ts';
import type { CrashPoint } from '../../../src/sync/deps.ts';
import { sharePushes, writesWith } from './world.ts';

const createWorld = sharePushes(file);
const KEYS = { idempotency: { header: 'Idempotency-Key', ttlMs: 86_400_000 } } as const;

type World = Awaited<ReturnType<typeof createWorld>>;

/** Works until nothing is open, with waits passed over. */
async function recover(world: World, workers = world.worker()): Promise<void> {
  for (let round = 0; round < 12; round++) {
    await workers.plan();
    await workers.resolve();
    await workers.push();
    await world.reread();
    const open = (await world.states()).filter((state) => /ready|calling|unknown/.test(state));
    const captured = await world.run(sql`SELECT 1 AS one FROM sync.local_changes`);
    if (open.length + captured.length === 0) return;
    await world.pass(61_000);
  }
}

test('a lost answer is found by the same bytes under the same key, and the source does nothing twice', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  world.shop.knowsKeys = true;
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  t.match(await world.push(), { unknown: 1 });
  t.match(await world.resolve(), { settled: 1 });
  t.equal(world.shop.sent.length, 2);
  t.same(world.shop.sent[0], world.shop.sent[1]);
  t.equal(world.shop.writes, 1);
  t.ok(await world.isInLine('c1'));
  t.equal((await world.hints()).length, 1, 'the answer may be an old one: the record is read again');
});

test('an edit made while the outcome is unknown is sent under a key of its own, after it is known', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  world.shop.knowsKeys = true;
  await world.known('c1');
  await world.edited('c1', { full_name: 'First' });
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  await world.push();
  await world.edited('c1', { full_name: 'Second' });
  await world.plan();
  t.match(await world.push(), { looked: 0 }, 'one flight at a time');
  await recover(world);
  t.equal(world.shop.records.get('c1')?.name, 'Second');
  t.equal(world.shop.writes, 2);
  const keys = world.shop.sent.map(({ headers }) => headers['idempotency-key']);
  t.equal(new Set(keys).size, 2);
});

test('a refused repeat says nothing of the first request: the record is read', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [
    { kind: 'answer_lost' },
    { kind: 'answer', answer: { kind: 'refused', code: 'bad_request', words: '422' } },
  ];
  await world.plan();
  await world.push();
  t.match(await world.resolve(), { unknown: 1 });
  t.same(await world.states(), ['update unknown']);
  await recover(world);
  t.equal(world.shop.writes, 1);
  t.ok(await world.isInLine('c1'));
});

test('a read that is not allowed says nothing of a lost write: it is looked at again, ever later, and nothing is paused', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  await world.push();
  world.shop.onRead = async () => {
    throw new SourceError('forbidden', 'GET /customers/c1: 403', { status: 403 });
  };
  for (let round = 0; round < 15; round++) {
    await world.pass(400_000);
    t.match(await world.resolve(), { unknown: 1 });
    t.match(await world.resolve(), { looked: 0 }, 'not at once');
  }
  t.match(await world.run(sql`SELECT state, error_code FROM sync.outbox_pushes`), [
    { state: 'unknown', error_code: 'forbidden' },
  ]);
  t.same(await world.run(sql`SELECT 1 AS one FROM sync.source_states WHERE paused IS NOT NULL`), []);
  world.shop.onRead = async () => {};
  await recover(world);
  t.ok(await world.isInLine('c1'));
  t.equal(world.shop.writes, 1);
});

test('a repeat that is not allowed says nothing of the first request either', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  const answer = { kind: 'refused', code: 'forbidden', words: 'PATCH: 403' } as const;
  world.shop.fates = [{ kind: 'answer_lost' }, { kind: 'answer', answer }];
  await world.plan();
  await world.push();
  t.match(await world.resolve(), { unknown: 1 });
  t.same(await world.states(), ['update unknown']);
  t.same(await world.run(sql`SELECT 1 AS one FROM sync.source_states WHERE paused IS NOT NULL`), []);
  await recover(world);
  t.equal(world.shop.writes, 1);
  t.ok(await world.isInLine('c1'));
});

test('without keys a lost answer is found by reading, and not before the request can no longer arrive', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'late' }];
  await world.plan();
  await world.push();
  await world.resolve();
  t.same(world.shop.reads, ['c1'], 'only the look before the request');
  await world.shop.carryOutLate();
  await world.pass(51_000);
  t.match(await world.resolve(), { settled: 1 });
  t.equal(world.shop.writes, 1);
  t.ok(await world.isInLine('c1'));
});

test('a request that never arrived is made anew, once a read shows that', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'lost' }];
  await world.plan();
  await world.push();
  await world.pass(51_000);
  t.match(await world.resolve(), { again: 1 });
  t.match(await world.push(), { settled: 1 });
  t.equal(world.shop.writes, 1);
  t.same(
    (await world.tokens()).map(({ state }) => state),
    ['rejected', 'confirmed'],
  );
});

test('an echo settles a push of unknown outcome, without asking the source', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  await world.push();
  await world.resolve();
  const hi = await world.now();
  t.same(await world.apply([world.see('c1', { ...world.shop.records.get('c1') }, { hi })]), ['defer']);
  world.shop.reads.length = 0;
  t.match(await world.resolve(), { settled: 1 });
  t.same(world.shop.reads, []);
  t.ok(await world.isInLine('c1'));
  t.equal(world.shop.writes, 1);
});

test('a pass over what can only wait does not look again at once', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'lost' }];
  await world.plan();
  await world.push();
  t.match(await world.resolve(), { looked: 1, calls: 0 });
  t.match(await world.resolve(), { looked: 0 });
});

test('a worker that slept past its lease neither sends nor settles', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  await world.plan();
  const sleeper = world.worker({
    async at(point) {
      if (point !== 'C15') return;
      await world.pass(61_000);
      t.match(await world.resolve(), { again: 1 });
    },
  });
  t.match(await sleeper.push(), { calls: 1, settled: 0 });
  t.equal(world.shop.sent.length, 0);
  t.match(await world.push(), { settled: 1 });
  t.equal(world.shop.writes, 1);
});

test('an answer that comes after another worker took over is forgotten', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  world.shop.knowsKeys = true;
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  await world.plan();
  const sleeper = world.worker({
    async at(point) {
      if (point !== 'C17') return;
      await world.pass(61_000);
      t.match(await world.resolve(), { settled: 1 });
    },
  });
  t.match(await sleeper.push(), { settled: 0 });
  t.same(await world.states(), ['update done']);
  t.equal(world.shop.writes, 1);
});

const points: readonly CrashPoint[] = ['C13', 'C14', 'C15', 'C16', 'C17', 'C18'];
for (const withKeys of [true, false]) {
  for (const crashAt of points) {
    const name = `a process that dies at ${crashAt} ${withKeys ? 'with' : 'without'} keys`;
    test(`${name}: another one brings the edit to the source, once`, async (t) => {
      const world = await createWorld(t, withKeys ? { twoWay: KEYS } : {});
      world.shop.knowsKeys = withKeys;
      await world.known('c1');
      await world.edited('c1', { full_name: 'Edited' });
      const mortal = world.worker({ crashAt });
      const ends = [await mortal.plan(), await mortal.push()];
      t.ok(ends.includes('died'), 'it dies there');
      await recover(world);
      t.equal(world.shop.writes, 1);
      t.ok(await world.isInLine('c1'));
      t.notOk((await world.states()).some((state) => !state.endsWith('done')));
    });
  }
}

test('a process that dies while it resolves leaves the push to the next one', async (t) => {
  const world = await createWorld(t, { twoWay: KEYS });
  world.shop.knowsKeys = true;
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'answer_lost' }];
  await world.plan();
  await world.push();
  for (const crashAt of ['C16', 'C17'] as const) {
    t.equal(await world.worker({ crashAt }).resolve(), 'died');
    t.same(await world.states(), ['update unknown']);
    await world.pass(61_000);
  }
  await recover(world);
  t.equal(world.shop.writes, 1);
  t.ok(await world.isInLine('c1'));
});

test('a repeat may arrive later than the first request: nothing is read before its own deadline', async (t) => {
  const world = await createWorld(t, { twoWay: { ...KEYS, writes: writesWith({ ifMatch: 'version' }) } });
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'lost' }, { kind: 'late' }];
  await world.plan();
  await world.push();
  await world.pass(49_000);
  await world.resolve();
  const [push] = await world.run(
    sql`SELECT deadline > clock_timestamp() + interval '40 s' AS is_moved FROM sync.outbox_pushes`,
  );
  t.same(push, { is_moved: true });
  await world.shop.carryOutLate();
  await recover(world);
  t.equal(world.shop.writes, 1);
});
