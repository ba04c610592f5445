import { type Test, test } from 'tap';
import { addMs, instantFromMs } from '../../src/model/instant.ts';
import type { SavedRequest } from '../../src/model/push.ts';
import type { SendOptions } from '../../src/sync/push-answer.ts';
import { createPushSource } from '../../src/sync/push-source.ts';
import type { TwoWay } from '../../src/sync/two-way.ts';
import { type Answerer, inTurn, sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, never, plainList, START_MS, setup } from '../source/setup.ts';

const DEADLINE = addMs(instantFromMs(START_MS), 50_000);
const REQUEST: SavedRequest = {
  method: 'PATCH',
  path: '/customers/{id}',
  values: { id: 'c 1' },
  query: {},
  headers: { 'if-match': '"7"', 'idempotency-key': 'key-1' },
  body: '{"name":"Ann"}',
  protocol: 'rest',
};

async function source(t: Test, answer: Answerer, definition: Parameters<typeof setup>[2] = {}) {
  const world = await setup(t, answer, definition);
  const twoWay = { marker: { field: 'origin', searchParam: 'origin' } } as TwoWay;
  const push = createPushSource({
    client: world.client,
    stream: { get: { path: '/customers/{id}' }, list: plainList, twoWay },
    now: async () => instantFromMs(world.clock.nowMs),
  });
  const options: SendOptions = {
    deadline: DEADLINE,
    mayLeave: async () => true,
    recordAt: '',
    idAt: null,
    failures: [],
    signal: never(),
  };
  return { ...world, push, send: (over: Partial<SendOptions> = {}) => push.send(REQUEST, { ...options, ...over }) };
}

const status =
  (code: number, headers: Record<string, string> = {}): Answerer =>
  (response) =>
    sendText(response, code, '{"error":"SECRET-OF-THE-ANSWER"}', { 'content-type': 'application/json', ...headers });

test('a request leaves exactly as it was saved', async (t) => {
  const { send, api } = await source(t, (response) => sendJson(response, { id: 'c 1' }, { etag: '"8"' }));
  t.match(await send(), { kind: 'done', record: { id: 'c 1' }, etag: '"8"' });
  t.match(api.seen[0], {
    method: 'PATCH',
    url: '/customers/c%201',
    headers: { 'if-match': '"7"', 'idempotency-key': 'key-1' },
  });
});

test('the record and the new id are taken from where the definition says', async (t) => {
  const { send } = await source(t, (response) => sendJson(response, { data: { customer: { id: 5 } } }));
  t.match(await send({ recordAt: 'data.customer' }), { kind: 'done', record: { id: 5 } });
  t.match(await send({ recordAt: null, idAt: 'data.customer.id' }), { kind: 'done', record: null, externalId: '5' });
  t.match(await send({ recordAt: 'nowhere' }), { kind: 'done', record: null });
});

test('an answer without a body is done, without a record', async (t) => {
  const { send } = await source(t, (response) => void response.writeHead(204).end());
  t.match(await send(), { kind: 'done', record: null, etag: null });
});

test('every status means what it says, and no word of an answer is told', async (t) => {
  const expected: readonly [status: number, kind: string][] = [
    [400, 'refused'],
    [401, 'unauthorized'],
    [403, 'refused'],
    [404, 'absent'],
    [408, 'unknown'],
    [409, 'conflict'],
    [410, 'absent'],
    [412, 'conflict'],
    [413, 'refused'],
    [422, 'refused'],
    [500, 'unknown'],
    [502, 'unknown'],
    [503, 'unknown'],
  ];
  for (const [code, kind] of expected) {
    const { send, api } = await source(t, status(code));
    const answer = await send();
    t.equal(answer.kind, kind, String(code));
    t.notMatch(JSON.stringify(answer), 'SECRET', String(code));
    t.equal(api.seen.length, 1, `${code} is sent once`);
  }
});

test('a write that is not allowed is told apart from refused credentials, with what may be missing and the way out', async (t) => {
  const { send } = await source(t, status(403));
  const answer = await send();
  t.match(answer, { kind: 'refused', code: 'forbidden' });
  t.match(
    answer.kind === 'refused' && answer.words,
    /403.*the right to write this record.*a scope of the token.*retry/,
  );
  const { send: unknownToIt } = await source(t, status(401));
  t.match(await unknownToIt(), { kind: 'unauthorized', code: 'unauthorized' });
});

