import { test } from 'tap';
import { login } from '../../../src/source/auth/login.ts';
import { oauth2 } from '../../../src/source/auth/oauth2.ts';
import { createTokenRequest, type TokenCall } from '../../../src/source/auth/token-request.ts';
import { inTurn, sendJson, sendText, startFakeApi } from '../../helpers/fake-api.ts';
import { failure, never, plainList, readAll, START_MS, setup } from '../setup.ts';

const request = createTokenRequest({ nowMs: () => START_MS });
const callTo = (origin: string, headers: TokenCall['headers'] = {}): TokenCall => ({
  what: 'the login',
  method: 'POST',
  url: new URL('/token', origin),
  headers,
  body: 'password=CANARY',
});

test('an answer that goes on is cut off, and one that is no JSON is not shown', async (t) => {
  const large = await startFakeApi(t, (response) => sendText(response, 200, JSON.stringify('x'.repeat(300_000))));
  t.equal((await failure(request(callTo(large.origin), never()))).code, 'too_large');
  const odd = await startFakeApi(t, (response) => sendText(response, 200, '<p>CANARY</p>'));
  const error = await failure(request(callTo(odd.origin), never()));
  t.equal(error.code, 'invalid_response');
  t.notMatch(String(error.stack) + String(error.cause), /CANARY/);
});

test('a connection that breaks or is never made can be tried later', async (t) => {
  const broken = await startFakeApi(t, (response) => void response.destroy());
  t.equal((await failure(request(callTo(broken.origin), never()))).code, 'network');
  t.equal((await failure(request(callTo('http://127.0.0.1:1'), never()))).code, 'network');
});

test('an abort ends it while the endpoint is silent', async (t) => {
  const silent = await startFakeApi(t, () => {});
  const stop = new AbortController();
  const asked = failure(request(callTo(silent.origin), stop.signal));
  await silent.requested(1);
  stop.abort();
  t.equal((await asked).code, 'aborted');
});

test('a redirect is not followed, so that no credential goes elsewhere', async (t) => {
  const elsewhere = await startFakeApi(t, (response) => sendText(response, 200, '{}'));
  const api = await startFakeApi(
    t,
    (response) => response.writeHead(307, { location: elsewhere.origin }).end() && undefined,
  );
  t.equal((await failure(request(callTo(api.origin), never()))).code, 'invalid_response');
  t.equal(elsewhere.seen.length, 0);
});

test('a page on the way to an OAuth server is no refusal; a login may refuse with one', async (t) => {
  const page = '\ufeff\n<!doctype html><title>Blocked</title>';
  const oauth = oauth2({ grant: 'client_credentials', tokenUrl: '/token', clientId: 'a', clientSecret: 'b' });
  const session = login({ url: '/token', token: 'access_token' });
  for (const [auth, status, body, code] of [
    [oauth, 403, page, null],
    [oauth, 400, page, null],
    [oauth, 401, page, 'unauthorized'],
    [oauth, 403, 'denied', 'unauthorized'],
    [oauth, 400, '', 'unauthorized'],
    [session, 403, page, 'unauthorized'],
  ] as const) {
    const { client, api } = await setup(
      t,
      inTurn(
        (response) => sendText(response, status, body),
        (response) => sendJson(response, { access_token: 'x' }),
        (response) => sendJson(response, []),
      ),
      { source: { auth } },
    );
    const what = `${auth.kind} ${status} ${body}`;
    if (code === null) t.equal((await readAll(client, plainList)).length, 1, what);
    else t.equal((await failure(readAll(client, plainList))).code, code, what);
    t.equal(api.seen.length, code === null ? 3 : 1, what);
  }
});
