import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { test } from 'tap';
import { instantFromMs } from '../../src/model/instant.ts';
import type { Authenticator } from '../../src/source/auth/authenticator.ts';
import { SourceError, type SourceErrorCode } from '../../src/source/error.ts';
import { DEFAULT_FAILURES } from '../../src/source/failure/default-failures.ts';
import {
  CODE_OF_ACTION,
  type FailureAction,
  type FailureRule,
  failuresSchema,
} from '../../src/source/failure/definition.ts';
import { judge } from '../../src/source/failure/judge.ts';
import { type Answerer, inTurn, sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, never, plainList, readAll, START_MS, setup } from './setup.ts';

const ok: Answerer = (response) => sendJson(response, ['fine']);
const NO_RULES: readonly FailureRule[] = [];

const judged = (
  status: number,
  body: unknown,
  rules: readonly FailureRule[],
  { headers = {}, own = NO_RULES }: { headers?: Record<string, string | string[]>; own?: readonly FailureRule[] } = {},
) =>
  judge(
    { status, headers, body },
    { endpoint: 'GET /x', protocol: 'rest', endpointRules: own, sourceRules: rules, nowMs: START_MS },
  );

test('without rules the status decides', async (t) => {
  const cases: readonly [number, SourceErrorCode | undefined, Record<string, string>?][] = [
    [200, undefined],
    [204, undefined],
    [300, 'invalid_response'],
    [400, 'bad_request'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [403, 'rate_limited', { 'retry-after': '1' }],
    [404, 'not_found'],
    [408, 'timeout'],
    [409, 'conflict'],
    [410, 'gone'],
    [412, 'conflict'],
    [413, 'too_large'],
    [418, 'bad_request'],
    [422, 'bad_request'],
    [425, 'server_error'],
    [429, 'rate_limited'],
    [500, 'server_error'],
    [599, 'server_error'],
  ];
  for (const [status, code, headers = {}] of cases)
    t.equal(judged(status, undefined, [], { headers })?.code, code, `${status}`);
  t.ok(DEFAULT_FAILURES.length > 0);
});

test('each action ends in its code', async (t) => {
  for (const [action, code] of Object.entries(CODE_OF_ACTION)) {
    const [rule] = failuresSchema.parse([{ status: 200, then: action }]);
    t.equal(judged(200, {}, [{ status: 200, then: rule?.then ?? 'retry' }])?.code, code, action);
  }
});

test('a rule holds when all of its conditions do', async (t) => {
  const quota = { error: { code: 'quota', retries: 0 } };
  const cases: readonly [Omit<FailureRule, 'then'>, boolean][] = [
    [{ status: 400 }, true],
    [{ status: 401 }, false],
    [{ status: [401, 400] }, true],
    [{ status: [] }, false],
    [{ status: '4xx' }, true],
    [{ status: '5xx' }, false],
    [{ status: '2xx' }, false],
    [{ code: { path: 'error.code', equals: 'quota' } }, true],
    [{ code: { path: 'error.retries', equals: 0 } }, true],
    [{ code: { path: 'error.retries', equals: '0' } }, false],
    [{ code: { path: 'error.missing', equals: null } }, false],
    [{ code: { path: 'constructor.name', equals: 'Object' } }, false],
    [{ body: (body) => JSON.stringify(body).includes('quota') }, true],
    [{ body: () => false }, false],
    [{ header: { name: 'X-Why' } }, true],
    [{ header: { name: 'x-why', equals: 'quota' } }, true],
    [{ header: { name: 'x-why', equals: 'other' } }, false],
    [{ header: { name: 'x-other' } }, false],
    [{ status: 400, code: { path: 'error.code', equals: 'other' } }, false],
    [{ status: 401, code: { path: 'error.code', equals: 'quota' } }, false],
    [{ status: '4xx', header: { name: 'x-why' }, body: () => true }, true],
  ];
  for (const [conditions, holds] of cases) {
    const error = judged(400, quota, [{ ...conditions, then: 'gone' }], { headers: { 'x-why': 'quota' } });
    t.equal(error?.code, holds ? 'gone' : 'bad_request', JSON.stringify(conditions));
  }
});

test("the first rule counts, an endpoint's before the source's, and the message names it", async (t) => {
  const rule = (then: FailureAction): FailureRule => ({ status: 500, then });
  t.match(judged(500, {}, [rule('fail_run'), rule('gone')]), { code: 'bad_request', status: 500 });
  const error = judged(500, {}, [rule('fail_run')], { own: [{ status: 404, then: 'retry' }, rule('rate_limited')] });
  t.equal(error?.code, 'rate_limited');
  t.equal(error?.message, 'GET /x: answered 500, rate_limited by `failures[1]` of the endpoint');
});

test('a predicate that throws, or says nothing, is an error that names its rule and shows nothing', async (t) => {
  const predicates: readonly NonNullable<FailureRule['body']>[] = [
    (value: unknown) => {
      throw new RangeError(`CANARY ${JSON.stringify(value)}`);
    },
    // @ts-expect-error: as a definition in JavaScript can be
    () => Promise.resolve(true),
    // @ts-expect-error: as a definition in JavaScript can be
    () => Promise.reject(new RangeError('CANARY')), // that nobody waits for must not end the process
    // @ts-expect-error: as a definition in JavaScript can be
    () => undefined,
  ];
  for (const body of predicates) {
    const { client, api } = await setup(t, (response) => sendJson(response, ['CANARY']), {
      source: {
        failures: [
          { status: 404, then: 'retry' },
          { status: '2xx', body, then: 'retry' },
        ],
      },
    });
    const error = await failure(readAll(client, plainList));
    t.equal(error.code, 'invalid_response');
    t.match(error.message, /`body` of `failures\[1\]` of the source (threw RangeError|gave neither true nor false)$/);
    t.notMatch(`${error.message} ${error.stack} ${String(error.cause)}`, /CANARY/);
    t.equal(api.seen.length, 1);
  }
});

test('any body and any rule give an error or none, never a crash', async () => {
  const condition = fc.record({ path: fc.constantFrom('', 'a', 'a.b', 'a.0', "['x.y']"), equals: fc.constant(1) });
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), fc.jsonValue(), condition, (status, body, code) => {
      const error = judged(status, body, [{ code, then: 'retry' }]);
      return status < 300 ? error === null || error.code === 'server_error' : error !== null;
    }),
  );
});

