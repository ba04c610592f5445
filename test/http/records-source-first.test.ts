import { test } from 'tap';
import { field } from '../../src/mapping/field.ts';
import { lowercase } from '../../src/mapping/transforms/text.ts';
import { contact, holdWrites } from '../app/crm.ts';
import { expectProblem, until } from '../app/setup.ts';
import { type Answer, json, load, type PushDocument, reconcile, startWorld } from './crm-world.ts';

test('edits of streams that write source-first', async (t) => {
  const { crm, app, send, read } = await startWorld(t, { mode: 'source-first' });
  await load(app, crm, ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6']);

  await t.test('the row changes once the source has, to what the source made of it', async (t) => {
    const write = holdWrites(crm);
    const answer = send('PATCH', '/records/crm/contacts/c0', { name: '  Ann ' });
    await write.called;
    t.equal((await read('c0')).row?.name, 'Name of c0');
    write.release();
    const response = await answer;
    crm.gate = () => undefined;
    t.equal(response.status, 200);
    t.match(await json<Answer>(response), {
      record: { row: { name: 'Ann', revision: 2 }, twoWay: { dirty: [] } },
      push: { carries: 'request', outcome: 'confirmed' },
    });
    t.equal(crm.writes.length, 1);
  });

  await t.test('what the source refuses changes nothing here', async (t) => {
    crm.gate = () => ({ status: 422, body: { message: 'canary-answer' } });
    const problem = await expectProblem(t, await send('PATCH', '/records/crm/contacts/c1', { age: 44 }), 422);
    crm.gate = () => undefined;
    t.equal(problem.type, 'urn:syncline:problem:source-refused');
    t.notMatch(JSON.stringify(problem), 'canary-answer');
    t.match(await read('c1'), {
      row: { age: 30 },
      twoWay: { dirty: [], pushes: [{ state: 'done', outcome: 'not_done' }] },
    });
    t.match(await json(await app.get('/pushes')), { pushes: [] });
  });

  await t.test('a record that has changed at the source is not written over', async (t) => {
    crm.records.set('c2', contact('c2', { age: 55, rev: 9 }));
    const problem = await expectProblem(t, await send('PATCH', '/records/crm/contacts/c2', { age: 44 }), 409);
    t.equal(problem.type, 'urn:syncline:problem:source-changed');
    t.equal(crm.records.get('c2')?.age, 55);
    t.equal((await read('c2')).row?.age, 55, 'what was seen of it is here by now');
  });

  await t.test('an answer that is lost is told as unknown, and found out afterwards', async (t) => {
    crm.afterwards = () => 'hang_up';
    const response = await send('PATCH', '/records/crm/contacts/c3', { age: 66 });
    t.equal(response.status, 202);
    const { push } = await json<Answer>(response);
    t.equal(push?.state, 'unknown');
    t.equal((await read('c3')).row?.age, 30);
    crm.afterwards = () => undefined;
  });

  await t.test('creating writes the row once the source has named the record, and once for a key', async (t) => {
    const create = () => send('POST', '/records/crm/contacts', { email: 'n@example.com' }, { 'idempotency-key': 'k' });
    const response = await create();
    t.equal(response.status, 200);
    const { record } = await json<Answer>(response);
    t.match(record, { id: 'new1', status: 'live', row: { external_id: 'new1', email_address: 'n@example.com' } });
    const again = await create();
    t.equal(again.status, 200);
    t.match(await json<Answer>(again), { record: { id: 'new1' } });
    t.equal(crm.writes.filter(({ method }) => method === 'POST').length, 1);
    const own = await send('POST', '/records/crm/contacts', { email: 'n@example.com', externalId: 'mine' });
    t.match((await expectProblem(t, own, 422)).errors, [{ field: 'externalId' }]);
  });

  await t.test('a create that was turned down is made by the next try under its key, once', async (t) => {
    const create = () => send('POST', '/records/crm/contacts', { email: 'k@example.com' }, { 'idempotency-key': 'k2' });
    crm.gate = () => ({ status: 422, body: {} });
    await expectProblem(t, await create(), 422);
    await expectProblem(t, await create(), 422);
    crm.gate = () => ({ status: 403, body: {} });
    await expectProblem(t, await create(), 422);
    crm.gate = () => ({ status: 401, body: {} });
    await expectProblem(t, await create(), 503);
    crm.gate = () => undefined;
    await send('POST', '/integrations/crm/resume');
    const made = await create();
    t.equal(made.status, 200);
    const { record } = await json<Answer>(made);
    t.match(await json<Answer>(create()), { record: { id: record?.id } });
    t.equal([...crm.records.values()].filter(({ email }) => email === 'k@example.com').length, 1);
    const other = await send('POST', '/records/crm/contacts', { email: 'o@example.com' }, { 'idempotency-key': 'k2' });
    t.equal((await expectProblem(t, other, 422)).type, 'urn:syncline:problem:idempotency-key-reused');
  });

  await t.test('removing removes the row once the source has deleted the record', async (t) => {
    crm.gate = () => ({ status: 401, body: {} });
    await expectProblem(t, await send('DELETE', '/records/crm/contacts/c4'), 503);
    crm.gate = () => undefined;
    t.equal((await read('c4')).status, 'live');
    await expectProblem(t, await send('DELETE', '/records/crm/contacts/c4'), 503);
    await send('POST', '/integrations/crm/resume');
    const response = await send('DELETE', '/records/crm/contacts/c4');
    t.equal(response.status, 200);
    t.match(await read('c4'), { status: 'tombstone', row: null });
  });

  await t.test(
    'what the source does not allow is answered with what may be missing, changes nothing and pauses nothing',
    async (t) => {
      crm.gate = ({ path }) => (path.endsWith('/c6') ? { status: 403, body: {} } : undefined);
      for (const wish of [['PATCH', { age: 77 }] as const, ['DELETE'] as const]) {
        const problem = await expectProblem(t, await send(wish[0], '/records/crm/contacts/c6', wish[1]), 422);
        t.match(problem, {
          type: 'urn:syncline:problem:source-refused',
          sourceCode: 'forbidden',
          detail: /403.*the right to write this record.*Grant it, then retry/,
        });
      }
      t.match(await read('c6'), { status: 'live', row: { age: 30 } });
      t.match(await json(app.get('/status/crm')), { source: { paused: null } });
      t.equal((await send('PATCH', '/records/crm/contacts/c5', { name: 'free' })).status, 200, 'others go on');
      crm.gate = () => undefined;
      t.equal((await send('PATCH', '/records/crm/contacts/c6', { age: 77 })).status, 200);
    },
  );

  await t.test('an edit of the row itself still goes to the source after it', async (t) => {
    const { etag } = await read('c5');
    await expectProblem(t, await send('PATCH', '/records/crm/contacts/c5', { age: 1 }, { 'if-match': '"other"' }), 412);
    t.equal((await send('PATCH', '/records/crm/contacts/c5', { age: 31 }, { 'if-match': etag })).status, 200);
  });
});

test('an edit made here while a record is being deleted there is kept, or stands, by the policy', async (t) => {
  for (const conflict of ['source_wins', 'target_wins'] as const) {
    const { crm, app, send, read } = await startWorld(t, { mode: 'source-first', conflict });
    await load(app, crm, ['c0', 'c1']);
    const write = holdWrites(crm);
    const removed = send('DELETE', '/records/crm/contacts/c0');
    await write.called;
    await app.sql(`UPDATE crm_contacts SET age = 77 WHERE external_id = 'c0'`);
    write.release();
    crm.gate = () => undefined;
    t.equal((await removed).status, 200);
    t.equal((await send('DELETE', '/records/crm/contacts/c1')).status, 200);
    const { conflicts } = await json<{ conflicts: object[] }>(app.get('/conflicts'));
    t.match(
      conflicts,
      [{ kind: 'deleted_at_source', recordId: 'c0', local: { age: 77 } }],
      'and of what was not edited none',
    );
    if (conflict === 'source_wins') t.match(await read('c0'), { status: 'tombstone', row: null });
    else await until('it is created again', () => crm.records.get('new1')?.age === 77);
  }
});

test('removals by source-first routes have the brake of those by SQL', async (t) => {
  const { crm, app, send } = await startWorld(t, { mode: 'source-first', massDelete: { minimum: 2, maxShare: 0 } });
  await load(app, crm, ['c0', 'c1', 'c2', 'c3', 'c4']);
  crm.gate = () => ({ status: 422, body: {} });
  for (let tries = 0; tries < 4; tries++) await expectProblem(t, await send('DELETE', '/records/crm/contacts/c0'), 422);
  crm.gate = () => undefined;
  t.equal((await send('DELETE', '/records/crm/contacts/c0')).status, 200, 'what was turned down removed nothing');
  t.equal((await send('DELETE', '/records/crm/contacts/c1')).status, 200);
  for (const id of ['c2', 'c3']) {
    const problem = await expectProblem(t, await send('DELETE', `/records/crm/contacts/${id}`), 409);
    t.equal(problem.type, 'urn:syncline:problem:deletes-held');
  }
  t.same([...crm.records.keys()], ['c2', 'c3', 'c4']);
  t.match(app.logged(), 'removals of rows are held back');
});

test('where removals detach, a removal by a route leaves the record at the source alone', async (t) => {
  for (const mode of ['source-first', 'target-first'] as const) {
    const { crm, app, send, read } = await startWorld(t, { mode, localDeletes: 'detach' });
    await load(app, crm, ['c0']);
    const response = await send('DELETE', '/records/crm/contacts/c0?wait=true');
    t.equal(response.status, 200);
    t.match(await json<Answer>(response), { push: { outcome: 'nothing_to_send' } });
    t.match(await read('c0'), { row: null });
    t.same(crm.writes, []);
    await reconcile(app);
    t.match(await read('c0'), { row: null }, 'and it stays away');
  }
});

test('a write whose answer was lost is known by what comes back of it, in the form that the mapping gives it', async (t) => {
  const mapping = { email: field('email', lowercase) };
  const { crm, app, send } = await startWorld(t, { mode: 'source-first' }, { mapping });
  await load(app, crm, ['c0']);
  crm.afterwards = () => 'hang_up';
  const { push } = await json<Answer>(send('PATCH', '/records/crm/contacts/c0', { email: 'Ann@Example.com' }));
  crm.afterwards = () => undefined;
  t.equal(push?.state, 'unknown');
  await app.sql(
    `UPDATE sync.outbox_pushes SET deadline = deadline - interval '1 hour', run_at = clock_timestamp() WHERE id = '${push?.id}'`,
  );
  await until('it is known', async () => (await json<PushDocument>(app.get(`/pushes/${push?.id}`))).state === 'done');
  t.match(await json(app.get(`/pushes/${push?.id}`)), { outcome: 'confirmed' });
});
