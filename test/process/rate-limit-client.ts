import { setTimeout as wait } from 'node:timers/promises';
import { connectDatabase } from '../../src/db/connect.ts';
import { readDatabaseNow } from '../../src/db/instants.ts';
import type { Duration } from '../../src/lib/duration.ts';
import { createSourceClient } from '../../src/source/client.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { createLimitLedger } from '../../src/sync/limit-ledger.ts';

/** A process that asks a source for as much as it may, on the ledger of a database, until it is killed. */
const { DATABASE_URL = '', API_URL = '', TEST_PER = '1m', TEST_REQUESTS = '100' } = process.env;
const CALLERS = 8;
const quiet = () => {};
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const database = await connectDatabase({ url: DATABASE_URL, dataDir: '', log });
const resolved = resolveSource(
  'counted',
  {
    baseUrl: API_URL,
    concurrency: CALLERS,
    rateLimits: [{ requests: Number(TEST_REQUESTS), per: TEST_PER as Duration }],
  },
  {},
);
if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
const client = createSourceClient(resolved.source, {
  now: () => readDatabaseNow(database.db),
  nowMs: Date.now,
  random: Math.random,
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
  ledger: createLimitLedger(database.db, 'counted'),
  onBreaker: quiet,
  log,
});

const { signal } = new AbortController();
async function ask(): Promise<never> {
  for (;;) {
    // What would have to wait for more than a minute is refused: asked again at once, as a run that comes back would.
    await client.getRecord({ path: '/things/{id}' }, 'one', { signal }).catch(() => wait(200));
  }
}
await Promise.all(Array.from({ length: CALLERS }, ask));
