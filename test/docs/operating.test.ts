import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { packageRoot } from '../../src/lib/package-root.ts';
import { RUN_TRANSITIONS } from '../../src/model/run.ts';
import { codeName, codeNames, readText, section, tableRows } from './documents.ts';

const operating = readText('docs/operating.md');

const sourcesIn = (folder: string): string[] =>
  readdirSync(join(packageRoot(), folder)).map((file) => readText(`${folder}/${file}`));

/** The members of a union of texts, as the source writes them. */
function unionMembers(source: string, name: string): string[] {
  const body = new RegExp(`type ${name} =\\n(.*?);`, 's').exec(source)?.[1] ?? '';
  return [...body.matchAll(/'([a-z_]+)'/g)].flatMap(([, member]) => member ?? []);
}

test('every route of the server is told, and no other', async (t) => {
  const route = /app\.(get|post|put|patch|delete)(?:<.*?>)?\(\s*'([^']+)'/gs;
  const found = sourcesIn('src/http').flatMap((source) =>
    [...source.matchAll(route)].map(([, method = '', path]) => `${method.toUpperCase()} ${path}`),
  );
  const webhooks = /url: '([^']+)'/.exec(readText('src/http/webhooks.ts'))?.[1];
  const routes = [...found, `POST ${webhooks}`];
  t.ok(routes.length > 10, 'routes are found at all');
  const told = tableRows(section(operating, 'Routes'))
    .map(([cell]) => codeName(cell))
    .filter((cell) => /^[A-Z]+ \//.test(cell));
  t.same(told.sort(), routes.sort());
});

test('every code that a record, a delivery, a run or a start can fail with is told', async (t) => {
  const told = new Set(tableRows(section(operating, 'Error codes')).flatMap(([cell]) => codeNames(cell ?? '')));
  const codes = [
    ...unionMembers(readText('src/mapping/refusal.ts'), 'MappingCode'),
    ...unionMembers(readText('src/webhook/body.ts'), 'BodyProblem'),
    ...unionMembers(readText('src/source/error.ts'), 'SourceErrorCode'),
    ...[...readText('src/sync/failures.ts').matchAll(/code: '([a-z_]+)'/g)].flatMap(([, code]) => code ?? []),
    ...sourcesIn('src/sync').flatMap((source) =>
      [...source.matchAll(/(?:errorCode|problem: \{ code): '([a-z_]+)'/g)].flatMap(([, code]) => code ?? []),
    ),
  ];
  t.ok(codes.length > 30, 'codes are found at all');
  t.same(
    codes.filter((code) => !told.has(code)),
    [],
  );
  const ofStart = [
    'unreachable',
    'unsupported_version',
    'invalid_url',
    'directory_locked',
    'schema_newer',
    'migration_busy',
  ];
  const ofDatabase = unionMembers(readText('src/db/errors.ts'), 'DatabaseErrorCode');
  t.same(
    ofStart.filter((code) => !ofDatabase.includes(code) || !told.has(code)),
    [],
  );
});

test('every problem that a route answers with is told', async (t) => {
  const codes = sourcesIn('src/http').flatMap((source) =>
    [...source.matchAll(/(?:code: |conflict\(|: \[)'([a-z]+(?:-[a-z]+)*)'/g)].flatMap(([, code]) => code ?? []),
  );
  t.ok(codes.length > 10, 'codes are found at all');
  t.same(
    [...new Set(codes)].filter((code) => !operating.includes(`\`${code}\``)),
    [],
  );
});

test('every state of runs and streams is told', async (t) => {
  const ofRuns = tableRows(section(operating, 'Runs')).map(([state]) => codeName(state));
  t.same(
    Object.keys(RUN_TRANSITIONS).filter((state) => !ofRuns.includes(state)),
    [],
  );
  const health = readText('src/sync/read-status.ts');
  const streams = tableRows(section(operating, 'How a stream stands')).map(([state]) => codeName(state));
  for (const state of /type StreamHealth = (.+);/.exec(health)?.[1]?.split(' | ') ?? []) {
    t.ok(streams.includes(state.replaceAll("'", '')), state);
  }
});
