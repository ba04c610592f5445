import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { readStream } from '../../src/store/streams.ts';
import { ingestOnce } from '../../src/sync/ingest.ts';
import { MAX_WAITS_FOR_OTHERS } from '../../src/sync/retry.ts';
import { createWorker, customer, KEY, shareDatabase, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);
const stateMarks = (world: World) =>
  world.run(sql`SELECT external_id, xmin::text || ctid::text AS written FROM sync.record_states ORDER BY 1`);

test('a delivery becomes a row, and the same content again writes nothing', async (t) => {
  const world = await createWorld(t);
  const id = await world.deliver(upsert(customer('c1', { version: 1 })));
  t.match(await world.ingest(), { claimed: 1, applied: 1 });
  t.match(await world.deliveryOf(id), { state: 'applied', outcome: 'insert' });
  const [row] = await world.rows();
  t.match(row, { id: 'c1', full_name: 'Name c1', amount: 1 });
  const before = await stateMarks(world);
  await world.deliver(upsert(customer('c1', { version: 1 })));
  t.match(await world.ingest(), { claimed: 1, applied: 0 });
  t.same(await world.rows(), [row]);
  t.same(await stateMarks(world), before, 'its state is not written either');
});

test('deliveries in any order end at the newest version, and a late one says why it did nothing', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { name: 'three', version: 3 })));
  await world.ingest();
  const late = await world.deliver(upsert(customer('c1', { name: 'two', version: 2 })));
  await world.deliver(
    upsert(customer('c1', { name: 'four', version: 4 }), customer('c1', { name: 'one', version: 1 })),
  );
  await world.ingest();
  t.equal((await world.row('c1'))?.full_name, 'four');
  t.match(await world.deliveryOf(late), { state: 'applied', outcome: 'stale' });
  const reasons = await world.run(sql`SELECT decision, reason FROM sync.record_history WHERE decision = 'stale'`);
  t.same(reasons, [
    { decision: 'stale', reason: 'older_version' },
    { decision: 'stale', reason: 'older_version' },
  ]);
});

for (const order of ['in order', 'reversed']) {
  test(`two updates of one second end equal to the source when they come ${order}`, async (t) => {
    const world = await createWorld(t, { versionKind: 'timestamp' });
    const version = 1_700_000_000_000_000;
    const first = customer('c1', { name: 'first', version });
    const second = customer('c1', { name: 'second', version });
    world.source.records.set('c1', second);
    for (const record of order === 'reversed' ? [second, first] : [first, second]) {
      await world.deliver(upsert(record));
      await world.ingest();
    }
    await world.settle();
    t.equal((await world.row('c1'))?.full_name, 'second');
  });
}

test('a deletion followed by a late update leaves no row, by every kind of deletion', async (t) => {
  for (const caps of [
    { deleteEvents: 'versioned', canUndelete: true },
    { deleteEvents: 'unversioned', canUndelete: false },
    { deleteEvents: 'unversioned', canUndelete: true },
    { deleteEvents: 'unversioned', canUndelete: false, canGet: false },
  ] as const) {
    const world = await createWorld(t, caps);
    await world.deliver(upsert(customer('c1', { version: 1 })));
    await world.ingest();
    await world.deliver({ events: [{ type: 'delete', record: { id: 'c1', version: 3 } }] });
    await world.ingest();
    await world.settle();
    t.same(await world.rows(), [], JSON.stringify(caps));
    await world.deliver(upsert(customer('c1', { version: 2 })));
    await world.settle();
    t.same(await world.rows(), [], 'the late update does not revive it');
    t.equal((await world.stateOf('c1'))?.status, 'tombstone');
  }
});

test('a deletion that may have been undone since is looked up before it counts', async (t) => {
  const world = await createWorld(t, { deleteEvents: 'unversioned', canUndelete: true });
  world.source.records.set('c1', customer('c1', { name: 'restored', version: 9 }));
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.deliver({ events: [{ type: 'gone', id: 'c1' }] });
  await world.settle();
  t.equal((await world.row('c1'))?.full_name, 'restored');
});

test('a record’s own mark of deletion removes its row', async (t) => {
  const world = await createWorld(t, { deleteEvents: 'versioned' });
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  await world.deliver(upsert(customer('c1', { version: 2, deleted: true })));
  await world.ingest();
  t.same(await world.rows(), []);
});

