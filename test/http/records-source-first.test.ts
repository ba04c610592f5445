import { test } from 'tap';
import { contact, createGate } from '../app/crm.ts';
import { expectProblem } from '../app/setup.ts';
import { type Answer, json, load, startWorld } from './crm-world.ts';

test('edits of streams that write source-first', async (t) => {
  const { crm, app, send, read } = await startWorld(t, { mode: 'source-first' });
  await load(app, crm, ['c0', 'c1', 'c2', 'c3', 'c4', 'c5']);

  await t.test('the row changes once the source has, to what the source made of it', async (t) => {
    const gate = createGate();
    const called = createGate();
    crm.gate = async () => {
      called.open();
      await gate.opened;
      return undefined;
    };
    const answer = send('PATCH', '/records/crm/contacts/c0', { name: '  Ann ' });
    await called.opened;
    t.equal((await read('c0')).row?.name, 'Name of c0');
    gate.open();
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

  await t.test('removing removes the row once the source has deleted the record', async (t) => {
    crm.gate = () => ({ status: 403, body: {} });
    await expectProblem(t, await send('DELETE', '/records/crm/contacts/c4'), 503);
    crm.gate = () => undefined;
    t.equal((await read('c4')).status, 'live');
    await expectProblem(t, await send('DELETE', '/records/crm/contacts/c4'), 503);
    await send('POST', '/integrations/crm/resume');
    const response = await send('DELETE', '/records/crm/contacts/c4');
    t.equal(response.status, 200);
    t.match(await read('c4'), { status: 'tombstone', row: null });
  });

  await t.test('an edit of the row itself still goes to the source after it', async (t) => {
    const { etag } = await read('c5');
    await expectProblem(t, await send('PATCH', '/records/crm/contacts/c5', { age: 1 }, { 'if-match': '"other"' }), 412);
    t.equal((await send('PATCH', '/records/crm/contacts/c5', { age: 31 }, { 'if-match': etag })).status, 200);
  });
});
