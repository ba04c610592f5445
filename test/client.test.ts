import { type Test, test } from 'tap';
import { z } from 'zod';
import { ClientSetupError, createClient } from '../src/client.ts';
import { defineIntegration } from '../src/define/define.ts';
import { secret } from '../src/lib/setting.ts';
import { bearer } from '../src/source/auth/bearer.ts';
import { oauth2 } from '../src/source/auth/oauth2.ts';
import { endpoint } from '../src/source/endpoint.ts';
import { cursor } from '../src/source/pagination/cursor.ts';
import { type CallAnswer, type SeenCall, startSource } from './client-setup.ts';
import { failure } from './source/setup.ts';

const contact = z.object({ id: z.string(), email: z.string(), score: z.number().nullish() });

const crm = (baseUrl: string) =>
  defineIntegration({
    name: 'crm',
    source: { baseUrl, auth: bearer({ token: secret('CRM_TOKEN') }), params: { account: 'acme' }, maxAttempts: 3 },
    entities: {},
    endpoints: {
      getContact: endpoint({ path: '/{account}/contacts/{id}', data: 'data', response: contact }),
      findContacts: endpoint({
        path: '/contacts',
        params: z.object({ email: z.string().optional(), page: z.number().default(1) }),
        data: 'data',
        response: z.array(contact),
      }),
      updateContact: endpoint({
        method: 'PATCH',
        path: '/contacts/{id}',
        body: contact.omit({ id: true }).partial(),
        response: contact,
        ifMatch: true,
      }),
      createContact: endpoint({
        method: 'POST',
        path: '/contacts',
        body: z.object({ email: z.string() }),
        response: contact,
        idempotencyHeader: 'Idempotency-Key',
      }),
      renameContact: endpoint({ method: 'POST', path: '/contacts/{id}/rename', body: z.object({ email: z.string() }) }),
      replaceContact: endpoint({ method: 'PUT', path: '/contacts/{id}', body: z.object({ email: z.string() }) }),
      deleteContact: endpoint({ method: 'DELETE', path: '/contacts/{id}' }),
      getOwner: endpoint({ path: '/owners/{id}', cache: 'profile', response: z.object({ name: z.string() }) }),
      setOwner: endpoint({ method: 'PUT', path: '/owners/{id}', body: z.object({ name: z.string() }) }),
      listUsers: endpoint({
        path: '/users',
        data: 'users',
        response: z.array(z.object({ id: z.number() })),
        list: { pagination: cursor({ param: 'after', next: 'next' }) },
      }),
      userOf: endpoint({
        path: '/graphql',
        graphql: { query: 'query ($id: ID!) { user(id: $id) { name } }' },
        params: z.object({ id: z.string() }),
        data: 'data.user',
        response: z.object({ name: z.string() }),
      }),
    },
  });

async function setup(t: Test, answer: (call: SeenCall, index: number) => CallAnswer | null) {
  const source = await startSource(t, answer);
  const client = createClient(crm(source.baseUrl), { environment: { CRM_TOKEN: 'test-token' } });
  t.teardown(() => client.close());
  return { client, seen: source.seen };
}

const ADA = { id: '1', email: 'ada@example.com' };

test('a declared endpoint is a function that sends, authenticates and parses', async (t) => {
  const { client, seen } = await setup(t, () => ({ body: { data: { ...ADA, more: true } } }));
  const found = await client.getContact({ id: 'a/b' });
  t.same(found, ADA, 'what the schema does not name is dropped');
  const email: string = found.email;
  t.equal(email, ADA.email);
  t.equal(seen[0]?.url, '/acme/contacts/a%2Fb');
  t.equal(seen[0]?.headers.authorization, 'Bearer test-token');
});

test('parameters go to the query, as their schema gives them', async (t) => {
  const { client, seen } = await setup(t, () => ({ body: { data: [] } }));
  t.same(await client.findContacts({ email: 'a&b@example.com' }), []);
  await client.findContacts();
  t.same(
    seen.map(({ url }) => url),
    ['/contacts?email=a%26b%40example.com&page=1', '/contacts?page=1'],
  );
});

test('a body that its schema refuses does not leave, and no value is told', async (t) => {
  const { client, seen } = await setup(t, () => ({ body: ADA }));
  // @ts-expect-error: email is text
  const error = await failure(client.updateContact({ id: '1', body: { email: 4711 } }));
  t.equal(error.code, 'bad_request');
  t.match(error.message, 'body.email: expected text, got number');
  t.notMatch(error.message, '4711');
  t.equal(seen.length, 0);
});

