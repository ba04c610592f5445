import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { type Test, test } from 'tap';
import { startSimulator } from '../../examples/shop/simulator/simulator.ts';
import { ROLES, readSettings } from '../../src/config/environment.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { startServer } from '../../src/server.ts';
import { codeBlocks, codeName, readText, section, tableRows } from './documents.ts';

const readme = readText('README.md');
const tutorial = section(readme, 'Your first integration in ten minutes');
const run = promisify(execFile);
const STEP_TIMEOUT_MS = 120_000;
const WAIT_ROUND_MS = 20;
const WAIT_ROUNDS = 3_000;
const ORDERS = 60;

/** The files of the README, in a folder of their own that can import what the package can. */
function writeTutorial(t: Test): string {
  const folder = mkdtempSync(join(packageRoot(), '.syncline-docs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const code of codeBlocks(tutorial, 'ts')) {
    const name = /^\/\/ (\S+)\n/.exec(code)?.[1];
    if (name === undefined) throw new Error('A block of the tutorial does not begin with the name of its file');
    const file = join(folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, code);
  }
  return folder;
}

/** Runs a program that a dependency brings, as `npx` does. */
async function runProgram(name: string, args: readonly string[], folder: string): Promise<string> {
  const options = { cwd: folder, timeout: STEP_TIMEOUT_MS, env: { ...process.env, NODE_OPTIONS: '' } };
  const { stdout } = await run(join(packageRoot(), 'node_modules', '.bin', name), args, options);
  return stdout;
}

async function makeMigration(folder: string): Promise<void> {
  const command = /^npx drizzle-kit (generate .+)$/m.exec(tutorial)?.[1] ?? '';
  assertSo(command !== '', 'the README shows how the migration is made');
  await runProgram('drizzle-kit', command.split(' '), folder);
}

function assertSo(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`It is not so: ${what}`);
}

test('the first integration of the README compiles', { timeout: STEP_TIMEOUT_MS }, async (t) => {
  const folder = writeTutorial(t);
  const config = { extends: '../tsconfig.json', include: ['integrations'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const output = await runProgram('tsc', ['-p', 'tsconfig.json', '--noEmit'], folder).catch(
    (error: { stdout?: string }) => error.stdout ?? String(error),
  );
  t.equal(output, '');
});

test('the first integration of the README runs as it says', { timeout: STEP_TIMEOUT_MS }, async (t) => {
  const folder = writeTutorial(t);
  await makeMigration(folder);
  const environment = Object.fromEntries(
    [...tutorial.matchAll(/^export (\w+)=(.+)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
  const simulator = await startSimulator({
    port: 0,
    seed: 7,
    token: environment.SHOP_API_TOKEN ?? '',
    webhookSecret: environment.SHOP_WEBHOOK_SECRET ?? '',
    records: { customers: 5, orders: ORDERS },
    tickMs: 1_000,
    nowMs: Date.now,
  });
  t.teardown(() => simulator.close());
  const server = await startServer({
    environment: {
      ...environment,
      SHOP_API_URL: `http://127.0.0.1:${simulator.port}`,
      SYNCLINE_DATA_DIR: 'memory://',
      PORT: '0',
    },
    workingFolder: folder,
    log: pino({ level: 'silent' }),
  });
  t.teardown(() => server.stop());
  const status = async () => {
    const { entities, deliveries } = (await (await fetch(`${server.address}/status/shop`)).json()) as Status;
    const [orders] = entities;
    if (orders === undefined) throw new Error('The status shows no entity');
    return { ...orders, accepted: deliveries.accepted };
  };
  await until('every order is loaded', async () => (await status()).recordsSynced === ORDERS);
  t.match(await status(), { entity: 'orders', lastSyncStatus: 'success', drift: { missing: 0 } });

  const controls = [...tutorial.matchAll(/_control[^']*-d '([^']+)'/g)].map(([, body = '']) => JSON.parse(body));
  t.equal(controls.length, 2, 'the README asks two things of the shop');
  const [sending, losing] = controls;
  await simulator.control({ ...sending, webhookUrl: `${server.address}/webhooks/shop` });
  await until('webhooks change rows', async () => (await status()).appliedByWebhook > 0);
  t.ok((await status()).accepted > 0);

  await simulator.control({ ...losing, generator: 'pause' });
  await simulator.control({ settings: { changesPerSecond: 500 } });
  await simulator.control({ drive: 100, drain: true });
  const [, wish = ''] = /sync\/reconcile\?wait=true' -d '(.+)'/.exec(tutorial) ?? [];
  const ask = () =>
    fetch(`${server.address}/sync/reconcile?wait=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: wish,
    });
  // 409 while a run of the schedule is under way.
  await until('the run that was asked for has ended', async () => (await ask()).status === 200);
  await until('what was lost is found, and shown as drift', async () => ((await status()).missedWebhookRate ?? 0) > 0);
});

type Status = {
  readonly deliveries: { readonly accepted: number };
  readonly entities: readonly {
    readonly entity: string;
    readonly recordsSynced: number;
    readonly appliedByWebhook: number;
    readonly missedWebhookRate: number | null;
  }[];
};

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < WAIT_ROUNDS; round++) {
    if (await isTrue()) return;
    await wait(WAIT_ROUND_MS);
  }
  throw new Error(`It did not come to pass: ${what}`);
}

test('every variable of the environment is told, with the default that it has', async (t) => {
  const told = tableRows(section(readme, 'Configuration'));
  const read = [...readText('src/config/environment.ts').matchAll(/^ +([A-Z][A-Z_]+): /gm)].map(([, name]) => name);
  t.same(told.map(([name]) => codeName(name)).sort(), read.sort());
  const settings = readSettings({});
  if (!settings.ok) throw new Error('The settings do not stand without an environment');
  const { dataDir, configPath, port, host, logLevel, maxWebhooksPerMinute, roles } = settings.settings;
  t.same(roles, ROLES, 'all roles');
  t.same(
    told.map(([, , fallback]) => codeName(fallback)).filter((fallback) => fallback !== ''),
    [dataDir, configPath, String(port), host, 'all', String(maxWebhooksPerMinute), logLevel],
  );
});

test('every command of npm that a document shows is a script of the package', async (t) => {
  const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> };
  for (const file of ['README.md', 'CONTRIBUTING.md', 'docs/operating.md', 'docs/integrations.md']) {
    for (const [, name = ''] of readText(file).matchAll(/npm run ([a-z:]+)/g))
      t.ok(scripts[name], `${file}: npm run ${name}`);
  }
});