test('a thin payload makes the record be read, once for a burst of them', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { name: 'read', version: 5 }));
  for (let copy = 0; copy < 3; copy++) await world.deliver({ events: [{ type: 'changed', id: 'c1', version: 5 }] });
  t.match(await world.ingest(), { claimed: 3, applied: 0 });
  t.match(await world.hints(), [{ external_id: 'c1', reason: 'hook', min_version: '5' }]);
  t.same(await world.reread(), { claimed: 1, applied: 1 });
  t.equal((await world.row('c1'))?.full_name, 'read');
  t.same(await world.hints(), []);
});

test('a partial payload keeps the fields that it does not carry, and is looked up across a gap', async (t) => {
  const world = await createWorld(t, { keepsBase: true });
  const patch = (previousVersion: number, record: object) => ({ events: [{ type: 'patch', record, previousVersion }] });
  await world.deliver(upsert(customer('c1', { name: 'kept', amount: 1, version: 1 })));
  await world.ingest();
  await world.deliver(patch(1, { id: 'c1', amount: 2, version: 2 }));
  await world.ingest();
  t.match(await world.row('c1'), { full_name: 'kept', amount: 2 });
  t.same(await world.hints(), [], 'no read is needed');

  world.source.records.set('c1', customer('c1', { name: 'missed', amount: 4, version: 4 }));
  await world.deliver(patch(3, { id: 'c1', amount: 4, version: 4 }));
  await world.ingest();
  t.match(await world.row('c1'), { full_name: 'kept', amount: 2 }, 'nothing is sealed under a newer version');
  await world.settle();
  t.match(await world.row('c1'), { full_name: 'missed', amount: 4 });

  world.source.records.set('c1', customer('c1', { name: 'unmapped', version: 5 }));
  await world.deliver(patch(4, { id: 'c1', name: 'unusable', version: 5 }));
  await world.settle();
  t.match(await world.row('c1'), { full_name: 'unmapped' }, 'one that does not map by itself is looked up too');
});

test('a partial payload may clear a field, and one that is missing is not null', async (t) => {
  const world = await createWorld(t, { keepsBase: true });
  await world.deliver(upsert(customer('c1', { code: 'x', version: 1 })));
  await world.deliver({
    events: [{ type: 'patch', record: { id: 'c1', name: null, version: 2 }, previousVersion: 1 }],
  });
  await world.ingest();
  t.match(await world.row('c1'), { full_name: null, code: 'x' });
});

test('without versions a first hook shows at once and later ones are looked up', async (t) => {
  const world = await createWorld(t, { versionKind: 'none' });
  world.source.records.set('c1', customer('c1', { name: 'now' }));
  await world.deliver(upsert(customer('c1', { name: 'then' })));
  await world.ingest();
  t.equal((await world.row('c1'))?.full_name, 'then');
  await world.settle();
  t.equal((await world.row('c1'))?.full_name, 'now');
  await world.deliver(upsert(customer('c1', { name: 'then' })));
  await world.settle();
  t.equal((await world.row('c1'))?.full_name, 'now');
});

test('one poisoned record of a delivery leaves the others applied, and is found as a dead letter', async (t) => {
  const world = await createWorld(t);
  const id = await world.deliver(
    upsert(customer('c1', { version: 1 }), customer('bad', { name: 42, version: 1 }), customer('c2', { version: 1 })),
  );
  await world.ingest();
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c1', 'c2'],
  );
  t.match(await world.deadLetters(), [{ externalId: 'bad', errorCode: 'wrong_kind', fieldPath: 'name', inboxId: id }]);
  t.match(await world.deliveryOf(id), { state: 'applied', outcome: 'insert,unmapped' });
});

test('an unreadable delivery is a dead letter, and its neighbours are applied', async (t) => {
  const world = await createWorld(t);
  const bad = await world.deliver(Buffer.from('{"events": ['));
  const odd = await world.deliver({ events: 'none' });
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  t.equal((await world.rows()).length, 1);
  t.match(await world.deliveryOf(bad), { state: 'dead', outcome: 'not_json' });
  t.match(await world.deliveryOf(odd), { state: 'dead', outcome: 'batch_missing' });
  t.match(await world.deadLetters(), [
    { inboxId: odd, entity: null, errorCode: 'batch_missing' },
    { inboxId: bad, entity: null, errorCode: 'not_json' },
  ]);
});