test('an answer that its schema refuses is told by its place and kind, never its value', async (t) => {
  const { client } = await setup(t, () => ({ body: { data: { id: '1', email: { secret: 'hidden' } } } }));
  const error = await failure(client.getContact({ id: '1' }));
  t.equal(error.code, 'invalid_response');
  t.match(error.message, 'GET /{account}/contacts/{id}: the answer, data.email: expected text, got object');
  t.notMatch(error.message, 'hidden');
});

test('an argument that the endpoint does not take is refused, not left out silently', async (t) => {
  const { client, seen } = await setup(t, () => ({ body: { data: [] } }));
  // @ts-expect-error: no such parameter
  t.equal((await failure(client.findContacts({ emial: 'x' }))).code, 'bad_request');
  t.equal((await failure(client.getContact({ id: '1', ifMatch: '"1"' }))).code, 'bad_request');
  t.equal(seen.length, 0);
});

test('a version that is named goes along, and a conflict comes back as what it is', async (t) => {
  const { client, seen } = await setup(t, ({ headers }) =>
    headers['if-match'] === '"1"' ? { status: 412, body: {} } : { body: ADA, headers: { etag: '"3"' } },
  );
  const error = await failure(client.updateContact({ id: '1', body: {}, ifMatch: '"1"' }));
  t.equal(error.status, 412);
  let etag: string | null = null;
  const onAnswer = (answer: { etag: string | null }) => {
    etag = answer.etag;
  };
  await client.updateContact({ id: '1', body: { email: 'a@b.c' }, ifMatch: '"2"' }, { onAnswer });
  t.equal(etag, '"3"');
  t.same(seen[1]?.body, { email: 'a@b.c' });
});

test('a write that is not idempotent is not sent again when nobody knows if it arrived', async (t) => {
  const { client, seen } = await setup(t, () => null);
  t.equal((await failure(client.renameContact({ id: '1', body: { email: 'x' } }))).code, 'network');
  t.equal(seen.length, 1);
});

test('with a key, and where the method is idempotent, a write is sent again', async (t) => {
  const { client, seen } = await setup(t, (_, index) => (index % 2 === 0 ? null : { body: ADA }));
  t.same(await client.createContact({ body: { email: 'x' } }), ADA);
  await client.replaceContact({ id: '1', body: { email: 'x' } });
  await client.deleteContact({ id: '1' });
  t.equal(seen.length, 6);
  const keys = seen.slice(0, 2).map(({ headers }) => headers['idempotency-key']);
  t.match(keys[0], /^[0-9a-f-]{36}$/);
  t.equal(keys[0], keys[1], 'one key for all attempts of one call');
  t.equal(seen[2]?.headers['idempotency-key'], undefined);
});

test('each call has a key of its own, unless the caller names one', async (t) => {
  const { client, seen } = await setup(t, () => ({ body: ADA }));
  await client.createContact({ body: { email: 'x' } });
  await client.createContact({ body: { email: 'x' } });
  await client.createContact({ body: { email: 'x' }, idempotencyKey: 'order-7' });
  const keys = seen.map(({ headers }) => headers['idempotency-key']);
  t.equal(new Set(keys).size, 3);
  t.equal(keys[2], 'order-7');
});

test('a cached read is asked once, and anew after a write to its address', async (t) => {
  let name = 'Ada';
  const { client, seen } = await setup(t, ({ method }) => {
    if (method === 'PUT') name = 'Grace';
    return { body: { name } };
  });
  await client.getOwner({ id: '1' });
  t.same(await client.getOwner({ id: '1' }), { name: 'Ada' });
  t.equal(seen.length, 1);
  await client.setOwner({ id: '1', body: { name: 'Grace' } });
  t.same(await client.getOwner({ id: '1' }), { name: 'Grace' });
});

test('a list is given item by item, over all its pages', async (t) => {
  const { client } = await setup(t, ({ url }) => ({
    body: url.includes('after') ? { users: [{ id: 3 }] } : { users: [{ id: 1 }, { id: 2 }], next: 'x' },
  }));
  const ids: number[] = [];
  for await (const user of client.listUsers()) ids.push(user.id);
  t.same(ids, [1, 2, 3]);
});

test('arguments of a GraphQL endpoint are its variables', async (t) => {
  const { client, seen } = await setup(t, () => ({ body: { data: { user: { name: 'Ada' } } } }));
  t.same(await client.userOf({ id: '1' }), { name: 'Ada' });
  t.match(seen[0]?.body, { variables: { id: '1' } });
});

