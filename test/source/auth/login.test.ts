import type { Test } from 'tap';
import { test } from 'tap';
import { secret } from '../../../src/lib/setting.ts';
import { login, loginSchema, prepareLogin } from '../../../src/source/auth/login.ts';
import { createTokenAuth } from '../../../src/source/auth/token-header.ts';
import { createTokenRequest } from '../../../src/source/auth/token-request.ts';
import { failure, never } from '../setup.ts';
import { type Arrived, aRequest, createPlainCache, type Reply, settingsOf, setupDeps, startRecorder } from './setup.ts';

type Options = Parameters<typeof login>[0];

/** A login on a real server, under a cache that does what its contract says and no more. */
async function setupLogin(
  t: Test,
  parts: Partial<Options>,
  answer: (request: Arrived, index: number) => Reply | Promise<Reply>,
) {
  const recorder = await startRecorder(t, answer);
  const { settings, problems } = settingsOf(`${recorder.origin}/v1`, { USER: 'me', PASSWORD: 'pä$$', KEY: 'k-1' });
  const body = { username: secret('USER'), password: secret('PASSWORD') };
  const plan = prepareLogin(login({ url: '/login', body, token: 'data.token', ...parts }), settings);
  t.same(problems, []);
  const { deps, clock } = setupDeps();
  const cache = createPlainCache(plan.grant(createTokenRequest(deps)), deps.nowMs);
  const auth = createTokenAuth(cache, plan.header);
  const headers = async () => (await auth.authorize(aRequest(recorder.origin), never())).headers;
  return { ...recorder, auth, clock, headers };
}

const token = (value: string, more: object = {}): Reply => ({ json: { data: { token: value }, ...more } });

test('the login is asked once for many requests at once, and its token goes with each', async (t) => {
  const { arrived, headers } = await setupLogin(t, {}, () => token('t-1'));
  const sent = await Promise.all(Array.from({ length: 50 }, headers));
  t.ok(sent.every(({ authorization }) => authorization === 'Bearer t-1'));
  t.match(arrived, [{ method: 'POST', url: '/v1/login', headers: { 'content-type': 'application/json' } }]);
  t.equal(arrived.length, 1);
  t.same(JSON.parse(arrived[0]?.body ?? ''), { username: 'me', password: 'pä$$' });
});

test('forms, other methods, headers, Basic and absolute URLs are sent as declared', async (t) => {
  const form = await setupLogin(
    t,
    { format: 'form', body: { password: secret('PASSWORD'), days: 3, keep: true } },
    () => token('t'),
  );
  await form.headers();
  t.equal(form.arrived[0]?.headers['content-type'], 'application/x-www-form-urlencoded');
  t.same(Object.fromEntries(new URLSearchParams(form.arrived[0]?.body)), { password: 'pä$$', days: '3', keep: 'true' });

  const other = await startRecorder(t, () => token('t-far'));
  const far = login({
    url: `${other.origin}/session?a=1`,
    method: 'GET',
    headers: { 'X-Key': secret('KEY') },
    basic: { username: secret('USER'), password: secret('PASSWORD') },
    token: 'data.token',
    header: 'X-Session',
  });
  const { settings } = settingsOf('https://api.example.com', { USER: 'me', PASSWORD: 'pä$$', KEY: 'k-1' });
  const plan = prepareLogin(far, settings);
  const { deps } = setupDeps();
  const auth = createTokenAuth(createPlainCache(plan.grant(createTokenRequest(deps)), deps.nowMs), plan.header);
  t.match(await auth.authorize(aRequest('https://api.example.com'), never()), { headers: { 'x-session': 't-far' } });
  t.match(other.arrived, [{ method: 'GET', url: '/session?a=1', body: '', headers: { 'x-key': 'k-1' } }]);
  t.equal(other.arrived[0]?.headers.authorization, `Basic ${Buffer.from('me:pä$$').toString('base64')}`);
});

test('a prefix of its own stands before the token', async (t) => {
  const { headers } = await setupLogin(t, { header: 'Authorization', prefix: 'Token token=' }, () => token('t'));
  t.equal((await headers()).authorization, 'Token token=t');
});

test('before its end a token is replaced, whichever way the end is told', async (t) => {
  const ends: readonly [Partial<Options>, object][] = [
    [{ expiresIn: 'ttl' }, { ttl: 600 }],
    [{ expiresIn: 'ttl' }, { ttl: '600' }],
    [{ lifetime: '10m' }, {}],
    [{ expiresIn: 'ttl', lifetime: '10m' }, {}],
    [{ expiresAt: 'until' }, { until: '2026-03-04T05:16:07' }],
    [{ expiresAt: 'until' }, { until: '2026-03-04T06:16:07.000+01:00' }],
    [{ expiresAt: 'until' }, { until: Date.UTC(2026, 2, 4, 5, 16, 7) }],
    [{ expiresAt: 'until' }, { until: Date.UTC(2026, 2, 4, 5, 16, 7) / 1_000 }],
  ];
  for (const [parts, more] of ends) {
    // By a clock two months from ours: only its own date tells when the token ends.
    const date = { date: 'Wed, 04 Mar 2026 05:06:07 GMT' };
    const { clock, headers } = await setupLogin(t, parts, (_, index) => ({
      ...token(`t-${index}`, more),
      headers: date,
    }));
    t.equal((await headers()).authorization, 'Bearer t-0');
    clock.nowMs += 539_000;
    t.equal((await headers()).authorization, 'Bearer t-0', JSON.stringify(more));
    clock.nowMs += 1_000;
    t.equal((await headers()).authorization, 'Bearer t-1', JSON.stringify(more));
  }
});