test('unknown types, records of other kinds and empty bodies are acknowledged and leave nothing', async (t) => {
  const world = await createWorld(t);
  const unknown = await world.deliver({ events: [{ type: 'invoice.paid', record: {} }] });
  const other = await world.deliver(upsert({ id: 'p1', kind: 'product' }));
  const empty = await world.deliver(Buffer.alloc(0));
  await world.ingest();
  t.match(await world.deliveryOf(unknown), { state: 'skipped', outcome: 'unknown_type' });
  t.match(await world.deliveryOf(other), { state: 'skipped', outcome: 'not_ours' });
  t.same(await world.hints(), [], 'a record that we never held is not asked for');
  t.match(await world.deliveryOf(empty), { state: 'skipped', outcome: 'empty_body' });
  t.same(await world.deadLetters(), []);
});

test('a record that an event shows to have left its entity is read again, and then removed', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  await world.deliver(upsert({ id: 'c1', kind: 'product', version: 2 }));
  await world.ingest();
  t.match(await world.hints(), [{ external_id: 'c1', reason: 'hook' }]);
  world.source.records.set('c1', { id: 'c1', kind: 'product', version: 2 });
  await world.settle();
  t.same(await world.rows(), []);
});

test('a delete event about a record of another kind deletes nothing and asks for nothing', async (t) => {
  const world = await createWorld(t, { canUndelete: false });
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  const foreign = await world.deliver({ events: [{ type: 'delete', record: { id: 'p9', kind: 'product' } }] });
  await world.ingest();
  t.match(await world.deliveryOf(foreign), { state: 'skipped', outcome: 'not_ours' });
  t.equal((await world.rows()).length, 1);
  t.same(await world.hints(), []);
});

test('of a good and a bad version in one batch the good one is applied', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 1 }), customer('c2', { version: 1 })));
  await world.deliver(upsert(customer('c1', { version: 2, amount: -1 })));
  await world.ingest();
  t.match(await world.row('c1'), { amount: 1 });
  t.match(await world.deadLetters(), [{ externalId: 'c1' }]);
});

test('a dead letter is superseded when a later sighting shows what we hold', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  await world.deliver(upsert(customer('c1', { version: 2, amount: -1 })));
  await world.ingest();
  t.equal((await world.deadLetters()).length, 1);
  await world.deliver(upsert(customer('c1', { version: 3 })));
  await world.ingest();
  t.same(await world.deadLetters(), []);
  t.match(await world.deadLetters('superseded'), [{ externalId: 'c1' }]);
});

test('a late copy of what we hold does not close the dead letter of a newer version', async (t) => {
  for (const versionKind of ['counter', 'none'] as const) {
    const world = await createWorld(t, { versionKind });
    await world.deliver(upsert(customer('c1', { version: 1 })));
    await world.ingest();
    await world.deliver(upsert(customer('c1', { version: 2, name: 42 })));
    await world.ingest();
    t.equal((await world.deadLetters()).length, 1);
    await world.deliver(upsert(customer('c1', { version: 1 })));
    await world.ingest();
    t.equal((await world.deadLetters()).length, 1, `${versionKind}: the mapping has no version to compare by`);
  }
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 2 })));
  await world.ingest();
  await world.deliver(upsert(customer('c1', { version: 3, amount: -1 })));
  await world.ingest();
  for (const version of [1, 2]) {
    await world.deliver(upsert(customer('c1', { version })));
    await world.ingest();
    t.equal((await world.deadLetters()).length, 1, `version ${version}`);
  }
  await world.deliver(upsert(customer('c1', { version: 4 })));
  await world.ingest();
  t.same(await world.deadLetters(), []);
});