test('a rate limit is a wait for everybody, after the tries that are surely without effect', async (t) => {
  const { send, api } = await source(t, status(429, { 'retry-after': '90' }));
  t.match(await send(), { kind: 'later', code: 'rate_limited', waitMs: 90_000, isLimit: true });
  t.equal(api.seen.length, 1);
});

test('what was turned away by a short limit is sent again within the deadline', async (t) => {
  const { send, api } = await source(
    t,
    inTurn(status(429, { 'retry-after': '1' }), (response) => sendJson(response, { id: 'c 1' })),
  );
  t.equal((await send()).kind, 'done');
  t.equal(api.seen.length, 2);
});

test('a connection that breaks after the request has left makes the outcome unknown, and nothing is sent twice', async (t) => {
  const { send, api } = await source(t, (response) => void response.destroy());
  t.match(await send(), { kind: 'unknown', code: 'network' });
  t.equal(api.seen.length, 1);
});

test('an answer that cannot be read makes the outcome unknown', async (t) => {
  const { send } = await source(t, (response) => sendText(response, 200, '<html>', { 'content-type': 'text/html' }));
  t.match(await send(), { kind: 'unknown', code: 'invalid_response' });
});

test('a source that cannot be connected to has carried out nothing', async (t) => {
  const { send } = await source(t, status(200), { source: { baseUrl: 'http://127.0.0.1:1', maxAttempts: 1 } });
  t.match(await send(), { kind: 'later', code: 'network', isLimit: false });
});

test('a request that may not leave at the last moment is not sent', async (t) => {
  const { send, api } = await source(t, status(200));
  t.match(await send({ mayLeave: async () => false }), { kind: 'later', code: 'withheld', isLimit: false });
  t.equal(api.seen.length, 0);
});

test('nothing is sent, or even asked for, once the deadline is past', async (t) => {
  const { send, api, clock } = await source(t, status(200));
  clock.nowMs = START_MS + 50_000;
  const mayLeave = async () => t.fail('nobody is asked');
  t.match(await send({ mayLeave }), { kind: 'later', code: 'withheld' });
  t.equal(api.seen.length, 0);
});

test('whoever may leave is asked again before every attempt', async (t) => {
  let asked = 0;
  const { send, api } = await source(t, status(429, { 'retry-after': '1' }));
  const mayLeave = async () => ++asked === 1;
  t.match(await send({ mayLeave }), { kind: 'later', code: 'withheld' });
  t.equal(asked, 2);
  t.equal(api.seen.length, 1);
});

test('while the source is left alone nothing is sent to it', async (t) => {
  const { send, api } = await source(t, status(500), { source: { breaker: { failures: 1, openFor: '30s' } } });
  t.equal((await send()).kind, 'unknown');
  t.match(await send(), { kind: 'later', code: 'circuit_open', isLimit: false });
  t.equal(api.seen.length, 1);
});

test('a rule of the write says what an answer means', async (t) => {
  const { send } = await source(t, status(400));
  t.match(await send({ failures: [{ status: 400, then: 'gone' }] }), { kind: 'absent' });
});

test('a record is found by its marker, and by nothing else', async (t) => {
  const items = [
    { id: 1, origin: 'other' },
    { id: 2, origin: 'mine' },
  ];
  const { push, api } = await source(t, (response) => sendJson(response, items));
  t.match(await push.findByMarker('mine', never()), { kind: 'found', record: { id: 2 } });
  t.match(await push.findByMarker('nobody', never()), { kind: 'absent' });
  t.equal(api.seen[0]?.url, '/things?origin=mine');
});

test('a search that does not end proves no absence', async (t) => {
  const world = await setup(t, (response, { index }) =>
    sendJson(response, { data: [{ id: index }], next: `c${index}` }),
  );
  const list = {
    path: '/things',
    items: 'data',
    pagination: { kind: 'cursor' as const, param: 'after', next: 'next' },
  };
  const twoWay = { marker: { field: 'origin', searchParam: 'origin' } } as TwoWay;
  const push = createPushSource({ client: world.client, stream: { get: null, list, twoWay }, now: async () => 0 });
  t.equal((await failure(push.findByMarker('mine', never()))).code, 'invalid_response');
  t.equal(world.api.seen.length, 5);
});
