import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { packageRoot } from '../../src/lib/package-root.ts';
import { getAsIs, settled, startTestApp, type TestApp, until } from '../app/setup.ts';
import {
  API_KEY,
  customer,
  event,
  FORM_SECRET,
  formDefinition,
  SHOP_SECRET,
  shopDefinition,
  signForm,
  signShop,
  startShopApi,
  VERIFY_TOKEN,
} from '../app/shop.ts';

const fixtures = join(packageRoot(), '..', 'shared', 'fixtures');
const jsonSuite = join(fixtures, 'json-test-suite', 'test_parsing');
const naughtyFile = join(fixtures, 'naughty-strings', 'blns.json');
const skipUnless = (path: string) =>
  existsSync(path) ? false : `needs ${path.slice(path.indexOf('shared'))} beside the package`;

/** Everything here is validly signed: what is wrong with it is found by the worker, never by the sender. */
const deliver = async (app: TestApp, body: string | Buffer): Promise<number> =>
  (await app.post('/webhooks/shop', body, signShop(body))).status;

const SENDERS = 10;

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const next = async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: SENDERS }, next));
}

type Letters = {
  deadLetters: { inboxId: number | null; externalId: string | null; errorCode: string; message: string }[];
};
const openLetters = async (app: TestApp) =>
  ((await (await app.get('/dead-letters?limit=500')).json()) as Letters).deadLetters;

/** A good record sent after all the bad ones becomes a row. */
async function expectGoesOn(t: Test, app: TestApp, id: string): Promise<void> {
  t.equal(await deliver(app, event('customer.created', customer(id))), 202);
  await settled(app);
  t.same(await app.sql(`SELECT external_id FROM e2e_customers WHERE external_id = '${id}'`), [{ external_id: id }]);
  t.same(await app.sql(`SELECT 1 AS one FROM sync.inbox_deliveries WHERE state = 'received'`), []);
  t.equal((await app.get('/health/ready')).status, 200);
}

