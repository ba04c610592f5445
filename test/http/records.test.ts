import { test } from 'tap';
import { contact, holdWrites } from '../app/crm.ts';
import { expectProblem, until } from '../app/setup.ts';
import { createGate } from '../helpers/gate.ts';
import { type Answer, json, load, type RecordDocument, reconcile, startWorld } from './crm-world.ts';

test('editing records', async (t) => {
  const { crm, app, send, read } = await startWorld(t);
  const ids = Array.from({ length: 20 }, (_, place) => `c${place}`);
  await load(app, crm, ids);

  await t.test('an edit is in the row at once, and at the source by one call for what was changed', async (t) => {
    const response = await send('PATCH', '/records/crm/contacts/c0', { email: 'new@example.com', balance: 12.345 });
    t.equal(response.status, 202);
    const { record, push } = await json<Answer>(response);
    t.match(record, { id: 'c0', row: { email_address: 'new@example.com', balance: 12.35 } });
    t.equal(response.headers.get('etag'), record?.etag);
    t.ok(push?.id);
    await until('the source has it', () => crm.records.get('c0')?.email === 'new@example.com');
    await until('the push is settled', async () => (await read('c0')).twoWay?.pushes[0]?.outcome === 'confirmed');
    const calls = crm.writes.filter(({ path }) => path === '/contacts/c0');
    t.same(
      calls.map(({ method, body }) => [method, body]),
      [['PATCH', { email: 'new@example.com', balance: '12.35' }]],
    );
    const after = await read('c0');
    t.same(after.twoWay?.dirty, []);
    t.match(
      after.history.map(({ decision, by }) => `${decision} ${by.kind} ${by.id}`),
      [/^push push /, 'update operator edit'],
    );
    t.same(await app.sql('SELECT 1 AS one FROM sync.local_changes'), [], 'it is not captured a second time');
  });

  await t.test(
    'with wait the answer comes when the source has it, with the form in which the source keeps it',
    async (t) => {
      const response = await send('PATCH', '/records/crm/contacts/c1?wait=true', { name: '  Ann  ' });
      t.equal(response.status, 200);
      const { record, push } = await json<Answer>(response);
      t.match(push, { state: 'done', outcome: 'confirmed', recordId: 'c1' });
      t.match(record, { row: { name: 'Ann' }, twoWay: { dirty: [] } });
    },
  );

  await t.test('what the row holds already is no edit', async (t) => {
    const before = await read('c2');
    const response = await send('PATCH', '/records/crm/contacts/c2', { email: 'c2@example.com', tags: { a: 1 } });
    t.equal(response.status, 200);
    t.match(await json<Answer>(response), { push: null, record: { id: 'c2', etag: before.etag } });
    t.same((await read('c2')).twoWay?.pushes, []);
  });

  await t.test('a whole record takes what is read-only as it is, and nothing may be missing', async (t) => {
    const { row } = await read('c3');
    const whole = {
      externalId: 'c3',
      email: 'whole@example.com',
      name: null,
      balance: '1',
      age: 31,
      isActive: false,
      bornOn: '1991-01-01',
      tags: ['x'],
      revision: 1,
      system: 'crm',
      changedAt: row?.changed_at,
    };
    const { age: _age, ...partial } = whole;
    const missing = await expectProblem(t, await send('PUT', '/records/crm/contacts/c3', partial), 422);
    t.match(missing.errors, [{ field: 'age', received: 'missing' }]);
    const other = await send('PUT', '/records/crm/contacts/c3', { ...whole, revision: 7 });
    t.match((await expectProblem(t, other, 422)).errors, [{ field: 'revision', expected: /read-only/ }]);
    const response = await send('PUT', '/records/crm/contacts/c3?wait=true', whole);
    t.equal(response.status, 200);
    t.match(crm.records.get('c3'), {
      email: 'whole@example.com',
      name: null,
      balance: '1',
      age: 31,
      tags: ['x'],
      rev: 2,
    });
  });

  await t.test('of two edits of the same version one is refused, and nothing of it is kept', async (t) => {
    const { etag } = await read('c4');
    const answers = await Promise.all(
      ['first', 'second'].map((name) => send('PATCH', '/records/crm/contacts/c4', { name }, { 'if-match': etag })),
    );
    t.same(answers.map(({ status }) => status).sort(), [202, 412]);
    const [refused] = answers.filter(({ status }) => status === 412);
    const [taken] = answers.filter(({ status }) => status === 202);
    const { etag: now } = await read('c4');
    t.notSame(now, etag);
    t.match(await json(refused as Response), { type: 'urn:syncline:problem:record-changed' });
    const { record } = await json<Answer>(taken as Response);
    t.equal((await read('c4')).row?.name, record?.row?.name);
  });

  await t.test('an entity tag changes with every edit, whoever makes it, and not with another look', async (t) => {
    const tags = [(await read('c5')).etag, (await read('c5')).etag];
    t.equal(tags[0], tags[1]);
    await app.sql(`UPDATE crm_contacts SET age = 41 WHERE external_id = 'c5'`);
    tags.push((await read('c5')).etag);
    await send('PATCH', '/records/crm/contacts/c5?wait=true', { age: 42 });
    tags.push((await read('c5')).etag);
    await send('PATCH', '/records/crm/contacts/c5?wait=true', { age: 30 });
    tags.push((await read('c5')).etag);
    t.equal(new Set(tags.slice(1)).size, 4);
  });

  await t.test(
    'If-Match: * asks that there is a record; tags of which none matches, weak ones and nonsense are refused',
    async (t) => {
      const path = '/records/crm/contacts/c6';
      t.equal((await send('PATCH', path, { age: 50 }, { 'if-match': '*' })).status, 202);
      const { etag } = await read('c6');
      await expectProblem(t, await send('PATCH', path, { age: 51 }, { 'if-match': `W/${etag}` }), 412);
      await expectProblem(t, await send('PATCH', path, { age: 51 }, { 'if-match': '"x", "y"' }), 412);
      await expectProblem(t, await send('PATCH', path, { age: 51 }, { 'if-match': 'nonsense' }), 400);
      await expectProblem(t, await send('PATCH', '/records/crm/contacts/nobody', { age: 1 }, { 'if-match': '*' }), 412);
      await expectProblem(t, await send('PATCH', '/records/crm/contacts/nobody', { age: 1 }), 404);
    },
  );

  await t.test('an edit during a call reaches the source after it, by a call of its own', async (t) => {
    const write = holdWrites(crm, ({ path, body }) => path === '/contacts/c7' && 'age' in (body as object));
    await send('PATCH', '/records/crm/contacts/c7', { age: 61 });
    await write.called;
    const during = await send('PATCH', '/records/crm/contacts/c7', { name: 'later' });
    t.equal(during.status, 202);
    write.release();
    await until(
      'both have arrived',
      () => crm.records.get('c7')?.name === 'later' && crm.records.get('c7')?.age === 61,
    );
    await until('nothing is left to send', async () => (await read('c7')).twoWay?.dirty.length === 0);
    crm.gate = () => undefined;
    t.same(
      crm.writes.filter(({ path }) => path === '/contacts/c7').map(({ body }) => body),
      [{ age: 61 }, { name: 'later' }],
    );
    t.match(await read('c7'), { row: { age: 61, name: 'later' } });
  });

  await t.test('removing a record deletes it at the source', async (t) => {
    const response = await send('DELETE', '/records/crm/contacts/c8?wait=true');
    t.equal(response.status, 200);
    t.equal(crm.records.has('c8'), false);
    t.match(await read('c8'), { status: 'tombstone', row: null });
    await expectProblem(t, await send('DELETE', '/records/crm/contacts/c8'), 404);
  });

  await t.test('what the source refuses stays in the row, and the answer says so', async (t) => {
    crm.gate = () => ({ status: 422, body: { message: 'no' } });
    const response = await send('PATCH', '/records/crm/contacts/c9?wait=true', { age: 70 });
    crm.gate = () => undefined;
    t.equal(response.status, 200);
    t.match(await json<Answer>(response), {
      push: { state: 'parked', parked: 'refused' },
      record: { row: { age: 70 }, twoWay: { dirty: ['age'] } },
    });
  });

  await t.test('rules of the table hold, and nothing of a refused row is written or sent', async (t) => {
    const response = await send('PATCH', '/records/crm/contacts/c10', { age: 99, name: 'canary-name' });
    const problem = await expectProblem(t, response, 422);
    t.match(problem, { type: 'urn:syncline:problem:row-refused', detail: /constraint age_is_no_guess/ });
    t.notMatch(JSON.stringify(problem), 'canary-name');
    t.match(await read('c10'), { row: { age: 30 }, twoWay: { pushes: [] } });
  });

  await t.test('what an edit does not name is left as it is, to the last digit', async (t) => {
    const tags = '{"n": 12345678901234567890}';
    await app.sql(`UPDATE crm_contacts SET tags = '${tags}' WHERE external_id = 'c11'`);
    t.equal((await send('PATCH', '/records/crm/contacts/c11?wait=true', { name: 'x' })).status, 200);
    crm.records.set('c11', { ...(crm.records.get('c11') ?? contact('c11')), age: 44, rev: 9 });
    await reconcile(app);
    t.same(await app.sql(`SELECT name, age, tags::text AS tags FROM crm_contacts WHERE external_id = 'c11'`), [
      { name: 'x', age: 44, tags },
    ]);
  });

  await t.test('numbers that JSON would round are refused, wherever they stand', async (t) => {
    for (const tags of ['12345678901234567890', '{"a": [1, {"b": -9007199254740993}]}']) {
      const problem = await expectProblem(
        t,
        await send('PATCH', '/records/crm/contacts/c12', `{"tags": ${tags}}`),
        422,
      );
      t.match(problem.errors, [{ field: 'tags', expected: /as text/ }]);
    }
    const exact = { tags: { a: [9007199254740991, 0.1, '12345678901234567890', null] } };
    t.equal((await send('PATCH', '/records/crm/contacts/c12?wait=true', exact)).status, 200);
    t.same(crm.records.get('c12')?.tags, exact.tags);
  });

  await t.test('lists and waits take no parameter that they do not know', async (t) => {
    for (const list of ['/conflicts', '/pushes', '/dead-letters', '/sync/runs'])
      await expectProblem(t, await app.get(`${list}?status=open`), 422);
    await expectProblem(t, await send('PATCH', '/records/crm/contacts/c12?wiat=true', { age: 1 }), 422);
    for (const number of ['0x10', '1e2', '+5', ' 5', '', '99999999999999999999']) {
      await expectProblem(t, await app.get(`/dead-letters?limit=${encodeURIComponent(number)}`), 422);
      await expectProblem(t, await app.get(`/dead-letters?before=${encodeURIComponent(number)}`), 422);
    }
  });

  await t.test('a mirror takes no edits', async (t) => {
    const problem = await expectProblem(t, await send('PATCH', '/records/crm/mirrored/c0', { age: 1 }), 405);
    t.equal(problem.type, 'urn:syncline:problem:not-two-way');
    await expectProblem(t, await send('PATCH', '/records/crm/nowhere/c0', { age: 1 }), 404);
    await expectProblem(t, await send('PATCH', '/records/nowhere/contacts/c0', { age: 1 }), 404);
  });
});

