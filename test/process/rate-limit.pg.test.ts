import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { packageRoot } from '../../src/lib/package-root.ts';
import { createOnServer } from '../helpers/database.ts';
import { sendJson, startFakeApi } from '../helpers/fake-api.ts';
import { skipWithoutPostgres, startPostgres } from '../helpers/postgres.ts';

const skip = skipWithoutPostgres();
const REQUESTS = 100;
const TIMEOUT_MS = 240_000;
const here = fileURLToPath(import.meta.url);
const isSourceRun = here.endsWith('.ts');

/** Two processes ask as fast as they may, until the source has seen as many. @returns when each request came, in ms. */
async function countArrivals(t: Test, per: string, requests: number): Promise<number[]> {
  const server = await startPostgres(t);
  const { url, database } = await createOnServer(t, server.url);
  await database.close();
  if (url === undefined) throw new Error('No URL');
  const arrivals: number[] = [];
  const api = await startFakeApi(t, (response) => {
    arrivals.push(performance.now());
    sendJson(response, { id: 'one' });
  });
  const children = [0, 1].map(() => startClient(t, { DATABASE_URL: url, API_URL: api.origin, TEST_PER: per }));
  await Promise.race([api.requested(requests), ...children]);
  return arrivals.slice(0, requests);
}

/** Rejects when the process ends before the test does. */
async function startClient(t: Test, environment: Record<string, string>): Promise<never> {
  const flags = isSourceRun ? ['--conditions=syncline-source', '--import', 'tsx'] : ['--conditions=syncline-compiled'];
  const program = join(dirname(here), `rate-limit-client.${isSourceRun ? 'ts' : 'js'}`);
  const child = spawn(process.execPath, [...flags, program], {
    cwd: packageRoot(),
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      TEST_REQUESTS: String(REQUESTS),
      ...environment,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let isOver = false;
  const ended = once(child, 'close');
  t.teardown(async () => {
    isOver = true;
    child.kill('SIGKILL');
    await ended;
  });
  await ended;
  if (isOver) return await new Promise<never>(() => {});
  throw new Error('A client has ended');
}

/** The most arrivals in any span of `perMs`. */
function fullestSpan(arrivals: readonly number[], perMs: number): number {
  let most = 0;
  let first = 0;
  arrivals.forEach((at, index) => {
    while ((arrivals[first] ?? at) <= at - perMs) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}

/** How much of the budget was used from the first request to the last whole hundred. */
function usedShare(arrivals: readonly number[], perMs: number): number {
  const windows = Math.floor((arrivals.length - 1) / REQUESTS);
  return (windows * perMs) / ((arrivals[windows * REQUESTS] ?? 0) - (arrivals[0] ?? 0));
}

test('two processes that share 100 requests per 3 s never exceed them, and use at least nine tenths', {
  skip,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const arrivals = await countArrivals(t, '3s', 4 * REQUESTS + 1);
  t.ok(fullestSpan(arrivals, 3_000) <= REQUESTS, `at most ${fullestSpan(arrivals, 3_000)} in 3 s`);
  t.ok(usedShare(arrivals, 3_000) >= 0.9, `used ${usedShare(arrivals, 3_000).toFixed(3)} of the budget`);
});

test('two processes that share 100 requests per minute never exceed them, and use at least nine tenths', {
  skip: skip || (process.env.CI ? false : 'takes two minutes: in CI only'),
  timeout: TIMEOUT_MS,
}, async (t) => {
  const arrivals = await countArrivals(t, '1m', 2 * REQUESTS + 1);
  t.ok(fullestSpan(arrivals, 60_000) <= REQUESTS, `at most ${fullestSpan(arrivals, 60_000)} in a minute`);
  t.ok(usedShare(arrivals, 60_000) >= 0.9, `used ${usedShare(arrivals, 60_000).toFixed(3)} of the budget`);
});
