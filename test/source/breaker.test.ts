import { test } from 'tap';
import { instantFromMs } from '../../src/model/instant.ts';
import { type BreakerChange, createBreaker } from '../../src/source/breaker.ts';
import { createSourceClient } from '../../src/source/client.ts';
import { SourceError, type SourceErrorCode } from '../../src/source/error.ts';
import type { Exchanged } from '../../src/source/exchange.ts';
import { createMemoryLedger } from '../../src/source/rate-limit/ledger.ts';
import { type Answerer, inTurn, sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';
import { collectLog, failure, type LogLine, mustResolve, never, plainList, readAll, START_MS, setup } from './setup.ts';

const ok: Answerer = (response) => sendJson(response, ['fine']);
const fail: Answerer = (response) => sendText(response, 500, '');
const once = { maxAttempts: 1, breaker: { failures: 3, openFor: '30s' } } as const;

test('a source that fails time and again is left alone, then tried by one request', async (t) => {
  let isUp = false;
  const answer: Answerer = (response, request) => (isUp ? ok : fail)(response, request);
  const { client, api, clock, breakerChanges } = await setup(t, answer, { source: once });
  for (let read = 0; read < 3; read++) t.equal((await failure(readAll(client, plainList))).code, 'server_error');
  clock.nowMs += 10_000;
  t.match(await failure(readAll(client, plainList)), {
    code: 'circuit_open',
    isRetryable: true,
    retryAfterMs: 20_000,
  });
  t.equal(api.seen.length, 3, 'nothing was sent');
  clock.nowMs += 20_000;
  isUp = true;
  await readAll(client, plainList);
  await readAll(client, plainList);
  t.equal(api.seen.length, 5);
  t.same(breakerChanges, [
    { state: 'open', reason: 'server_error' },
    { state: 'half_open', reason: null },
    { state: 'closed', reason: null },
  ]);
});

test('while one request tries, no other is sent; when it fails, the source is left alone again', async (t) => {
  const held: (() => void)[] = [];
  const { client, api, clock, breakerChanges } = await setup(
    t,
    (response, request) =>
      request.index < 3 ? fail(response, request) : void held.push(() => sendText(response, 503, '')),
    { source: once },
  );
  for (let read = 0; read < 3; read++) await failure(readAll(client, plainList));
  clock.nowMs += 30_000;
  const probe = failure(readAll(client, plainList));
  await api.requested(4);
  for (let read = 0; read < 5; read++) {
    t.match(await failure(readAll(client, plainList)), { code: 'circuit_open', retryAfterMs: 1_000 });
  }
  held[0]?.();
  t.match(await probe, { code: 'server_error', retryAfterMs: 30_000 });
  t.equal((await failure(readAll(client, plainList))).code, 'circuit_open');
  t.equal(api.seen.length, 4);
  t.same(
    breakerChanges.map(({ state }) => state),
    ['open', 'half_open', 'open'],
  );
});

test('only failures of the source itself count, and any answer of another kind ends their row', async (t) => {
  for (const status of [200, 400, 401, 403, 404, 409, 429]) {
    const other: Answerer = (response) => sendText(response, status, '[]', { 'retry-after': '0' });
    const { client, breakerChanges } = await setup(t, inTurn(fail, fail, other, fail, fail, other), { source: once });
    for (let read = 0; read < 6; read++) await readAll(client, plainList).catch(() => {});
    t.same(breakerChanges, [], String(status));
  }
});

test('time-outs and broken connections count', async (t) => {
  for (const answer of [() => {}, (response) => void response.socket?.destroy()] satisfies Answerer[]) {
    const { client, breakerChanges } = await setup(t, answer, { source: { ...once, timeout: '40ms' } });
    for (let read = 0; read < 3; read++) await failure(readAll(client, plainList));
    t.equal(breakerChanges[0]?.state, 'open');
  }
});

test('a request that its caller gives up neither opens the breaker nor keeps it shut', async (t) => {
  const { client, api, breakerChanges } = await setup(
    t,
    (response, request) => (request.index % 2 === 0 ? fail(response, request) : undefined),
    { source: once },
  );
  for (let round = 0; round < 3; round++) {
    await failure(readAll(client, plainList));
    if (round === 2) break;
    const controller = new AbortController();
    const reading = failure(readAll(client, plainList, { signal: controller.signal }));
    await api.requested(round * 2 + 2);
    controller.abort();
    t.equal((await reading).code, 'aborted');
  }
  t.same(
    breakerChanges,
    [{ state: 'open', reason: 'server_error' }],
    'three failures in a row, as if nothing lay between',
  );
});

test('a try that is given up opens it again', async (t) => {
  const { client, api, clock, breakerChanges } = await setup(
    t,
    (response, request) => (request.index < 3 ? fail(response, request) : undefined),
    { source: once },
  );
  for (let read = 0; read < 3; read++) await failure(readAll(client, plainList));
  clock.nowMs += 30_000;
  const controller = new AbortController();
  const probe = failure(readAll(client, plainList, { signal: controller.signal }));
  await api.requested(4);
  controller.abort();
  t.equal((await probe).code, 'aborted');
  t.equal(breakerChanges.at(-1)?.state, 'open');
});

test('a call whose own retries open the breaker ends with its failure, and says when to come again', async (t) => {
  const { client, api, slept } = await setup(t, fail, { source: { maxAttempts: 20, breaker: { failures: 4 } } });
  t.match(await failure(readAll(client, plainList)), {
    code: 'server_error',
    isRetryable: true,
    message: 'GET /things: answered 500 (attempt 4, the last)',
    retryAfterMs: 30_000,
  });
  t.equal(api.seen.length, 4);
  t.equal(slept.length, 3);
});

test('with the defaults one failing call does not open it, two do', async (t) => {
  const { client, breakerChanges } = await setup(t, fail);
  await failure(readAll(client, plainList));
  t.same(breakerChanges, []);
  await failure(readAll(client, plainList));
  t.equal(breakerChanges.length, 1);
});

test('a listing goes on at its page once the source is back', async (t) => {
  let isUp = true;
  const list = {
    path: '/things',
    items: 'data',
    pagination: { kind: 'cursor', param: 'after', next: 'next' } as const,
  };
  const { client, clock } = await setup(
    t,
    (response, request) => {
      const at = Number(new URL(request.url, 'http://x').searchParams.get('after') ?? 0);
      if (!isUp) return fail(response, request);
      sendJson(response, { data: [at], next: at < 4 ? String(at + 1) : null });
    },
    { source: once },
  );
  const items: unknown[] = [];
  let cursor: string | null = null;
  const readOn = async () => {
    for await (const page of client.listPages(list, { cursor, signal: never() })) {
      items.push(...page.items);
      cursor = page.nextCursor;
      if (items.length === 2) isUp = false;
    }
  };
  for (const code of ['server_error', 'server_error', 'server_error', 'circuit_open'])
    t.equal((await failure(readOn())).code, code);
  isUp = true;
  clock.nowMs += 30_000;
  await readOn();
  t.same(items, [0, 1, 2, 3, 4]);
});

test('a clock that is set back keeps it open no longer than it would have been', async (t) => {
  const { client, clock } = await setup(t, inTurn(fail, fail, fail, ok), { source: once });
  for (let read = 0; read < 3; read++) await failure(readAll(client, plainList));
  clock.nowMs -= 86_400_000;
  t.match(await failure(readAll(client, plainList)), { code: 'circuit_open', retryAfterMs: 30_000 });
  clock.nowMs += 30_000;
  t.equal((await readAll(client, plainList)).length, 1);
});

test('a listener that throws is logged, and the call ends as it would', async (t) => {
  const api = await startFakeApi(t, fail);
  const lines: LogLine[] = [];
  const client = createSourceClient(mustResolve({ baseUrl: api.origin, ...once, breaker: { failures: 1 } }), {
    now: async () => instantFromMs(0),
    nowMs: () => 0,
    random: () => 0,
    sleep: async () => {},
    ledger: createMemoryLedger(() => 0),
    onBreaker: () => {
      throw new RangeError('no database');
    },
    log: collectLog(lines),
  });
  t.teardown(() => client.close());
  t.equal((await failure(readAll(client, plainList))).code, 'server_error');
  t.equal(lines.filter(({ level }) => level === 'error').length, 1);
});

/** A breaker that is open after one failure, with a clock that the test moves. */
async function openBreaker() {
  const changes: BreakerChange[] = [];
  const clock = { nowMs: START_MS };
  const onChange = (change: BreakerChange) => void changes.push(change);
  const breaker = createBreaker({ failures: 1, openForMs: 1_000, nowMs: () => clock.nowMs, onChange });
  await breaker.run('GET /x', async () => failed('server_error'));
  return { breaker, clock, changes };
}

const failed = (code: SourceErrorCode): Exchanged => ({
  kind: 'failed',
  error: new SourceError(code, 'GET /x: failed'),
  answer: null,
  isUndone: false,
  renew: null,
});

/** An attempt that ends when the test says so. */
function createGate() {
  let end: (exchanged: Exchanged) => void = () => {};
  const ended = new Promise<Exchanged>((resolve) => {
    end = resolve;
  });
  return { ended, end: (exchanged: Exchanged) => end(exchanged) };
}

test('a try that ends in an error of our own proves nothing, and opens it again', async (t) => {
  const { breaker, clock, changes } = await openBreaker();
  clock.nowMs += 1_000;
  const broken = breaker.run('GET /x', () => Promise.reject(new RangeError('the database is away')));
  await t.rejects(broken, new RangeError('the database is away'));
  t.equal(breaker.remainingMs(), 1_000);
  t.same(
    changes.map(({ state }) => state),
    ['open', 'half_open', 'open'],
  );
});

test('a try that is given up keeps the reason for which it was opened', async (t) => {
  const { breaker, clock, changes } = await openBreaker();
  clock.nowMs += 1_000;
  await breaker.run('GET /x', async () => failed('aborted'));
  t.same(changes.at(-1), { state: 'open', reason: 'server_error' });
});

test('what was sent before it opened says nothing of the source when it ends during the try', async (t) => {
  const changes: BreakerChange[] = [];
  const clock = { nowMs: START_MS };
  const onChange = (change: BreakerChange) => void changes.push(change);
  const breaker = createBreaker({ failures: 1, openForMs: 1_000, nowMs: () => clock.nowMs, onChange });
  const late = createGate();
  const early = breaker.run('GET /x', () => late.ended);
  await breaker.run('GET /x', async () => failed('server_error'));
  clock.nowMs += 1_000;
  const tried = createGate();
  const probe = breaker.run('GET /x', () => tried.ended);
  late.end(failed('timeout'));
  await early;
  tried.end({ kind: 'answered', answer: { status: 200, url: new URL('http://x'), headers: {}, body: null } });
  await probe;
  t.equal(breaker.remainingMs(), 0);
  t.same(
    changes.map(({ state }) => state),
    ['open', 'half_open', 'closed'],
  );
});
