import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { type Test, test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import type { AuthDefinition } from '../../src/source/auth/auth.ts';
import { jwt } from '../../src/source/auth/jwt.ts';
import { oauth2 } from '../../src/source/auth/oauth2.ts';
import { createOnServer } from '../helpers/database.ts';
import { skipWithoutPostgres, startPostgres } from '../helpers/postgres.ts';
import { CLIENT_SECRET, SIGNING_SECRET, startOidc, startRoutes, startTokenProcess } from './oauth-setup.ts';

const skip = skipWithoutPostgres();
const MINUTE_MS = 60_000;
const TO_EXPIRY_MS = 59 * MINUTE_MS + 1_000;

async function setup(t: Test, { skewMs = 0 } = {}) {
  const server = await startPostgres(t);
  const [{ url = '', db }, oidc] = await Promise.all([createOnServer(t, server.url), startOidc(t, { skewMs })]);
  const key = randomBytes(32).toString('base64');
  const authorized = oauth2({
    grant: 'authorization_code',
    authorizeUrl: `${oidc.origin}/auth`,
    tokenUrl: `${oidc.origin}/token`,
    clientId: 'app',
    clientSecret: CLIENT_SECRET,
    scopes: ['openid', 'orders'],
  });
  const start = (auth: AuthDefinition, more: { skewMs?: number; crash?: 'before-save' | 'after-save' } = {}) =>
    startTokenProcess(t, { url, key, auth, ...more });
  const routes = await startRoutes(t, { db, key, auth: authorized });
  return { db, oidc, authorized, start, routes };
}

const one = { kind: 'authorize', count: 1 } as const;
const many = { kind: 'authorize', count: 50 } as const;
const toExpiry = { kind: 'pass', ms: TO_EXPIRY_MS } as const;

test('client credentials: 50 requests at the expiry, in two processes, cause one grant', { skip }, async (t) => {
  const { oidc, start } = await setup(t);
  const auth = oauth2({
    grant: 'client_credentials',
    tokenUrl: `${oidc.origin}/token`,
    clientId: 'app',
    clientSecret: CLIENT_SECRET,
  });
  const workers = await Promise.all([start(auth), start(auth)]);
  const first = await Promise.all(workers.map((worker) => worker.order(many)));
  t.same(await oidc.counts(), { client_credentials: 1 });
  await Promise.all(workers.map((worker) => worker.order(toExpiry)));
  const second = await Promise.all(workers.map((worker) => worker.order(many)));
  t.same(await oidc.counts(), { client_credentials: 2 });
  const [before, after] = [first, second].map((reports) => new Set(reports.flatMap(({ headers }) => headers)));
  t.equal(before?.size, 1);
  t.equal(after?.size, 1);
  t.notSame(before, after);
  t.same(
    [...first, ...second].flatMap(({ errors }) => errors),
    [],
  );
  t.equal(await oidc.call([...(after ?? [])][0] ?? ''), 200);
});

test('a signed token is exchanged under RFC 7523', { skip }, async (t) => {
  const { oidc, start } = await setup(t);
  const worker = await start(
    jwt({
      algorithm: 'HS256',
      key: SIGNING_SECRET,
      issuer: 'signer',
      subject: 'signer',
      exchange: { url: `${oidc.origin}/token`, params: { client_id: 'signer' } },
    }),
  );
  const { headers, errors } = await worker.order(many);
  t.same(new Set(errors), new Set());
  t.equal(new Set(headers).size, 1);
  t.equal(await oidc.call(headers[0] ?? ''), 200);
  t.same((await oidc.counts())['urn:ietf:params:oauth:grant-type:jwt-bearer'], 1);
});

test('a person authorizes; then 50 requests at each expiry, in two processes, use each refresh token once', {
  skip,
}, async (t) => {
  const { db, oidc, authorized, start, routes } = await setup(t);
  const refused = await (await start(authorized)).order(one);
  t.match(refused.errors[0], /authorize at GET \/oauth\/crm\/start/);
  const reply = await routes.authorize();
  t.equal(reply.statusCode, 200, reply.body);

  const workers = await Promise.all([start(authorized), start(authorized)]);
  const tokens = new Set<string>();
  for (let round = 1; round <= 3; round++) {
    await Promise.all(workers.map((worker) => worker.order(toExpiry)));
    const reports = await Promise.all(workers.map((worker) => worker.order(many)));
    t.same(
      reports.flatMap(({ errors }) => errors),
      [],
    );
    const headers = new Set(reports.flatMap((report) => report.headers));
    t.equal(headers.size, 1);
    const [header = ''] = headers;
    tokens.add(header);
    t.equal(await oidc.call(header), 200);
    t.match(await oidc.counts(), { authorization_code: 1, refresh_token: round });
  }
  t.equal(tokens.size, 3);
  t.equal((await oidc.counts())['refused refresh_token'], undefined);

  // Every table, in clear: neither tokens nor secrets are in one, nor in the log.
  const [tables] = await queryRows<{ names: string[] }>(
    db,
    sql`SELECT array_agg(table_name::text) AS names FROM information_schema.tables WHERE table_schema = 'sync'`,
  );
  let dump = routes.logged.join('');
  for (const name of tables?.names ?? []) {
    const [row] = await queryRows<{ text: string | null }>(
      db,
      sql.raw(`SELECT string_agg(t::text, E'\\n') AS text FROM sync."${name}" t`),
    );
    dump += row?.text ?? '';
  }
  const bytes = await queryRows<{ sealed: Buffer }>(db, sql`SELECT sealed FROM sync.credentials`);
  dump += bytes.map(({ sealed }) => sealed.toString('latin1')).join('');
  const { tokens: kept } = await routes.tokens.read('crm');
  if (kept === null || kept === 'unreadable') throw new Error('No tokens');
  for (const secret of [CLIENT_SECRET, SIGNING_SECRET, kept.accessToken ?? '', kept.refreshToken ?? '']) {
    t.ok(secret.length > 20);
    t.notOk(dump.includes(secret) || dump.includes(Buffer.from(secret).toString('hex')));
  }
});

test('a process that is killed between store and use loses nothing', { skip }, async (t) => {
  const { oidc, authorized, start, routes } = await setup(t);
  t.equal((await routes.authorize()).statusCode, 200);
  const crashing = await start(authorized, { crash: 'after-save' });
  await crashing.order(toExpiry);
  await t.rejects(crashing.order(many), /ended/);
  t.equal(await crashing.ended, 'SIGKILL');
  const next = await start(authorized);
  const { headers, errors } = await next.order(many);
  t.same(new Set(errors), new Set());
  t.equal(await oidc.call(headers[0] ?? ''), 200);
  t.match(await oidc.counts(), { refresh_token: 1 });
});

test('a process that is killed between answer and store is reported, and a person mends it', { skip }, async (t) => {
  const { db, oidc, authorized, start, routes } = await setup(t);
  t.equal((await routes.authorize()).statusCode, 200);
  const crashing = await start(authorized, { crash: 'before-save' });
  await crashing.order(toExpiry);
  await t.rejects(crashing.order(one), /ended/);
  // What the time would do: the lease of the process that is gone lapses.
  await queryRows(db, sql`UPDATE sync.credentials SET lease_expires_at = clock_timestamp()`);
  const next = await start(authorized);
  await next.order(toExpiry);
  const { errors } = await next.order(many);
  t.equal(errors.length, 50);
  t.match(errors[0], /answer to a refresh was lost.*authorize again at GET \/oauth\/crm\/start/);
  t.match(await oidc.counts(), { refresh_token: 1, 'refused refresh_token': 1 });
  t.equal((await routes.authorize()).statusCode, 200);
  const mended = await start(authorized);
  const { headers } = await mended.order(one);
  t.equal(await oidc.call(headers[0] ?? ''), 200);
});

for (const skewMs of [-2 * MINUTE_MS, 2 * MINUTE_MS]) {
  test(`clocks that are ${skewMs / MINUTE_MS} min apart are harmless`, { skip }, async (t) => {
    const { oidc, authorized, start, routes } = await setup(t, { skewMs });
    t.equal((await routes.authorize()).statusCode, 200);
    const workers = await Promise.all([start(authorized, { skewMs }), start(authorized, { skewMs: -skewMs })]);
    for (const expected of [undefined, 1]) {
      const reports = await Promise.all(workers.map((worker) => worker.order(many)));
      t.same(
        reports.flatMap(({ errors }) => errors),
        [],
      );
      t.equal(new Set(reports.flatMap(({ headers }) => headers)).size, 1);
      t.equal(await oidc.call(reports[0]?.headers[0] ?? ''), 200);
      t.equal((await oidc.counts()).refresh_token, expected);
      await Promise.all(workers.map((worker) => worker.order(toExpiry)));
    }
    const signer = await start(
      jwt({
        algorithm: 'HS256',
        key: SIGNING_SECRET,
        issuer: 'signer',
        exchange: { url: `${oidc.origin}/token`, params: { client_id: 'signer' } },
      }),
      { skewMs: -skewMs },
    );
    const { headers } = await signer.order(one);
    t.equal(headers.length, 1);
  });
}
