import { test } from 'tap';
import { contact, holdWrites } from '../app/crm.ts';
import { expectProblem, until } from '../app/setup.ts';
import { type Answer, json, load, type PushDocument, reconcile, startWorld } from './crm-world.ts';

type List = { readonly pushes: PushDocument[]; readonly next: string | null };
const NOBODY = '00000000-0000-4000-8000-000000000000';

test('pushes that wait for a person', async (t) => {
  const { crm, app, send, read } = await startWorld(t);
  await load(app, crm, ['c0', 'c1', 'c2']);
  const refuse = () => ({ status: 422, body: { message: 'canary-answer' } });
  /** An edit that the source refuses. */
  const park = async (id: string, body: object): Promise<PushDocument> => {
    crm.gate = refuse;
    const { push } = await json<Answer>(send('PATCH', `/records/crm/contacts/${id}?wait=true`, body));
    crm.gate = () => undefined;
    if (push?.state !== 'parked') throw new Error(`It is ${push?.state}`);
    return push;
  };

  await t.test('they are listed without values, and shown with what they were to bring', async (t) => {
    const { id } = await park('c0', { email: 'canary-email@example.com' });
    const list = await app.get('/pushes?state=parked&parked=refused&integration=crm&entity=contacts');
    const text = await list.text();
    t.match(JSON.parse(text), {
      pushes: [{ id, state: 'parked', parked: 'refused', properties: ['email'], recordId: 'c0' }],
    });
    t.notMatch(text, /canary/);
    t.match(await json(app.get(`/pushes/${id}`)), { id, values: { email: 'canary-email@example.com' } });
    t.notMatch(app.logged(), /canary/);
  });

  await t.test('a retry sends what the row holds now, once, under a token of its own', async (t) => {
    const { pushes } = await json<List>(app.get('/pushes?state=parked'));
    const [parked] = pushes;
    const before = crm.writes.length;
    const answer = await send('POST', `/pushes/${parked?.id}/retry`);
    t.equal(answer.status, 202);
    const { id } = await json<PushDocument>(answer);
    t.notSame(id, parked?.id);
    await until('the source has it', () => crm.records.get('c0')?.email === 'canary-email@example.com');
    await until(
      'it is settled',
      async () => (await json<PushDocument>(app.get(`/pushes/${id}`))).outcome === 'confirmed',
    );
    t.equal(crm.writes.length, before + 1);
    const again = await expectProblem(t, await send('POST', `/pushes/${parked?.id}/retry`), 409);
    t.equal(again.type, 'urn:syncline:problem:push-not-parked');
    t.ok((await read('c0')).history.some(({ by }) => by.kind === 'operator' && by.id === 'retry'));
  });

  await t.test('a discarded edit is taken back, and kept as a conflict', async (t) => {
    const { id } = await park('c1', { age: 77 });
    t.equal((await read('c1')).row?.age, 77);
    t.equal((await send('DELETE', `/pushes/${id}`)).status, 204);
    t.match(await read('c1'), { row: { age: 30 }, twoWay: { dirty: [], conflict: null } });
    const { conflicts } = await json<{ conflicts: object[] }>(app.get('/conflicts'));
    t.match(conflicts[0], {
      recordId: 'c1',
      local: { age: 77 },
      remote: { age: 30 },
      outcome: 'remote',
      resolvedBy: 'operator',
    });
    await expectProblem(t, await send('DELETE', `/pushes/${id}`), 409);
    await reconcile(app);
    t.equal(crm.records.get('c1')?.age, 30);
  });

  await t.test(
    'while a write is under way, none of its row is discarded, neither a waiting nor a parked one',
    async (t) => {
      const parked = await park('c2', { age: 77 });
      const write = holdWrites(crm);
      await send('PATCH', '/records/crm/contacts/c2', { age: 40 });
      await write.called;
      const { push } = await json<Answer>(send('PATCH', '/records/crm/contacts/c2', { name: 'later' }));
      t.equal(push?.state, 'ready');
      for (const { id } of [push as PushDocument, parked]) {
        const problem = await expectProblem(t, await send('DELETE', `/pushes/${id}`), 409);
        t.equal(problem.type, 'urn:syncline:problem:push-in-flight');
      }
      t.match(await read('c2'), { row: { age: 40, name: 'later' } });
      const before = crm.writes.length;
      write.release();
      crm.gate = () => undefined;
      await until('both edits are there', () => crm.records.get('c2')?.name === 'later');
      await until('all is settled', async () => (await read('c2')).twoWay?.dirty.length === 0);
      t.same(
        crm.writes.slice(before).map(({ body }) => body),
        [{ name: 'later' }],
        'nothing is sent back',
      );
      t.equal(crm.records.get('c2')?.age, 40);
    },
  );

  await t.test('a row that the source would not create goes with its discarded push', async (t) => {
    crm.gate = refuse;
    const { push, record } = await json<Answer>(
      send('POST', '/records/crm/contacts?wait=true', { email: 'no@example.com' }),
    );
    crm.gate = () => undefined;
    t.equal(push?.state, 'parked');
    t.equal((await send('DELETE', `/pushes/${push?.id}`)).status, 204);
    await expectProblem(t, await app.get(`/records/crm/contacts/${record?.twoWay?.key}`), 404);
    const { conflicts } = await json<{ conflicts: object[] }>(app.get('/conflicts'));
    t.match(conflicts[0], { kind: 'created_and_deleted', local: { email: 'no@example.com' } });
  });

  await t.test('a create of unknown outcome is sent again only on a person’s word', async (t) => {
    crm.afterwards = () => 'hang_up';
    const created = await json<Answer>(send('POST', '/records/crm/contacts', { email: 'twice@example.com' }));
    const { id } = created.push as PushDocument;
    await until(
      'its answer is lost',
      async () => (await json<PushDocument>(app.get(`/pushes/${id}`))).state === 'unknown',
    );
    crm.afterwards = () => undefined;
    // A minute of waiting for the source's deadline is cut short.
    await app.sql(
      `UPDATE sync.outbox_pushes SET deadline = deadline - interval '1 hour', run_at = clock_timestamp() WHERE id = '${id}'`,
    );
    await until(
      'it is parked',
      async () => (await json<PushDocument>(app.get(`/pushes/${id}`))).parked === 'create_unknown',
    );
    const before = crm.records.size;
    const problem = await expectProblem(t, await send('POST', `/pushes/${id}/retry`), 409);
    t.equal(problem.type, 'urn:syncline:problem:may-duplicate');
    t.equal((await send('POST', `/pushes/${id}/retry`, { mayDuplicate: true })).status, 202);
    await until('it is created', () => crm.records.size === before + 1);
  });

  await t.test('the list is bounded, goes back in time, and nonsense is refused', async (t) => {
    const first = await json<List>(app.get('/pushes?state=done&limit=1'));
    t.equal(first.pushes.length, 1);
    const second = await json<List>(app.get(`/pushes?state=done&limit=500&before=${first.next}`));
    t.ok(second.pushes.length > 0);
    t.notOk(second.pushes.some(({ id }) => id === first.pushes[0]?.id));
    await expectProblem(t, await app.get('/pushes?state=some'), 422);
    await expectProblem(t, await app.get('/pushes/__proto__'), 404);
    await expectProblem(t, await app.get(`/pushes/${NOBODY}`), 404);
    await expectProblem(t, await send('DELETE', `/pushes/${NOBODY}`), 404);
    await expectProblem(t, await send('POST', `/pushes/${NOBODY}/retry`, { mayDuplicate: 'yes' }), 422);
  });
});

