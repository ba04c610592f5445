import { request } from 'node:http';
import { test } from 'tap';
import { expectProblem, startTestApp, type TestApp } from '../app/setup.ts';
import { customer, event, signShop } from '../app/shop.ts';

const TOKEN = 'canary-operator-token-0005';

const GUARDED: readonly (readonly [method: 'GET' | 'POST' | 'DELETE', path: string])[] = [
  ['GET', '/status'],
  ['GET', '/status/shop'],
  ['POST', '/sync/reconcile'],
  ['GET', '/sync/runs'],
  ['GET', '/sync/runs/01a1fd07-abda-72fa-aa81-229987e03ce3'],
  ['POST', '/sync/runs/01a1fd07-abda-72fa-aa81-229987e03ce3/cancel'],
  ['POST', '/sync/runs/01a1fd07-abda-72fa-aa81-229987e03ce3/approve'],
  ['POST', '/integrations/shop/pause'],
  ['POST', '/integrations/shop/resume'],
  ['GET', '/dead-letters'],
  ['POST', '/dead-letters/1/retry'],
  ['POST', '/dead-letters/retry'],
  ['DELETE', '/dead-letters/1'],
  ['GET', '/pushes'],
  ['POST', '/pushes/retry'],
  ['POST', '/pushes/discard'],
  ['POST', '/pushes/01a1fd07-abda-72fa-aa81-229987e03ce3/retry'],
  ['DELETE', '/pushes/01a1fd07-abda-72fa-aa81-229987e03ce3'],
  ['GET', '/records/shop/customers/x'],
];

type Caller = { readonly remoteAddress?: string; readonly headers?: Record<string, string> };

/** The status of each guarded route for one kind of caller. */
async function statuses(app: TestApp, { remoteAddress = '127.0.0.1', headers = {} }: Caller): Promise<Set<number>> {
  const answers = await Promise.all(
    GUARDED.map(([method, url]) =>
      app.app.server.inject({ method, url, remoteAddress, headers: { host: 'localhost:3000', ...headers } }),
    ),
  );
  for (const answer of answers) {
    if (!/^application\/(problem\+)?json/.test(String(answer.headers['content-type']))) throw new Error(answer.body);
  }
  return new Set(answers.map(({ statusCode }) => statusCode));
}

test('without a token', async (t) => {
  const app = await startTestApp(t);

  await t.test('callers on this machine are answered, under each of its names', async (t) => {
    for (const host of ['localhost', 'localhost:3000', '127.0.0.1:3000', '127.8.9.1', '[::1]:3000', 'LOCALHOST']) {
      t.notOk((await statuses(app, { headers: { host } })).has(403), host);
    }
    for (const remoteAddress of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) {
      t.notOk((await statuses(app, { remoteAddress })).has(403), remoteAddress);
    }
  });

  await t.test('callers from elsewhere are refused, whatever they claim', async (t) => {
    const claims: Record<string, string>[] = [
      {},
      { 'x-forwarded-for': '127.0.0.1' },
      { 'x-real-ip': '127.0.0.1', 'x-forwarded-host': 'localhost', forwarded: 'for=127.0.0.1' },
      { authorization: `Bearer ${TOKEN}` },
      { authorization: 'Bearer null' },
      { origin: 'http://localhost:3000' },
    ];
    for (const headers of claims) {
      for (const remoteAddress of ['203.0.113.9', '10.0.0.1', '2001:db8::1', '::ffff:10.0.0.1', '1270.0.0.1']) {
        t.same([...(await statuses(app, { remoteAddress, headers }))], [403], JSON.stringify(headers));
      }
    }
  });

  await t.test('a name bent to this machine is refused', async (t) => {
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example:3000',
      'evil.example:3000#localhost',
      'localhost@evil.example',
      '0.0.0.0:3000',
      '2130706433',
    ]) {
      t.same([...(await statuses(app, { headers: { host } }))], [403], host);
    }
  });

  await t.test('a proxy on this machine does not lend its address', async (t) => {
    t.same([...(await statuses(app, { headers: { 'x-forwarded-for': '203.0.113.9' } }))], [403]);
    t.same([...(await statuses(app, { headers: { 'x-forwarded-for': '' } }))], [403]);
    t.same([...(await statuses(app, { headers: { forwarded: 'for=203.0.113.9' } }))], [403]);
  });

  await t.test('a web page from elsewhere cannot act through its visitor', async (t) => {
    for (const origin of [
      'http://evil.example',
      'null',
      'http://localhost:8080',
      'file://',
      'http://localhost:3000@evil.example',
    ]) {
      t.same([...(await statuses(app, { headers: { origin } }))], [403], origin);
    }
    t.notOk((await statuses(app, { headers: { origin: 'http://localhost:3000' } })).has(403));
  });

  await t.test(
    'over a real socket an absolute address in the request line counts no more than the host header',
    async (t) => {
      const status = await new Promise<number | undefined>((resolve, reject) => {
        const sent = request({
          host: '127.0.0.1',
          port: app.port,
          path: 'http://localhost/status',
          headers: { host: 'evil.example' },
          agent: false,
        });
        sent.once('response', (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        sent.once('error', reject);
        sent.end();
      });
      t.not(status, 200);
      t.equal((await app.get('/status')).status, 200);
    },
  );
});

test('with a token', async (t) => {
  const app = await startTestApp(t, { settings: { adminToken: TOKEN } });

  await t.test('nobody passes without it or with another, this machine neither', async (t) => {
    const tokens = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      `Bearer ${TOKEN.slice(0, -1)}`,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN} `.concat('x'),
      `Bearer  ${TOKEN}`,
      `Basic ${Buffer.from(`:${TOKEN}`).toString('base64')}`,
      TOKEN,
      `Bearer ${TOKEN.toUpperCase()}`,
      `Bearer ${'x'.repeat(5_000)}`,
    ];
    for (const authorization of tokens) {
      const headers = authorization === undefined ? {} : { authorization };
      t.same([...(await statuses(app, { headers }))], [401], authorization ?? 'none');
    }
    const refused = await app.get('/status', { authorization: 'Bearer wrong' });
    t.match(refused.headers.get('www-authenticate'), /^Bearer/);
    await expectProblem(t, refused, 401);
    await expectProblem(t, await app.get(`/status?token=${TOKEN}&access_token=${TOKEN}`), 401);
  });

  await t.test('who has it passes from anywhere, under any host, but not out of a foreign web page', async (t) => {
    const authorization = `Bearer ${TOKEN}`;
    for (const caller of [
      { headers: { authorization } },
      { remoteAddress: '203.0.113.9', headers: { authorization, host: 'sync.example', 'x-forwarded-for': '1.2.3.4' } },
      { remoteAddress: '203.0.113.9', headers: { authorization: `bearer ${TOKEN}` } },
    ]) {
      const seen = await statuses(app, caller);
      t.notOk(seen.has(401) || seen.has(403));
    }
    t.same([...(await statuses(app, { headers: { authorization, origin: 'http://evil.example' } }))], [403]);
  });

  await t.test('health and webhooks need none, and neither log nor answer ever shows it', async (t) => {
    const body = event('customer.created', customer('t1'));
    t.equal((await app.post('/webhooks/shop', body, signShop(body))).status, 202);
    for (const path of ['/health', '/health/ready']) {
      const answer = await app.get(path, { authorization: `Bearer ${TOKEN}` });
      t.equal(answer.status, 200);
      t.notMatch(await answer.text(), TOKEN);
    }
    t.notMatch(app.logged(), TOKEN);
  });
});
