import { setTimeout as wait } from 'node:timers/promises';
import { connectDatabase } from '../../src/db/connect.ts';
import { readDatabaseNow } from '../../src/db/instants.ts';
import { createSealer, readKeys } from '../../src/lib/seal.ts';
import type { AuthDefinition } from '../../src/source/auth/auth.ts';
import type { TokenStore } from '../../src/source/auth/token-store.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { createTokenStore } from '../../src/sync/token-store.ts';

// A process with one integration's tokens, told by its parent what to do. `SKEW_MS` sets its clock off the database's;
// `CRASH` kills it between the source's answer and the store (`before-save`), or between store and use (`after-save`).

export type Order =
  /** Time passes, here and in the database. */
  | { readonly kind: 'pass'; readonly ms: number }
  /** So many requests at once. */
  | { readonly kind: 'authorize'; readonly count: number };
export type Report = { readonly headers: readonly string[]; readonly errors: readonly string[] };

const { DATABASE_URL: url = '', KEY = '', AUTH = '', SKEW_MS = '0', CRASH = '' } = process.env;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const keys = readKeys(KEY);
if (!keys.ok) throw new Error(keys.problem);
const database = await connectDatabase({ url, poolSize: 4, ingestPoolSize: 1, log: quiet });
let passedMs = 0;

const durable = createTokenStore({ db: database.db, sealer: createSealer(keys.keys) });
const later = <T extends { readonly now: number }>(stored: T): T => ({ ...stored, now: stored.now + passedMs * 1_000 });
const tokens: TokenStore = {
  ...durable,
  read: async (integration) => later(await durable.read(integration)),
  async acquire(integration, leaseMs) {
    const claim = await durable.acquire(integration, leaseMs);
    return claim === null ? null : { ...claim, stored: later(claim.stored) };
  },
  async save(integration, saved) {
    if (CRASH === 'before-save') process.kill(process.pid, 'SIGKILL');
    const isSaved = await durable.save(integration, saved);
    if (CRASH === 'after-save') process.kill(process.pid, 'SIGKILL');
    return isSaved;
  },
};

const definition: AuthDefinition = JSON.parse(AUTH);
const resolved = resolveSource('crm', { baseUrl: 'http://127.0.0.1:9', auth: definition }, {});
if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
const auth = resolved.source.auth({
  name: 'crm',
  now: () => readDatabaseNow(database.db),
  nowMs: () => Date.now() + Number(SKEW_MS) + passedMs,
  random: Math.random,
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
  tokens,
  log: quiet,
});

process.on('message', async (order: Order) => {
  if (order.kind === 'pass') {
    passedMs += order.ms;
    process.send?.({ headers: [], errors: [] } satisfies Report);
    return;
  }
  const request = { method: 'GET', url: new URL('http://127.0.0.1:9/orders'), headers: {}, body: null } as const;
  const settled = await Promise.allSettled(
    Array.from(
      { length: order.count },
      async () => (await auth.authorize(request, new AbortController().signal)).headers.authorization ?? '',
    ),
  );
  process.send?.({
    headers: settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    errors: settled.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : [])),
  } satisfies Report);
});
process.on('disconnect', () => void database.close().finally(() => process.exit(0)));
process.send?.({ headers: [], errors: [] } satisfies Report);