test('a failure in a 200 is retried like its status', async (t) => {
  const { client, api, slept } = await setup(
    t,
    inTurn(
      (response) => sendJson(response, { ok: false, error: 'ratelimited' }, { 'retry-after': '3' }),
      (response) => sendJson(response, { ok: false, error: 'fatal' }),
      (response) => sendJson(response, { ok: true, things: [1] }),
    ),
    {
      random: () => 0,
      source: {
        failures: [
          { code: { path: 'error', equals: 'ratelimited' }, then: 'rate_limited' },
          { code: { path: 'ok', equals: false }, then: 'retry' },
        ],
      },
    },
  );
  const [page] = await readAll(client, { ...plainList, items: 'things' });
  t.same(page?.items, [1]);
  t.equal(api.seen.length, 3);
  t.same(slept, [3_000, 0]);
});

test('bodies of failures are judged, packed or called something else, and only up to their bound', async (t) => {
  const failures: readonly FailureRule[] = [{ code: { path: 'why', equals: 'quota' }, then: 'gone' }];
  const body = JSON.stringify({ why: 'quota' });
  const long = JSON.stringify({ why: 'quota', rest: 'x'.repeat(70_000) });
  const cases: readonly [string, Answerer, SourceErrorCode][] = [
    ['plain', (response) => sendText(response, 400, body), 'gone'],
    ['as HTML', (response) => sendText(response, 400, body, { 'content-type': 'text/html' }), 'gone'],
    ['packed', (response) => sendText(response, 400, gzipSync(body), { 'content-encoding': 'gzip' }), 'gone'],
    ['too long', (response) => sendText(response, 400, long), 'bad_request'],
    ['a bomb', (response) => sendText(response, 400, gzipSync(long), { 'content-encoding': 'gzip' }), 'bad_request'],
    ['HTML', (response) => sendText(response, 400, '<html>', { 'content-type': 'application/json' }), 'bad_request'],
    ['none', (response) => sendText(response, 400, ''), 'bad_request'],
    [
      'broken off',
      (response) => {
        response.writeHead(400, { 'content-length': '500' });
        response.write(body, () => response.socket?.end());
      },
      'bad_request',
    ],
  ];
  for (const [name, answer, code] of cases) {
    const { client, api } = await setup(t, answer, { source: { failures } });
    const error = await failure(readAll(client, plainList));
    t.equal(error.code, code, name);
    t.notMatch(error.message, /quota/);
    t.equal(api.seen.length, 1, name);
  }
});