test('signed garbage is accepted, set aside under /dead-letters, and holds nothing up', async (t) => {
  const app = await startTestApp(t);
  const garbage: readonly (readonly [what: string, body: string | Buffer])[] = [
    ['no JSON', 'hello'],
    ['half of a JSON text', '{"type":"customer.created","data":{"id":"half'],
    ['two JSON texts', '{}{}'],
    ['single quotes', "{'type':'customer.created'}"],
    ['NaN', '{"type":"customer.created","data":{"id":"nan","amount_cents":NaN}}'],
    ['a NUL byte', '\u0000'],
    ['NUL between', '{"type":"customer.created"\u0000}'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['UTF-8 that is overlong', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['UTF-16', Buffer.from('{"type":"customer.created"}', 'utf16le')],
    ['100000 brackets', '['.repeat(100_000)],
    ['100000 brackets, closed', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['nested objects', `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`],
    ['deep in a known event', `{"type":"customer.created","data":${'['.repeat(200)}${']'.repeat(200)}}`],
  ];
  for (const [what, body] of garbage) t.equal(await deliver(app, body), 202, what);
  await settled(app);
  const unreadable = await openLetters(app);
  t.equal(unreadable.length, garbage.length);
  t.same(new Set(unreadable.map(({ errorCode }) => errorCode)), new Set(['not_json', 'not_utf8', 'too_deep']));
  await expectGoesOn(t, app, 'after-garbage');
});

test('signed records that cannot be rows are set aside one by one, and their neighbours are written', async (t) => {
  const app = await startTestApp(t);
  const at = new Date().toISOString();
  const bad: readonly (readonly [what: string, data: string])[] = [
    ['an id with NUL', `{"id":"nul\\u0000id","amount_cents":1,"updated_at":"${at}"}`],
    ['an id with half a surrogate pair', `{"id":"half\\ud800","amount_cents":1,"updated_at":"${at}"}`],
    ['a text with NUL', `{"id":"nul-text","email":"a\\u0000b","amount_cents":1,"updated_at":"${at}"}`],
    ['a text with half a surrogate pair', `{"id":"half-text","email":"\\udfff","amount_cents":1,"updated_at":"${at}"}`],
    ['an empty id', `{"id":"","amount_cents":1,"updated_at":"${at}"}`],
    ['an id that is too long', `{"id":"${'x'.repeat(5_000)}","amount_cents":1,"updated_at":"${at}"}`],
    ['an id that is an object', `{"id":{},"amount_cents":1,"updated_at":"${at}"}`],
    ['no id', `{"amount_cents":1,"updated_at":"${at}"}`],
    ['an amount that is none', `{"id":"word","amount_cents":"many","updated_at":"${at}"}`],
    ['an amount beyond the column', `{"id":"giant","amount_cents":1e300,"updated_at":"${at}"}`],
    ['an amount with a fraction', `{"id":"fraction","amount_cents":0.5,"updated_at":"${at}"}`],
    ['a time that is none', `{"id":"when","amount_cents":1,"updated_at":"yesterday"}`],
    ['a time beyond the calendar', `{"id":"far","amount_cents":1,"updated_at":"+275760-09-14T00:00:00Z"}`],
    ['an array', '[]'],
    ['a text', '"record"'],
    ['null', 'null'],
  ];
  const send = (data: string) => deliver(app, `{"type":"customer.updated","data":${data}}`);
  for (const [index, [what, data]] of bad.entries()) {
    t.equal(await send(data), 202, what);
    t.equal(await send(JSON.stringify(customer(`good${index}`))), 202);
  }
  t.equal(await deliver(app, '{"type":"customer.updated"}'), 202);
  await settled(app);
  const letters = await openLetters(app);
  t.equal(
    letters.length,
    bad.length + 1,
    letters.map(({ errorCode, externalId }) => `${errorCode} ${externalId}`).join(),
  );
  const [rows] = await app.sql<{ count: number }>(`SELECT count(*)::int AS count FROM e2e_customers`);
  t.equal(rows?.count, bad.length);
  await expectGoesOn(t, app, 'after-bad-records');
});

test('a page with a poisoned record is written all but that record', async (t) => {
  const api = await startShopApi(t);
  const app = await startTestApp(t, { apiUrl: api.origin });
  for (let count = 0; count < 12; count++) api.records.set(`p${count}`, customer(`p${count}`));
  api.records.set('nul', customer('nul', { email: 'a\u0000b' }));
  api.records.set('giant', customer('giant', { amount_cents: 3_000_000_000 }));
  const response = await app.post('/sync/reconcile?wait=true', JSON.stringify({ integration: 'shop', mode: 'full' }));
  const { runs } = (await response.json()) as {
    runs: { state: string; counts: { inserted: number; failed: number } }[];
  };
  t.match(runs, [{ state: 'partial', counts: { inserted: 12, failed: 2 } }]);
  t.same((await openLetters(app)).map(({ externalId }) => externalId).sort(), ['giant', 'nul']);
});

test('the JSON test suite, signed, raw and inside of an event, never yields a failure', {
  skip: skipUnless(jsonSuite),
}, async (t) => {
  const app = await startTestApp(t);
  const names = readdirSync(jsonSuite).filter((name) => /^[ni]_/.test(name));
  t.ok(names.length > 150, `${names.length} files`);
  let invalid = 0;
  await inParallel(names, async (name) => {
    const bytes = readFileSync(join(jsonSuite, name));
    const wrapped = Buffer.concat([Buffer.from('{"type":"customer.created","data":'), bytes, Buffer.from('}')]);
    const statuses = [await deliver(app, bytes), await deliver(app, wrapped)];
    if (statuses.some((status) => status !== 202)) t.same(statuses, [202, 202], name);
    if (name.startsWith('n_') && bytes.length > 0) invalid += 1;
  });
  await settled(app);
  const states = await app.sql<{ state: string; count: number }>(
    `SELECT state, count(*)::int AS count FROM sync.inbox_deliveries GROUP BY 1 ORDER BY 1`,
  );
  const dead = states.find(({ state }) => state === 'dead')?.count ?? 0;
  // Each n_ file is no JSON by itself, and nearly each is none inside of an event either.
  t.ok(dead >= invalid * 1.8, `${dead} dead of ${invalid} invalid files`);
  const open = await app.sql<{ count: number }>(
    `SELECT count(*)::int AS count FROM sync.dead_letters WHERE state = 'open' AND external_id IS NULL AND entity IS NULL`,
  );
  t.equal(open[0]?.count, dead, 'each dead delivery is found under /dead-letters');
  await expectGoesOn(t, app, 'after-json-suite');
});

test('naughty strings as ids and texts end as rows, byte for byte, or set aside', {
  skip: skipUnless(naughtyFile),
}, async (t) => {
  const app = await startTestApp(t);
  const strings = new Set((JSON.parse(readFileSync(naughtyFile, 'utf8')) as string[]).filter((text) => text !== ''));
  await inParallel([...strings], async (text) => {
    const status = await deliver(app, event('customer.created', customer(text, { email: text })));
    if (status !== 202) t.equal(status, 202, text);
  });
  await settled(app);
  const rows = await app.sql<{ external_id: string; email: string }>('SELECT external_id, email FROM e2e_customers');
  const letters = await openLetters(app);
  t.equal(rows.length + letters.length, strings.size);
  t.same(
    rows.filter(({ external_id, email }) => external_id !== email || !strings.has(email)),
    [],
  );
  await inParallel(rows.slice(0, 60), async ({ external_id }) => {
    const { status } = await getAsIs(app, `/records/shop/customers/${encodeURIComponent(external_id)}`);
    if (status !== 200) t.equal(status, 200, external_id);
  });
  await expectGoesOn(t, app, 'after-naughty-strings');
});

test('neither answers nor logs hold a secret, a token or anything of a payload', async (t) => {
  const api = await startShopApi(t);
  const token = 'canary-operator-token-0006';
  const app = await startTestApp(t, {
    apiUrl: api.origin,
    definitions: [shopDefinition, formDefinition],
    settings: { adminToken: token },
  });
  const authorization = { authorization: `Bearer ${token}` };
  let answered = '';
  const keep = async (response: Promise<Response>) => {
    const answer = await response;
    answered += `${JSON.stringify(Object.fromEntries(answer.headers))}\n${await answer.text()}\n`;
    return answer.status;
  };
  const canary = 'canary-payload-99';
  const record = customer('c1', { email: `${canary}@example.com` });
  const bodies: (string | Buffer)[] = [
    event('customer.created', record),
    event('customer.created', { ...record, amount_cents: canary }),
    event('customer.created', { ...record, id: { [canary]: canary } }),
    event('customer.created', { ...record, updated_at: canary }),
    event('customer.created', { ...record, id: 'c2', email: `${canary}\u0000` }),
    event('customer.created', { ...record, id: 'c3', amount_cents: 3_000_000_000 }),
    event('customer.created', canary),
    `{"type":"customer.created","data":{"id":"${canary}`,
    `${canary}`,
    Buffer.concat([Buffer.from(canary), Buffer.from([0xff])]),
    event(canary, { id: 'c6', note: canary }),
  ];
  for (const body of bodies) {
    t.equal(await keep(app.post('/webhooks/shop', body, signShop(body))), 202);
    t.equal(await keep(app.post('/webhooks/shop', body, signShop(body, { secret: `whsec_${canary}` }))), 401);
    await keep(app.post('/webhooks/form', body, signForm(body)));
    t.equal(await keep(app.post(`/webhooks/nobody?key=${canary}`, body, signShop(body))), 404);
  }
  await keep(app.get(`/webhooks/shop?hub.challenge=ok&hub.verify_token=${VERIFY_TOKEN}`));
  await keep(app.get(`/webhooks/shop?hub.challenge=ok&hub.verify_token=${canary}`));
  api.records.set('c4', customer('c4', { email: canary }));
  api.records.set('c5', { ...customer('c5'), amount_cents: canary as never });
  for (const mode of ['full', 'incremental']) {
    await keep(
      app.post('/sync/reconcile?wait=true', JSON.stringify({ integration: 'shop', mode }), {
        'content-type': 'application/json',
        ...authorization,
      }),
    );
  }
  api.gate = () => Promise.reject(new Error(canary));
  await keep(
    app.post('/sync/reconcile', JSON.stringify({ integration: 'shop', mode: 'full' }), {
      'content-type': 'application/json',
      ...authorization,
    }),
  );
  await keep(
    app.post('/sync/reconcile', JSON.stringify({ integration: canary, since: canary }), {
      'content-type': 'application/json',
      ...authorization,
    }),
  );
  for (const path of [
    '/status',
    '/status/shop',
    '/sync/runs',
    '/dead-letters?limit=500',
    '/health',
    '/health/ready',
    `/status/${canary}`,
    `/${canary}`,
    `/sync/runs/${canary}`,
    `/dead-letters?state=${canary}`,
    '/sync/runs',
  ]) {
    await keep(app.get(path, authorization));
    await keep(app.get(path, { authorization: `Bearer ${canary}` }));
  }
  await app.app.stop();
  const status = await app.sql(`SELECT row_to_json(s)::text AS row FROM sync.sync_status s`);
  const letters = await app.sql(`SELECT message, error_code, field_path FROM sync.dead_letters`);
  const runs = await app.sql(`SELECT error, error_code FROM sync.sync_runs`);
  t.ok(letters.length > 5, 'records were set aside, so there was something to tell of them');
  const said: readonly (readonly [where: string, text: string])[] = [
    ['answers', answered],
    ['log', app.logged()],
    ['database', JSON.stringify([status, letters, runs])],
  ];
  for (const [where, text] of said) {
    t.ok(text.length > 100, `${where} say something`);
    for (const word of [
      canary,
      SHOP_SECRET,
      SHOP_SECRET.slice(6),
      'canary-shop',
      FORM_SECRET,
      VERIFY_TOKEN,
      API_KEY,
      token,
    ]) {
      t.notOk(
        text.includes(word),
        `${where}: ${word.slice(0, 12)}… at ${text.slice(Math.max(0, text.indexOf(word) - 120), text.indexOf(word) + 20)}`,
      );
    }
  }
  t.ok(app.logged().includes('delivery refused'), 'the log was kept');
});

test('statements that fail under a running server tell nothing of payloads or SQL, in answers or at the most talkative log', async (t) => {
  let isAway = false;
  const away = () => Promise.reject(Object.assign(new Error('canary-payload-98'), { code: 'ECONNRESET' }));
  const app = await startTestApp(t, {
    wrapDatabase: (real) => ({
      ...real,
      ingestDb: new Proxy(real.ingestDb, {
        get: (db, name) => (isAway && name === 'execute' ? away : Reflect.get(db, name)),
      }),
    }),
  });
  const canary = 'canary-payload-98';
  let answered = '';
  const send = async (id: string, email: string) => {
    const body = event('customer.created', customer(id, { email }));
    const answer = await app.post('/webhooks/shop', body, signShop(body));
    answered += await answer.text();
    return answer.status;
  };
  await app.sql(`ALTER TABLE e2e_customers ADD CONSTRAINT no_canary CHECK (email NOT LIKE '${canary}-refused%')`);
  t.equal(await send('f1', `${canary}-refused@example.com`), 202);
  await settled(app);
  isAway = true;
  t.equal(await send('f2', canary), 503);
  isAway = false;
  await app.sql(`ALTER TABLE e2e_customers DROP COLUMN email`);
  t.equal(await send('f3', canary), 202);
  await until('the failed write is told of', () => /database_schema|42703/.test(app.logged()));
  await app.sql(`ALTER TABLE sync.inbox_deliveries RENAME COLUMN headers TO kept_headers`);
  t.equal(await send('f4', canary), 500, 'nothing that passes by itself');
  await until('the loop tells of its failure', () => /pass failed/.test(app.logged()));
  t.match(app.logged(), /request failed/);
  t.match(app.logged(), /deliveries are turned away/);
  t.match(app.logged(), /42703/);
  for (const said of [app.logged(), answered]) t.notMatch(said, /canary|INSERT INTO|SELECT |UPDATE /);
});
