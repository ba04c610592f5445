import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { NewHint } from '../../src/model/hint.ts';
import { SourceError } from '../../src/source/error.ts';
import { enqueueHints } from '../../src/store/hints.ts';
import { readStream } from '../../src/store/streams.ts';
import { resumeIntegration } from '../../src/sync/pause.ts';
import { rereadOnce } from '../../src/sync/reread.ts';
import { createWorker, customer, KEY, shareDatabase, upsert, type World } from './world.ts';

const createWorld = shareDatabase(file);
const NEVER = new AbortController().signal;
const HOUR_MS = 3_600_000;

async function want(world: World, id: string, over: Partial<NewHint> = {}): Promise<void> {
  const now = await world.now();
  const hint = {
    externalId: id,
    reason: 'hook',
    needLo: now,
    minVersion: null,
    runAt: now,
    attempt: 0,
    correlationId: 'corr',
    runId: null,
    ...over,
  } as const;
  await enqueueHints(world.db, KEY, [hint]);
}

test('a read by a lagging replica does not end the hint: the record is read until it shows what was told', async (t) => {
  const world = await createWorld(t, { readLagMs: 5_000 });
  world.source.records.set('c1', customer('c1', { name: 'old', version: 1 }));
  await want(world, 'c1', { minVersion: 2n });
  t.same(await world.reread(), { claimed: 1, applied: 1 });
  t.match(await world.hints(), [{ external_id: 'c1', state: 'ready' }]);
  t.same(await world.reread(), { claimed: 0, applied: 0 }, 'not before the replica may have caught up');
  world.source.records.set('c1', customer('c1', { name: 'new', version: 2 }));
  await world.pass(5_000);
  await world.reread();
  t.equal((await world.row('c1'))?.full_name, 'new');
  t.same(await world.hints(), []);
});

test('a record that a lagging replica does not know yet is not taken for deleted', async (t) => {
  const world = await createWorld(t, { readLagMs: 5_000 });
  await want(world, 'c1');
  await world.reread();
  t.same(await world.rows(), []);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await world.settle();
  t.equal((await world.rows()).length, 1);
});

test('a 404 deletes only by a read that is later than all that showed the record', async (t) => {
  const world = await createWorld(t, { readLagMs: 5_000 });
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  await want(world, 'c1');
  await world.reread();
  t.equal((await world.rows()).length, 1, 'the replica may only not have it yet');
  await world.pass(10_000);
  await world.reread();
  t.same(await world.rows(), []);
});

test('a worker that dies with a hint leaves it leased, and another takes it when the lease has run out', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await want(world, 'c1');
  await t.rejects(rereadOnce(createWorker(world.db, world.stream, { crashAt: 'C4' }).deps, 10, NEVER));
  t.match(await world.hints(), [{ state: 'leased', attempt: 1 }]);
  t.same(await world.reread(), { claimed: 0, applied: 0 });
  await world.pass(HOUR_MS);
  t.same(await world.reread(), { claimed: 1, applied: 1 });
  t.same(await world.hints(), []);
});

test('an answer that comes after the lease was taken over is forgotten', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { name: 'seen late', version: 1 }));
  await want(world, 'c1');
  const slow = createWorker(world.db, world.stream, {
    async at(point) {
      if (point !== 'C5') return;
      world.source.records.set('c1', customer('c1', { name: 'seen by the heir', version: 2 }));
      await world.pass(HOUR_MS);
      await world.reread();
    },
  });
  t.same(await rereadOnce(slow.deps, 10, NEVER), { claimed: 1, applied: 0 });
  t.equal((await world.row('c1'))?.full_name, 'seen by the heir');
  t.same(await world.hints(), []);
});

test('an answer that comes while an heir still reads is forgotten too', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await want(world, 'c1');
  const slow = createWorker(world.db, world.stream, {
    async at(point) {
      if (point !== 'C5') return;
      await world.pass(HOUR_MS);
      await t.rejects(rereadOnce(createWorker(world.db, world.stream, { crashAt: 'C4' }).deps, 10, NEVER));
    },
  });
  t.same(await rereadOnce(slow.deps, 10, NEVER), { claimed: 1, applied: 0 });
  t.same(await world.rows(), []);
  t.match(await world.hints(), [{ state: 'leased', attempt: 2 }]);
});

