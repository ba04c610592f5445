import { test } from 'tap';
import type { GetDefinition } from '../../src/source/definition.ts';
import type { SourceErrorCode } from '../../src/source/error.ts';
import { GRAPHQL_CODES, judgeGraphql } from '../../src/source/failure/graphql-errors.ts';
import { none } from '../../src/source/pagination/none.ts';
import { type Answerer, inTurn, sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, never, readAll, setup } from './setup.ts';

const list = { path: '/graphql', graphql: { query: '{ things { id } }' }, items: 'data.things', pagination: none() };
const get: GetDefinition = {
  path: '/graphql',
  graphql: { query: 'query ($id: ID!) { thing(id: $id) { id } }' },
  idParam: 'id',
  record: 'data.thing',
};
const ok: Answerer = (response) => sendJson(response, { data: { things: [{ id: 1 }] } });
const withErrors =
  (errors: unknown, data: unknown = null): Answerer =>
  (response) =>
    sendJson(response, { data, errors });

test('errors in a 200 mean what their status would', async (t) => {
  const cases: readonly [unknown, SourceErrorCode | null][] = [
    [{ extensions: { code: 'THROTTLED' } }, 'rate_limited'],
    [{ extensions: { type: 'ratelimited' } }, 'rate_limited'],
    [{ type: 'RATE_LIMITED' }, 'rate_limited'],
    [{ extensions: { type: 'authentication error' } }, 'unauthorized'],
    [{ extensions: { code: 'UNAUTHENTICATED' } }, 'unauthorized'],
    [{ extensions: { code: 'MAX_COST_EXCEEDED' } }, 'too_large'],
    [{ extensions: { code: 'maxComplexityExceeded' } }, 'too_large'],
    [{ extensions: { code: 'FORBIDDEN' } }, 'forbidden'],
    [{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }, 'bad_request'],
    [{ extensions: { code: 'INTERNAL_SERVER_ERROR' } }, 'server_error'],
    [{ extensions: { http: { status: 403 } } }, 'forbidden'],
    [{ extensions: { statusCode: 429 } }, 'rate_limited'],
    [{ extensions: { code: 'UNHEARD_OF', status: '401' } }, 'unauthorized'],
    [{ extensions: { code: 'constructor' } }, 'server_error'],
    [{ extensions: { code: 'UNHEARD_OF' } }, 'server_error'],
    [{ message: 'CANARY' }, 'server_error'],
    ['CANARY', 'server_error'],
    [null, 'server_error'],
  ];
  for (const [error, code] of cases)
    t.equal(judgeGraphql({ data: null, errors: [error] }, {})?.code ?? null, code, JSON.stringify(error));
  t.equal(judgeGraphql({ data: {} }, {}), null);
  t.equal(judgeGraphql({ data: {}, errors: [] }, {}), null);
  t.equal(judgeGraphql({ data: {}, errors: null }, {}), null);
  t.equal(judgeGraphql({ data: {}, errors: {} }, {})?.code, 'server_error');
  for (const name of Object.keys(GRAPHQL_CODES)) t.match(name, /^[A-Z0-9_]+$/);
});

test('of several errors the one that must be waited for counts, then the one that no retry can help', async (t) => {
  const of = (...codes: string[]) =>
    judgeGraphql({ data: null, errors: codes.map((code) => ({ extensions: { code } })) }, {})?.code;
  t.equal(of('NOT_FOUND', 'THROTTLED', 'FORBIDDEN'), 'rate_limited');
  t.equal(of('INTERNAL_SERVER_ERROR', 'BAD_USER_INPUT'), 'bad_request');
  t.equal(of('NOT_FOUND', 'INTERNAL_SERVER_ERROR'), 'server_error');
  t.equal(of('NOT_FOUND', 'NOT_FOUND'), 'not_found');
});

test('a limit is waited for, and nothing of the answer is shown', async (t) => {
  const throttled = withErrors([{ message: 'CANARY', extensions: { code: 'THROTTLED' } }]);
  const { client, api, slept } = await setup(t, inTurn(throttled, ok));
  t.same((await readAll(client, list))[0]?.items, [{ id: 1 }]);
  t.equal(api.seen.length, 2);
  t.equal(slept.length, 1);
  const failing = await setup(t, withErrors([{ message: 'CANARY', extensions: { code: 'BAD_USER_INPUT' } }]));
  const error = await failure(readAll(failing.client, list));
  t.equal(error.code, 'bad_request');
  t.equal(error.message, 'POST /graphql: answered 200 with the GraphQL error BAD_USER_INPUT');
});

test('rows beside errors are not taken for the whole page', async (t) => {
  const { client } = await setup(t, withErrors([{ message: 'one is missing' }], { things: [{ id: 1 }, null] }), {
    source: { maxAttempts: 1 },
  });
  t.equal((await failure(readAll(client, list))).code, 'server_error');
});

test('errors of a 4xx count before the status, of a 5xx after it', async (t) => {
  const errors = [{ extensions: { code: 'THROTTLED' } }];
  const limited = await setup(
    t,
    inTurn((response) => sendText(response, 400, JSON.stringify({ errors })), ok),
  );
  await readAll(limited.client, list);
  t.equal(limited.api.seen.length, 2);
  const unknown = await setup(t, (response) => sendText(response, 403, '{"errors":[{"message":"x"}]}'));
  t.equal((await failure(readAll(unknown.client, list))).code, 'forbidden');
});

test('not found is evidence of absence only where nothing is shown', async (t) => {
  const missing = [{ type: 'NOT_FOUND', path: ['thing'] }];
  for (const data of [null, undefined, { thing: null }, { owner: { thing: null } }]) {
    const { client } = await setup(t, withErrors(missing, data));
    t.equal((await client.getRecord(get, '1', { signal: never() })).kind, 'absent', JSON.stringify(data));
  }
  const { client } = await setup(t, withErrors(missing, { thing: { id: '1', owner: null } }));
  t.equal((await failure(client.getRecord(get, '1', { signal: never() }))).code, 'invalid_response');
});

test('a rule decides before the table', async (t) => {
  const { client } = await setup(t, withErrors([{ extensions: { code: 'INTERNAL_SERVER_ERROR' } }]), {
    source: {
      failures: [{ code: { path: 'errors.0.extensions.code', equals: 'INTERNAL_SERVER_ERROR' }, then: 'fail_run' }],
    },
  });
  t.equal((await failure(readAll(client, list))).code, 'bad_request');
});

test('a REST answer may have a field of that name', async (t) => {
  const { client } = await setup(t, (response) => sendJson(response, { errors: [{ id: 1 }] }));
  const rest = { path: '/things', items: 'errors', pagination: none() };
  t.same((await readAll(client, rest))[0]?.items, [{ id: 1 }]);
});