test('parked pushes by a filter', async (t) => {
  const { crm, app, send, read } = await startWorld(t);
  const ids = ['c0', 'c1', 'c2', 'c3'];
  await load(app, crm, ids);
  const parkAll = async (age: number) => {
    crm.gate = ({ path }) => ({ status: path.endsWith('/c3') ? 422 : 403, body: {} });
    for (const id of ids) {
      const { push } = await json<Answer>(send('PATCH', `/records/crm/contacts/${id}?wait=true`, { age }));
      if (push?.state !== 'parked') throw new Error(`It is ${push?.state}`);
    }
    crm.gate = () => undefined;
  };
  const forbidden = { integration: 'crm', entity: 'contacts', reason: 'refused', errorCode: 'forbidden' };
  const isSettled = async () => (await json<List>(app.get('/pushes'))).pushes.length === 1;

  await t.test(
    'after a scope is granted all of its writes are sent by one call, and repeating it does nothing',
    async (t) => {
      await parkAll(41);
      t.match(await json(app.get('/status/crm')), { source: { paused: null } });
      const answer = await send('POST', '/pushes/retry', forbidden);
      t.equal(answer.status, 200);
      t.same(await json(answer), {
        integration: 'crm',
        entities: [{ entity: 'contacts', retried: 3, left: 0, isMore: false }],
      });
      await until('the source has them', () => ids.slice(0, 3).every((id) => crm.records.get(id)?.age === 41));
      await until('they are settled', isSettled);
      t.equal(crm.records.get('c3')?.age, 30);
      for (const id of ids.slice(0, 3))
        t.ok(
          (await read(id)).history.some(({ by }) => by.kind === 'operator' && by.id === 'retry'),
          id,
        );
      t.match(await json(send('POST', '/pushes/retry', forbidden)), { entities: [{ retried: 0, left: 0 }] });
      const lines = app
        .logged()
        .split('\n')
        .filter((line) => line.includes('POST /pushes/retry'));
      t.equal(lines.length, 2, 'one line for each call');
      t.match(JSON.parse(lines[0] ?? ''), { on: forbidden, msg: 'done for an operator' });
    },
  );

  await t.test('what is given up in bulk is taken back', async (t) => {
    await parkAll(42);
    t.match(await json(send('POST', '/pushes/discard', { integration: 'crm' })), {
      entities: [{ entity: 'contacts', discarded: 4, left: 0, isMore: false }],
    });
    t.match(await json<List>(app.get('/pushes')), { pushes: [] });
    t.equal((await read('c0')).row?.age, 41);
    t.equal((await read('c3')).row?.age, 30);
    t.match(await json(send('POST', '/pushes/discard', { integration: 'crm' })), { entities: [{ discarded: 0 }] });
  });

  await t.test('nonsense is refused, and does nothing', async (t) => {
    await parkAll(43);
    const wrong: readonly unknown[] = [
      undefined,
      {},
      [],
      'all',
      '{"integration":"crm"',
      { entity: 'contacts' },
      { integration: '' },
      { integration: 7 },
      { integration: ['crm'] },
      { integration: { crm: true } },
      { integration: 'crm', entity: null },
      { integration: 'crm', reason: 'tired' },
      { integration: 'crm', reason: ['refused'] },
      { integration: 'crm', reason: null },
      { integration: 'crm', errorCode: '' },
      { integration: 'crm', errorCode: 403 },
      { integration: 'crm', errorCode: 'a\u0000b' },
      { integration: 'crm', errorCode: 'x'.repeat(513) },
      { integration: 'crm', mayDuplicate: true },
      { integration: 'crm', all: true },
    ];
    for (const action of ['retry', 'discard']) {
      for (const body of wrong) {
        const { status } = await send('POST', `/pushes/${action}`, body);
        t.ok(status === 422 || status === 400, `${action} ${JSON.stringify(body)}: ${status}`);
      }
      await expectProblem(t, await send('POST', `/pushes/${action}`, { integration: 'nowhere' }), 404);
      await expectProblem(t, await send('POST', `/pushes/${action}`, { integration: '__proto__' }), 404);
      await expectProblem(t, await send('POST', `/pushes/${action}`, { integration: 'crm', entity: 'nowhere' }), 404);
      const nothing = { integration: 'crm', errorCode: `'; DROP TABLE sync.outbox_pushes; --` };
      t.match(await json(send('POST', `/pushes/${action}`, nothing)), { entities: [{ left: 0, isMore: false }] });
    }
    t.equal((await json<List>(app.get('/pushes?state=parked'))).pushes.length, 4);
  });
});

