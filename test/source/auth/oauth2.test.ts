import { test } from 'tap';
import { instantFromMs } from '../../../src/model/instant.ts';
import type { AuthDefinition } from '../../../src/source/auth/auth.ts';
import { type OAuth2Options, oauth2, oauth2Schema } from '../../../src/source/auth/oauth2.ts';
import { createMemoryTokenStore } from '../../../src/source/auth/token-store.ts';
import { resolveSource } from '../../../src/source/resolve.ts';
import { collectLog, failure, START_MS } from '../setup.ts';
import { type Arrived, type Reply, startRecorder } from './setup.ts';

const ANSWER = { access_token: 'access-1', token_type: 'Bearer', expires_in: 3_600 };
const SERVICE = { grant: 'client_credentials', clientId: 'a client', clientSecret: 'CANARY: a+secret/ü' } as const;
const PERSON = {
  grant: 'authorization_code',
  clientId: 'client',
  authorizeUrl: 'https://login.example.com/auth',
} as const;

type Options = { readonly [name: string]: unknown };
type Setup = { readonly auth: (tokenUrl: string) => OAuth2Options; readonly answer: (request: Arrived) => Reply };

async function setup(t: Parameters<typeof startRecorder>[0], { auth, answer }: Setup) {
  const { origin, arrived } = await startRecorder(t, answer);
  const definition: AuthDefinition = oauth2(auth(`${origin}/token`));
  const resolved = resolveSource('crm', { baseUrl: origin, auth: definition }, {});
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  const tokens = createMemoryTokenStore(() => START_MS);
  const authenticator = resolved.source.auth({
    name: 'crm',
    now: async () => instantFromMs(START_MS),
    nowMs: () => START_MS,
    random: () => 0.5,
    sleep: async () => {},
    tokens,
    log: collectLog([]),
  });
  const request = { method: 'GET', url: new URL(origin), headers: {}, body: null } as const;
  const authorize = async () =>
    (await authenticator.authorize(request, new AbortController().signal)).headers.authorization;
  return { authorize, arrived, tokens };
}

const service =
  (more: Options = {}) =>
  (tokenUrl: string) => ({ ...SERVICE, tokenUrl, ...more });
const form = ({ body }: Arrived) => Object.fromEntries(new URLSearchParams(body));

test('client credentials go as HTTP Basic, encoded, with scopes, audience and parameters in the form', async (t) => {
  const { authorize, arrived } = await setup(t, {
    auth: service({ scopes: ['read', 'write'], audience: 'https://api.example.com', params: { tenant: '42' } }),
    answer: () => ({ json: ANSWER }),
  });
  t.equal(await authorize(), 'Bearer access-1');
  const [request] = arrived;
  if (request === undefined) throw new Error('Nothing arrived');
  t.same(form(request), {
    grant_type: 'client_credentials',
    scope: 'read write',
    audience: 'https://api.example.com',
    tenant: '42',
  });
  const pair = Buffer.from(String(request.headers.authorization).slice('Basic '.length), 'base64').toString();
  t.same(
    pair.split(':').map((part) => decodeURIComponent(part.replaceAll('+', ' '))),
    [SERVICE.clientId, SERVICE.clientSecret],
  );
});

test('a secret that needs no escape in a form has none in the header: some servers do not decode it', async (t) => {
  const { authorize, arrived } = await setup(t, {
    auth: service({ clientId: 'app-1.example', clientSecret: 'a-secret_of.base64url' }),
    answer: () => ({ json: ANSWER }),
  });
  await authorize();
  const pair = Buffer.from('app-1.example:a-secret_of.base64url').toString('base64');
  t.equal(arrived[0]?.headers.authorization, `Basic ${pair}`);
});

test('a client may send its secret in the form, or have none', async (t) => {
  const post = await setup(t, { auth: service({ clientAuth: 'post' }), answer: () => ({ json: ANSWER }) });
  await post.authorize();
  t.match(form(post.arrived[0] as Arrived), { client_id: SERVICE.clientId, client_secret: SERVICE.clientSecret });
  t.equal(post.arrived[0]?.headers.authorization, undefined);
  const none = await setup(t, {
    auth: (tokenUrl) => ({ ...PERSON, tokenUrl, refreshToken: 'seed' }),
    answer: () => ({ json: ANSWER }),
  });
  await none.authorize();
  t.same(form(none.arrived[0] as Arrived), { grant_type: 'refresh_token', client_id: 'client', refresh_token: 'seed' });
});

