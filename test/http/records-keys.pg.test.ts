import { test } from 'tap';
import { type Answer, json, load, startWorld } from './crm-world.ts';

const ROUNDS = 5;

test('a source-first create that is sent at once under one key is made once, and told alike', async (t) => {
  const { crm, app, send } = await startWorld(t, { mode: 'source-first' });
  await load(app, crm, ['c0']);
  for (let round = 0; round < ROUNDS; round++) {
    const create = () =>
      send('POST', '/records/crm/contacts', { email: `n${round}@example.com` }, { 'idempotency-key': `k${round}` });
    const answers = await Promise.all([create(), create(), create()]);
    t.ok(answers.every(({ status }) => status === 200 || status === 202));
    const documents = await Promise.all(answers.map((answer) => json<Answer>(answer)));
    t.equal(new Set(documents.map(({ push }) => push?.id)).size, 1);
  }
  t.equal(crm.writes.length, ROUNDS);
});
