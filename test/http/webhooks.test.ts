import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { test } from 'tap';
import { expectProblem, settled, startTestApp } from '../app/setup.ts';
import {
  customer,
  event,
  formDefinition,
  MAX_BODY_BYTES,
  SHOP_SECRET,
  SMALL_BODY_BYTES,
  shopDefinition,
  signForm,
  signShop,
  silentDefinition,
  VERIFY_TOKEN,
} from '../app/shop.ts';

const SHOP = '/webhooks/shop';
const definitions = [shopDefinition, formDefinition, silentDefinition];

test('the webhook route', async (t) => {
  const app = await startTestApp(t, { definitions });
  const rowOf = async (id: string) =>
    (await app.sql<{ email: string }>(`SELECT email FROM e2e_customers WHERE external_id = '${id}'`))[0];

  await t.test('a signed delivery is answered 202 with nothing, stored first, and ends as a row', async (t) => {
    const body = event('customer.created', customer('w1'));
    const response = await app.post(SHOP, body, signShop(body, { id: 'msg_w1' }));
    t.equal(response.status, 202);
    t.equal(await response.text(), '');
    const stored = await app.sql(`SELECT 1 AS one FROM sync.inbox_deliveries WHERE delivery_id = 'msg_w1'`);
    t.equal(stored.length, 1);
    await settled(app);
    t.same(await rowOf('w1'), { email: 'w1@example.com' });
  });

  await t.test('the same delivery again is answered 200 with nothing, and changes nothing', async (t) => {
    const body = event('customer.created', customer('w2'));
    const headers = signShop(body, { id: 'msg_w2' });
    t.equal((await app.post(SHOP, body, headers)).status, 202);
    await settled(app);
    const again = await app.post(SHOP, body, headers);
    t.equal(again.status, 200);
    t.equal(await again.text(), '');
    t.equal((await app.sql(`SELECT 1 AS one FROM sync.inbox_deliveries WHERE delivery_id = 'msg_w2'`)).length, 1);
  });

  await t.test('of one delivery sent many times at once, one is accepted and the others are duplicates', async (t) => {
    const body = event('customer.created', customer('w3'));
    const headers = signShop(body, { id: 'msg_w3' });
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => (await app.post(SHOP, body, headers)).status),
    );
    t.same(statuses.sort(), [...Array.from({ length: 19 }, () => 200), 202]);
  });

  await t.test('the signature is checked over the bytes as sent, not over what they mean', async (t) => {
    // JSON.stringify(JSON.parse(…)) gives other bytes for every part of this: blanks, escapes, number forms, double keys.
    const body = `{ "type" :"customer.updated",\n"data":{"id":"w4","email":"\\u0061\\/é","amount_cents":1e2,"amount_cents":7.0,"updated_at":"${new Date().toISOString()}"} }\r\n`;
    t.not(JSON.stringify(JSON.parse(body)), body);
    t.equal((await app.post(SHOP, body, signShop(body))).status, 202);
    await settled(app);
    t.same(await rowOf('w4'), { email: 'a/é' });
    const [stored] = await app.sql<{ body: Buffer }>(`SELECT body FROM sync.inbox_deliveries ORDER BY id DESC LIMIT 1`);
    t.equal(Buffer.from(stored?.body ?? []).toString(), body);
    const respelled = JSON.stringify(JSON.parse(body));
    await expectProblem(t, await app.post(SHOP, respelled, signShop(body)), 401);
  });

  await t.test('what does not prove itself is answered 401, names why, and leaves nothing', async (t) => {
    const body = event('customer.created', customer('forged'));
    const good = signShop(body, { id: 'msg_forged' });
    const other = `whsec_${Buffer.from('another secret altogether, same length').toString('base64')}`;
    const { 'webhook-signature': _, ...unsigned } = good;
    const { 'webhook-id': __, ...nameless } = good;
    const { 'webhook-timestamp': ___, ...timeless } = good;
    const flipped = Buffer.from(body);
    flipped[10] = (flipped[10] ?? 0) ^ 1;
    const cases: [string, string | Buffer, Record<string, string>][] = [
      ['no signature', body, unsigned],
      ['no id', body, nameless],
      ['no time', body, timeless],
      ['a flipped bit', flipped, good],
      ['a wrong secret', body, signShop(body, { secret: other })],
      ['too old', body, signShop(body, { atMs: Date.now() - 10 * 60_000 })],
      ['too new', body, signShop(body, { atMs: Date.now() + 10 * 60_000 })],
      ['another id', body, { ...good, 'webhook-id': 'msg_other' }],
      ['an empty body', '', good],
      ['an empty signature', body, { ...good, 'webhook-signature': '' }],
      [
        'another version',
        body,
        { ...good, 'webhook-signature': String(good['webhook-signature']).replace('v1', 'v2') },
      ],
    ];
    for (const [what, sent, headers] of cases) {
      const problem = await expectProblem(t, await app.post(SHOP, sent, headers), 401);
      t.match(problem, { type: 'urn:syncline:problem:signature-refused', detail: /^[a-z_]+$/ }, what);
    }
    t.same(await app.sql(`SELECT 1 AS one FROM sync.inbox_deliveries WHERE body LIKE '%forged%'::bytea`), []);
    t.notMatch(app.logged(), SHOP_SECRET);
  });

  await t.test('an unknown integration, and one without webhooks, are answered 404 before any signature', async (t) => {
    const body = event('customer.created', customer('w5'));
    for (const name of ['nobody', 'silent', 'Shop', 'shop%20', '__proto__', 'constructor', '%E2%98%83', '..%2Fshop']) {
      await expectProblem(t, await app.post(`/webhooks/${name}`, body, signShop(body)), 404);
    }
    await expectProblem(t, await app.post('/webhooks/', body, signShop(body)), 404);
    await expectProblem(t, await app.post('/webhooks', body, signShop(body)), 404);
    await expectProblem(t, await app.post('/webhooks/shop/more', body, signShop(body)), 404);
  });

  await t.test('a body of exactly the limit is taken, one byte more is answered 413', async (t) => {
    const ofSize = (bytes: number, limit: number) => {
      const body = event('customer.created', { ...customer(`size${limit}`), email: '' });
      return body.replace('"email":""', `"email":"${'x'.repeat(bytes - body.length)}"`);
    };
    for (const [path, limit, sign] of [
      [SHOP, MAX_BODY_BYTES, signShop],
      ['/webhooks/form', SMALL_BODY_BYTES, signForm],
    ] as const) {
      const fits = ofSize(limit, limit);
      t.equal(Buffer.byteLength(fits), limit);
      t.equal((await app.post(path, fits, sign(fits))).status, 202);
      const large = ofSize(limit + 1, limit);
      const problem = await expectProblem(t, await app.post(path, large, sign(large)), 413);
      t.equal(problem.type, 'urn:syncline:problem:too-large');
      // Without a length in front, so that the server finds out while it reads.
      const streamed = await fetch(app.address + path, {
        method: 'POST',
        body: new Blob([large]).stream(),
        headers: sign(large),
        duplex: 'half',
      } as RequestInit);
      await expectProblem(t, streamed, 413);
    }
  });

  await t.test('a content type that no provider sends is answered 415, every known one is read', async (t) => {
    const body = event('customer.created', customer('w6'));
    for (const type of [
      'image/png',
      'application/xml',
      'multipart/form-data; boundary=x',
      'jsonish',
      'application/json; charset=utf-16',
      'application/json;CHARSET="UTF-16LE"',
      'text/plain; charset=utf-32',
      'application/jso',
    ]) {
      const problem = await expectProblem(t, await app.post(SHOP, body, signShop(body, { type })), 415);
      t.notMatch(problem.detail, type);
    }
    const compressed = { ...signShop(body), 'content-encoding': 'gzip' };
    await expectProblem(t, await app.post(SHOP, body, compressed), 415);
    for (const type of [
      'application/json; charset=utf-8',
      'application/cloudevents+json',
      'application/vnd.shop.v1+json',
      'text/plain;charset=UTF-8',
      'application/json; charset=iso-8859-1',
      'APPLICATION/JSON',
    ]) {
      t.equal((await app.post(SHOP, body, signShop(body, { type }))).status, 202, type);
    }
  });

  await t.test('a form with its JSON in `payload` is read like JSON', async (t) => {
    const payload = JSON.stringify({ data: customer('f1') });
    const body = `payload=${encodeURIComponent(payload).replaceAll('%20', '+')}`;
    const headers = signForm(body, { type: 'application/x-www-form-urlencoded' });
    t.equal((await app.post('/webhooks/form', body, headers)).status, 202);
    await settled(app);
    t.same(await rowOf('f1'), { email: 'f1@example.com' });
  });

  await t.test('where the id is not signed, the same id with another body is another delivery', async (t) => {
    const id = randomUUID();
    const send = async (body: string) => (await app.post('/webhooks/form', body, signForm(body, { id }))).status;
    const first = JSON.stringify({ data: customer('d1') });
    t.same([await send(first), await send(first)], [202, 200]);
    t.equal(await send(JSON.stringify({ data: customer('d2') })), 202);
  });

  await t.test('an unknown type of event is acknowledged and skipped', async (t) => {
    const body = event('payment.settled', { id: 'p1' });
    t.equal((await app.post(SHOP, body, signShop(body, { id: 'msg_unknown' }))).status, 202);
    await settled(app);
    t.match(await app.sql(`SELECT state, outcome FROM sync.inbox_deliveries WHERE delivery_id = 'msg_unknown'`), [
      { state: 'skipped', outcome: 'unknown_type' },
    ]);
  });

  await t.test('registration handshakes are answered, and only to those who know what is asked', async (t) => {
    const challenge = await app.get(`${SHOP}?hub.mode=subscribe&hub.challenge=abc123&hub.verify_token=${VERIFY_TOKEN}`);
    t.equal(challenge.status, 200);
    t.equal(await challenge.text(), 'abc123');
    t.match(challenge.headers.get('content-type'), /^text\/plain/);
    t.equal((await app.get(`${SHOP}?hub.challenge=abc123&hub.verify_token=wrong`)).status, 403);
    t.equal((await app.get(`${SHOP}?hub.challenge=%3Cscript%3E&hub.verify_token=${VERIFY_TOKEN}`)).status, 400);
    await expectProblem(t, await app.get(SHOP), 404);

    const head = await fetch(app.address + SHOP, { method: 'HEAD' });
    t.equal(head.status, 200);
    t.equal((await fetch(`${app.address}/webhooks/form`, { method: 'HEAD' })).status, 404);
    t.equal((await fetch(`${app.address}/webhooks/nobody`, { method: 'HEAD' })).status, 404);

    const ask = (origin: string, path = SHOP) =>
      fetch(app.address + path, { method: 'OPTIONS', headers: { 'webhook-request-origin': origin } });
    const allowed = await ask('shop.example');
    t.equal(allowed.status, 200);
    t.equal(allowed.headers.get('webhook-allowed-origin'), 'shop.example');
    t.equal((await ask('evil.example')).status, 403);
    t.equal((await ask('shop.example', '/webhooks/form')).status, 404);
  });

  await t.test('other methods are answered 404 and store nothing', async (t) => {
    const body = event('customer.created', customer('w7'));
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      await expectProblem(t, await fetch(app.address + SHOP, { method, body, headers: signShop(body) }), 404);
    }
    await settled(app);
    t.equal(await rowOf('w7'), undefined);
  });

  await t.test('a correlation id of ours follows a delivery from the answer to the history and the log', async (t) => {
    const body = event('customer.created', customer('traced'));
    const headers = {
      ...signShop(body),
      'x-correlation-id': 'theirs',
      'x-request-id': 'theirs',
      'request-id': 'theirs',
    };
    const response = await app.post(SHOP, body, headers);
    const id = response.headers.get('x-correlation-id') ?? '';
    t.match(id, /^[0-9a-f-]{36}$/);
    await settled(app);
    const record = await (await app.get('/records/shop/customers/traced')).json();
    t.match(record, { history: [{ decision: 'insert', channel: 'hook', correlationId: id }] });
    t.match(app.logged(), id);
    t.notMatch(app.logged(), 'theirs');
  });
});

