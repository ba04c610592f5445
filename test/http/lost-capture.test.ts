import { test } from 'tap';
import { CREATE_CONTACTS } from '../app/crm.ts';
import { until } from '../app/setup.ts';
import { json, load, startWorld } from './crm-world.ts';

type Status = {
  readonly entities: readonly { readonly state: string; readonly reasons: string[]; readonly isFullRunOwed: boolean }[];
};

test('a table that is made anew while the server runs is told of, captured again by itself, and filled', async (t) => {
  const { crm, app } = await startWorld(
    t,
    { localDeletes: 'push' },
    { settings: { roles: ['ingest', 'worker', 'scheduler'] } },
  );
  await load(app, crm, ['c1', 'c2', 'c3']);
  const entity = async () => (await json<Status>(app.get('/status/crm'))).entities[0];
  t.match(await entity(), { state: 'healthy', reasons: [] });
  await app.sql('DROP TABLE crm_contacts');
  await app.sql(CREATE_CONTACTS);
  const told = ((await entity())?.reasons ?? []).join('\n');
  t.match(told, /edits of its table are not captured/);
  t.match(told, /its table was made anew: nothing is pushed/);
  await until('it is captured again', async () => /were not captured; release/.test(String((await entity())?.reasons)));
  t.notMatch(String((await entity())?.reasons), /are not captured/);
  await until(
    'a full run has filled it',
    async () => (await app.sql('SELECT 1 AS one FROM crm_contacts')).length === 3,
  );
  t.equal(crm.records.size, 3);
  t.equal((await app.post('/integrations/crm/deletes/discard', '{}')).status, 200);
  t.match(await entity(), { state: 'healthy', reasons: [] });
  await app.sql(`UPDATE crm_contacts SET age = 31 WHERE external_id = 'c1'`);
  await until('edits go out again', () => crm.records.get('c1')?.age === 31);
  t.match(app.logged(), /the table was made anew; a full run fills it/);
});
