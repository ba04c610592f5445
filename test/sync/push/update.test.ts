import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { SourceError } from '../../../src/source/error.ts';
import { editAtSource } from '../../../src/sync/edit-at-source.ts';
import type { PushAnswer } from '../../../src/sync/push-answer.ts';
import { sharePushes, writesWith } from './world.ts';

const createWorld = sharePushes(file);
const bodyOf = (request: { readonly body: string | null } | undefined): unknown => JSON.parse(request?.body ?? 'null');

test('an edit reaches the source in one call that carries what was edited, and nothing else', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  t.same(await world.plan(), { taken: 1, planned: 1, isHolding: false });
  t.match(await world.push(), { looked: 1, calls: 1, settled: 1 });
  t.same(world.shop.sent.map(bodyOf), [{ name: 'Edited' }]);
  t.match(world.shop.records.get('c1'), { name: 'Edited', price: '9.50', version: 2 });
  t.match(await world.stateOf('c1'), { version: 2n, base: { name: 'Edited' }, shadow: { name: 'Edited' } });
  t.same(await world.states(), ['update done']);
  t.match(await world.tokens(), [{ state: 'confirmed', external_id: 'c1' }]);
  t.same(await world.push(), { looked: 0, calls: 0, settled: 0, again: 0, unknown: 0, parked: 0 });
});

test('a property that is mapped since the record was stored is read before anything of the record is sent', async (t) => {
  for (const sends of ['changes', 'record'] as const) {
    const world = await createWorld(t, { twoWay: { writes: writesWith({ sends, ifMatch: 'version' }) } });
    await world.known('c1');
    await world.forgetProperty('c1', 'price');
    await world.run(sql`UPDATE shop.customers SET price = NULL`);
    await world.edited('c1', { full_name: 'Edited' });
    await world.pushAll();
    t.same(world.shop.sent, [], 'nothing yet');
    t.same(await world.apply([world.see('c1', {}, { lo: Date.now() * 1_000, hi: Date.now() * 1_000 })]), ['repair']);
    t.match(await world.rowOf('c1'), { full_name: 'Edited', price: '9.50' });
    await world.pushAll();
    t.match(world.shop.sent.map(bodyOf), [sends === 'changes' ? { name: 'Edited' } : { name: 'Edited', price: '9.5' }]);
    t.match(world.shop.records.get('c1'), { name: 'Edited' });
    t.same(await world.conflicts(), []);
  }
});

test('what the row holds of a property mapped since gives way to the source, and is kept', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.forgetProperty('c1', 'price');
  await world.edited('c1', { price: '3' });
  await world.pushAll();
  await world.apply([world.see('c1')]);
  t.match(await world.rowOf('c1'), { price: '9.50' });
  t.match(await world.conflicts(), [{ kind: 'adopted', local: { price: '3' }, outcome: 'remote' }]);
  await world.pushAll();
  t.same(world.shop.sent, []);
});

test('edits of one row before its push join it', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  for (const name of ['One', 'Two', 'Three']) await world.edited('c1', { full_name: name });
  await world.pushAll();
  t.same(world.shop.sent.map(bodyOf), [{ name: 'Three' }]);
});

test('an edit that was taken back before its push is not sent', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  await world.edited('c1', { full_name: 'Name c1' });
  await world.pushAll();
  t.equal(world.shop.sent.length, 0);
  t.same(await world.states(), ['update done']);
});

test('a row takes the form in which the source keeps what was sent, without another call', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  world.shop.normalise = (fields) => ({ ...fields, name: String(fields.name).toUpperCase() });
  await world.edited('c1', { full_name: 'Edited' });
  await world.pushAll();
  t.equal((await world.rowOf('c1'))?.full_name, 'EDITED');
  await world.pushAll();
  t.equal(world.shop.sent.length, 1);
  t.same(await world.conflicts(), []);
});

