import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { is } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import * as schema from '../../src/db/schema.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { HINT_TRANSITIONS } from '../../src/model/hint.ts';
import { INBOX_TRANSITIONS } from '../../src/model/inbox.ts';
import { PUSH_TRANSITIONS } from '../../src/model/push.ts';
import { RUN_TRANSITIONS } from '../../src/model/run.ts';
import { codeName, codeNames, documents, readText, section, tableRows } from './documents.ts';

const architecture = readText('docs/architecture.md');

type Transitions = { readonly [state: string]: { readonly [event: string]: string } };

/** One line for each transition, and one for each state that nothing leaves. */
const linesOf = (transitions: Transitions): string[] =>
  Object.entries(transitions)
    .flatMap(([state, events]) => {
      const lines = Object.entries(events).map(([event, next]) => `${state} ${event} ${next}`);
      return lines.length === 0 ? [`${state}  `] : lines;
    })
    .sort();

test('the tables of states tell every transition of the code and no other', async (t) => {
  const tables: readonly [heading: string, transitions: Transitions][] = [
    ['Delivery', INBOX_TRANSITIONS],
    ['Hint', HINT_TRANSITIONS],
    ['Run', RUN_TRANSITIONS],
    ['Push', PUSH_TRANSITIONS],
  ];
  for (const [heading, transitions] of tables) {
    const told = tableRows(section(architecture, heading)).map((cells) => cells.slice(0, 3).map(codeName).join(' '));
    t.same(told.sort(), linesOf(transitions), heading);
  }
});

test('the states of records and dead letters are those that the database takes', async (t) => {
  const migration = readText('drizzle/0000_spine.sql');
  const takenBy = (check: string): string[] => {
    const list = new RegExp(`"${check}" CHECK \\(\\w+ IN \\(([^)]*)\\)`).exec(migration)?.[1] ?? '';
    return list.split(',').map((state) => state.replaceAll("'", '').trim());
  };
  const tables = { Record: 'record_states_status', 'Dead letter': 'dead_letters_state_known' };
  for (const [heading, check] of Object.entries(tables)) {
    const told = tableRows(section(architecture, heading)).map(([state]) => codeName(state));
    t.same(told, takenBy(check), heading);
  }
});

test('every crash point of the code is told, and every one told as named is in the code', async (t) => {
  const named = [...readText('src/sync/deps.ts').matchAll(/'(C\d+)'/g)].flatMap(([, point]) => point ?? []);
  const rows = tableRows(section(architecture, 'Where a process may die'));
  t.same(
    rows.filter((cells) => cells.at(-1) === 'yes').map(([point]) => point),
    named,
  );
  const flows = readdirSync(join(packageRoot(), 'src/sync')).map((file) => readText(`src/sync/${file}`));
  for (const point of named) {
    t.ok(
      flows.some((flow) => flow.includes(`crashPoint('${point}')`)),
      `a flow passes ${point}`,
    );
  }
});

test('every table of the schema is told', async (t) => {
  const own = Object.values(schema).flatMap((value) => (is(value, PgTable) ? [getTableConfig(value).name] : []));
  const told = tableRows(section(architecture, 'Tables of the `sync` schema')).flatMap(([name]) => codeName(name));
  t.same(
    own.filter((name) => !told.includes(name)),
    [],
  );
  const columns = getTableConfig(schema.syncStatus).columns.map(({ name }) => name);
  const explained = tableRows(section(architecture, 'Reading `sync.sync_status`')).flatMap(([cell]) =>
    codeNames(cell ?? ''),
  );
  t.same(explained.sort(), columns.filter((name) => name !== 'integration' && name !== 'entity').sort());
});

/** `- test/sync/decide.test.ts: what it says` */
const NAMED_TEST = /^\s*- `(test\/\S+\.test\.ts)`: (.+)$/gm;

test('every test that a document names exists in the file that it names', async (t) => {
  let count = 0;
  for (const [document, text] of documents()) {
    for (const [, file, name] of text.matchAll(NAMED_TEST)) {
      if (file === undefined || name === undefined) continue;
      count += 1;
      const source = existsSync(join(packageRoot(), file)) ? readText(file) : '';
      const quoted = [`'${name.replaceAll("'", "\\'")}'`, `"${name}"`, `\`${name}\``];
      t.ok(
        quoted.some((text) => new RegExp(`test\\(\\s*${literally(text)}`).test(source)),
        `${document}: ${file}: ${name}`,
      );
    }
  }
  t.ok(count > 0, 'tests are named at all');
});

test('every invariant names a test that holds it', async (t) => {
  const text = section(architecture, 'Invariants');
  for (const number of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]) {
    const own = new RegExp(`^\\*\\*I${number} .*?(?=^\\*\\*I|(?![\\s\\S]))`, 'ms').exec(text)?.[0] ?? '';
    t.ok([...own.matchAll(NAMED_TEST)].length > 0, `I${number}`);
  }
});

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
