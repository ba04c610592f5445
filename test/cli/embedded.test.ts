import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { startServerProcess } from '../process/setup.ts';
import { ENVIRONMENT, runToEnd, userProject } from './user-project.ts';

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