test('past the edge limit callers are told when to come again', async (t) => {
  const app = await startTestApp(t, { settings: { maxWebhooksPerMinute: 3 } });
  const send = () => {
    const body = event('customer.created', customer('r1'));
    return app.post(SHOP, body, signShop(body));
  };
  for (let count = 0; count < 3; count++) t.equal((await send()).status, 202);
  const refused = await send();
  const retryAfter = Number(refused.headers.get('retry-after'));
  t.ok(retryAfter > 0 && retryAfter <= 60, `Retry-After is ${retryAfter}`);
  await expectProblem(t, refused, 429);
  // An unsigned flood is limited before anything of it is read, and operators are not hit by it.
  await expectProblem(t, await app.post(SHOP, 'x', {}), 429);
  t.equal((await app.get('/health')).status, 200);
  t.equal((await app.get('/status')).status, 200);
});

test('deliveries that cannot be stored are answered 503 with Retry-After, and taken later', async (t) => {
  let isAway = false;
  const away = Object.assign(new Error('connection refused: secret detail'), { code: 'ECONNREFUSED' });
  const app = await startTestApp(t, {
    wrapDatabase: (database) => ({
      ...database,
      ingestDb: new Proxy(database.ingestDb, {
        get(target, name) {
          if (isAway) throw away;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      }),
    }),
  });
  const body = event('customer.created', customer('a1'));
  const headers = signShop(body);
  isAway = true;
  const refused = await app.post(SHOP, body, headers);
  t.match(refused.headers.get('retry-after'), /^\d+$/);
  const problem = await expectProblem(t, refused, 503);
  t.notMatch(JSON.stringify(problem), 'secret detail');
  isAway = false;
  t.equal((await app.post(SHOP, body, headers)).status, 202);
});

test('a role without ingest takes no webhooks', async (t) => {
  const app = await startTestApp(t, { settings: { roles: ['worker'] } });
  const body = event('customer.created', customer('n1'));
  await expectProblem(t, await app.post(SHOP, body, signShop(body)), 404);
  t.equal((await app.get('/health')).status, 200);
});

test('a redirecting or failing API has no part in the answer to a delivery', async (t) => {
  const server: Server = createServer((_request, response) => void response.writeHead(500).end('canary-api-answer'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const app = await startTestApp(t, { apiUrl: `http://127.0.0.1:${port}` });
  const body = event('customer.deleted', { id: 'gone' });
  t.equal((await app.post(SHOP, body, signShop(body))).status, 202);
  t.notMatch(app.logged(), 'canary-api-answer');
});