test('what is not there is an error with its code', async (t) => {
  const { client } = await setup(t, () => ({ status: 404, body: {} }));
  t.equal((await failure(client.getContact({ id: '1' }))).code, 'not_found');
});

test('a call ends when its signal fires, and with the client', async (t) => {
  const { client } = await setup(t, () => ({ body: { data: ADA } }));
  t.equal((await failure(client.getContact({ id: '1' }, { signal: AbortSignal.abort() }))).code, 'aborted');
  await client.close();
  t.equal((await failure(client.getContact({ id: '1' }))).code, 'aborted');
});

/** As a caller without types has it. */
const untyped = (made: unknown) => ({
  call: async (name: string, ...given: unknown[]): Promise<unknown> => await Reflect.get(Object(made), name)(...given),
});

const odd = (baseUrl: string) =>
  createClient(
    defineIntegration({
      name: 'odd',
      source: { baseUrl, params: { constructor: 'ferrari' }, maxAttempts: 1 },
      entities: {},
      endpoints: {
        team: endpoint({ path: '/teams/{constructor}' }),
        season: endpoint({ path: '/seasons/{valueOf}' }),
        drivers: endpoint({ path: '/teams/{constructor}/drivers', list: {}, headers: { Accept: 'text/json' } }),
        find: endpoint({ path: '/find', params: z.object({ by: z.unknown() }) }),
        post: endpoint({ method: 'POST', path: '/post', body: z.unknown() }),
        batch: endpoint({ method: 'POST', path: '/batch', body: z.unknown(), batch: { max: 2 } }),
        checked: endpoint({ method: 'POST', path: '/post', body: z.string().refine(async () => true) }),
      },
    }),
    { environment: {} },
  );

test('what a query or JSON cannot carry is refused, not sent as something else', async (t) => {
  const source = await startSource(t, () => ({ body: [] }));
  const client = odd(source.baseUrl);
  t.teardown(() => client.close());
  for (const by of [{ a: 1 }, [{ a: 1 }], [null], '\ud800', new Map(), Number.NaN, () => 1]) {
    t.match(await failure(client.find({ by })), {
      code: 'bad_request',
      message: /^GET \/find: not sent: by: expected/,
    });
  }
  for (const body of [Number.NaN, { deep: [Number.POSITIVE_INFINITY] }, 1n])
    t.match(await failure(client.post({ body })), {
      code: 'bad_request',
      message: 'body: expected what JSON can carry',
    });
  t.match(await failure(client.checked({ body: 'x' })), { code: 'bad_request', message: 'asynchronous' });
  t.equal((await failure(client.season({ valueOf: Number.NaN }))).code, 'bad_request');
  t.equal(source.seen.length, 0);
  await client.find({ by: [1, 'ü', true] });
  t.equal(source.seen[0]?.url, '/find?by=1&by=%C3%BC&by=true');
});

test('arguments that are no object are refused', async (t) => {
  const source = await startSource(t, () => ({ body: [] }));
  const client = odd(source.baseUrl);
  t.teardown(() => client.close());
  for (const name of ['team', 'batch'])
    for (const given of [null, 'text', 7, []])
      t.match(await failure(untyped(client).call(name, given)), {
        code: 'bad_request',
        message: 'the arguments: expected an object',
      });
  t.equal(source.seen.length, 0);
});

test('a placeholder may have the name of what every object has', async (t) => {
  const source = await startSource(t, () => ({ body: [1] }));
  const client = odd(source.baseUrl);
  t.teardown(() => client.close());
  await untyped(client).call('team');
  await client.team({ constructor: 'lotus' });
  // @ts-expect-error: to the compiler an object without it has one, a function
  t.equal((await client.drivers({}).next()).value, 1);
  t.same(
    source.seen.map(({ url }) => url),
    ['/teams/ferrari', '/teams/lotus', '/teams/ferrari/drivers'],
  );
  t.equal(source.seen[2]?.headers.accept, 'text/json', 'once, whatever its case');
  t.match(await failure(untyped(client).call('season', {})), { code: 'bad_id', message: '{valueOf} has no value' });
});