test('a refused token is replaced by one login for all, and a second refusal finds another one', async (t) => {
  const { arrived, auth, headers } = await setupLogin(t, {}, (_, index) => token(`t-${index}`));
  const refused = aRequest('http://x', { headers: await headers() });
  t.same(await Promise.all([1, 2, 3].map(() => auth.renew(refused, never()))), [true, true, true]);
  t.equal(arrived.length, 2);
  t.equal((await headers()).authorization, 'Bearer t-1');
});

test('a token is refreshed by the refresh call, with the newest refresh token; refused, we log in', async (t) => {
  const { arrived, auth, headers } = await setupLogin(
    t,
    { refresh: { url: '/refresh', body: { client: secret('KEY') }, token: 'data.again', field: 'refreshToken' } },
    ({ url }, index) =>
      index === 3
        ? { status: 401 }
        : { json: { data: { token: `t-${index}`, again: url === '/v1/login' ? 'r-0' : 'r-1' } } },
  );
  for (let round = 0; round < 3; round++) await auth.renew(aRequest('http://x', { headers: await headers() }), never());
  t.same(
    arrived.map(({ url, body }) => [url, JSON.parse(body).refreshToken]),
    [
      ['/v1/login', undefined],
      ['/v1/refresh', 'r-0'],
      ['/v1/refresh', 'r-1'],
      ['/v1/refresh', 'r-1'],
      ['/v1/login', undefined],
    ],
  );
  t.equal(arrived.length, 5);
  t.equal(JSON.parse(arrived[1]?.body ?? '').client, 'k-1');
  t.equal((await headers()).authorization, 'Bearer t-4');
});

test('a refused login is `unauthorized`, a failing one can be tried later, a useless answer is neither', async (t) => {
  const cases: readonly [Reply, code: string, isRetryable: boolean][] = [
    [{ status: 400 }, 'unauthorized', false],
    [{ status: 401 }, 'unauthorized', false],
    [{ status: 403 }, 'unauthorized', false],
    [{ status: 403, headers: { 'retry-after': '3' } }, 'rate_limited', true],
    [{ status: 429, headers: { 'retry-after': '3' } }, 'rate_limited', true],
    [{ status: 503 }, 'server_error', true],
    [{ status: 302, headers: { location: '/elsewhere' } }, 'invalid_response', false],
    [{ json: { data: {} } }, 'invalid_response', false],
    [{ json: { data: { token: 'a\r\nb: c' } } }, 'invalid_response', false],
    [{ json: { data: { token: 7 } } }, 'invalid_response', false],
    [token('t', { ttl: 'soon' }), 'invalid_response', false],
  ];
  for (const [reply, code, isRetryable] of cases) {
    const { arrived, headers } = await setupLogin(t, { expiresIn: 'ttl' }, () => reply);
    const error = await failure(headers());
    t.match({ code: error.code, isRetryable: error.isRetryable }, { code, isRetryable }, JSON.stringify(reply));
    t.equal(arrived.length, 1);
    if (code === 'rate_limited') t.equal(error.retryAfterMs, 3_000);
  }
});

test('what cannot work is refused at its place', async (t) => {
  const good = { url: '/login', token: 'token' };
  t.ok(loginSchema.safeParse(login(good)).success);
  for (const [parts, path] of [
    [{ url: '' }, 'url'],
    [{ token: 'a..b' }, 'token'],
    [{ lifetime: '1s' }, 'lifetime'],
    [{ header: 'Host' }, 'header'],
    [{ prefix: 'a\n' }, 'prefix'],
    [{ refresh: { url: '/r', method: 'GET' } }, 'refresh.method'],
  ] as const) {
    t.equal(loginSchema.safeParse({ ...login(good), ...parts }).error?.issues[0]?.path.join('.'), path);
  }
  const { settings, problems } = settingsOf('https://api.example.com', { URL: 'ftp://CANARY', KEY: 'a:CANARY' });
  prepareLogin(
    login({ ...good, url: secret('URL'), method: 'GET', body: { a: 'b' }, basic: { username: secret('KEY') } }),
    settings,
  );
  t.same(problems.map(({ path }) => path).sort(), ['auth.basic.username', 'auth.body', 'auth.url']);
  t.notMatch(JSON.stringify(problems), /CANARY/);
});
