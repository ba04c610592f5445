import { test } from 'tap';
import { createTokenRequest, type TokenCall } from '../../../src/source/auth/token-request.ts';
import { sendText, startFakeApi } from '../../helpers/fake-api.ts';
import { failure, never, START_MS } from '../setup.ts';

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
