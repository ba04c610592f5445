import { test } from 'tap';
import { instantFromMs } from '../../src/model/instant.ts';
import { login } from '../../src/source/auth/login.ts';
import type { GetDefinition } from '../../src/source/definition.ts';
import { inTurn, sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, never, START_MS, setup } from './setup.ts';

const get: GetDefinition = { path: '/customers/{id}', query: { expand: 'all' }, record: 'data' };

test('a record is read by its id, with its etag and the times of the read', async (t) => {
  const made = await setup(t, (response) => {
    made.clock.nowMs += 30;
    sendJson(response, { data: { id: 'c 1' } }, { etag: 'W/"7"' });
  });
  t.same(await made.client.getRecord(get, 'c 1/ü', { signal: never() }), {
    kind: 'found',
    record: { id: 'c 1' },
    etag: 'W/"7"',
    startedAt: instantFromMs(START_MS),
    endedAt: instantFromMs(START_MS + 30),
  });
  t.equal(made.api.seen[0]?.url, '/customers/c%201%2F%C3%BC?expand=all');
});

test('404 and 410 are sightings of absence, also after a retry', async (t) => {
  for (const status of [404, 410]) {
    const { client } = await setup(
      t,
      inTurn(
        (response) => sendText(response, 500, ''),
        (response) => sendText(response, status, '{}'),
      ),
    );
    t.same(await client.getRecord(get, '1', { signal: never() }), {
      kind: 'absent',
      startedAt: instantFromMs(START_MS),
      endedAt: instantFromMs(START_MS + 125),
    });
  }
});

test('nothing else is taken for absence', async (t) => {
  for (const [status, body, code] of [
    [200, '{"data":null}', 'invalid_response'],
    [200, '{}', 'invalid_response'],
    [200, '{"data":[]}', 'invalid_response'],
    [200, '', 'invalid_response'],
    [204, '', 'invalid_response'],
    [401, '', 'unauthorized'],
    [403, '', 'forbidden'],
    [400, '', 'bad_request'],
    [500, '', 'server_error'],
    [503, '', 'server_error'],
    [429, '', 'rate_limited'],
  ] as const) {
    const { client } = await setup(t, (response) => {
      response.writeHead(status);
      response.end(body);
    });
    t.equal((await failure(client.getRecord(get, '1', { signal: never() }))).code, code, `${status} ${body}`);
  }
});

test('what the endpoint of tokens answers is no evidence about a record, before a request and after a refusal', async (t) => {
  const auth = login({ url: '/login', token: 'token' });
  for (const status of [404, 410]) {
    const unknown = await setup(t, (response) => sendText(response, status, ''), { source: { auth } });
    const error = await failure(unknown.client.getRecord(get, '1', { signal: never() }));
    t.match(error, { code: 'bad_request', status, message: /the login/ });
    t.same(
      unknown.api.seen.map(({ url }) => url),
      ['/login'],
    );
    const refused = await setup(
      t,
      inTurn(
        (response) => sendJson(response, { token: 'a' }),
        (response) => sendText(response, 401, ''),
        (response) => sendText(response, status, ''),
      ),
      { source: { auth } },
    );
    t.match(await failure(refused.client.getRecord(get, '1', { signal: never() })), { code: 'bad_request', status });
    t.equal(refused.api.seen.length, 3);
  }
});

test('an id that would change the path is refused, and nothing is sent', async (t) => {
  const { client, api } = await setup(t, (response) => sendJson(response, { data: {} }));
  for (const id of ['', '.', '..', '\ud800', 'x'.repeat(2_000)]) {
    const error = await failure(client.getRecord(get, id, { signal: never() }));
    t.match(error, { code: 'bad_id', isRetryable: false });
  }
  t.equal(api.seen.length, 0);
});

test('an odd id stays one part of the path', async (t) => {
  const { client, api } = await setup(t, (response) => sendJson(response, { data: {} }));
  for (const id of ['../admin', '%2e%2e', '...', 'a?b#c', '\\..\\x', '\u0000', ' ', '//evil.example/x', '{id}']) {
    await client.getRecord(get, id, { signal: never() });
    const sent = api.seen.at(-1)?.url ?? '';
    t.equal(sent, `/customers/${encodeURIComponent(id)}?expand=all`);
    t.equal(new URL(sent, 'http://x').pathname.split('/').length, 3, id);
  }
});