test('what sources write beside the standard does not cost the tokens', async (t) => {
  const odd: readonly Options[] = [
    { access_token: 'access-1' },
    { ...ANSWER, scope: ['read'], refresh_token: null, expires_in: null },
    { ...ANSWER, expires_in: '3600', id_token: 'not.a.token' },
    { ...ANSWER, expires_in: 'soon', token_type: 'bEARER' },
    { ...ANSWER, expires_in: 'Infinity', scope: '', refresh_token: '' },
    { ...ANSWER, expires_in: 0, token_type: 'bot', scope: { read: true } },
    { ...ANSWER, expires_in: -5, token_type: '', id_token: 7 },
    { ...ANSWER, expires_in: 1e12 },
  ];
  for (const json of odd) {
    const { authorize, tokens } = await setup(t, {
      auth: (tokenUrl) => ({ ...PERSON, tokenUrl, refreshToken: 'seed', scopes: ['read'] }),
      answer: () => ({ json }),
    });
    t.equal(await authorize(), 'Bearer access-1', JSON.stringify(json));
    t.match((await tokens.read('crm')).tokens, { refreshToken: 'seed' });
  }
});

test('refusals are told by the standard code alone, whatever the status', async (t) => {
  const cases: readonly [reply: Reply, code: string, words: RegExp][] = [
    [{ status: 401, json: { error: 'invalid_client', error_description: 'CANARY' } }, 'unauthorized', /invalid_client/],
    [{ status: 400, json: { error: 'invalid_scope' } }, 'unauthorized', /invalid_scope/],
    [{ status: 400, json: { error: 'CANARY' } }, 'unauthorized', /answered 400/],
    [{ status: 200, json: { error: 'incorrect_client_credentials' } }, 'unauthorized', /invalid_client/],
    [{ status: 200, json: { error: 'CANARY' } }, 'unauthorized', /code of its own/],
    [{ status: 400, json: { error: 'temporarily_unavailable' } }, 'server_error', /temporarily_unavailable/],
    [{ status: 503, json: {} }, 'server_error', /503/],
    [{ status: 429, headers: { 'retry-after': '7' }, json: {} }, 'rate_limited', /429/],
    [{ status: 302, headers: { location: 'http://127.0.0.1:9/' }, json: {} }, 'invalid_response', /302/],
    [{ json: { ...ANSWER, token_type: 'mac' } }, 'invalid_response', /another type than Bearer/],
    [{ json: { ...ANSWER, token_type: 'DPoP' } }, 'invalid_response', /another type than Bearer/],
    [{ json: { ...ANSWER, access_token: 'CANARY\r\nx: y' } }, 'invalid_response', /access_token/],
    [{ json: { token_type: 'Bearer', refresh_token: 'CANARY' } }, 'invalid_response', /access_token/],
    [{ json: ['CANARY'] }, 'invalid_response', /access_token/],
  ];
  for (const [reply, code, words] of cases) {
    const { authorize } = await setup(t, { auth: service(), answer: () => reply });
    const error = await failure(authorize());
    t.equal(error.code, code, JSON.stringify(reply));
    t.match(error.message, words);
    let all = '';
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      all += `${cause.stack} ${JSON.stringify(cause)}`;
    t.notMatch(all, /CANARY/);
    if (code === 'rate_limited') t.equal(error.retryAfterMs, 7_000);
  }
});

test('a definition that cannot work is refused', async (t) => {
  const good = { kind: 'oauth2', tokenUrl: 'https://login.example.com/token' };
  const bad: readonly Options[] = [
    { ...good, ...SERVICE, clientSecret: undefined },
    { ...good, ...SERVICE, scopes: ['read write'] },
    { ...good, ...SERVICE, params: { grant_type: 'password' } },
    { ...good, ...SERVICE, refreshToken: 'x' },
    { ...good, ...PERSON, authorizeUrl: undefined },
    { ...good, ...PERSON, authorizeParams: { state: 'x' } },
    { ...good, ...PERSON, clientAuth: 'post' },
    { ...good, grant: 'password', clientId: 'x' },
  ];
  for (const definition of bad) t.equal(oauth2Schema.safeParse(definition).success, false, JSON.stringify(definition));
  t.ok(oauth2Schema.safeParse({ ...good, ...SERVICE }).success);
  t.ok(oauth2Schema.safeParse({ ...good, ...PERSON }).success);
});

test('URLs that cannot be asked are reported by their place', async (t) => {
  const auth = oauth2({ ...PERSON, tokenUrl: 'ftp://x', authorizeUrl: 'https://u:CANARY@x.example.com/' });
  const resolved = resolveSource('crm', { baseUrl: 'https://api.example.com', auth }, {});
  t.equal(resolved.ok, false);
  if (resolved.ok) return;
  t.same(
    resolved.problems.map(({ path }) => path),
    ['auth.tokenUrl', 'auth.authorizeUrl'],
  );
  t.notMatch(JSON.stringify(resolved.problems), /CANARY/);
});
