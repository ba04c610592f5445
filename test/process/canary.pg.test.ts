import { dirname, join } from 'node:path';
import { test } from 'tap';
import { until } from '../app/setup.ts';
import { customer, event, signShop } from '../app/shop.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { CANARY, CANARY_ENVIRONMENT, CREDENTIALS, showsCanary } from '../hostile/credentials.ts';
import { startHostileApi } from '../hostile/start-api.ts';
import { createShopDatabase, type Sql } from './database.ts';
import { SHOP_CONFIG, startServerProcess } from './setup.ts';

const CONFIG = join(dirname(SHOP_CONFIG), SHOP_CONFIG.replace(/^.*server\.config/, 'hostile.config'));
const WEBHOOK_SECRET = `whsec_${Buffer.from(`webhook-${CANARY}-webhook`).toString('base64')}`;
/** 32 bytes, as text that can be looked for. */
const ENCRYPTION_KEY = Buffer.from(`key-${CANARY}`.padEnd(32, '-')).toString('base64');
const ADMIN_TOKEN = `admin-${CANARY}-admin`;

/** Failures whose answers repeat our own request, where they have a body at all. */
const MODES = [
  '/status?code=403',
  '/status?code=500',
  '/status?code=429&wait=0',
  '/closed/in-body',
  '/reset/in-body',
  '/garbage/echo',
  '/errors/ok-false',
  '/errors/graphql',
  '/type/html-says-json',
  '/encoding/plain-says-gzip',
  // Last: refused credentials pause an integration.
  '/status?code=401',
];

const ROUTES = [
  '/',
  '/health',
  '/health/ready',
  '/status',
  '/sync/runs',
  '/dead-letters',
  '/events',
  '/conflicts',
  '/metrics',
  '/openapi.json',
  '/docs',
  '/nowhere',
];

test('canary secrets in every credential show in no log line, no answer and no table, whatever goes wrong', {
  skip: skipWithoutPostgres(),
}, async (t) => {
  const { url, sql } = await createShopDatabase(t);
  const api = await startHostileApi(t);
  await api.command('/fill?count=3');
  const server = await startServerProcess(t, {
    databaseUrl: url,
    apiUrl: api.origin,
    environment: {
      SYNCLINE_CONFIG: CONFIG,
      SYNCLINE_ROLE: 'ingest,worker',
      SYNCLINE_ADMIN_TOKEN: ADMIN_TOKEN,
      SYNCLINE_ENCRYPTION_KEY: ENCRYPTION_KEY,
      LOG_LEVEL: 'trace',
      TEST_KINDS: 'all',
      ...CANARY_ENVIRONMENT,
      SHOP_SECRET: WEBHOOK_SECRET,
      VERIFY_TOKEN: `verify-${CANARY}-verify`,
    },
  });
  const ask = async (path: string, options: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json', ...options.headers };
    const response = await fetch(server.address + path, { ...options, headers });
    const text = `${JSON.stringify([...response.headers])} ${await response.text()}`;
    t.notOk(showsCanary(text), `the answer to ${path}`);
    return { status: response.status, text };
  };
  const names = Object.keys(CREDENTIALS).map((_, index) => `shop${index}`);

  for (const mode of MODES) {
    await api.command(`/mode?is=${encodeURIComponent(mode)}`);
    for (const integration of names) {
      const { status, text } = await ask('/sync/reconcile', {
        method: 'POST',
        body: JSON.stringify({ integration, mode: 'full' }),
      });
      t.ok(status === 202 || status === 409, `${mode}: ${status} ${text}`);
    }
    await until('the runs end, or wait', async () => (await underWay(sql)) === 0);
    await sql`UPDATE sync.sync_runs SET resume_at = NULL, state = 'cancelled', finished_at = clock_timestamp()
      WHERE state = 'running'`;
  }
  const failed = await sql<{ integration: string; codes: number }[]>`
    SELECT integration, count(DISTINCT error_code)::int AS codes FROM sync.sync_runs GROUP BY integration`;
  t.same(failed.map(({ integration }) => integration).sort(), names, 'each kind of credentials was tried');
  for (const { integration, codes } of failed) t.ok(codes >= 3, `${integration} failed in ${codes} ways`);

  const heard = await api.command<string[]>('/heard');
  const withSecret = heard.filter(showsCanary).length;
  // All kinds but signatures, which prove a secret without showing it.
  t.ok(withSecret > heard.length / 2, `${withSecret} of ${heard.length} requests brought their secret along`);

  for (const integration of names) {
    const body = event('customer.updated', customer('c1'));
    const path = `/webhooks/${integration}`;
    t.equal(
      (await ask(path, { method: 'POST', body, headers: signShop(body, { secret: WEBHOOK_SECRET }) })).status,
      202,
    );
    t.equal((await ask(path, { method: 'POST', body, headers: signShop(body) })).status, 401);
    const garbage = 'no JSON';
    await ask(path, { method: 'POST', body: garbage, headers: signShop(garbage, { secret: WEBHOOK_SECRET }) });
    await ask(`${path}?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1`);
    await ask(`/status/${integration}`);
    await ask(`/oauth/${integration}/start`, { redirect: 'manual' });
    await ask(`/oauth/${integration}/callback?state=wrong&code=wrong`);
  }
  for (const path of ROUTES) {
    await ask(path);
    await ask(path, { headers: { authorization: 'Bearer wrong' } });
  }
  for (const run of await sql<{ id: string }[]>`SELECT id::text AS id FROM sync.sync_runs`)
    await ask(`/sync/runs/${run.id}`);

  t.notOk(showsCanary(await dump(sql)), 'the tables');
  t.ok(server.output().includes('"level":'), 'there is a log');
  t.equal((await server.stop()).code, 0);
  t.notOk(showsCanary(server.output()), 'the log');
  t.same(await api.foreignSeen(), { connections: 0, requests: [] });
});

/** Runs that a worker has, or is about to take. Those that wait for their source, or for new credentials, have none. */
async function underWay(sql: Sql): Promise<number> {
  return (await sql`SELECT 1 FROM sync.sync_runs WHERE state = 'queued' OR lease_token IS NOT NULL`).length;
}

/** Every row of every table as text. */
async function dump(sql: Sql): Promise<string> {
  const tables = await sql<{ name: string }[]>`
    SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'`;
  const texts: string[] = [];
  for (const { name } of tables) {
    for (const { row } of await sql.unsafe(`SELECT t::text AS row FROM ${name} t`)) texts.push(`${name} ${row}`);
  }
  return texts.join('\n');
}