test('what a rule calls gone is absent in a read by id, and what it skips is not', async (t) => {
  const failures: readonly FailureRule[] = [
    { code: { path: 'state', equals: 'deleted' }, then: 'gone' },
    { code: { path: 'state', equals: 'secret' }, then: 'skip_record' },
  ];
  const { client } = await setup(
    t,
    inTurn(
      (response) => sendJson(response, { state: 'deleted' }),
      (response) => sendJson(response, { state: 'secret' }),
    ),
  );
  const get = { path: '/things/{id}', failures };
  const at = instantFromMs(START_MS);
  t.same(await client.getRecord(get, '1', { signal: never() }), { kind: 'absent', startedAt: at, endedAt: at });
  t.match(await failure(client.getRecord(get, '2', { signal: never() })), { code: 'skipped', isRetryable: false });
});

/** Credentials that are renewed as `renew` says; each renewal is another number. */
function createFakeAuth(renew: () => Promise<boolean>): Authenticator & { readonly refused: (string | undefined)[] } {
  const refused: (string | undefined)[] = [];
  return {
    refused,
    authorize: (request) => ({ ...request, headers: { ...request.headers, authorization: `token ${refused.length}` } }),
    renew: async ({ headers }) => {
      refused.push(headers.authorization);
      return renew();
    },
    withoutCredentials: (url) => url,
  };
}

test('an answer that is no JSON is judged by its rules, whatever its status', async (t) => {
  const maintenance: Answerer = (response) => sendText(response, 200, '<h1>Back soon</h1>');
  const read = async (failures: readonly FailureRule[]) => {
    const { client, api } = await setup(t, inTurn(maintenance, ok), { source: { failures } });
    const code = await readAll(client, plainList).then(
      () => null,
      (error: unknown) => (error instanceof SourceError ? error.code : 'thrown'),
    );
    return [code, api.seen.length];
  };
  t.same(await read([{ status: 200, body: (body) => body === undefined, then: 'retry' }]), [null, 2]);
  t.same(await read([{ header: { name: 'retry-after' }, then: 'retry' }]), ['invalid_response', 1]);
  t.same(await read([]), ['invalid_response', 1]);
});

test('an error whose body comes too slowly is that error', async (t) => {
  const dripping: Answerer = (response) => {
    response.writeHead(429, { 'retry-after': '7' });
    response.write('{"why":');
  };
  const { client, slept } = await setup(t, inTurn(dripping, ok), { random: () => 0, source: { timeout: '10s' } });
  await readAll(client, plainList);
  t.same(slept, [7_000]);
});

test('refused credentials are renewed once, and the try with them counts for nothing', async (t) => {
  const refuse: Answerer = (response) => sendText(response, 401, '');
  const auth = createFakeAuth(async () => true);
  const { client, api, slept } = await setup(t, inTurn(refuse, ok), { auth, source: { maxAttempts: 1 } });
  t.same((await readAll(client, plainList))[0]?.items, ['fine']);
  t.same(auth.refused, ['token 0']);
  t.same(
    api.seen.map(({ headers }) => headers.authorization),
    ['token 0', 'token 1'],
  );
  t.same(slept, []);
});

test('credentials that are refused again, or cannot be renewed, end the call as unauthorized', async (t) => {
  const refuse: Answerer = (response) => sendText(response, 401, '');
  for (const [canRenew, requests] of [
    [true, 2],
    [false, 1],
  ] as const) {
    const auth = createFakeAuth(async () => canRenew);
    const { client, api } = await setup(t, refuse, { auth });
    t.match(await failure(readAll(client, plainList)), { code: 'unauthorized', status: 401, isRetryable: false });
    t.equal(api.seen.length, requests);
    t.equal(auth.refused.length, 1);
  }
});

test('a renewal that fails for now is tried again, like any attempt', async (t) => {
  let renewals = 0;
  const auth = createFakeAuth(async () => {
    renewals += 1;
    throw new SourceError('server_error', 'POST /token: answered 500');
  });
  const { client, slept } = await setup(t, (response) => sendText(response, 401, ''), {
    auth,
    source: { maxAttempts: 2 },
  });
  t.equal((await failure(readAll(client, plainList))).code, 'unauthorized');
  t.equal(renewals, 1);
  t.equal(slept.length, 1);
});

test('a rule can say that credentials have run out', async (t) => {
  const auth = createFakeAuth(async () => true);
  const refuse: Answerer = (response) => sendJson(response, { error: 'invalid_auth' });
  const { client, api } = await setup(t, inTurn(refuse, ok), {
    auth,
    source: { failures: [{ code: { path: 'error', equals: 'invalid_auth' }, then: 'refresh_auth' }] },
  });
  await readAll(client, plainList);
  t.equal(api.seen.length, 2);
});