test('a sudden burst of records not found deletes only so many rows, and the rest stays wanted', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0, minimum: 3 } });
  const ids = Array.from({ length: 8 }, (_, place) => `c${place}`);
  await world.deliver(upsert(...ids.map((id) => customer(id, { version: 1 }))));
  await world.ingest();
  for (const id of ids) await want(world, id);
  await world.reread();
  t.equal((await world.rows()).length, 5);
  t.equal((await world.hints()).length, 5);
  t.match(await world.reread(), { claimed: 0 }, 'and is not asked again at once');
});

test('a wish that comes while its record is being read is kept beside the leased one', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { name: 'before', version: 1 }));
  await want(world, 'c1');
  world.source.onGet = async () => {
    world.source.onGet = () => {};
    await want(world, 'c1');
    t.same((await world.hints()).map(({ state }) => state).sort(), ['leased', 'ready']);
  };
  await world.reread();
  world.source.records.set('c1', customer('c1', { name: 'after', version: 2 }));
  await world.reread();
  t.equal((await world.row('c1'))?.full_name, 'after');
});

test('a failed read keeps the need and waits as long as the source says', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 7 }));
  await want(world, 'c1', { minVersion: 7n });
  for (const code of ['rate_limited', 'server_error', 'timeout', 'circuit_open', 'forbidden'] as const) {
    world.source.onGet = () => {
      throw new SourceError(code, 'GET /customers/{id}: no', { retryAfterMs: 60_000 });
    };
    t.match(await world.reread(), { claimed: 1, applied: 0 }, code);
    t.match(await world.hints(), [{ state: 'ready', min_version: '7' }]);
    await world.pass(59_000);
    t.match(await world.reread(), { claimed: 0 }, 'not before Retry-After');
    await world.pass(2_000);
  }
  world.source.onGet = () => {};
  await world.reread();
  t.equal((await world.rows()).length, 1);
});

test('never do 401, 403, 5xx or timeouts delete a row, however often they come', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  await want(world, 'c1');
  const codes = ['unauthorized', 'forbidden', 'server_error', 'timeout', 'network'] as const;
  for (let attempt = 0; attempt < 12; attempt++) {
    world.source.onGet = () => {
      throw new SourceError(codes[attempt % codes.length] ?? 'timeout', 'GET /customers/{id}: no');
    };
    await world.pass(HOUR_MS);
    await world.reread();
    await resumeIntegration(world.db, 'shop', 'operator');
  }
  t.equal((await world.rows()).length, 1);
  t.match(await world.hints(), [{ state: 'ready' }]);
  t.same(await world.deadLetters(), []);
});

test('a record that can never be read ends as a dead letter', async (t) => {
  const world = await createWorld(t);
  world.source.onGet = () => {
    throw new SourceError('bad_id', 'GET /customers/{id}: the id cannot stand in a path');
  };
  await want(world, '..');
  await world.reread();
  t.same(await world.hints(), []);
  t.match(await world.deadLetters(), [{ externalId: '..', errorCode: 'bad_id', channel: 'get' }]);

  world.source.onGet = () => {
    throw new SourceError('invalid_response', 'GET /customers/{id}: expected an object, got text');
  };
  await want(world, 'c1');
  for (let attempt = 1; attempt <= 8; attempt++) {
    t.match(await world.hints(), [{ attempt: attempt - 1 }]);
    await world.pass(HOUR_MS);
    await world.reread();
  }
  t.same(await world.hints(), []);
  t.match((await world.deadLetters())[0], { externalId: 'c1', errorCode: 'invalid_response' });
});

test('another record than the one asked for deletes nothing and is shown to a person', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  world.source.records.set('c1', customer('c2', { version: 1 }));
  await want(world, 'c1');
  await world.reread();
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c1'],
  );
  t.match(await world.deadLetters(), [{ externalId: 'c1', errorCode: 'wrong_record' }]);
});

