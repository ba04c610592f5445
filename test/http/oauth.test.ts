import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { InjectOptions } from 'fastify';
import { pino } from 'pino';
import { type Test, test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import { createAccessGuard } from '../../src/http/access.ts';
import { oauthRoutes } from '../../src/http/oauth.ts';
import { createServer } from '../../src/http/server.ts';
import { createSealer, readKeys } from '../../src/lib/seal.ts';
import { oauth2 } from '../../src/source/auth/oauth2.ts';
import { prepareAuthorization } from '../../src/source/auth/oauth2-authorization.ts';
import { createTokenStore } from '../../src/sync/token-store.ts';
import { createTestDatabase } from '../helpers/database.ts';
import { sendText, startFakeApi } from '../helpers/fake-api.ts';

const ANSWER = {
  access_token: 'CANARY-access',
  token_type: 'bearer',
  expires_in: 3_600,
  refresh_token: 'CANARY-refresh',
};

type SetupOptions = {
  readonly answer?: unknown;
  readonly status?: number;
  readonly adminToken?: string;
  readonly publicUrl?: string;
};

async function setup(t: Test, options: SetupOptions = {}) {
  const { answer = ANSWER, status = 200, adminToken = null, publicUrl = null } = options;
  const { db } = await createTestDatabase(t);
  const provider = await startFakeApi(t, (response) => sendText(response, status, JSON.stringify(answer)));
  const keys = readKeys(randomBytes(32).toString('base64'));
  if (!keys.ok) throw new Error(keys.problem);
  const sealer = createSealer(keys.keys);
  const tokens = createTokenStore({ db, sealer });
  const logged: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  const auth = oauth2({
    grant: 'authorization_code',
    authorizeUrl: `${provider.origin}/authorize?prompt=consent`,
    tokenUrl: `${provider.origin}/token`,
    clientId: 'client',
    clientSecret: 'CANARY-client-secret',
    scopes: ['read', 'write'],
  });
  const source = { baseUrl: provider.origin, auth };
  const authorization = prepareAuthorization(source, {}, Date.now);
  if (authorization === null) throw new Error('It takes no authorization');
  const authorized: string[] = [];
  const app = createServer(log);
  await app.register(oauthRoutes, {
    guard: createAccessGuard(adminToken),
    publicUrl,
    stopping: new AbortController().signal,
    authorize: {
      db,
      sealer,
      tokens,
      log,
      authorizations: new Map([
        ['crm', authorization],
        ['shop', authorization],
      ]),
      onAuthorized: async (integration) => void authorized.push(integration),
    },
  });
  t.teardown(() => app.close());
  const get = (url: string, more: Partial<InjectOptions> = {}) =>
    app.inject({ method: 'GET', url, ...more, headers: { host: 'localhost:3000', ...more.headers } });
  /** A flow begun in a browser of its own. */
  async function start(integration = 'crm') {
    const reply = await get(`/oauth/${integration}/start`);
    const location = new URL(String(reply.headers.location));
    const cookie = String(reply.headers['set-cookie']).split(';')[0] ?? '';
    return { reply, location, cookie, state: location.searchParams.get('state') ?? '' };
  }
  return { db, get, start, tokens, authorized, provider, logged };
}

test('the browser is sent to the source with state, PKCE and the way back', async (t) => {
  const { start, provider } = await setup(t);
  const { reply, location, state } = await start();
  t.equal(reply.statusCode, 302);
  t.equal(location.origin, provider.origin);
  t.match(Object.fromEntries(location.searchParams), {
    prompt: 'consent',
    response_type: 'code',
    client_id: 'client',
    scope: 'read write',
    code_challenge_method: 'S256',
    redirect_uri: 'http://localhost:3000/oauth/crm/callback',
  });
  t.match(state, /^[\w-]{43}$/);
  t.match(location.searchParams.get('code_challenge'), /^[\w-]{43}$/);
  t.match(reply.headers['set-cookie'], /Path=\/oauth\/crm\/callback; Max-Age=600; HttpOnly; SameSite=Lax$/);
  t.equal(reply.headers['cache-control'], 'no-store');
  t.equal(reply.headers['referrer-policy'], 'no-referrer');
});

test('what comes back is exchanged, stored, and lets the integration go on; nothing of it is shown', async (t) => {
  const { start, get, tokens, authorized, provider, logged, db } = await setup(t);
  const { state, cookie } = await start();
  const reply = await get(`/oauth/crm/callback?state=${state}&code=CANARY-code&iss=x`, { headers: { cookie } });
  t.equal(reply.statusCode, 200);
  t.match(reply.headers['content-type'], 'text/html');
  t.equal(reply.headers['referrer-policy'], 'no-referrer');
  t.match(reply.headers['set-cookie'], /Max-Age=0/);
  t.match((await tokens.read('crm')).tokens, { accessToken: 'CANARY-access', refreshToken: 'CANARY-refresh' });
  t.same(authorized, ['crm']);
  t.equal(provider.seen.length, 1);
  const [dump] = await queryRows<{ text: string }>(
    db,
    sql`SELECT (SELECT coalesce(string_agg(encode(sealed, 'escape'), ''), '') FROM sync.credentials) ||
               (SELECT coalesce(string_agg(f::text, ''), '') FROM sync.oauth_flows f) AS text`,
  );
  t.notMatch(`${reply.body}${JSON.stringify(reply.headers)}${logged.join('')}${dump?.text}`, /CANARY/);
});

test('a state is good for one callback', async (t) => {
  const { start, get, authorized } = await setup(t);
  const { state, cookie } = await start();
  const url = `/oauth/crm/callback?state=${state}&code=1`;
  t.equal((await get(url, { headers: { cookie } })).statusCode, 200);
  const again = await get(url, { headers: { cookie } });
  t.equal(again.statusCode, 400);
  t.match(again.json(), { type: 'urn:syncline:problem:authorization-unknown' });
  t.same(authorized, ['crm']);
});

test('a state of another integration, a made-up one, two of them and none at all are refused', async (t) => {
  const { start, get, provider } = await setup(t);
  const { state, cookie } = await start('shop');
  const queries = [`state=${state}`, `state=${'x'.repeat(43)}`, `state=${state}&state=${state}`, 'state=%00', ''];
  for (const query of queries) {
    const reply = await get(`/oauth/crm/callback?code=1&${query}`, { headers: { cookie } });
    t.equal(reply.statusCode, 400, query);
  }
  t.equal(provider.seen.length, 0);
});

test('a callback in a browser that did not begin is refused, and ends the flow', async (t) => {
  const { start, get, provider } = await setup(t);
  for (const foreign of ['', 'syncline-oauth=', `syncline-oauth=${'A'.repeat(43)}`, 'other=1']) {
    const { state, cookie } = await start();
    const named = foreign.replace('syncline-oauth', cookie.split('=')[0] ?? '');
    const reply = await get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie: named } });
    t.match(reply.json(), { status: 400, type: 'urn:syncline:problem:authorization-other-browser' });
    t.equal((await get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie } })).statusCode, 400);
  }
  t.equal(provider.seen.length, 0);
});