test('where nothing can be read by id, what would be a read is owed as a full run', async (t) => {
  const owed = async (world: World) => (await readStream(world.db, KEY))?.needsFullAt != null;
  const told = [
    ['a record that has left', upsert({ id: 'c1', kind: 'product', version: 2 }), true],
    ['a deletion that does not pass for ours', { events: [{ type: 'delete', record: { id: 'c1', kind: 'x' } }] }, true],
    ['a foreign record', upsert({ id: 'p1', kind: 'product', version: 2 }), false],
    [
      'a patch across a gap',
      { events: [{ type: 'patch', record: { id: 'c1', version: 9 }, previousVersion: 8 }] },
      true,
    ],
    ['a thin event', { events: [{ type: 'changed', id: 'c1' }] }, true],
  ] as const;
  for (const [what, body, isOwed] of told) {
    const world = await createWorld(t, { canGet: false, keepsBase: true });
    await world.deliver(upsert(customer('c1', { version: 1 })));
    await world.ingest();
    await world.run(sql`UPDATE sync.streams SET needs_full_at = NULL`);
    await world.deliver(body);
    await world.ingest();
    t.same(await world.hints(), [], what);
    t.equal(await owed(world), isOwed, what);
    t.equal((await world.rows()).length, 1, 'nothing is removed on the event’s word');
  }
});

test('a record that has left its entity loses its row by the next two full runs where it cannot be read', async (t) => {
  const world = await createWorld(t, { canGet: false, deletions: { maxShare: 1, minimum: 5 } });
  for (const id of ['c1', 'c2']) world.source.records.set(id, customer(id, { version: 1 }));
  await world.reconcile();
  await world.pass(60_000);
  world.source.records.set('c1', { id: 'c1', kind: 'product', version: 2 });
  await world.deliver({ events: [{ type: 'delete', record: { id: 'c1', kind: 'product' } }] });
  await world.ingest();
  await world.reconcile();
  await world.reconcile();
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c2'],
  );
});

test('a child waits for its parent, and is given up only after its last attempt', async (t) => {
  const world = await createWorld(t);
  const child = await world.deliver(upsert(customer('c1', { parent: 'p1', version: 1 })));
  const orphan = await world.deliver(upsert(customer('c2', { parent: 'nobody', version: 1 })));
  await world.ingest();
  t.match(await world.deliveryOf(child), { state: 'received', outcome: 'defer', attempt: 1 });
  t.same(await world.deadLetters(), []);
  await world.run(sql`INSERT INTO shop.parents VALUES ('p1')`);
  for (let attempt = 2; attempt <= MAX_WAITS_FOR_OTHERS; attempt++) {
    await world.pass(3_600_000);
    await world.ingest();
  }
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c1'],
  );
  t.match(await world.deliveryOf(child), { state: 'applied', outcome: 'insert' });
  t.match(await world.deliveryOf(orphan), { state: 'applied', outcome: 'quarantine', attempt: MAX_WAITS_FOR_OTHERS });
  t.match(await world.deadLetters(), [{ externalId: 'c2', errorCode: 'database_foreign_key', attempt: 1 }]);
});

test('while its table is missing a stream’s deliveries wait, and nothing becomes a dead letter', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`ALTER TABLE shop.customers RENAME TO elsewhere`);
  const id = await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  t.match(await world.deliveryOf(id), { state: 'received', outcome: 'hold' });
  t.match(await world.run(sql`SELECT paused_reason FROM sync.streams`), [{ paused_reason: /missing/ }]);
  t.same(await world.deadLetters(), []);
  await world.run(sql`ALTER TABLE shop.elsewhere RENAME TO customers`);
  await world.pass(60_000);
  await world.ingest();
  t.match(await world.deliveryOf(id), { state: 'applied', outcome: 'insert' });
});

test('waiting for a table is no failure: the attempts stay unspent', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`ALTER TABLE shop.customers RENAME TO elsewhere`);
  const id = await world.deliver(upsert(customer('c1', { version: 1 })));
  for (let pass = 0; pass < 3; pass++) {
    await world.ingest();
    t.match(await world.deliveryOf(id), { state: 'received', outcome: 'hold', attempt: 0 });
    await world.pass(60_000);
  }
});

test('after a lock that it did not get the worker reports nothing claimed, so that it waits before it tries again', async (t) => {
  for (const code of ['55P03', '40001']) {
    const world = await createWorld(t);
    const id = await world.deliver(upsert(customer('c1', { version: 1 })));
    const refused = createWorker(world.db, world.stream, {
      at(point) {
        if (point === 'C3') throw Object.assign(new Error('refused'), { code });
      },
    });
    t.same(await ingestOnce(refused.deps, 10), { claimed: 0, applied: 0, hints: 0 }, code);
    t.match(await world.deliveryOf(id), { state: 'received', attempt: 0 });
  }
});