test('a record that is no longer of this entity loses its row', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { version: 1 })));
  await world.ingest();
  world.source.records.set('c1', { id: 'c1', kind: 'product' });
  await want(world, 'c1');
  await world.reread();
  t.same(await world.rows(), []);
});

test('a record that does not map is set aside and its hint is done', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', { id: 'c1', name: 42 });
  await want(world, 'c1');
  await world.reread();
  t.same(await world.hints(), []);
  t.match(await world.deadLetters(), [{ externalId: 'c1', errorCode: 'wrong_kind', channel: 'get' }]);
});

test('a child whose parent is missing is read again, and given up in the end', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { parent: 'p1', version: 1 }));
  world.source.records.set('c2', customer('c2', { parent: 'nobody', version: 1 }));
  await want(world, 'c1');
  await want(world, 'c2');
  await world.reread();
  t.match(await world.hints(), [{ state: 'ready' }, { state: 'ready' }]);
  await world.run(sql`INSERT INTO shop.parents VALUES ('p1')`);
  await world.settle();
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c1'],
  );
  t.match(await world.deadLetters(), [{ externalId: 'c2', errorCode: 'database_foreign_key' }]);
});

test('an older version read by id is believed only after it stayed for a while', async (t) => {
  const world = await createWorld(t);
  await world.deliver(upsert(customer('c1', { name: 'lost', version: 9 })));
  await world.ingest();
  world.source.records.set('c1', customer('c1', { name: 'restored', version: 2 }));
  await want(world, 'c1');
  await world.reread();
  t.equal((await world.row('c1'))?.full_name, 'lost');
  t.match(await world.hints(), [{ state: 'ready' }]);
  await world.pass(61_000);
  await world.reread();
  t.match(await world.row('c1'), { full_name: 'restored' });
  t.equal((await world.stateOf('c1'))?.version, 2n);
});

test('a stop while a read is under way keeps the hint for the next worker', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  const stop = new AbortController();
  world.source.onGet = (_id, signal) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new SourceError('aborted', 'stopped')));
      stop.abort();
    });
  await want(world, 'c1');
  t.same(await rereadOnce(world.deps, 10, stop.signal), { claimed: 1, applied: 0 });
  t.match(await world.hints(), [{ external_id: 'c1' }]);
});

test('a hint of a stream that cannot read by id any more is owed as a full run', async (t) => {
  const world = await createWorld(t, { canGet: false });
  await world.run(sql`UPDATE sync.streams SET needs_full_at = NULL`);
  await want(world, 'c1');
  t.same(await world.reread(), { claimed: 1, applied: 0 });
  t.same(await world.hints(), []);
  t.ok((await readStream(world.db, KEY))?.needsFullAt);
});

test('an expected absence stays expected when other wishes for the record join it', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0, minimum: 0 } });
  const orders = [
    ['hook', 'delete'],
    ['delete', 'hook'],
    ['verify', 'sweep'],
    ['reconcile_ids', 'hook'],
  ] as const;
  const now = await world.now();
  for (const [place, reasons] of orders.entries()) {
    await world.deliver(upsert(customer(`apart${place}`, { version: 1 }), customer(`at-once${place}`, { version: 1 })));
    await world.ingest();
    for (const reason of reasons) await want(world, `apart${place}`, { reason });
    const common = { needLo: now, minVersion: null, runAt: now, attempt: 0, correlationId: null, runId: null };
    await enqueueHints(
      world.db,
      KEY,
      reasons.map((reason) => ({ ...common, externalId: `at-once${place}`, reason })),
    );
  }
  await world.settle();
  t.same(await world.rows(), [], 'no brake holds these deletions back');
});

test('reads that come too early, and absences not believed, are no failed attempts', async (t) => {
  const world = await createWorld(t, { readLagMs: 5_000, deletions: { maxShare: 0, minimum: 0 } });
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await want(world, 'c1', { minVersion: 2n, attempt: 5 });
  await world.reread();
  t.match(await world.hints(), [{ external_id: 'c1', attempt: 0 }]);
  world.source.records.delete('c1');
  await world.run(sql`UPDATE sync.hints SET attempt = 5`);
  await world.pass(HOUR_MS);
  await world.reread();
  t.match(await world.hints(), [{ external_id: 'c1', attempt: 0 }]);
  t.equal((await world.rows()).length, 1);
});