test('an edit of which the source makes nothing though it answers well is taken back, and kept as a conflict', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  world.shop.normalise = ({ name: _, ...fields }) => fields;
  await world.edited('c1', { full_name: 'Ignored', price: '3.00' });
  await world.pushAll();
  t.match(await world.rowOf('c1'), { full_name: 'Name c1', price: '3.00' });
  t.match(await world.conflicts(), [
    {
      kind: 'both_changed',
      fields: ['name'],
      local: { name: 'Ignored' },
      remote: { name: 'Name c1' },
      outcome: 'remote',
    },
  ]);
  await world.pushAll();
  t.equal(world.shop.sent.length, 1, 'it is not sent again and again');
});

test('what a caller asked for and the source made nothing of is kept as a conflict too', async (t) => {
  const world = await createWorld(t, { twoWay: { mode: 'source-first' } });
  await world.known('c1');
  world.shop.normalise = () => ({});
  const values = { values: { name: 'Ignored' }, repeated: {} };
  await editAtSource(world.deps, 'c1', values, { ifMatch: null, form: 'some' }, new AbortController().signal);
  t.match(await world.rowOf('c1'), { full_name: 'Name c1' });
  t.match(await world.conflicts(), [{ local: { name: 'Ignored' }, remote: { name: 'Name c1' }, outcome: 'remote' }]);
});

test('where the newest value wins, an edit made while a push is under way wins over an earlier change of the source', async (t) => {
  const world = await createWorld(t, { versionKind: 'timestamp', twoWay: { policy: 'newest_wins' } });
  await world.known('c1', { version: Date.now() - 60_000 });
  await world.edited('c1', { price: '11' });
  const before = async () => {
    world.shop.change('c1', { name: 'There' });
    await world.edited('c1', { full_name: 'Here' });
  };
  world.shop.fates = [{ kind: 'with', before }];
  await world.pushAll();
  t.match(await world.rowOf('c1'), { full_name: 'Here', price: '11.00' });
  t.match(await world.conflicts(), [{ fields: ['name'], remote: { name: 'There' }, outcome: 'local' }]);
  await world.pushAll();
  t.match(world.shop.records.get('c1'), { name: 'Here', price: '11' });
});

test('a conflict that is met while a push is settled is told, and its record is stored as it was seen', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'manual' } });
  await world.known('c1');
  await world.edited('c1', { price: '11' });
  const before = async () => {
    world.shop.change('c1', { name: 'There' });
    await world.edited('c1', { full_name: 'Here' });
  };
  world.shop.fates = [{ kind: 'with', before }];
  await world.pushAll();
  t.match(await world.conflicts(), [{ fields: ['name'], base: { name: 'Name c1' }, outcome: null }]);
  t.match(await world.stateOf('c1'), {
    version: 3n,
    base: { name: 'There', price: '11' },
    shadow: { name: 'Name c1' },
  });
  t.equal((await world.history('c1')).at(-1), 'push conflict');
  t.same(await world.apply([world.see('c1', { name: 'There', price: '11', version: 3 })]), ['noop']);
  t.match(await world.conflicts(), [{ outcome: null }], 'its echo decides nothing');
});

test('an edit made while a push is under way is sent by a second call, and survives the answer of the first', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'First' });
  world.shop.fates = [{ kind: 'with', after: () => world.edited('c1', { full_name: 'Second' }) }];
  await world.pushAll();
  t.equal((await world.rowOf('c1'))?.full_name, 'Second');
  await world.pushAll();
  t.same(world.shop.sent.map(bodyOf), [{ name: 'First' }, { name: 'Second' }]);
  t.ok(await world.isInLine('c1'));
});

