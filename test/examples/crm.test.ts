import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { pino } from 'pino';
import { type Test, test } from 'tap';
import { type Crm, createCrm } from '../../examples/crm/simulator.ts';
import { queryRows } from '../../src/db/query.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { type RunningServer, startServer } from '../../src/server.ts';
import { until } from '../app/setup.ts';
import { listenFor } from '../helpers/listen.ts';

/** With characters that are escaped on the way, and some that are not. */
const SECRET = 'a client-secret_of.this test+/ü';

async function setup(t: Test) {
  const crm = createCrm({ clientId: 'syncline', clientSecret: SECRET, lifetimeS: 300 });
  crm.seed(230);
  const port = await listenFor(t, crm.server);
  const url = `http://127.0.0.1:${port}`;
  const lines: string[] = [];
  const server = await startServer({
    environment: {
      PORT: '0',
      SYNCLINE_DATA_DIR: 'memory://',
      // As a user has it: TypeScript, with its migrations beside it.
      SYNCLINE_CONFIG: join(packageRoot(), 'examples', 'crm', 'syncline.config.ts'),
      SYNCLINE_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
      CRM_API_URL: url,
      CRM_AUTHORIZE_URL: `${url}/oauth/authorize`,
      CRM_TOKEN_URL: `${url}/oauth/token`,
      CRM_CLIENT_ID: 'syncline',
      CRM_CLIENT_SECRET: SECRET,
    },
    workingFolder: process.cwd(),
    log: pino({ level: 'trace', base: null }, { write: (line: string) => void lines.push(line) }),
  });
  t.teardown(() => server.stop());
  const status = async () => (await (await fetch(`${server.address}/status/crm`)).json()) as Status;
  const names = async () => {
    const rows = await queryRows<{ external_id: string; full_name: string }>(
      server.database.db,
      sql`SELECT external_id, full_name FROM crm_contacts ORDER BY external_id`,
    );
    return rows.map((row) => [row.external_id, row.full_name]);
  };
  const isEqual = async () => JSON.stringify(await names()) === JSON.stringify(contactsOf(crm));
  return { crm, server, status, isEqual, logged: () => lines.join('') };
}

type Status = {
  readonly state: string;
  readonly entities: readonly {
    readonly reasons: readonly string[];
    readonly lastSyncAt: string | null;
    readonly runUnderWay: string | null;
  }[];
};

const contactsOf = (crm: Crm) => [...crm.contacts.values()].map((one) => [one.id, one.full_name]);

/** What a person does in a browser: opens the start page, presses Allow, and lands on the callback. */
async function allow(server: RunningServer): Promise<Response> {
  const start = await fetch(`${server.address}/oauth/crm/start`, { redirect: 'manual' });
  const cookie = start.headers.get('set-cookie')?.split(';')[0] ?? '';
  const page = await (await fetch(start.headers.get('location') ?? '')).text();
  const fields = [...page.matchAll(/name="([^"]+)" value="([^"]*)"/g)].map(
    ([, name = '', value = '']) => [name, value.replaceAll('&amp;', '&')] as [string, string],
  );
  const form = new URL('/oauth/authorize', start.headers.get('location') ?? '');
  const allowed = await fetch(form, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' });
  return await fetch(allowed.headers.get('location') ?? '', { headers: { cookie }, redirect: 'manual' });
}

test('nothing is read before a person allows it; then the first run begins by itself', async (t) => {
  const { crm, server, status, isEqual, logged } = await setup(t);
  await until('the integration is paused', async () => (await status()).state === 'paused');
  t.match(JSON.stringify(await status()), '/oauth/crm/start');
  t.equal((await allow(server)).status, 200);
  await until('every contact has its row', isEqual);
  t.notMatch(logged(), SECRET);
  t.strictSame(crm.oauth.grants, { code: 1, refresh: 0 });
});

test('tokens that are revoked are renewed with the refresh token, once', async (t) => {
  const { crm, server, status, isEqual } = await setup(t);
  await allow(server);
  await until('the first run has ended', async () => {
    const [contacts] = (await status()).entities;
    return contacts !== undefined && contacts.lastSyncAt !== null && contacts.runUnderWay === null;
  });
  crm.oauth.expireAll();
  crm.rename('con_000009', 'Renamed');
  const run = await fetch(`${server.address}/sync/reconcile?wait=true`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ integration: 'crm', mode: 'full' }),
  });
  t.equal(run.status, 200);
  await until('the change is there', isEqual);
  t.strictSame(crm.oauth.grants, { code: 1, refresh: 1 });
});
