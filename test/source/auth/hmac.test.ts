import { createHash, createHmac } from 'node:crypto';
import { test } from 'tap';
import { secret } from '../../../src/lib/setting.ts';
import { hmac, hmacSchema } from '../../../src/source/auth/hmac.ts';
import { inTurn, sendJson, sendText } from '../../helpers/fake-api.ts';
import { failure, mustResolve, never, plainList, readAll, START_MS, setup } from '../setup.ts';
import { aRequest, problemsOf, setupDeps, startRecorder } from './setup.ts';

const TEMPLATE =
  '{ts}\n{nonce}\n{method}\n{path}\n{query}\n{target}\n{url}\n{header:X-Version}\n{header:host}\n{bodySha256}\n{body}';

const hmacOf = (parts: Partial<Parameters<typeof hmac>[0]> = {}) =>
  hmac({ secret: secret('KEY'), header: 'X-Signature', template: '{body}', ...parts });

const sha256 = (key: string, text: string) => createHmac('sha256', key).update(text).digest('hex');

/** A request as the authenticator makes it, sent as the client sends it. */
const authorizerOf = (definition: ReturnType<typeof hmac>, key = 'key') => {
  const { deps, clock } = setupDeps();
  const auth = mustResolve({ baseUrl: 'https://api.example.com', auth: definition }, { KEY: key, KEY_ID: 'id-7' }).auth(
    deps,
  );
  return { auth, clock };
};

test('the signature covers the request line and the bytes that arrive', async (t) => {
  const recorder = await startRecorder(t, () => ({ json: { data: [] } }));
  const source = mustResolve(
    {
      baseUrl: `${recorder.origin}/v1`,
      headers: { 'X-Version': '7' },
      auth: hmacOf({
        template: TEMPLATE,
        timestamp: { header: 'X-Time', unit: 'ms' },
        nonce: { header: 'X-Nonce' },
      }),
    },
    { KEY: 'kéy' },
  );
  const { deps } = setupDeps();
  const auth = source.auth(deps);
  const url = new URL('/v1/thïngs/a%2Fb?q=ü+%20&a=1&a=2', recorder.origin);
  const body = JSON.stringify({ name: 'Zoë €', odd: '\ud800' });
  const sent = await auth.authorize(
    aRequest(recorder.origin, { method: 'POST', url, headers: { 'x-version': '7' }, body }),
    never(),
  );
  await fetch(sent.url, { method: sent.method, headers: sent.headers, body: sent.body });

  const [arrived] = recorder.arrived;
  if (arrived === undefined) throw new Error('nothing arrived');
  const [path, query] = arrived.url.split('?');
  const time = String(arrived.headers['x-time']);
  const digest = createHash('sha256').update(arrived.body).digest('hex');
  const { host } = arrived.headers;
  const signed = `${time}\n${arrived.headers['x-nonce']}\nPOST\n${path}\n${query}\n${arrived.url}\nhttp://${host}${arrived.url}\n7\n${host}\n${digest}\n${arrived.body}`;
  t.equal(time, String(START_MS));
  t.equal(arrived.headers['x-signature'], sha256('kéy', signed));
});

test('what a client lists is signed as it arrives, each attempt anew', async (t) => {
  const answer = inTurn(
    (response) => sendText(response, 500, ''),
    (response) => sendJson(response, []),
  );
  const { api, client } = await setup(t, answer, {
    source: {
      auth: hmacOf({
        template: '{ts}|{nonce}|{target}',
        timestamp: { header: 'x-time', unit: 's' },
        nonce: { header: 'x-nonce' },
      }),
    },
    environment: { KEY: 'key' },
  });
  await readAll(client, { ...plainList, query: { q: 'a b&c', since: '2026-01-01T00:00:00+02:00' } });
  t.equal(api.seen.length, 2);
  for (const { headers, url } of api.seen) {
    t.equal(headers['x-signature'], sha256('key', `${headers['x-time']}|${headers['x-nonce']}|${url}`));
  }
  t.not(api.seen[0]?.headers['x-nonce'], api.seen[1]?.headers['x-nonce']);
});