test('a write of which the source makes nothing, for a row that is edited again, counts as no change of the record', async (t) => {
  const world = await createWorld(t);
  await world.known('c1', { name: 'PLAIN' });
  const before = await world.stateOf('c1');
  world.shop.touches = false;
  world.shop.normalise = (fields) => ({ ...fields, name: String(fields.name).toUpperCase() });
  await world.edited('c1', { full_name: 'plain' });
  world.shop.fates = [{ kind: 'with', after: () => world.edited('c1', { full_name: 'Second' }) }];
  await world.plan();
  t.match(await world.push(), { settled: 1 });
  t.equal((await world.stateOf('c1'))?.appliedSeq, before?.appliedSeq);
  t.equal((await world.history('c1')).at(-1), 'push unchanged');
  t.equal((await world.rowOf('c1'))?.full_name, 'Second');
  await world.pushAll();
  t.match(world.shop.records.get('c1'), { name: 'SECOND' });
  t.equal((await world.stateOf('c1'))?.appliedSeq, Number(before?.appliedSeq) + 1);
});

test('what the source changed beside the pushed value arrives with the answer', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'with', before: async () => world.shop.change('c1', { amount: 7 }) }];
  await world.pushAll();
  t.match(await world.rowOf('c1'), { full_name: 'Edited', amount: 7 });
  t.equal(world.shop.writes, 1);
});

test('an edit of a value without a way back is undone, and kept as a conflict', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { amount: 99 });
  await world.pushAll();
  t.equal(world.shop.sent.length, 0);
  t.equal((await world.rowOf('c1'))?.amount, 1);
  t.match(await world.conflicts(), [
    { kind: 'both_changed', fields: ['amount'], local: { amount: 99 }, outcome: 'remote' },
  ]);
});

test('a record that has changed at the source is not written over where requests cannot be bound to a version', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  world.shop.change('c1', { price: '1.00' });
  await world.edited('c1', { full_name: 'Edited' });
  await world.plan();
  t.match(await world.push(), { calls: 1, again: 1 });
  t.equal(world.shop.sent.length, 0, 'the read shows it before anything is sent');
  t.match(await world.rowOf('c1'), { full_name: 'Edited', price: '1.00' });
  await world.pass(60_000);
  await world.pushAll();
  t.match(world.shop.records.get('c1'), { name: 'Edited', price: '1.00' });
  t.equal(world.shop.writes, 1);
});

test('a request that is bound to an old version is made anew, under a new key, once the record has been read again', async (t) => {
  const world = await createWorld(t, { twoWay: { writes: writesWith({ ifMatch: 'version' }) } });
  await world.known('c1');
  world.shop.change('c1', { price: '1.00' });
  await world.edited('c1', { full_name: 'Edited' });
  await world.plan();
  t.match(await world.push(), { calls: 1, again: 1 });
  t.same(
    (await world.hints()).map(({ external_id }) => external_id),
    ['c1'],
  );
  await world.apply([world.see('c1', { ...world.shop.records.get('c1') })]);
  await world.pass(60_000);
  await world.pushAll();
  t.match(world.shop.records.get('c1'), { name: 'Edited', price: '1.00' });
  t.same(
    world.shop.sent.map(({ headers }) => headers['if-match']),
    ['"1"', '"2"'],
  );
  t.same(
    (await world.tokens()).map(({ state }) => state),
    ['rejected', 'confirmed'],
  );
});

const answers: readonly [name: string, answer: PushAnswer, states: readonly string[]][] = [
  ['absent', { kind: 'absent', code: 'not_found', words: '' }, ['update done', 'update ready']],
  ['unauthorized', { kind: 'unauthorized', code: 'unauthorized', words: '' }, ['update done', 'update ready']],
  [
    'a wait',
    { kind: 'later', code: 'circuit_open', words: '', waitMs: 5_000, isLimit: false },
    ['update done', 'update ready'],
  ],
  ['refused', { kind: 'refused', code: 'bad_request', words: '' }, ['update parked refused']],
  ['unknown', { kind: 'unknown', code: 'timeout', words: '' }, ['update unknown']],
];
for (const [name, answer, states] of answers) {
  test(`after the answer "${name}" the edit stays, and nothing is sent twice at once`, async (t) => {
    const world = await createWorld(t, { twoWay: { writes: writesWith({ ifMatch: 'version' }) } });
    await world.known('c1');
    await world.edited('c1', { full_name: 'Edited' });
    world.shop.fates = [{ kind: 'answer', answer }];
    await world.plan();
    await world.push();
    t.same(await world.states(), states);
    t.equal((await world.rowOf('c1'))?.full_name, 'Edited');
    await world.push();
    t.equal(world.shop.sent.length, 1);
    t.equal((await world.tokens())[0]?.state, answer.kind === 'unknown' ? 'pending' : 'rejected');
  });
}

