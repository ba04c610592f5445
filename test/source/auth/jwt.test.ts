import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { test } from 'tap';
import { secret } from '../../../src/lib/setting.ts';
import { jwt, jwtSchema, prepareJwt } from '../../../src/source/auth/jwt.ts';
import { createJwtSigner } from '../../../src/source/auth/jwt-signer.ts';
import { BEARER, createTokenAuth } from '../../../src/source/auth/token-header.ts';
import { createTokenRequest } from '../../../src/source/auth/token-request.ts';
import { failure, never, START_MS } from '../setup.ts';
import { aRequest, createPlainCache, problemsOf, settingsOf, setupDeps, startRecorder } from './setup.ts';

type Options = Parameters<typeof jwt>[0];
const MINUTE_MS = 60_000;

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1') => String(key.export({ format: 'pem', type }));

/** The tokens of a definition on a clock of ours. */
function setupSigner(parts: Partial<Options>, key: string) {
  const { settings, problems } = settingsOf('https://api.example.com', { KEY: key, ISSUER: 'app-7' });
  const definition = jwt({ algorithm: 'RS256', key: secret('KEY'), issuer: secret('ISSUER'), ...parts });
  const { content } = prepareJwt(definition, settings);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const { deps, clock } = setupDeps();
  const tokens = createJwtSigner(content, deps);
  return { tokens, clock, auth: createTokenAuth(tokens, BEARER) };
}

test('tokens of every algorithm and form of key are verified by another hand', async (t) => {
  const cases: readonly [Partial<Options>, key: string, verifier: KeyObject | Uint8Array][] = [
    [{ algorithm: 'RS256' }, pem(rsa.privateKey, 'pkcs8'), rsa.publicKey],
    [{ algorithm: 'RS256' }, pem(rsa.privateKey, 'pkcs1'), rsa.publicKey],
    [{ algorithm: 'RS256' }, pem(rsa.privateKey, 'pkcs8').replaceAll('\n', '\\n'), rsa.publicKey],
    [{ algorithm: 'RS256' }, `${pem(rsa.privateKey, 'pkcs8').replaceAll('\n', '\\r\\n')}\n`, rsa.publicKey],
    [{ algorithm: 'RS256' }, `"${pem(rsa.privateKey, 'pkcs8').replaceAll('\n', '\\n')}"`, rsa.publicKey],
    [{ algorithm: 'RS256' }, `  ${pem(rsa.privateKey, 'pkcs8').replaceAll('\n', '\r\n')}`, rsa.publicKey],
    [{ algorithm: 'ES256' }, pem(ec.privateKey, 'pkcs8'), ec.publicKey],
    [{ algorithm: 'ES256' }, pem(ec.privateKey, 'sec1'), ec.publicKey],
    [{ algorithm: 'HS256' }, 'a text that both know', Buffer.from('a text that both know')],
    [{ algorithm: 'HS256', keyEncoding: 'hex' }, '00ff'.repeat(16), Buffer.from('00ff'.repeat(16), 'hex')],
    [{ algorithm: 'HS256', keyEncoding: 'base64' }, 'A-_B'.repeat(11), Buffer.from('A-_B'.repeat(11), 'base64url')],
  ];
  for (const [parts, key, verifier] of cases) {
    const { auth } = setupSigner(
      {
        keyId: 'key-1',
        subject: 'me',
        audience: 'https://aud.example',
        claims: { role: 'reader', tenant: 7, test: true },
        ...parts,
      },
      key,
    );
    const { headers } = await auth.authorize(aRequest('https://api.example.com'), never());
    const token = headers.authorization?.replace('Bearer ', '') ?? '';
    const { payload, protectedHeader } = await jwtVerify(token, verifier, {
      currentDate: new Date(START_MS),
      issuer: 'app-7',
      audience: 'https://aud.example',
      subject: 'me',
      requiredClaims: ['iat', 'exp', 'jti'],
    });
    t.same(protectedHeader, { alg: parts.algorithm, typ: 'JWT', kid: 'key-1' });
    t.match(payload, { role: 'reader', tenant: 7, test: true });
  }
});