test('a flow that took too long is refused', async (t) => {
  const { start, get, db } = await setup(t);
  const { state, cookie } = await start();
  await queryRows(db, sql`UPDATE sync.oauth_flows SET expires_at = clock_timestamp() - interval '1 second'`);
  t.equal((await get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie } })).statusCode, 400);
});

test('a refusal by the source is told by its standard code, and by no word of its own', async (t) => {
  const { start, get } = await setup(t);
  const refuse = async (error: string) => {
    const { state, cookie } = await start();
    const query = new URLSearchParams({ state, error, error_description: '<script>alert(1)</script>' });
    return get(`/oauth/crm/callback?${query}`, { headers: { cookie } });
  };
  const declined = await refuse('access_denied');
  t.match(declined.json(), { status: 403, detail: 'The source answers access_denied. Start again.' });
  const odd = await refuse('<script>alert(1)</script>');
  t.equal(odd.statusCode, 403);
  t.notMatch(`${declined.body}${odd.body}`, /script/);
});

test('nothing of a request comes back in an answer, and no address in it is followed', async (t) => {
  const { get, start } = await setup(t);
  const mark = 'CANARY%3Cscript%3E%22';
  const { state, cookie } = await start();
  const replies = [
    await get(`/oauth/${mark}/start`),
    await get(`/oauth/${mark}/callback?state=${mark}`),
    await get(`/oauth/crm/callback?state=${mark}&code=${mark}&error=${mark}`),
    await get(`/oauth/crm/start?redirect_uri=https://evil.example&next=https://evil.example`),
    await get(`/oauth/crm/callback?state=${state}&code=1&redirect_uri=https://evil.example`, { headers: { cookie } }),
  ];
  for (const reply of replies) {
    t.notMatch(reply.body, /CANARY|evil/);
    t.notMatch(decodeURIComponent(String(reply.headers.location ?? '')), /CANARY|evil/);
    t.equal(reply.headers['cache-control'], 'no-store');
  }
});

