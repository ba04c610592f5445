import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { readVersion } from '../../src/config/version.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { startProgram, startServerProcess } from '../process/setup.ts';

const CONFIG = `
import { cursor, defineConfig, defineIntegration, entity, env, field, secret, signatures } from 'syncline';
import { pgTable, text } from 'drizzle-orm/pg-core';
import { z } from 'zod';

const people = pgTable('people', { id: text('id').primaryKey(), name: text('name') });
export default defineConfig({
  migrations: './drizzle',
  integrations: [
    defineIntegration({
      name: 'crm',
      source: { baseUrl: env('CRM_URL') },
      webhook: {
        signature: signatures.hmac({ secrets: [secret('CRM_SECRET')], header: 'x-signature' }),
        events: { '*': { entity: 'people', record: 'data' } },
      },
      entities: {
        people: entity({
          schema: z.object({ id: z.string(), name: z.string() }),
          key: 'id',
          version: { kind: 'none' },
          read: {
            list: { path: '/people', items: 'data', pagination: cursor({ param: 'after', next: 'next' }) },
            get: { path: '/people/{id}' },
          },
          target: people,
          mapping: { id: field('id'), name: field('name') },
        }),
      },
    }),
  ],
});
`;
const JOURNAL = {
  version: '7',
  dialect: 'postgresql',
  entries: [{ idx: 0, version: '7', when: 1_700_000_000_000, tag: '0000_people', breakpoints: true }],
};

/** A user's project outside of the package: its configuration, its migrations, and the packages that it would have installed. */
function userProject(t: Test, config: string = CONFIG): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-project-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['drizzle-orm', 'zod']) {
    symlinkSync(join(packageRoot(), 'node_modules', name), join(folder, 'node_modules', name));
  }
  mkdirSync(join(folder, 'drizzle', 'meta'), { recursive: true });
  writeFileSync(join(folder, 'drizzle', '0000_people.sql'), 'CREATE TABLE people (id text PRIMARY KEY, name text);');
  writeFileSync(join(folder, 'drizzle', 'meta', '_journal.json'), JSON.stringify(JOURNAL));
  writeFileSync(join(folder, 'syncline.config.ts'), config);
  return folder;
}

const ENVIRONMENT = { CRM_URL: 'http://127.0.0.1:9', CRM_SECRET: 'canary-crm-secret' };

async function runToEnd(t: Test, args: readonly string[], environment: Record<string, string>, folder: string) {
  const started = startProgram(t, args, environment, folder);
  const { code } = await started.ended;
  return { code, output: started.output() };
}

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

test("a user's project on the embedded database", async (t) => {
  const folder = userProject(t);
  const migrated = await runToEnd(t, ['migrate'], ENVIRONMENT, folder);
  t.equal(migrated.code, 0, migrated.output);
  t.ok(existsSync(join(folder, '.syncline')), 'it lies where nothing else is said');

  const options = { folder, environment: { ...ENVIRONMENT, SYNCLINE_CONFIG: '' } };
  const server = await startServerProcess(t, options);
  t.match(server.output(), '"database":"embedded"');
  t.match(server.address, /^http:\/\/127\.0\.0\.1:\d+$/, 'only this machine reaches it');
  t.equal((await fetch(`${server.address}/health/ready`)).status, 200);

  await t.test('a second process on the same folder is refused and told why', async (t) => {
    for (const command of ['serve', 'migrate']) {
      const second = await runToEnd(t, [command], { ...ENVIRONMENT, PORT: '0' }, folder);
      t.equal(second.code, 1, command);
      t.match(second.output, /Syncline cannot start: .*\.syncline.*process/s);
    }
    t.equal((await fetch(`${server.address}/health/ready`)).status, 200, 'the first one goes on');
  });

  await t.test('a port in use is named, and gives the folder back', async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const dataDir = join(folder, 'other');
    const environment = { ...ENVIRONMENT, PORT: String(port), SYNCLINE_DATA_DIR: dataDir };
    const refused = await runToEnd(t, ['serve'], environment, folder);
    await new Promise((resolve) => taken.close(resolve));
    t.equal(refused.code, 1);
    t.match(refused.output, /PORT is in use/);
    const free = await runToEnd(t, ['migrate'], environment, folder);
    t.equal(free.code, 0, free.output);
  });

  await t.test('SIGTERM ends it in order, and the next process opens what it left', async (t) => {
    const ended = await server.stop();
    t.equal(ended.code, 0);
    t.ok(ended.tookMs < 10_000, `${ended.tookMs} ms`);
    t.match(server.output(), /"msg":"stopping"[\s\S]*"msg":"stopped"/);
    const next = await startServerProcess(t, options);
    t.equal((await fetch(`${next.address}/health/ready`)).status, 200);
    await next.kill();
    const afterKill = await startServerProcess(t, options);
    t.equal(
      (await fetch(`${afterKill.address}/health/ready`)).status,
      200,
      'the lock of a killed process does not stay',
    );
    t.equal((await afterKill.stop()).code, 0);
    for (const one of [server, next, afterKill]) t.notMatch(one.output(), 'canary');
  });
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
