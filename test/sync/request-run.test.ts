import file, { test } from 'tap';
import { readStream } from '../../src/store/streams.ts';
import { explainRecord } from '../../src/sync/explain.ts';
import { type RunWish, requestRun } from '../../src/sync/request-run.ts';
import { oweMissedFullRuns, startOwedRuns, startScheduledRun } from '../../src/sync/upkeep.ts';
import { createWorld as createOwnWorld, customer, KEY, shareDatabase, upsert } from './world.ts';

const createWorld = shareDatabase(file);
const wish: RunWish = { mode: null, since: null, ids: null, isDryRun: false, trigger: 'operator' };

test('wishes that a stream cannot grant are refused with the reason', async (t) => {
  const full = await createWorld(t, { versionKind: 'none', canGet: false });
  const refused: readonly (readonly [wish: Partial<RunWish>, reason: RegExp])[] = [
    [{ ids: ['c1'] }, /cannot be read by id/],
    [{ mode: 'incremental' }, /cannot be asked for changes/],
    [{ since: 1 }, /cannot be asked for changes/],
  ];
  for (const [over, reason] of refused) {
    t.match(await requestRun(full.db, full.stream, { ...wish, ...over }), { kind: 'impossible', reason });
  }
  const counter = await createWorld(t);
  const impossible: readonly (readonly [wish: Partial<RunWish>, reason: RegExp])[] = [
    [{ since: 1 }, /no moment/],
    [{ since: 1, mode: 'full' }, /incremental run only/],
    [{ ids: ['c1'], isDryRun: true }, /do not go together/],
    [{ ids: ['c1'], mode: 'full' }, /neither mode nor since/],
  ];
  for (const [over, reason] of impossible) {
    t.match(await requestRun(counter.db, counter.stream, { ...wish, ...over }), { kind: 'impossible', reason });
  }
});

test('left to itself a stream runs in full until a full run is made, then incrementally', async (t) => {
  const world = await createWorld(t);
  t.match(await world.reconcile({ mode: null }), { mode: 'full', isBackfill: true });
  t.match(await world.reconcile({ mode: null }), { mode: 'incremental', isBackfill: false });
});

test('a full run whose time falls into another run is owed and follows it', async (t) => {
  const world = await createWorld(t);
  await world.reconcile();
  await startScheduledRun(world.deps, world.stream, 'incremental');
  await startScheduledRun(world.deps, world.stream, 'full');
  t.match(await world.work(await world.claim()), { state: 'succeeded' });
  t.equal(await startOwedRuns(world.deps), 1);
  const full = await world.claim();
  t.match(full, { mode: 'full' });
  await startScheduledRun(world.deps, world.stream, 'full');
  await world.work(full);
  t.equal((await readStream(world.db, KEY))?.needsFullAt, null, 'one that meets a full run is served by it');
});

test('a full run whose time passed while nobody scheduled is owed, one that is not due is not', async (t) => {
  const world = await createWorld(t);
  await world.reconcile();
  await world.pass(50_000);
  await oweMissedFullRuns(world.deps, () => 3_600_000);
  await oweMissedFullRuns(world.deps, () => null);
  t.equal((await readStream(world.db, KEY))?.needsFullAt, null);
  await oweMissedFullRuns(world.deps, () => 40_000);
  t.match(await readStream(world.db, KEY), { needsFullAt: Number });
});

test('a record can be explained: what holds, and every decision about it, newest first', async (t) => {
  const world = await createWorld(t, { deleteEvents: 'versioned' });
  t.equal(await explainRecord(world.db, world.stream, 'c1'), null);
  const first = await world.deliver(upsert(customer('c1', { version: 2 })));
  await world.ingest();
  const late = await world.deliver(upsert(customer('c1', { version: 1, name: 'late' })));
  await world.ingest();
  t.match(await explainRecord(world.db, world.stream, 'c1'), {
    status: 'live',
    version: '2',
    row: { id: 'c1', full_name: 'Name c1' },
    tombstone: null,
    timesApplied: 1,
    history: [
      { decision: 'stale', reason: 'older_version', version: '1', by: { kind: 'delivery', id: String(late) } },
      { decision: 'insert', version: '2', by: { kind: 'delivery', id: String(first) } },
    ],
  });
  await world.deliver({ events: [{ type: 'delete', record: { id: 'c1', version: 3 } }] });
  await world.ingest();
  t.match(await explainRecord(world.db, world.stream, 'c1'), {
    status: 'tombstone',
    row: null,
    tombstone: { version: '3', isSoft: false },
    history: [{ decision: 'delete', reason: 'said_deleted' }, {}, {}],
  });
});

test('a stream that was never registered cannot be run', async (t) => {
  const world = await createOwnWorld(t);
  const stranger = { ...world.stream, key: { integration: 'shop', entity: 'orders' } };
  await t.rejects(requestRun(world.db, stranger, wish), { message: /not registered/ });
});