test('an exchange that fails is told without the answer or the code', async (t) => {
  const answer = { error: 'invalid_grant', error_description: 'CANARY' };
  const { start, get, tokens, authorized, logged } = await setup(t, { status: 400, answer });
  const { state, cookie } = await start();
  const reply = await get(`/oauth/crm/callback?state=${state}&code=CANARY-code`, { headers: { cookie } });
  t.equal(reply.statusCode, 502);
  t.match(reply.json().detail, /refused with invalid_grant/);
  t.notMatch(reply.body + logged.join(''), /CANARY/);
  t.equal((await tokens.read('crm')).tokens, null);
  t.same(authorized, []);
});

test('scopes that were not granted are named, and the integration stays as it is', async (t) => {
  const { start, get, tokens, authorized } = await setup(t, { answer: { ...ANSWER, scope: 'read' } });
  const { state, cookie } = await start();
  const reply = await get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie } });
  t.match(reply.json(), { status: 403, detail: 'These scopes were not granted: write. Start again.' });
  t.equal((await tokens.read('crm')).tokens, null);
  t.same(authorized, []);
});

test('only an operator begins, and a page of somebody else cannot make her', async (t) => {
  const { get } = await setup(t, { adminToken: 'an operator token', publicUrl: 'https://sync.example.com/' });
  t.equal((await get('/oauth/crm/start')).statusCode, 401);
  const made = { method: 'POST', url: `/oauth/crm/start?ticket=${'x'.repeat(43)}` } as const;
  t.equal((await get(made.url, made)).statusCode, 403);
  t.equal((await get('/oauth/crm/start', { method: 'POST' })).statusCode, 403);
  const open = await setup(t);
  t.equal((await open.get('/oauth/crm/start', { headers: { 'sec-fetch-site': 'cross-site' } })).statusCode, 403);
  t.equal((await open.get('/oauth/crm/start', { headers: { host: 'evil.example' } })).statusCode, 403);
});

test('an operator with a token asks for a link, with which one browser may begin once', async (t) => {
  const { get } = await setup(t, { adminToken: 'operator-token-of-the-test', publicUrl: 'https://sync.example.com/' });
  const headers = { authorization: 'Bearer operator-token-of-the-test', accept: 'application/json' };
  const { url } = (await get('/oauth/crm/start', { headers })).json();
  t.match(url, /^https:\/\/sync\.example\.com\/oauth\/crm\/start\?ticket=[\w-]{43}$/);
  const path = String(url).slice('https://sync.example.com'.length);
  t.equal((await get(path.replace('crm', 'shop'), { method: 'POST' })).statusCode, 403);
  const page = await get(path, { headers: { 'sec-fetch-site': 'cross-site' } });
  t.match(page.body, /<form method="post"><button>/);
  t.equal(page.headers['set-cookie'], undefined);
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const reply = await get(path, { method: 'POST', headers: form, payload: '' });
  t.equal(reply.statusCode, 302);
  t.match(reply.headers['set-cookie'], /; Secure$/);
  t.match(reply.headers.location, /redirect_uri=https%3A%2F%2Fsync\.example\.com%2Foauth%2Fcrm%2Fcallback/);
  t.equal((await get(path, { method: 'POST', headers: form, payload: '' })).statusCode, 403);
});

test('a program that looks at a link to begin with does not use it up', async (t) => {
  const { get } = await setup(t);
  const { url } = (await get('/oauth/crm/start', { headers: { accept: 'application/json' } })).json();
  const path = String(url).slice('http://localhost:3000'.length);
  for (let look = 0; look < 3; look++) t.equal((await get(path)).statusCode, 200);
  t.equal((await get(path, { method: 'HEAD' })).statusCode, 404);
  t.equal((await get(path, { method: 'POST' })).statusCode, 302);
});

