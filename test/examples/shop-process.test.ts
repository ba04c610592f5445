import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { pageSchema, SECRET, TOKEN } from './shop-setup.ts';

// Compiled or not: main lies beside what this test was made from.
const MAIN = fileURLToPath(new URL(`../../examples/shop/simulator/main${extname(import.meta.url)}`, import.meta.url));
const lineSchema = z.object({ port: z.int().positive(), url: z.url() });

async function startProcess(t: Test, args: readonly string[], options: ForkOptions = {}) {
  const child = fork(MAIN, args, {
    silent: true,
    env: { ...process.env, SHOP_API_TOKEN: TOKEN, SHOP_WEBHOOK_SECRET: SECRET },
    ...options,
  });
  t.teardown(() => child.kill('SIGKILL'));
  if (child.stdout === null) throw new Error('The output is not piped');
  const [line] = await once(createInterface(child.stdout), 'line');
  return { child, ...lineSchema.parse(JSON.parse(String(line))) };
}

async function ask(child: ChildProcess, id: number, request: unknown): Promise<unknown> {
  child.send({ id, request });
  const [answer] = await once(child, 'message');
  return answer;
}

test('the process prints where it listens, serves, takes messages, and ends well on SIGTERM', async (t) => {
  const { child, url } = await startProcess(t, ['--port', '0', '--seed', '7', '--customers', '5']);
  const response = await fetch(`${url}/customers`, { headers: { authorization: `Bearer ${TOKEN}` } });
  t.equal(pageSchema.parse(await response.json()).data.length, 5);
  t.match(await ask(child, 1, { settings: { changesPerSecond: 1_000 }, drive: 3 }), { id: 1, ok: true });
  t.match(await ask(child, 2, { drive: -1 }), { id: 2, ok: false, problem: /drive/ });
  t.match(await ask(child, 3, { generator: 'run' }), { id: 3, state: { generator: 'running' } });
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
});

test('the process ends when the one that started it lets go', async (t) => {
  const { child } = await startProcess(t, []);
  child.disconnect();
  t.same(await once(child, 'exit'), [0, null]);
});

test('an option that makes no sense ends the process with its name', async (t) => {
  const child = fork(MAIN, ['--port', '70000'], { silent: true });
  t.teardown(() => child.kill('SIGKILL'));
  let problem = '';
  child.stderr?.on('data', (text) => {
    problem += String(text);
  });
  t.same(await once(child, 'close'), [2, null]);
  t.match(problem, /--port: expected a whole number from 0 to 65535/);
});
