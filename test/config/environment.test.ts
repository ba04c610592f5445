import { test } from 'tap';
import { isLoopback, readSettings } from '../../src/config/environment.ts';

const problemsOf = (environment: Record<string, string>) => {
  const result = readSettings(environment);
  return result.ok ? [] : result.problems;
};

test('nothing set is a server for this machine alone, on the embedded database', async (t) => {
  t.same(readSettings({}), {
    ok: true,
    settings: {
      databaseUrl: undefined,
      dataDir: '.syncline',
      port: 3000,
      host: '127.0.0.1',
      configPath: 'syncline.config.ts',
      adminToken: null,
      sealer: null,
      publicUrl: null,
      logLevel: 'info',
      roles: ['ingest', 'worker', 'scheduler'],
      maxWebhooksPerMinute: 600_000,
    },
  });
});

test('an empty variable counts as not set', async (t) => {
  const names = [
    'DATABASE_URL',
    'PORT',
    'HOST',
    'SYNCLINE_ADMIN_TOKEN',
    'SYNCLINE_ENCRYPTION_KEY',
    'SYNCLINE_PUBLIC_URL',
    'LOG_LEVEL',
    'SYNCLINE_ROLE',
  ];
  t.same(readSettings(Object.fromEntries(names.map((name) => [name, '']))), readSettings({}));
});

test('every wrong variable is named at once, with what would be right and without its value', async (t) => {
  const canary = 'canary-setting';
  const wrong = {
    DATABASE_URL: `mysql://${canary}@host/db`,
    PORT: `${canary}`,
    SYNCLINE_ADMIN_TOKEN: 'short-canary',
    SYNCLINE_PUBLIC_URL: `ftp://${canary}`,
    LOG_LEVEL: canary,
    SYNCLINE_ROLE: `ingest,${canary}`,
    SYNCLINE_WEBHOOKS_PER_MINUTE: canary,
  };
  const problems = problemsOf(wrong);
  t.same(problems.map(({ path }) => path).sort(), Object.keys(wrong).sort());
  t.notMatch(JSON.stringify(problems), 'canary');
  for (const { problem } of problems) t.ok(problem.length > 10, problem);
});

test('a host that others can reach needs a token, and this is said beside every other problem', async (t) => {
  for (const HOST of ['0.0.0.0', '::', '192.168.1.2', 'sync.example.com', '128.0.0.1', '127.0.0.1.example.com']) {
    t.match(problemsOf({ HOST }), [{ path: 'SYNCLINE_ADMIN_TOKEN', problem: /HOST is not a loopback address/ }], HOST);
    t.same(problemsOf({ HOST, SYNCLINE_ADMIN_TOKEN: 'x'.repeat(16) }), []);
  }
  for (const HOST of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) t.same(problemsOf({ HOST }), [], HOST);
  const both = problemsOf({ HOST: '0.0.0.0', PORT: 'x', LOG_LEVEL: 'loud' });
  t.same(both.map(({ path }) => path).sort(), ['LOG_LEVEL', 'PORT', 'SYNCLINE_ADMIN_TOKEN']);
});

test('a public address needs a token, because a proxy makes strangers look like this machine', async (t) => {
  const SYNCLINE_PUBLIC_URL = 'https://sync.example.com';
  t.match(problemsOf({ SYNCLINE_PUBLIC_URL }), [{ path: 'SYNCLINE_ADMIN_TOKEN', problem: /SYNCLINE_PUBLIC_URL/ }]);
  t.equal(problemsOf({ SYNCLINE_PUBLIC_URL, HOST: '0.0.0.0' }).length, 1, 'it is asked for once');
  t.same(problemsOf({ SYNCLINE_PUBLIC_URL, SYNCLINE_ADMIN_TOKEN: 'x'.repeat(16) }), []);
});

test('limits of each setting are kept', async (t) => {
  for (const PORT of ['-1', '65536', '1.5', 'NaN', '3000x', ' ', '0x10', '1e3']) {
    t.match(problemsOf({ PORT }), [{ path: 'PORT' }], JSON.stringify(PORT));
  }
  for (const PORT of ['0', '1', '65535']) t.same(problemsOf({ PORT }), [], PORT);
  for (const SYNCLINE_ADMIN_TOKEN of [
    'x'.repeat(15),
    `${'x'.repeat(16)} `,
    `${'x'.repeat(16)}é`,
    `${'x'.repeat(16)}\n`,
  ]) {
    t.match(problemsOf({ SYNCLINE_ADMIN_TOKEN }), [{ path: 'SYNCLINE_ADMIN_TOKEN' }]);
  }
  for (const SYNCLINE_WEBHOOKS_PER_MINUTE of ['0', '-5', '1.5', 'many']) {
    t.match(problemsOf({ SYNCLINE_WEBHOOKS_PER_MINUTE }), [{ path: 'SYNCLINE_WEBHOOKS_PER_MINUTE' }]);
  }
});

test('roles are all, or a list of known ones', async (t) => {
  const roles = (SYNCLINE_ROLE: string) => {
    const result = readSettings({ SYNCLINE_ROLE });
    return result.ok ? result.settings.roles : null;
  };
  t.same(roles('all'), ['ingest', 'worker', 'scheduler']);
  t.same(roles('worker , ingest'), ['ingest', 'worker']);
  t.same(roles('worker,worker'), ['worker']);
  for (const wrong of ['none', 'ingest,', 'all,worker', 'Ingest', ',']) t.equal(roles(wrong), null, wrong);
});

test('loopback is what no other machine can reach', async (t) => {
  for (const host of ['127.0.0.1', '127.255.255.254', '::1', 'localhost']) t.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '', 'localhost.', '127.1', '127.0.0.1.nip.io', '::ffff:127.0.0.1', '10.0.0.1']) {
    t.notOk(isLoopback(host), host);
  }
});

test('an encryption key that is none is refused with the way out, and is not shown', async (t) => {
  for (const key of ['CANARY', `${'0'.repeat(64)},CANARY`, 'CANARY'.repeat(8)]) {
    const [problem, ...others] = problemsOf({ SYNCLINE_ENCRYPTION_KEY: key });
    t.same(others, []);
    t.equal(problem?.path, 'SYNCLINE_ENCRYPTION_KEY');
    t.match(problem?.problem, /openssl rand -base64 32/);
    t.notMatch(problem?.problem, /CANARY/);
  }
  const read = readSettings({
    SYNCLINE_ENCRYPTION_KEY: `${'0'.repeat(64)}, ${Buffer.alloc(32, 1).toString('base64')}`,
  });
  t.ok(read.ok && read.settings.sealer);
  t.notMatch(JSON.stringify(read), /0{8}|AQEB/);
});