test('refused credentials pause the integration, and its pushes wait until it goes on', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [{ kind: 'answer', answer: { kind: 'unauthorized', code: 'unauthorized', words: '401' } }];
  await world.plan();
  await world.push();
  await world.pass(600_000);
  t.match(await world.push(), { looked: 0 });
  await world.run(sql`UPDATE sync.source_states SET paused = NULL, paused_detail = NULL, paused_at = NULL`);
  t.match(await world.push(), { settled: 1 });
});

test('a write that is not allowed waits for a person, and neither pauses the others nor is sent again by itself', async (t) => {
  const world = await createWorld(t);
  for (const id of ['c1', 'c2']) await world.known(id);
  await world.edited('c1', { full_name: 'Locked' });
  const answer = { kind: 'refused', code: 'forbidden', words: 'PATCH: 403' } as const;
  world.shop.fates = [{ kind: 'answer', answer }];
  await world.plan();
  await world.push();
  await world.edited('c2', { full_name: 'Free' });
  await world.plan();
  t.match(await world.push(), { settled: 1 });
  await world.pass(600_000);
  t.match(await world.push(), { looked: 0 });
  t.same((await world.states()).sort(), ['update done', 'update parked refused']);
  t.match(await world.run(sql`SELECT error_code FROM sync.outbox_pushes WHERE state = 'parked'`), [
    { error_code: 'forbidden' },
  ]);
  t.same(await world.run(sql`SELECT 1 AS one FROM sync.source_states WHERE paused IS NOT NULL`), []);
  t.equal((await world.rowOf('c1'))?.full_name, 'Locked', 'the row keeps the edit');
});

test('a record that may not be read before it is written is not written, and pauses nothing', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.onRead = async () => {
    throw new SourceError('forbidden', 'GET /customers/c1: 403', { status: 403 });
  };
  await world.plan();
  await world.push();
  t.same(await world.states(), ['update parked refused']);
  t.equal(world.shop.sent.length, 0);
  t.match(await world.run(sql`SELECT error_code, error FROM sync.outbox_pushes`), [
    { error_code: 'forbidden', error: /403.*the right to read this record/ },
  ]);
  t.same(await world.run(sql`SELECT 1 AS one FROM sync.source_states WHERE paused IS NOT NULL`), []);
});

test('a limit that the source names holds back every push to it', async (t) => {
  const world = await createWorld(t);
  for (const id of ['c1', 'c2']) await world.known(id);
  await world.edited('c1', { full_name: 'Edited' });
  world.shop.fates = [
    { kind: 'answer', answer: { kind: 'later', code: 'rate_limited', words: '429', waitMs: 30_000, isLimit: true } },
  ];
  await world.plan();
  await world.push();
  await world.edited('c2', { full_name: 'Other' });
  await world.plan();
  t.match(await world.push(), { looked: 0 });
  await world.pass(60_000);
  t.match(await world.push(), { settled: 2 });
});

test('waits that the source asks for count neither as calls of the budget nor as attempts', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  const answer: PushAnswer = { kind: 'later', code: 'rate_limited', words: '429', waitMs: 1_000, isLimit: true };
  world.shop.fates = Array.from({ length: 15 }, () => ({ kind: 'answer', answer }));
  await world.plan();
  for (let round = 0; round < 16; round++) {
    await world.push();
    await world.pass(10_000);
  }
  t.equal(world.shop.records.get('c1')?.name, 'Edited');
});