test('an answer that is not what it says counts by its bytes', async (t) => {
  const asHtml: Answerer = (response) => sendText(response, 200, '["fine"]', { 'content-type': 'text/html' });
  t.same((await readAll((await setup(t, asHtml)).client, plainList))[0]?.items, ['fine']);
  const html: Answerer = (response) => sendText(response, 200, '<html>', { 'content-type': 'application/json' });
  t.equal((await failure(readAll((await setup(t, html)).client, plainList))).code, 'invalid_response');
});

test('a rule without conditions is refused, and so is what no answer can have', async (t) => {
  for (const rule of [
    { then: 'retry' },
    { status: 302, then: 'retry' },
    { status: [], then: 'retry' },
    { status: '3xx', then: 'retry' },
    { status: 400, then: 'explode' },
    { status: 400 },
    { code: { path: 'a..b', equals: 1 }, then: 'retry' },
    { header: { name: 'a b' }, then: 'retry' },
    { body: 'ok', then: 'retry' },
  ])
    t.notOk(failuresSchema.safeParse([rule]).success, JSON.stringify(rule));
  t.ok(failuresSchema.safeParse([{ status: '4xx', then: 'retry' }]).success);
});

test('redirects of writes are followed only where they stay what they are', async (t) => {
  for (const [status, methods] of [
    [307, ['POST', 'POST']],
    [308, ['POST', 'POST']],
    [303, ['POST', 'GET']],
    [301, ['POST']],
    [302, ['POST']],
  ] as const) {
    const { client, api } = await setup(
      t,
      inTurn((response) => sendText(response, status, '', { location: '/elsewhere' }), ok),
    );
    const request = { ...write(api.origin), isRepeatable: false };
    const sent = client.send(request, { lane: 'urgent', signal: never() });
    if (methods.length === 2) await sent;
    else t.equal((await failure(sent)).code, 'invalid_response');
    t.same(
      api.seen.map(({ method }) => method),
      methods,
    );
  }
});

test('a write that may have been carried out is not sent again; one that was not is', async (t) => {
  const once: Record<string, [Answerer, SourceErrorCode]> = {
    'a 500': [(response) => sendText(response, 500, ''), 'server_error'],
    'a 503 without a wait': [(response) => sendText(response, 503, ''), 'server_error'],
    'a broken connection': [(response) => void response.socket?.destroy(), 'network'],
    silence: [() => {}, 'timeout'],
  };
  for (const [name, [answer, code]] of Object.entries(once)) {
    const { client, api } = await setup(t, inTurn(answer, ok), { source: { timeout: '1s' } });
    t.equal((await failure(client.send(write(api.origin), { lane: 'urgent', signal: never() }))).code, code, name);
    t.equal(api.seen.length, 1, name);
  }
  const again: Record<string, Answerer> = {
    'a 429': (response) => sendText(response, 429, ''),
    'a 503 with a wait': (response) => sendText(response, 503, '', { 'retry-after': '1' }),
    'a 425': (response) => sendText(response, 425, ''),
  };
  for (const [name, answer] of Object.entries(again)) {
    const { client, api } = await setup(t, inTurn(answer, ok));
    t.equal((await client.send(write(api.origin), { lane: 'urgent', signal: never() })).kind, 'answered', name);
    t.equal(api.seen.length, 2, name);
  }
});

test('a write that never left is tried again', async (t) => {
  const { client, slept } = await setup(t, ok, { source: { baseUrl: 'http://127.0.0.1:9', maxAttempts: 3 } });
  const error = await failure(client.send(write('http://127.0.0.1:9'), { lane: 'urgent', signal: never() }));
  t.equal(error.code, 'network');
  t.equal(slept.length, 2);
});

test('an answer to a write may have no body', async (t) => {
  for (const status of [200, 201, 204]) {
    const { client, api } = await setup(t, (response) => {
      response.writeHead(status);
      response.end();
    });
    const reply = await client.send(write(api.origin), { lane: 'urgent', signal: never() });
    t.match(reply, { kind: 'answered', answer: { status } });
    t.equal(reply.kind === 'answered' ? reply.answer.body : 'none', undefined);
  }
});

const write = (origin: string) => ({
  endpoint: 'POST /things',
  method: 'POST' as const,
  url: new URL(`${origin}/things`),
  headers: {},
  body: '{"a":1}',
  protocol: 'rest' as const,
  isRepeatable: false,
});