test('a token is taken by clocks two minutes behind and ahead for as long as it is used', async (t) => {
  for (const lifetime of ['8m', '10m', '1h'] as const) {
    const { tokens, clock } = setupSigner({ lifetime }, pem(rsa.privateKey, 'pkcs8'));
    const first = await tokens.get(never());
    let used = 0;
    while (tokens.get(never()) === first) {
      for (const skewMs of [-2 * MINUTE_MS, 2 * MINUTE_MS]) {
        const { iat = 0, exp = 0 } = decodeJwt(first);
        const theirsMs = clock.nowMs + skewMs;
        t.ok(iat * 1_000 <= theirsMs && theirsMs < exp * 1_000, `${lifetime} ${skewMs}`);
      }
      clock.nowMs += 10_000;
      used += 1;
    }
    t.ok(used >= 10, 'it is used for a while');
    // Sources hold what is left of the lifetime to their maximum, too (GitHub: 10 minutes from its now).
    const { exp = 0, iat = 0 } = decodeJwt(first);
    t.equal((exp - iat) * 1_000, { '8m': 8, '10m': 10, '1h': 60 }[lifetime] * MINUTE_MS);
    t.ok(exp * 1_000 - (START_MS - 2 * MINUTE_MS) <= (exp - iat) * 1_000);
  }
});

test('one token serves all until it is renewed before its end, and a clock set back renews it, too', async (t) => {
  const { tokens, clock } = setupSigner({}, pem(rsa.privateKey, 'pkcs8'));
  const all = await Promise.all(Array.from({ length: 50 }, () => tokens.get(never())));
  t.equal(new Set(all).size, 1);
  clock.nowMs += 5 * MINUTE_MS - 1;
  t.equal(await tokens.get(never()), all[0]);
  clock.nowMs += 1;
  const second = await tokens.get(never());
  t.not(second, all[0]);
  clock.nowMs -= 10 * MINUTE_MS;
  const third = await tokens.get(never());
  t.not(third, second);
  t.ok((decodeJwt(third).iat ?? 0) * 1_000 < clock.nowMs);
});

test('a short lifetime keeps to a quarter of itself', async (t) => {
  const { tokens, clock } = setupSigner({ lifetime: '1m' }, pem(rsa.privateKey, 'pkcs8'));
  const first = await tokens.get(never());
  t.match(decodeJwt(first), { iat: START_MS / 1_000 - 15, exp: START_MS / 1_000 + 45 });
  clock.nowMs += 22_000;
  t.equal(await tokens.get(never()), first);
  clock.nowMs += 1_000;
  t.not(await tokens.get(never()), first);
});

test('a refused token is signed anew', async (t) => {
  const { auth } = setupSigner({}, pem(rsa.privateKey, 'pkcs8'));
  const refused = await auth.authorize(aRequest('https://api.example.com'), never());
  t.equal(await auth.renew(refused, never()), true);
  const next = await auth.authorize(aRequest('https://api.example.com'), never());
  t.not(next.headers.authorization, refused.headers.authorization);
  t.equal(await auth.renew(refused, never()), true);
  t.same(await auth.authorize(aRequest('https://api.example.com'), never()), next);
});

test('an assertion is exchanged under RFC 7523 once for many, and again before the end', async (t) => {
  const recorder = await startRecorder(t, (_, index) => ({
    json: { access_token: `t-${index}`, expires_in: 3_600, scope: 'a b c' },
  }));
  const { settings } = settingsOf(recorder.origin, { KEY: pem(rsa.privateKey, 'pkcs8'), CLIENT: 'client-9' });
  const exchange = { url: '/token', scope: 'a b', params: { client_id: secret('CLIENT') } };
  const plan = prepareJwt(
    jwt({ algorithm: 'RS256', key: secret('KEY'), issuer: 'me@example.com', exchange }),
    settings,
  );
  if (plan.exchange === null) throw new Error('expected an exchange');
  t.same(plan.exchange.scopes, ['a', 'b']);
  const { deps, clock } = setupDeps();
  const cache = createPlainCache(plan.exchange.grant(createTokenRequest(deps), deps), deps.nowMs);
  const all = await Promise.all(Array.from({ length: 50 }, () => cache.get(never())));
  t.same([...new Set(all)], ['t-0']);
  const form = new URLSearchParams(recorder.arrived[0]?.body);
  t.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
  t.equal(form.get('scope'), 'a b');
  t.equal(form.get('client_id'), 'client-9');
  await jwtVerify(form.get('assertion') ?? '', rsa.publicKey, {
    currentDate: new Date(START_MS),
    issuer: 'me@example.com',
    audience: `${recorder.origin}/token`,
  });
  clock.nowMs += 59 * MINUTE_MS;
  t.equal(await cache.get(never()), 't-1');
  t.not(new URLSearchParams(recorder.arrived[1]?.body).get('assertion'), form.get('assertion'));
});