test('a value that the source refuses is shown, and a corrected one goes out and ends it', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Bad' });
  world.shop.fates = [{ kind: 'answer', answer: { kind: 'refused', code: 'bad_request', words: '422' } }];
  await world.pushAll();
  t.same(await world.states(), ['update parked refused']);
  await world.edited('c1', { full_name: 'Good' });
  await world.pushAll();
  t.same(await world.states(), ['update done', 'update done']);
  t.equal(world.shop.records.get('c1')?.name, 'Good');
});

test('a value without a way back through the mapping parks its push, by the name of its property', async (t) => {
  const world = await createWorld(t, {
    twoWay: { unmap: () => ({ ok: false, property: 'name', expected: 'one of the known names' }) },
  });
  await world.known('c1');
  await world.edited('c1', { full_name: 'Secret' });
  await world.pushAll();
  t.same(await world.states(), ['update parked unmappable']);
  const [push] = await world.run(sql`SELECT error FROM sync.outbox_pushes`);
  t.match(push, { error: /^name: expected one of the known names/ });
});

test('what edits the row after each of our writes is stopped by the budget, and shown', async (t) => {
  const world = await createWorld(t, { twoWay: { budget: { calls: 3, perMs: 600_000 } } });
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  for (let round = 0; round < 8; round++) {
    await world.pushAll();
    await world.edited('c1', { full_name: `Round ${round}` });
  }
  await world.pushAll();
  t.equal(world.shop.writes, 3);
  t.ok((await world.states()).includes('update parked loop_suspected'));
});

test('where the answer does not show the record, it is read, and not assumed', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  world.shop.showsRecord = false;
  world.shop.normalise = (fields) => ({ ...fields, name: String(fields.name).toUpperCase() });
  await world.edited('c1', { full_name: 'Edited' });
  await world.pushAll();
  t.equal((await world.rowOf('c1'))?.full_name, 'EDITED');
  t.equal((await world.stateOf('c1'))?.version, 2n);
});

test('a read that may lag does not undo what the source has just confirmed', async (t) => {
  const world = await createWorld(t, { readLagMs: 2_000 });
  await world.known('c1');
  world.shop.showsRecord = false;
  await world.edited('c1', { full_name: 'edited' });
  world.shop.normalise = (fields) => ({ ...fields, name: String(fields.name).toUpperCase() });
  await world.plan();
  t.match(await world.push(), { unknown: 1 });
  t.equal((await world.rowOf('c1'))?.full_name, 'edited');
  t.match(await world.resolve(), { looked: 0 });
  await world.pass(2_100);
  t.match(await world.resolve(), { settled: 1 });
  t.equal((await world.rowOf('c1'))?.full_name, 'EDITED');
  t.equal(world.shop.writes, 1);
});

test('while a conflict of its row waits for a person, nothing of it is pushed', async (t) => {
  const world = await createWorld(t, { twoWay: { policy: 'manual' } });
  await world.known('c1');
  await world.edited('c1', { full_name: 'Here' });
  await world.apply([world.see('c1', { name: 'There', version: 2 })]);
  await world.pushAll();
  t.equal(world.shop.sent.length, 0);
  t.match(await world.conflicts(), [{ outcome: null }]);
});

test('two workers at once send one request', async (t) => {
  const world = await createWorld(t);
  await world.known('c1');
  await world.edited('c1', { full_name: 'Edited' });
  await world.plan();
  const [one, other] = [world.worker(), world.worker()];
  await Promise.all([one.push(), other.push(), one.resolve(), other.resolve()]);
  t.equal(world.shop.sent.length, 1);
  t.ok(await world.isInLine('c1'));
});