test('algorithms, encodings, forms of the key and of the time are as declared', async (t) => {
  const key = 'c2VjcmV0LWtleQ';
  for (const algorithm of ['sha1', 'sha256', 'sha512'] as const) {
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      const { auth } = authorizerOf(hmacOf({ algorithm, encoding, secretEncoding: 'base64' }), key);
      const sent = await auth.authorize(aRequest('https://api.example.com', { body: '{}' }), never());
      t.equal(sent.headers['x-signature'], createHmac(algorithm, 'secret-key').update('{}').digest(encoding));
    }
  }
  const times = { s: '1767323045', ms: '1767323045000', iso: '2026-01-02T03:04:05.000Z' };
  for (const unit of ['s', 'ms', 'iso'] as const) {
    const { auth } = authorizerOf(hmacOf({ template: '{ts}', timestamp: { unit, header: 'x-time' } }));
    t.equal((await auth.authorize(aRequest('https://api.example.com'), never())).headers['x-time'], times[unit]);
  }
});

test('the header can name the key, and the body can have a digest of its own', async (t) => {
  const { auth } = authorizerOf(
    hmacOf({
      header: 'Authorization',
      value: 'HMAC {keyId}:{nonce}:{ts}:{signature}',
      keyId: secret('KEY_ID'),
      nonce: {},
      timestamp: { unit: 's' },
      template: '{keyId}{header:digest}',
      bodyHash: { header: 'Digest', prefix: 'SHA-256=' },
    }),
  );
  const sent = await auth.authorize(aRequest('https://api.example.com'), never());
  const digest = `SHA-256=${createHash('sha256').update('').digest('base64')}`;
  t.equal(sent.headers.digest, digest);
  t.equal(sent.headers.authorization, `HMAC id-7:nonce-1:1767323045:${sha256('key', `id-7${digest}`)}`);
});

test('a template that cannot be filled is refused at its place', async (t) => {
  const cases: readonly [Partial<Parameters<typeof hmac>[0]>, path: string, message: RegExp][] = [
    [{ template: '{bodi}' }, 'template', /\{bodi\}.*\{body\}/],
    [{ template: '{header}' }, 'template', /\{header\}/],
    [{ template: '{body:x}' }, 'template', /\{body\}/],
    [{ template: '{"a":{body}}' }, 'template', /brace/],
    [{ template: '' }, 'template', /./],
    [{ template: '{ts}' }, 'timestamp', /needed/],
    [{ template: '{nonce}' }, 'nonce', /needed/],
    [{ value: '{keyId}:{signature}' }, 'keyId', /needed/],
    [{ value: 'HMAC' }, 'value', /signature/],
    [{ value: '{signature}\r\nx: y' }, 'value', /printable/],
    [{ template: '{header:x-signature}' }, 'template', /of the signature/],
    [{ template: '{header:content-length}' }, 'template', /content-length/],
    [{ timestamp: { unit: 's', header: 'x-signature' } }, 'header', /twice/],
    [{ header: 'Host' }, 'header', /header/],
  ];
  t.ok(hmacSchema.safeParse(hmacOf()).success);
  for (const [parts, path, message] of cases) {
    const issue = hmacSchema.safeParse(hmacOf(parts)).error?.issues[0];
    t.equal(issue?.path.join('.'), path, JSON.stringify(parts));
    t.match(issue?.message, message, JSON.stringify(parts));
  }
});

test('a key that is not written as declared stops the start and is not shown', async (t) => {
  for (const secretEncoding of ['hex', 'base64'] as const) {
    const problems = problemsOf(hmacOf({ secretEncoding }), { KEY: 'CANARY!' });
    t.match(problems, [{ path: 'auth.secret', problem: new RegExp(`is not ${secretEncoding}`) }]);
    t.notMatch(JSON.stringify(problems), /CANARY/);
  }
  t.match(problemsOf(hmacOf({}), { KEY: 'CANARY\n' }), [{ path: 'auth.secret', problem: /line break/ }]);
  t.match(problemsOf(hmacOf({ keyId: secret('ID') }), { KEY: 'k', ID: 'a\nb' }), [{ path: 'auth.keyId' }]);
});

test('a refused signature is not sent again', async (t) => {
  const { api, client } = await setup(t, (response) => sendText(response, 401, ''), {
    source: { auth: hmacOf() },
    environment: { KEY: 'key' },
  });
  t.equal((await failure(readAll(client, plainList))).code, 'unauthorized');
  t.equal(api.seen.length, 1);
});