test('creating records', async (t) => {
  const { crm, app, send, read } = await startWorld(t);

  await t.test('a row stands at once under a key of its own, and gets the record’s id from the source', async (t) => {
    const gate = createGate();
    crm.gate = async () => void (await gate.opened) as undefined;
    const response = await send('POST', '/records/crm/contacts', { email: 'a@example.com', name: ' Ann ' });
    t.equal(response.status, 202);
    const { record, push } = await json<Answer>(response);
    t.match(record, { id: null, status: 'none', row: { email_address: 'a@example.com', system: 'crm' } });
    const key = record?.twoWay?.key ?? '';
    t.match(key, /^local-/);
    const edited = await send('PATCH', `/records/crm/contacts/${key}`, { age: 5 });
    t.equal(edited.status, 202);
    gate.open();
    await until(
      'both are there',
      async () => (await app.get(`/records/crm/contacts/${key}`)).status === 404 && crm.records.get('new1')?.age === 5,
    );
    crm.gate = () => undefined;
    t.match(await json(await app.get(`/pushes/${push?.id}`)), {
      state: 'done',
      outcome: 'confirmed',
      recordId: 'new1',
    });
    t.match(await read('new1'), { id: 'new1', status: 'live', row: { external_id: 'new1', name: 'Ann', age: 5 } });
    t.equal(crm.writes.filter(({ method }) => method === 'POST').length, 1);
  });

  await t.test('the same idempotency key creates one record, however often and at once it is sent', async (t) => {
    const before = crm.records.size;
    const create = () =>
      send('POST', '/records/crm/contacts?wait=true', { email: 'once@example.com' }, { 'idempotency-key': 'once-1' });
    const answers = await Promise.all([create(), create(), create()]);
    t.same(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    const documents = await Promise.all(answers.map((answer) => json<Answer>(answer)));
    t.equal(new Set(documents.map(({ push }) => push?.id)).size, 1);
    t.equal(new Set(documents.map(({ record }) => record?.id)).size, 1);
    t.match(await json<Answer>(await create()), { record: { id: documents[0]?.record?.id } });
    t.equal(crm.records.size, before + 1);
    const other = { email: 'other@example.com' };
    const reused = await send('POST', '/records/crm/contacts', other, { 'idempotency-key': 'once-1' });
    t.equal((await expectProblem(t, reused, 422)).type, 'urn:syncline:problem:idempotency-key-reused');
    await expectProblem(t, await send('POST', '/records/crm/contacts', other, { 'idempotency-key': 'x y' }), 400);
  });

  await t.test('a key that a row has is not written over', async (t) => {
    t.equal(
      (await send('POST', '/records/crm/contacts?wait=true', { email: 'k@example.com', externalId: 'mine' })).status,
      200,
    );
    const taken = await send('POST', '/records/crm/contacts', { email: 'l@example.com', externalId: 'new1' });
    t.equal((await expectProblem(t, taken, 409)).type, 'urn:syncline:problem:key-taken');
    t.equal((await read('new1')).row?.email_address, 'a@example.com');
  });

  await t.test('what the table cannot do without is asked for', async (t) => {
    const problem = await expectProblem(t, await send('POST', '/records/crm/contacts', { name: 'x' }), 422);
    t.match(problem.errors, [{ field: 'email', received: 'missing' }]);
  });
});

test('edits while a record is being created', async (t) => {
  const { crm, app, send, read } = await startWorld(t);
  const write = holdWrites(crm, ({ method }) => method === 'POST');
  const { record } = await json<Answer>(send('POST', '/records/crm/contacts', { email: 'a@example.com' }));
  const path = `/records/crm/contacts/${record?.twoWay?.key}`;
  await write.called;
  const removed = await expectProblem(t, await send('DELETE', path), 409);
  t.equal(removed.type, 'urn:syncline:problem:push-in-flight');
  const edited = send('PATCH', `${path}?wait=true`, { age: 5 });
  await until('it waits', async () => (await app.get(path).then((one) => json<RecordDocument>(one))).row?.age === 5);
  write.release();
  const answer = await edited;
  t.equal(answer.status, 200);
  t.match(await json<Answer>(answer), { record: { id: 'new1', row: { age: 5 } }, push: { outcome: 'confirmed' } });
  t.equal(crm.records.get('new1')?.age, 5);
  t.match(await read('new1'), { row: { email_address: 'a@example.com', age: 5 } });
});

test('what the definition does not have is answered as that, before any value is looked at', async (t) => {
  for (const mode of ['target-first', 'source-first'] as const) {
    const { crm, app, send } = await startWorld(t, { mode }, { without: ['create'] });
    await load(app, crm, ['c0']);
    const problem = await expectProblem(t, await send('POST', '/records/crm/contacts', { agee: 1 }), 405);
    t.match(problem, { type: 'urn:syncline:problem:not-supported', detail: /write\.create/ });
  }
});

test('where the source takes no updates, a row that it has not created yet is edited, and its create sends that', async (t) => {
  const { crm, app, send } = await startWorld(t, { debounce: '1h' }, { without: ['update'] });
  await load(app, crm, ['c0']);
  const refused = await expectProblem(t, await send('PATCH', '/records/crm/contacts/c0', { age: 5 }), 405);
  t.match(refused.detail, /write\.update/);
  const { record, push } = await json<Answer>(send('POST', '/records/crm/contacts', { email: 'a@example.com' }));
  const answer = await send('PATCH', `/records/crm/contacts/${record?.twoWay?.key}`, { age: 5 });
  t.equal(answer.status, 202);
  await app.sql(`UPDATE sync.outbox_pushes SET run_at = clock_timestamp() WHERE id = '${push?.id}'`);
  await until('it is created', () => crm.records.get('new1')?.age === 5);
  t.same(
    crm.writes.map(({ method }) => method),
    ['POST'],
  );
});

test('removals by routes have the brake of those by SQL', async (t) => {
  const { crm, app, send, read } = await startWorld(t, { massDelete: { minimum: 2, maxShare: 0 } });
  await load(app, crm, ['c0', 'c1', 'c2', 'c3']);
  for (const id of ['c0', 'c1']) t.equal((await send('DELETE', `/records/crm/contacts/${id}?wait=true`)).status, 200);
  for (const id of ['c2', 'c3']) {
    const problem = await expectProblem(t, await send('DELETE', `/records/crm/contacts/${id}`), 409);
    t.equal(problem.type, 'urn:syncline:problem:deletes-held');
    t.equal((await read(id)).row?.age, 30);
  }
  t.same([...crm.records.keys()], ['c2', 'c3']);
  const held = await app.sql(`SELECT held_deletes FROM sync.streams WHERE entity = 'contacts'`);
  t.match(held, [{ held_deletes: '3 rows were removed within 10 min' }]);
});
