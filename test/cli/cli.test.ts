import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { readVersion } from '../../src/config/version.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { CONFIG, ENVIRONMENT, runToEnd, userProject } from './user-project.ts';

test('the version is printed, and what is no command is refused', async (t) => {
  const folder = t.testdir();
  const version = await runToEnd(t, ['--version'], {}, folder);
  t.same(version, { code: 0, output: `${readVersion()}\n` });
  const [unknown, none] = await Promise.all([
    runToEnd(t, ['frobnicate'], {}, folder),
    runToEnd(t, ['serve', '--nonsense'], {}, folder),
  ]);
  t.not(unknown.code, 0);
  t.match(unknown.output, 'frobnicate');
  t.not(none.code, 0);
});

test('every problem of settings, file and definition is told at once, without a value, and nothing is opened', async (t) => {
  const folder = userProject(t);
  const wrong = { PORT: 'canary-port', HOST: '0.0.0.0', LOG_LEVEL: 'canary-level', CRM_SECRET: 'canary-crm-secret' };
  const [told, missing] = await Promise.all([
    runToEnd(t, ['serve'], wrong, folder),
    runToEnd(t, ['migrate'], { PORT: 'x', SYNCLINE_CONFIG: 'elsewhere.ts' }, folder),
  ]);
  t.equal(told.code, 1);
  t.match(told.output, /Syncline cannot start/);
  for (const name of ['PORT', 'SYNCLINE_ADMIN_TOKEN', 'LOG_LEVEL', 'CRM_URL']) t.match(told.output, name);
  t.notMatch(told.output, 'canary');
  t.notMatch(told.output, /\n\s+at /, 'no stack');
  t.equal(missing.code, 1);
  t.match(missing.output, /PORT[\s\S]*elsewhere\.ts does not exist/);
  t.notOk(existsSync(join(folder, '.syncline')));
});

test('the specification is printed without a database, and a problem of the configuration instead of it', async (t) => {
  const folder = userProject(t);
  const [markdown, json, broken] = await Promise.all([
    runToEnd(t, ['spec'], ENVIRONMENT, folder),
    runToEnd(t, ['spec', '--json'], ENVIRONMENT, folder),
    runToEnd(t, ['spec'], {}, folder),
  ]);
  t.equal(markdown.code, 0);
  t.match(markdown.output, '# Integration: crm');
  t.notMatch(markdown.output, 'canary');
  t.strictSame(JSON.parse(json.output), { specification: markdown.output });
  t.equal(broken.code, 1);
  t.match(broken.output, 'CRM_URL');
  t.notOk(existsSync(join(folder, '.syncline')), 'nothing was opened');
});

test('a database that does not answer, or has no table for a target, stops the start without showing its password', async (t) => {
  const folder = userProject(t, CONFIG.replace("migrations: './drizzle',", ''));
  const [away, tableless] = await Promise.all([
    runToEnd(t, ['serve'], { ...ENVIRONMENT, DATABASE_URL: 'postgres://me:canary-password@127.0.0.1:9/x' }, folder),
    runToEnd(t, ['serve'], { ...ENVIRONMENT, PORT: '0' }, folder),
  ]);
  t.equal(away.code, 1);
  t.match(away.output, /DATABASE_URL does not answer/);
  t.notMatch(away.output, 'canary');
  t.equal(tableless.code, 1);
  t.match(tableless.output, /crm\.entities\.people\.target: the table .*people/);
});

const sourceProgram = join(packageRoot(), 'src', 'main.ts');

test('an example inside of the package is read as it stands, by the sources and by the compiled program', {
  skip: existsSync(sourceProgram) ? false : 'needs the sources of the package',
}, async (t) => {
  const folder = packageRoot();
  const environment = { SYNCLINE_CONFIG: 'examples/github/syncline.config.ts' };
  const compiled = await runToEnd(t, ['serve'], environment, folder);
  const { spawnSync } = await import('node:child_process');
  const source = spawnSync(
    process.execPath,
    ['--conditions=syncline-source', '--import', 'tsx', sourceProgram, 'serve'],
    { cwd: folder, env: { PATH: process.env.PATH ?? '', ...environment }, encoding: 'utf8', timeout: 60_000 },
  );
  for (const { code, output } of [compiled, { code: source.status, output: source.stderr }]) {
    t.equal(code, 1);
    for (const name of ['GITHUB_TOKEN', 'GITHUB_WEBHOOK_SECRET']) t.match(output, name);
    t.notMatch(output, 'cannot be loaded');
  }
});