test('of two tabs of one browser each ends what it began', async (t) => {
  const { start, get, authorized } = await setup(t);
  const [first, second] = [await start(), await start()];
  // What the browser keeps: the later of two cookies of one name and path.
  const jar = new Map([first, second].map(({ cookie }) => [cookie.split('=')[0], cookie]));
  const cookie = [...jar.values()].join('; ');
  for (const { state } of [first, second])
    t.equal((await get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie } })).statusCode, 200);
  t.same(authorized, ['crm', 'crm']);
});

test('one tab cannot end what another browser began, with the cookie of its own', async (t) => {
  const { start, get, provider } = await setup(t);
  const [lured, own] = [await start(), await start()];
  const value = own.cookie.split('=')[1];
  const cookie = `${own.cookie}; ${lured.cookie.split('=')[0]}=${value}`;
  const reply = await get(`/oauth/crm/callback?state=${lured.state}&code=1`, { headers: { cookie } });
  t.match(reply.json(), { type: 'urn:syncline:problem:authorization-other-browser' });
  t.equal(provider.seen.length, 0);
});

test('a host that no browser could be sent back to is refused, and is no failure of ours', async (t) => {
  const { get } = await setup(t);
  for (const host of ['localhost:99999', '127.999.0.1'])
    t.equal((await get('/oauth/crm/start', { headers: { host } })).statusCode, 409, host);
});

test('a code of 10 kB is exchanged whole, and what cannot be one is not', async (t) => {
  const { start, get, provider } = await setup(t);
  const long = await start();
  const code = 'c'.repeat(10_000);
  const url = `/oauth/crm/callback?state=${long.state}&code=${code}`;
  t.equal((await get(url, { headers: { cookie: long.cookie } })).statusCode, 200);
  t.equal(provider.seen.length, 1);
  const { state, cookie } = await start();
  const reply = await get(`/oauth/crm/callback?state=${state}&code=${code}${code}`, { headers: { cookie } });
  t.match(reply.json(), { type: 'urn:syncline:problem:authorization-no-code' });
  t.equal(provider.seen.length, 1);
});

test('abandoned flows are bounded, and the youngest are kept', async (t) => {
  const { start, get, db } = await setup(t);
  const first = await start();
  for (let flow = 0; flow < 25; flow++) await start();
  const last = await start();
  const [row] = await queryRows<{ count: string }>(db, sql`SELECT count(*)::text AS count FROM sync.oauth_flows`);
  t.equal(row?.count, '20');
  const finish = ({ state, cookie }: typeof first) =>
    get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie } });
  t.equal((await finish(first)).statusCode, 400);
  t.equal((await finish(last)).statusCode, 200);
});

test('a program that looks at a link before it is opened does not use it up', async (t) => {
  const { get, start, authorized } = await setup(t);
  const { state, cookie } = await start();
  const url = `/oauth/crm/callback?state=${state}&code=1`;
  t.equal((await get(url, { method: 'HEAD', headers: { cookie } })).statusCode, 404);
  t.equal((await get(url, { headers: { cookie } })).statusCode, 200);
  t.same(authorized, ['crm']);
});

test('an authorization anew replaces the tokens of the one before, whole', async (t) => {
  const { start, get, tokens } = await setup(t);
  const old = {
    accessToken: 'old',
    requestedAt: 1,
    lifetimeMs: 1,
    scope: null,
    refreshToken: 'old',
    spares: ['older'],
  };
  const refused = { at: 1, isAnswerLost: true };
  await tokens.save('crm', { lease: null, generation: 0, tokens: { ...old, family: 'one', seeds: ['seed'], refused } });
  const { state, cookie } = await start();
  t.equal((await get(`/oauth/crm/callback?state=${state}&code=1`, { headers: { cookie } })).statusCode, 200);
  const found = (await tokens.read('crm')).tokens;
  t.match(found, { refreshToken: 'CANARY-refresh', spares: [], seeds: ['seed'], refused: null });
  t.not(found !== null && found !== 'unreadable' && found.family, 'one');
});