test('removals that are held back', async (t) => {
  const { crm, app, send, read } = await startWorld(t, { massDelete: { maxShare: 0.1, minimum: 2 } });
  const ids = Array.from({ length: 10 }, (_, place) => `c${place}`);
  await load(app, crm, ids);
  const isHeld = async () =>
    (
      await app.sql<{ held: boolean }>(
        `SELECT held_deletes IS NOT NULL AS held FROM sync.streams WHERE entity = 'contacts'`,
      )
    )[0]?.held;
  const remove = async (which: string) => {
    await app.sql(`DELETE FROM crm_contacts WHERE external_id ${which}`);
    await until('they are held', async () => (await isHeld()) === true);
  };

  await t.test('they were not meant: every row is written again', async (t) => {
    await remove(`< 'c5'`);
    await expectProblem(t, await send('DELETE', '/records/crm/contacts/c9'), 409);
    const answer = await send('POST', '/integrations/crm/deletes/discard');
    t.match(await json(answer), { integration: 'crm', entities: [{ entity: 'contacts', rows: 5, isMore: false }] });
    t.equal(await isHeld(), false);
    t.match(await read('c0'), { row: { age: 30 }, twoWay: { dirty: [] } });
    t.equal(crm.records.size, 10);
    t.ok((await read('c0')).history.some(({ by }) => by.kind === 'operator' && by.id === 'discard'));
    t.match(app.logged(), 'POST /integrations/:integration/deletes/discard', 'who looks into it later finds it');
  });

  await t.test('they were meant: every record is deleted', async (t) => {
    await remove(`>= 'c5'`);
    t.equal(crm.records.size, 10);
    const answer = await send('POST', '/integrations/crm/deletes/release', { entity: 'contacts' });
    t.match(await json(answer), { entities: [{ rows: 5 }] });
    await until('they are deleted', () => crm.records.size === 5);
    t.ok((await read('c9')).history.some(({ by }) => by.kind === 'operator' && by.id === 'release'));
    await until('all is settled', async () => (await json<List>(app.get('/pushes'))).pushes.length === 0);
    t.match(await json(send('POST', '/integrations/crm/deletes/release')), { entities: [{ rows: 0 }] });
  });

  await t.test('nonsense is refused', async (t) => {
    await expectProblem(t, await send('POST', '/integrations/nowhere/deletes/release'), 404);
    await expectProblem(t, await send('POST', '/integrations/crm/deletes/release', { entity: 'nowhere' }), 404);
    await expectProblem(t, await send('POST', '/integrations/crm/deletes/discard', { all: true }), 422);
  });
});

test('a stream believes its source anew', async (t) => {
  const { crm, app, send, read } = await startWorld(t);
  await load(app, crm, ['c0']);
  const older = { ...contact('c0', { age: 20 }), rev: 0 };
  crm.records.set('c0', older);
  await reconcile(app);
  t.equal((await read('c0')).row?.age, 30, 'an older version is no news');
  const answer = await send('POST', '/streams/crm/contacts/rebaseline');
  t.equal(answer.status, 202);
  t.match(await json(answer), { records: 1, isFullRunOwed: true });
  await reconcile(app);
  t.equal((await read('c0')).row?.age, 20);
  await expectProblem(t, await send('POST', '/streams/crm/nowhere/rebaseline'), 404);
});
