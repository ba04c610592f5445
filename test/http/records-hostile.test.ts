import { test } from 'tap';
import { expectProblem } from '../app/setup.ts';
import { load, startWorld } from './crm-world.ts';

test('edits that cannot be taken', async (t) => {
  const { crm, app, send, read } = await startWorld(t);
  await load(app, crm, ['c0', 'a/b c']);
  const path = '/records/crm/contacts/c0';
  const CANARY = 'canary-value-7f3a';
  const refused: readonly (readonly [what: string, body: unknown, errors: readonly object[]])[] = [
    [
      'another kind',
      { email: 5, isActive: 'yes', tags: { a: 1 } },
      [
        { field: 'email', received: 'number' },
        { field: 'isActive', received: 'string' },
      ],
    ],
    ['a null that the column cannot hold', { email: null }, [{ field: 'email', received: 'null' }]],
    ['numbers out of range', { age: 2 ** 31, balance: '99999999999.99' }, [{ field: 'age' }, { field: 'balance' }]],
    ['a number that JSON has rounded', { balance: 1_234_567.890123456 }, [{ field: 'balance', expected: /text/ }]],
    ['text that is too long', { name: `${CANARY}${'x'.repeat(20)}` }, [{ field: 'name', expected: /20 characters/ }]],
    ['NUL in text', { email: `${CANARY}\0` }, [{ field: 'email' }]],
    ['half a surrogate pair in JSON', { tags: { a: '\ud800' } }, [{ field: 'tags' }]],
    ['a date that is none', { bornOn: '1990-02-30' }, [{ field: 'bornOn' }]],
    ['the name of a column', { email_address: CANARY }, [{ field: 'email_address', expected: /email/ }]],
    [
      'an unknown property',
      { [`${CANARY} @`]: 1, constructor: CANARY, toString: 1 },
      [{ field: '*' }, { field: 'constructor' }, { field: 'toString' }],
    ],
    ['the key', { externalId: CANARY }, [{ field: 'externalId', expected: /key/ }]],
    [
      'what is read-only',
      { revision: 5, changedAt: '2026-01-01T00:00:00Z', system: CANARY },
      [{ field: 'revision', expected: /read-only/ }, { field: 'changedAt' }, { field: 'system' }],
    ],
    ['what Syncline stamps', { syncedAt: null }, [{ field: 'syncedAt', expected: /stamps/ }]],
    ['no object', [CANARY], [{ field: '(body)', received: 'array' }]],
    ['nothing', 'null', [{ field: '(body)', received: 'null' }]],
  ];
  for (const [what, body, errors] of refused) {
    await t.test(`${what} is refused, by name and kind and never by value`, async (t) => {
      const problem = await expectProblem(t, await send('PATCH', path, body), 422);
      t.equal(problem.type, 'urn:syncline:problem:invalid-input');
      t.match(problem.errors, errors);
      t.equal((problem.errors as unknown[]).length, errors.length);
      t.notMatch(JSON.stringify(problem), CANARY);
    });
  }

  await t.test('a prototype in the body is no JSON of ours', async (t) => {
    await expectProblem(t, await send('PATCH', path, '{"__proto__": {"age": 1}}'), 400);
    await expectProblem(t, await send('PATCH', path, '{"constructor": {"prototype": {"age": 1}}}'), 400);
    await expectProblem(t, await send('PATCH', path, '{"age": 1'), 400);
    t.equal(({} as { age?: number }).age, undefined);
  });

  await t.test('a body over a megabyte, or of another type, is not read', async (t) => {
    await expectProblem(t, await send('PATCH', path, { tags: 'x'.repeat(1_100_000) }), 413);
    await expectProblem(
      t,
      await send('PATCH', path, 'age=1', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
    );
  });

  await t.test('problems are told up to a bound', async (t) => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, place) => [`p${place}`, 1]));
    const problem = await expectProblem(t, await send('PATCH', path, many), 422);
    t.equal((problem.errors as unknown[]).length, 50);
  });

  await t.test('ids of any text are ids', async (t) => {
    t.equal(
      (await send('PATCH', `/records/crm/contacts/${encodeURIComponent('a/b c')}?wait=true`, { age: 33 })).status,
      200,
    );
    t.equal(crm.records.get('a/b c')?.age, 33);
    for (const id of [
      '%00',
      '__proto__',
      'constructor',
      '%ED%A0%80',
      "'; DROP TABLE crm_contacts; --",
      'x'.repeat(600),
    ]) {
      const { status } = await send('PATCH', `/records/crm/contacts/${id}`, { age: 1 });
      t.ok(status === 404 || status === 400, `${id}: ${status}`);
    }
  });

  await t.test('nothing of all that is in the row, at the source, or in the log', async (t) => {
    t.match(await read('c0'), { row: { email_address: 'c0@example.com', age: 30 }, twoWay: { pushes: [] } });
    t.equal(crm.writes.length, 1);
    t.notMatch(app.logged(), CANARY);
  });
});