test('the token of a GitHub App installation is had with the signed token as bearer', async (t) => {
  const recorder = await startRecorder(t, () => ({
    status: 201,
    headers: { date: new Date(START_MS).toUTCString() },
    json: { token: 'ghs_1', expires_at: '2026-01-02T04:04:05Z' },
  }));
  const { settings } = settingsOf(recorder.origin, { KEY: pem(rsa.privateKey, 'pkcs1') });
  const exchange = {
    url: '/app/installations/42/access_tokens',
    send: 'bearer',
    params: { repository: 'x' },
    token: 'token',
    expiresAt: 'expires_at',
  } as const;
  const plan = prepareJwt(jwt({ algorithm: 'RS256', key: secret('KEY'), issuer: '12345', exchange }), settings);
  const { deps } = setupDeps();
  const granted = await plan.exchange?.grant(createTokenRequest(deps), deps)(null, never());
  t.same(granted, { accessToken: 'ghs_1', expiresInS: 3_600, refreshToken: null, scope: null });
  const [arrived] = recorder.arrived;
  t.equal(arrived?.body, '{"repository":"x"}');
  const token = String(arrived?.headers.authorization).replace('Bearer ', '');
  t.equal(decodeProtectedHeader(token).alg, 'RS256');
  await jwtVerify(token, rsa.publicKey, { currentDate: new Date(START_MS), issuer: '12345' });
});

test('a refused assertion is `unauthorized`', async (t) => {
  const recorder = await startRecorder(t, () => ({ status: 400, json: { error: 'invalid_grant' } }));
  const { settings } = settingsOf(recorder.origin, { KEY: pem(rsa.privateKey, 'pkcs8') });
  const plan = prepareJwt(
    jwt({ algorithm: 'RS256', key: secret('KEY'), issuer: 'me', exchange: { url: '/token' } }),
    settings,
  );
  const { deps } = setupDeps();
  const granted = plan.exchange?.grant(createTokenRequest(deps), deps)(null, never());
  t.equal((await failure(Promise.resolve(granted))).code, 'unauthorized');
});

test('a key that cannot sign so stops the start and is not shown', async (t) => {
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
  const locked = rsa.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' });
  const cases: readonly [Partial<Options>, key: string, problem: RegExp][] = [
    [{ algorithm: 'RS256' }, 'CANARY', /no private key/],
    [{ algorithm: 'RS256' }, pem(rsa.privateKey, 'pkcs8').slice(0, 500), /no private key/],
    [{ algorithm: 'RS256' }, String(rsa.publicKey.export({ format: 'pem', type: 'spki' })), /no private key/],
    [{ algorithm: 'RS256' }, String(locked), /passphrase/],
    [{ algorithm: 'RS256' }, pem(ec.privateKey, 'pkcs8'), /not an RSA key/],
    [{ algorithm: 'RS256' }, pem(short, 'pkcs8'), /under 2048/],
    [{ algorithm: 'ES256' }, pem(rsa.privateKey, 'pkcs8'), /P-256/],
    [{ algorithm: 'ES256' }, pem(p384, 'pkcs8'), /P-256/],
    [{ algorithm: 'HS256' }, pem(rsa.privateKey, 'pkcs8'), /RS256/],
    [{ algorithm: 'HS256', keyEncoding: 'hex' }, 'CANARY', /not hex/],
    [{ algorithm: 'HS256' }, 'CANARY\r\n', /line break/],
  ];
  for (const [parts, key, problem] of cases) {
    const problems = problemsOf(jwt({ algorithm: 'RS256', key: secret('KEY'), issuer: 'me', ...parts }), { KEY: key });
    t.match(problems, [{ path: 'auth.key', problem }]);
    t.equal(problems.length, 1);
    t.notMatch(JSON.stringify(problems), /CANARY/);
    t.notOk(key.length > 100 && JSON.stringify(problems).includes(key.slice(40, 90)));
  }
});

test('what cannot work is refused at its place', async (t) => {
  const good = { algorithm: 'RS256', key: 'k', issuer: 'me' } as const;
  t.ok(jwtSchema.safeParse(jwt(good)).success);
  for (const [parts, path] of [
    [{ algorithm: 'none' }, 'algorithm'],
    [{ claims: { exp: 7 } }, 'claims'],
    [{ lifetime: '31d' }, 'lifetime'],
    [{ keyEncoding: 'hex' }, 'keyEncoding'],
    [{ issuer: undefined, exchange: { url: '/t' } }, 'issuer'],
    [{ exchange: { url: '/t', send: 'bearer', scope: 'a' } }, 'exchange.scope'],
  ] as const) {
    t.equal(jwtSchema.safeParse({ ...jwt(good), ...parts }).error?.issues[0]?.path.join('.'), path, path);
  }
});
