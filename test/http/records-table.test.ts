import { boolean, date, integer, jsonb, numeric, pgTable, text, timestamp, varchar } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { CREATE_CONTACTS } from '../app/crm.ts';
import { expectProblem, until } from '../app/setup.ts';
import { type Answer, json, load, startWorld } from './crm-world.ts';

test('where the table or a column is missing, every route says which, and what to do, and goes on once it is there', async (t) => {
  const { crm, app, send } = await startWorld(t);
  await load(app, crm, ['c1']);
  const path = '/records/crm/contacts/c1';
  const asked = [
    () => send('GET', path),
    () => send('PATCH', path, { age: 31 }),
    () => send('DELETE', path),
    () => send('POST', '/records/crm/contacts', { email: 'new@example.com' }),
    () => send('POST', '/integrations/crm/deletes/discard', {}),
  ];
  await app.sql('ALTER TABLE crm_contacts RENAME TO gone');
  for (const ask of asked) {
    const problem = await expectProblem(t, await ask(), 503);
    t.match(problem, {
      type: 'urn:syncline:problem:table-unavailable',
      detail:
        'The table public.crm_contacts does not exist; create it with your migrations. Then try again: no restart is needed',
    });
  }
  await app.sql('ALTER TABLE gone RENAME TO crm_contacts');
  await app.sql('ALTER TABLE crm_contacts RENAME COLUMN age TO years');
  const problem = await expectProblem(t, await send('PATCH', path, { name: 'Ann' }), 503);
  t.match(problem.detail, /^The table public\.crm_contacts has no column age; the mapping writes it\./);
  await app.sql('ALTER TABLE crm_contacts RENAME COLUMN years TO age');
  t.equal((await send('PATCH', path, { age: 31 })).status, 202);
  await until('the source has it', () => crm.records.get('c1')?.age === 31);
});

const WITH_DEFAULTS = pgTable('crm_contacts', {
  externalId: text('external_id').primaryKey(),
  email: text('email_address').notNull().default('nobody@example.com'),
  name: varchar('name', { length: 20 })
    .notNull()
    .$defaultFn(() => 'made up by drizzle'),
  balance: numeric('balance', { precision: 12, scale: 2 }),
  age: integer('age').notNull().default(18),
  isActive: boolean('is_active'),
  bornOn: date('born_on', { mode: 'string' }),
  tags: jsonb('tags'),
  revision: integer('revision'),
  system: text('system').notNull(),
  changedAt: timestamp('changed_at', { withTimezone: true, mode: 'string' }),
  syncedAt: timestamp('synced_at', { withTimezone: true }),
});

test('a create needs no value where the database has one, as an INSERT does not', async (t) => {
  const table = CREATE_CONTACTS.replace(
    'email_address text NOT NULL',
    "email_address text NOT NULL DEFAULT 'nobody@example.com'",
  )
    .replace('age integer', 'age integer NOT NULL DEFAULT 18')
    .replace('name varchar(20)', 'name varchar(20) NOT NULL');
  const { crm, send } = await startWorld(t, {}, { target: WITH_DEFAULTS, table });
  const problem = await expectProblem(t, await send('POST', '/records/crm/contacts', {}), 422);
  t.equal(
    problem.detail,
    'name: expected a value: the column cannot be null, got missing',
    'drizzle’s own is none of the database’s',
  );
  const { record } = await json<Answer>(
    await send('POST', '/records/crm/contacts?wait=true', { name: 'Ann', age: 40 }),
  );
  t.match(record, { row: { name: 'Ann', email_address: 'nobody@example.com', age: 40 } });
  t.match([...crm.records.values()], [{ name: 'Ann', email: 'nobody@example.com', age: 40 }]);
  const none = await expectProblem(t, await send('POST', '/records/crm/contacts', { name: 'Ann', age: null }), 422);
  t.match(none.detail, /^age: expected a value/, 'null is not the same as nothing');
});