test('of two hints of one record the one that failed less often counts', async (t) => {
  const world = await createWorld(t);
  await want(world, 'c1', { attempt: 7 });
  await want(world, 'c1');
  t.match(await world.hints(), [{ attempt: 0 }]);
  await want(world, 'c1', { attempt: 3 });
  t.match(await world.hints(), [{ attempt: 0 }]);
});

test('reads of one integration can be taken without those of others', async (t) => {
  const world = await createWorld(t);
  world.source.records.set('c1', customer('c1', { version: 1 }));
  await want(world, 'c1');
  t.same(await rereadOnce(world.deps, 10, NEVER, { integrations: ['other'] }), { claimed: 0, applied: 0 });
  t.same(await rereadOnce(world.deps, 10, NEVER, { integrations: ['shop'] }), { claimed: 1, applied: 1 });
});

test('two hints of one record merge into what satisfies both', async (t) => {
  const world = await createWorld(t);
  await want(world, 'c1', { minVersion: 3n });
  await want(world, 'c1', { minVersion: 2n });
  t.match(await world.hints(), [{ min_version: '3' }]);
  await want(world, 'c1');
  t.match(await world.hints(), [{ min_version: null }], 'a wish for a later read is not granted by any version');
});

test('when suddenly every record reads like another entity’s, the brake holds their deletion back', async (t) => {
  const world = await createWorld(t, { deletions: { maxShare: 0.1, minimum: 2 } });
  const ids = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'];
  await world.deliver(upsert(...ids.map((id) => customer(id, { version: 1 }))));
  await world.ingest();
  for (const id of ids) world.source.records.set(id, { id, kind: 'product', version: 2 });
  await world.deliver({ events: ids.map((id) => ({ type: 'changed', id })) });
  await world.ingest();
  for (let round = 0; round < 3; round++) {
    await world.pass(3_600_000);
    await world.reread();
  }
  t.equal((await world.rows()).length, 4, 'as many as the brake allows, and no more');
});

const GET_MANY = { path: '/customers', idsParam: 'ids', items: 'data', key: 'id', max: 3 };

test('hints of one stream are read together, and what the answer does not show is read by itself', async (t) => {
  const world = await createWorld(t, { getMany: GET_MANY });
  await world.deliver(upsert(customer('c5', { version: 1 })));
  await world.ingest();
  for (let place = 0; place < 5; place++) {
    world.source.records.set(`c${place}`, customer(`c${place}`, { version: 1 }));
    await want(world, `c${place}`);
  }
  await want(world, 'c5', { reason: 'delete' });
  t.same(await world.reread(), { claimed: 6, applied: 6 });
  t.same(
    world.source.gotMany.map((ids) => ids.length),
    [3, 3],
    'no more at once than the source takes',
  );
  t.same(world.source.got, ['c5'], 'only its own 404 says that it is gone');
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c0', 'c1', 'c2', 'c3', 'c4'],
  );
  t.same(await world.hints(), []);
});

test('a read of many that is refused falls back to single reads, one that the source cannot answer is put off once', async (t) => {
  const world = await createWorld(t, { getMany: GET_MANY });
  for (const id of ['c1', 'c2']) {
    world.source.records.set(id, customer(id, { version: 1 }));
    await want(world, id);
  }
  for (const round of [1, 2]) {
    world.source.onGetMany = () => {
      throw new SourceError('circuit_open', 'GET /customers: not sent', { retryAfterMs: 30_000 });
    };
    t.match(await world.reread(), { claimed: 2, applied: 0 });
    t.same(world.source.got, [], 'nobody asks one by one');
    t.match(await world.hints(), [{ attempt: round }, { attempt: round }]);
    await world.pass(31_000);
  }
  t.match(await world.reread(), { claimed: 2, applied: 2 }, 'the third attempt is made one by one');
  t.same(world.source.got.toSorted(), ['c1', 'c2']);

  for (const id of ['c1', 'c2']) await want(world, id);
  world.source.onGetMany = () => {
    throw new SourceError('bad_request', 'GET /customers: 400');
  };
  t.match(await world.reread(), { claimed: 2 });
  t.equal(world.source.got.length, 4);
});