test('whoever waits for a retry ends with the client', async (t) => {
  let answered = () => {};
  const first = new Promise<void>((resolve) => {
    answered = resolve;
  });
  const source = await startSource(t, () => ({ status: 503, body: {}, headers: { 'retry-after': '20' } }));
  const log = { debug() {}, info() {}, error() {}, warn: () => answered() };
  const client = createClient(crm(source.baseUrl), { environment: { CRM_TOKEN: 'test-token' }, log });
  const call = failure(client.getContact({ id: '1' }));
  await first;
  const closedMs = Date.now();
  await client.close();
  t.equal((await call).code, 'aborted');
  t.ok(Date.now() - closedMs < 10_000, 'not after the 20 s that the source asked for');
});

test('everything that keeps a client from being made is told at once', async (t) => {
  const definition = crm('ftp://crm.example.com');
  try {
    createClient(
      { ...definition, endpoints: { close: endpoint({ path: '/x', body: z.string(), cache: '99d' }) } },
      { environment: {} },
    );
    t.fail('made');
  } catch (error) {
    t.ok(error instanceof ClientSetupError);
    const paths = (error as ClientSetupError).problems.map(({ path }) => path);
    for (const path of ['source.baseUrl', 'source.auth.token', 'endpoints.close', 'endpoints.close.cache'])
      t.ok(
        paths.some((one) => one.endsWith(path)),
        path,
      );
    t.match((error as ClientSetupError).message, 'CRM_TOKEN');
  }
});

test('whatever is given for an integration, the error says so and shows nothing that it holds', async (t) => {
  const throwing = {
    kind: 'bearer',
    get token(): string {
      throw new Error('CANARY');
    },
  };
  const source = { baseUrl: 'http://127.0.0.1' };
  const wrong: unknown[] = [
    null,
    undefined,
    'crm',
    {},
    { name: 'CANARY name', source },
    { name: 'crm', source: { ...source, auth: throwing } },
    { name: 'crm', source, endpoints: new Proxy({}, { ownKeys: () => throwing.token.split('') }) },
  ];
  for (const definition of wrong) {
    try {
      Reflect.apply(createClient, null, [definition, { environment: {} }]);
      t.fail('made');
    } catch (error) {
      t.ok(error instanceof ClientSetupError, String(error));
      t.notMatch(String(error), /CANARY/);
    }
  }
});

test('a wrong argument, or a wrong field of an answer, does not compile', async (t) => {
  const { client } = await setup(t, () => ({ body: { data: ADA } }));
  const compileOnly = async () => {
    // @ts-expect-error: id is missing
    await client.getContact({});
    // @ts-expect-error: id is missing
    await client.getContact();
    // @ts-expect-error: no such endpoint
    await client.getContcat({ id: '1' });
    // @ts-expect-error: no such field
    (await client.getContact({ id: '1' })).emial;
    // @ts-expect-error: a number, or nothing
    const score: string = (await client.getContact({ id: '1' })).score;
    // @ts-expect-error: the body is missing
    await client.createContact({});
    // @ts-expect-error: page is a number
    await client.findContacts({ page: '2' });
    // @ts-expect-error: the account is of the source's params, and text
    await client.getContact({ id: '1', account: true });
    return score;
  };
  t.type(compileOnly, 'function');
});

test('nothing is connected before the first call, and a database that is not to be had is told by it', async (t) => {
  const source = await startSource(t, () => ({ body: { data: ADA } }));
  const environment = { CRM_TOKEN: 'test-token', DATABASE_URL: 'postgres://127.0.0.1:1/nowhere' };
  const client = createClient(crm(source.baseUrl), { environment });
  await t.rejects(client.getContact({ id: '1' }), { name: 'DatabaseError' });
  t.equal(source.seen.length, 0, 'nothing is sent without the shared limits');
  await client.close();
});

test('refresh tokens are never kept apart from those of the servers', async (t) => {
  const auth = oauth2({
    grant: 'authorization_code',
    authorizeUrl: 'https://crm.example/authorize',
    tokenUrl: 'https://crm.example/token',
    clientId: 'id',
    clientSecret: 'secret',
    refreshToken: 'refresh',
  });
  const definition = { ...crm('https://crm.example'), source: { baseUrl: 'https://crm.example', auth } };
  const environment = { CRM_TOKEN: 'test-token', DATABASE_URL: 'postgres://127.0.0.1:1/nowhere' };
  t.throws(() => createClient(definition, { environment }), { message: /SYNCLINE_ENCRYPTION_KEY: is needed/ });
  const key = { SYNCLINE_ENCRYPTION_KEY: 'too short' };
  t.throws(() => createClient(definition, { environment: { ...environment, ...key } }), { message: /32 random bytes/ });
});