test('a dead delivery that its provider sends again is worked on again, others are known', async (t) => {
  const world = await createWorld(t);
  const dead = await world.deliver(Buffer.from('{'), { dedupeKey: 'd1' });
  const applied = await world.deliver(upsert(customer('c2', { version: 1 })), { dedupeKey: 'd2' });
  await world.ingest();
  t.match(await world.deliveryOf(dead), { state: 'dead' });
  t.equal(await world.deliver(upsert(customer('c2', { version: 2 })), { dedupeKey: 'd2' }), -1);
  t.match(await world.deliveryOf(applied), { state: 'applied' });
  t.equal(await world.deliver(upsert(customer('c1', { version: 1 })), { dedupeKey: 'd1' }), dead, 'it is stored');
  t.match(await world.deliveryOf(dead), { state: 'received', attempt: 0, outcome: null });
  t.same(await world.deadLetters(), [], 'its dead letter is answered');
  await world.ingest();
  t.match(await world.deliveryOf(dead), { state: 'applied', outcome: 'insert' });
  t.ok(await world.row('c1'));
});

test('the last delivery of a stream is its own, not the last of the batch', async (t) => {
  const world = await createWorld(t);
  const own = await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.run(sql`UPDATE sync.inbox_deliveries SET received_at = received_at - interval '1 hour'`);
  await world.deliver({ events: [{ type: 'invoice.paid', record: {} }] });
  await world.ingest();
  const [stored] = await world.run(
    sql`SELECT (extract(epoch FROM received_at) * 1000000)::float8 AS at FROM sync.inbox_deliveries WHERE id = ${own}`,
  );
  t.equal(world.counted()?.lastHookAt, stored?.at);
});

test('a worker that dies between claim and commit leaves the delivery to the next one', async (t) => {
  const world = await createWorld(t);
  const id = await world.deliver(upsert(customer('c1', { version: 1 })));
  await t.rejects(ingestOnce(createWorker(world.db, world.stream, { crashAt: 'C3' }).deps, 10));
  t.match(await world.deliveryOf(id), { state: 'received', attempt: 0 });
  await t.rejects(
    ingestOnce(createWorker(world.db, world.stream, { crashAt: 'C6' }).deps, 10),
    'dies after the commit',
  );
  t.match(await world.deliveryOf(id), { state: 'applied' });
  t.equal((await world.rows()).length, 1);
  t.same(await world.ingest(), { claimed: 0, applied: 0, hints: 0 });
});

test('when a batch fails for no record’s sake each delivery is tried alone, and a hopeless one is given up in the end', async (t) => {
  const world = await createWorld(t);
  const good = await world.deliver(upsert(customer('c1', { version: 1 })));
  const bad = await world.deliver(upsert(customer('boom', { version: 1 })));
  const broken = new Error('no record’s fault');
  const { mapper } = world.stream;
  Object.assign(world.stream, {
    mapper: {
      ...mapper,
      map(raw: { id?: unknown }, how?: { isPartial?: boolean }) {
        if (raw.id === 'boom') throw broken;
        return mapper.map(raw, how);
      },
    },
  });
  await world.ingest();
  t.match(await world.deliveryOf(good), { state: 'applied' });
  t.match(await world.deliveryOf(bad), { state: 'received', outcome: 'internal', attempt: 1 });
  for (let attempt = 2; attempt <= 8; attempt++) {
    await world.pass(3_600_000);
    await world.ingest();
  }
  t.match(await world.deliveryOf(bad), { state: 'dead', outcome: 'internal' });
  t.match(await world.deadLetters(), [{ inboxId: bad, errorCode: 'internal' }]);
});

test('what deliveries brought is counted, for the missed-webhook rate', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c2', customer('c2', { version: 1 }));
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.deliver({ events: [{ type: 'changed', id: 'c2' }] });
  await world.ingest();
  await world.reread();
  t.match(world.counted(), { hookApplied: 2, driftMissing: 0 });
});