test('a record that a rule skips is a dead letter at once, and one that is in conflict only in the end', async (t) => {
  const world = await createWorld(t);
  world.source.onGet = (id) => {
    throw new SourceError(id === 'skip' ? 'skipped' : 'conflict', 'GET /customers/{id}: no');
  };
  await want(world, 'skip');
  await want(world, 'clash');
  await world.reread();
  t.match(await world.deadLetters(), [{ externalId: 'skip', errorCode: 'skipped' }]);
  for (let attempt = 1; attempt < 8; attempt++) {
    await world.pass(HOUR_MS);
    await world.reread();
  }
  t.same(await world.hints(), []);
  t.equal((await world.deadLetters()).length, 2);
});

test('an outage, however long, leaves a read attempts for what comes after it', async (t) => {
  const world = await createWorld(t);
  await want(world, 'c1');
  for (let attempt = 0; attempt < 20; attempt++) {
    world.source.onGet = () => {
      throw new SourceError('network', 'GET /customers/{id}: refused');
    };
    await world.pass(HOUR_MS);
    await world.reread();
  }
  world.source.onGet = () => {
    throw new SourceError('invalid_response', 'GET /customers/{id}: no object');
  };
  await world.pass(HOUR_MS);
  await world.reread();
  t.match(await world.hints(), [{ state: 'ready' }]);
  t.same(await world.deadLetters(), []);
});

test('what a delivery asks for is claimed apart from what a run asks for, and a wish of both is urgent', async (t) => {
  const world = await createWorld(t);
  const runId = '01a1fd07-abda-72fa-aa81-229987e03ce3';
  await want(world, 'hooked');
  for (const id of ['swept', 'both']) await want(world, id, { reason: 'sweep', runId });
  await want(world, 'both', { reason: 'hook' });
  await want(world, 'asked', { reason: 'reconcile_ids', runId });
  t.match(await rereadOnce(world.deps, 10, NEVER, { kind: 'urgent' }), { claimed: 3 });
  t.same(world.source.got.toSorted(), ['asked', 'both', 'hooked']);
  world.source.onGet = () => {
    throw new SourceError('timeout', 'GET /customers/{id}: late');
  };
  t.match(await rereadOnce(world.deps, 10, NEVER, { kind: 'later' }), { claimed: 1 });
  await world.pass(HOUR_MS);
  t.match(
    await rereadOnce(world.deps, 10, NEVER, { kind: 'urgent' }),
    { claimed: 0 },
    'put off, it stands back as before',
  );
});

test('a hint of an entity that this server does not know is not forgotten: its next full run is owed', async (t) => {
  const world = await createWorld(t);
  await world.reconcile();
  await world.deliver({ events: [{ type: 'changed', id: 'c1' }] });
  await world.ingest();
  const owed = () => world.run(sql`SELECT needs_full_at IS NOT NULL AS is_owed FROM sync.streams`);
  t.match(await owed(), [{ is_owed: false }]);
  const older = createWorker(world.db, world.stream).deps;
  await rereadOnce({ ...older, streams: new Map() }, 10, NEVER);
  t.same(await world.hints(), []);
  t.match(await owed(), [{ is_owed: true }]);
});

test('as many reads as there are wait side by side without a warning of a leak', async (t) => {
  const world = await createWorld(t);
  for (let n = 0; n < 20; n++) await want(world, `c${n}`);
  const warnings: string[] = [];
  const note = ({ name }: Error) => void warnings.push(name);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  world.source.onGet = (_id, signal) => signal.addEventListener('abort', () => {});
  t.match(await world.reread(), { claimed: 20 });
  await new Promise(setImmediate); // warnings are told a moment later
  t.same(warnings, []);
});
