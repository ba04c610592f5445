import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { type Test, test } from 'tap';
import { createSourceClient } from '../../src/source/client.ts';
import { createMemoryLedger } from '../../src/source/rate-limit/ledger.ts';
import { type Answerer, inTurn, sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';
import { collectLog, failure, mustResolve, never, plainList, readAll, setup } from './setup.ts';

const ok: Answerer = (response) => sendJson(response, ['fine']);
const fail =
  (status: number, headers: Record<string, string> = {}): Answerer =>
  (response) =>
    sendText(response, status, '{"error":"no"}', headers);

/** A server that answers each connection with bytes as they are, for what an HTTP server would not send. */
async function startRawApi(t: Test, answer: (socket: Socket, index: number) => void): Promise<string> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    const index = connections++;
    socket.once('data', () => answer(socket, index));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('server errors and broken connections are retried, then the answer counts', async (t) => {
  const cases: Record<string, Answerer> = {
    'a 500': fail(500),
    'a 503 with a wait': fail(503, { 'retry-after': '1' }),
    'a 408': fail(408),
    'a connection reset before the answer': (response) => void response.socket?.resetAndDestroy(),
    'a connection reset within the body': (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('["cut', () => response.socket?.resetAndDestroy());
    },
    'a body shorter than its content-length': (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('["cut"]', () => response.socket?.end());
    },
    'a chunked body without its end': (response) => {
      response.write('["cut"', () => response.socket?.end());
    },
    'JSON cut off behind a correct length': (response) => sendText(response, 200, '["cut", {"a": 1}, {"b'),
    'packed JSON cut off behind a correct length': (response) =>
      sendText(response, 200, gzipSync(JSON.stringify(['cut'])).subarray(0, -6), { 'content-encoding': 'gzip' }),
  };
  for (const [name, broken] of Object.entries(cases)) {
    const { client, api, slept, lines } = await setup(t, inTurn(broken, broken, ok));
    const [page] = await readAll(client, plainList);
    t.same(page?.items, ['fine'], name);
    t.equal(api.seen.length, 3, name);
    t.equal(slept.length, 2, name);
    t.same(
      lines.map((line) => [line.level, line.fields.source, line.fields.endpoint, line.fields.attempt]),
      [
        ['warn', 'shop', 'GET /things', 1],
        ['warn', 'shop', 'GET /things', 2],
      ],
    );
  }
});

test('retries end, and the error says how often it was tried', async (t) => {
  const { client, api, slept } = await setup(t, fail(502), { source: { maxAttempts: 3 } });
  const error = await failure(readAll(client, plainList));
  t.match(error, { code: 'server_error', status: 502, isRetryable: true });
  t.equal(error.message, 'GET /things: answered 502 (attempt 3, the last)');
  t.equal(api.seen.length, 3);
  t.same(slept, [125, 250], 'half of the jitter range, which doubles');
});

test('a source that is not there is a network error', async (t) => {
  const { client } = await setup(t, ok, { source: { baseUrl: 'http://127.0.0.1:9', maxAttempts: 2 } });
  const error = await failure(readAll(client, plainList));
  t.equal(error.code, 'network');
  t.ok(error.cause instanceof Error, 'the cause is kept');
});

test('what a retry cannot help is thrown at once, with its own code', async (t) => {
  for (const [status, headers, code] of [
    [400, {}, 'bad_request'],
    [401, {}, 'unauthorized'],
    [403, {}, 'forbidden'],
    [403, { 'x-ratelimit-remaining': '17' }, 'forbidden'],
    [404, {}, 'not_found'],
    [410, {}, 'gone'],
    [422, {}, 'bad_request'],
    [304, {}, 'invalid_response'],
    [302, {}, 'invalid_response'],
  ] as const) {
    const { client, api } = await setup(t, (response) => {
      response.writeHead(status, headers);
      response.end();
    });
    t.match(await failure(readAll(client, plainList)), { code, status, isRetryable: false }, String(status));
    t.equal(api.seen.length, 1, String(status));
  }
});

test('a slow answer ends at the time-out, wherever it is slow', async (t) => {
  const cases: Record<string, Answerer> = {
    headers: () => {},
    body: (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('[1,');
    },
    'body that trickles': (response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(' '), 5);
      response.once('close', () => clearInterval(timer));
    },
    'error body': (response) => {
      response.writeHead(400);
      response.write('because');
    },
  };
  for (const [name, slow] of Object.entries(cases)) {
    const { client } = await setup(t, slow, { source: { timeout: '60ms', maxAttempts: 1 } });
    t.equal((await failure(readAll(client, plainList))).code, 'timeout', name);
  }
});

test('answers that are no HTTP, or lie about their length, are network errors', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
  for (const bytes of [
    'CANARY is not HTTP\r\n\r\n',
    `${head}content-length: x\r\n\r\n[]`,
    `${head}content-length: 5\r\ncontent-length: 2\r\n\r\n[]`,
    `${head}content-length: 1\r\n\r\n[]`,
    `${head}transfer-encoding: chunked\r\n\r\nZZ\r\n[]\r\n`,
  ]) {
    const origin = await startRawApi(t, (socket) => socket.end(bytes));
    const { client } = await setup(t, ok, { source: { baseUrl: origin, maxAttempts: 2 } });
    const error = await failure(readAll(client, plainList));
    t.equal(error.code, 'network', bytes);
    t.notMatch(JSON.stringify([error.message, error.cause, Object.entries(error.cause ?? {})]), /CANARY/);
  }
});

test('an answer that is not JSON is refused by kind, and none of it is shown', async (t) => {
  for (const [body, got] of [
    ['<html>CANARY</html>', 'markup'],
    ['CANARY', 'other text'],
    ['["CANARY",]', 'other text'],
    ['', 'an empty body'],
    [Buffer.from([0x5b, 0x22, 0xff, 0xfe, 0x22, 0x5d]), 'not UTF-8'],
    [Buffer.from('["\xe9CANARY"]', 'latin1'), 'not UTF-8'],
    [Buffer.from('["CANARY"]', 'utf16le'), 'other text'],
  ] as const) {
    const { client, api } = await setup(t, (response) => sendText(response, 200, body));
    const error = await failure(readAll(client, plainList));
    t.equal(error.code, 'invalid_response');
    t.match(error.message, got);
    t.notMatch(`${error.message} ${error.stack} ${String(error.cause)}`, /CANARY/);
    t.equal(api.seen.length, 1);
  }
});

test('a byte order mark and odd spaces do not matter', async (t) => {
  const { client } = await setup(t, (response) => sendText(response, 200, '\ufeff \n[1] \r\n'));
  t.same((await readAll(client, plainList))[0]?.items, [1]);
});

test('an answer over the limit is refused, announced or not', async (t) => {
  const body = JSON.stringify(['x'.repeat(50_000)]);
  const cases: Record<string, Answerer> = {
    // not one byte of the body comes, so only the announcement can tell
    announced: (response) => {
      response.writeHead(200, { 'content-length': '3000000000' });
      response.flushHeaders();
    },
    whole: (response) => sendText(response, 200, body),
    chunked: (response) => {
      response.writeHead(200);
      response.write(body.slice(0, 100));
      response.end(body.slice(100));
    },
    'without end': (response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'.repeat(2_000)), 1);
      response.once('close', () => clearInterval(timer));
    },
    'gzip bomb': (response) =>
      sendText(response, 200, gzipSync(Buffer.alloc(20_000_000, '[')), { 'content-encoding': 'gzip' }),
    'brotli bomb': (response) =>
      sendText(response, 200, brotliCompressSync(Buffer.alloc(20_000_000, '[')), { 'content-encoding': 'br' }),
  };
  for (const [name, answer] of Object.entries(cases)) {
    const { client, api } = await setup(t, answer, { source: { maxResponseBytes: 40_000, timeout: '5s' } });
    t.match(await failure(readAll(client, plainList)), { code: 'too_large', isRetryable: false }, name);
    t.equal(api.seen.length, 1, name);
  }
});

test('an answer of just the limit is taken', async (t) => {
  const body = JSON.stringify(['x'.repeat(996)]);
  const { client } = await setup(t, (response) => sendText(response, 200, body), {
    source: { maxResponseBytes: 1_000 },
  });
  t.equal((await readAll(client, plainList)).length, 1);
});

test('gzip and brotli are asked for and unpacked; anything else is refused', async (t) => {
  const body = JSON.stringify(['ünï']);
  for (const [encoding, packed] of [
    ['gzip', gzipSync(body)],
    ['X-GZIP', gzipSync(body)],
    ['br', brotliCompressSync(body)],
    ['identity', Buffer.from(body)],
  ] as const) {
    const { client, api } = await setup(t, (response) =>
      sendText(response, 200, packed, { 'content-encoding': encoding }),
    );
    t.same((await readAll(client, plainList))[0]?.items, ['ünï'], encoding);
    t.equal(api.seen[0]?.headers['accept-encoding'], 'gzip, br');
  }
  for (const [encoding, packed] of [
    ['zstd', body],
    ['gzip, gzip', gzipSync(gzipSync(body))],
    ['constructor', body],
    ['gzip', 'not packed at all'],
  ] as const) {
    const { client } = await setup(t, (response) => sendText(response, 200, packed, { 'content-encoding': encoding }));
    t.equal((await failure(readAll(client, plainList))).code, 'invalid_response', encoding);
  }
});

test('redirects within the origin are followed, five at most', async (t) => {
  for (const status of [301, 302, 303, 307, 308]) {
    const { client, api } = await setup(
      t,
      (response, { index, headers }) =>
        index < 5
          ? fail(status, { location: `/step/${index}` })(response, { index, headers, method: '', url: '' })
          : ok(response, { index, headers, method: '', url: '' }),
      { source: { headers: { authorization: 'CANARY' } } },
    );
    await readAll(client, plainList);
    t.ok(api.seen.every((request) => request.method === 'GET' && request.headers.authorization === 'CANARY'));
    t.equal(api.seen.length, 6);
  }
  const { client, api } = await setup(t, fail(302, { location: '/again' }));
  t.equal((await failure(readAll(client, plainList))).code, 'invalid_response');
  t.equal(api.seen.length, 6);
});

test('a redirect to another origin is not followed, and the other server sees nothing', async (t) => {
  const other = await startFakeApi(t, ok);
  for (const location of [
    `${other.origin}/CANARY`,
    `//127.0.0.1:${other.port}/CANARY`,
    `\\\\127.0.0.1:${other.port}`,
  ]) {
    const { client, api } = await setup(t, fail(307, { location }), {
      source: { headers: { authorization: 'CANARY' } },
    });
    const error = await failure(readAll(client, plainList));
    t.equal(error.code, 'foreign_link');
    t.notMatch(error.message, /CANARY|127/);
    t.equal(api.seen.length, 1);
  }
  t.equal(other.seen.length, 0);
});

test('an abort ends a request at once, wherever it is', async (t) => {
  const silent: Answerer = () => {};
  const midBody: Answerer = (response) => {
    response.writeHead(200);
    response.write('[');
  };
  for (const answer of [silent, midBody]) {
    const { client, api } = await setup(t, answer);
    const controller = new AbortController();
    const reading = failure(readAll(client, plainList, { signal: controller.signal }));
    await api.requested(1);
    const abortedAtMs = performance.now();
    controller.abort();
    t.match(await reading, { code: 'aborted', isRetryable: false });
    t.ok(performance.now() - abortedAtMs < 200);
    t.equal(api.seen.length, 1);
  }
});

test('an abort ends a wait between attempts, and nothing is sent after it', async (t) => {
  const controller = new AbortController();
  const { client, api } = await setup(t, fail(500), {
    sleep: (_ms, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        controller.abort();
      }),
  });
  t.equal((await failure(readAll(client, plainList, { signal: controller.signal }))).code, 'aborted');
  t.equal(api.seen.length, 1);
});

test('a signal that has fired already sends nothing', async (t) => {
  const { client, api } = await setup(t, ok);
  t.equal((await failure(readAll(client, plainList, { signal: AbortSignal.abort() }))).code, 'aborted');
  t.equal(api.seen.length, 0);
});

test('closing the client ends what is under way', async (t) => {
  const { client, api } = await setup(t, () => {});
  const reading = failure(readAll(client, plainList));
  await api.requested(1);
  await client.close();
  t.equal((await reading).code, 'aborted');
});

test('no more requests are under way than the source allows, and all are served', async (t) => {
  const held: (() => void)[] = [];
  const { client, api } = await setup(t, (response) => void held.push(() => sendJson(response, [])), {
    source: { concurrency: 2 },
  });
  const reads = Array.from({ length: 6 }, () => readAll(client, plainList));
  for (let answered = 0; answered < 6; answered++) {
    await api.requested(Math.min(6, answered + 2));
    held[answered]?.();
  }
  await Promise.all(reads);
  t.equal(api.maxUnderWay(), 2);
});

test('an error of the database clock passes through as it is', async (t) => {
  const api = await startFakeApi(t, ok);
  const client = createSourceClient(mustResolve({ baseUrl: api.origin }), {
    now: () => Promise.reject(new RangeError('no database')),
    nowMs: () => 0,
    random: () => 0,
    sleep: async () => {},
    ledger: createMemoryLedger(() => 0),
    onBreaker: () => {},
    log: collectLog([]),
  });
  t.teardown(() => client.close());
  await t.rejects(client.listPages(plainList, { signal: never() }).next(), { name: 'RangeError' });
  t.equal(api.seen.length, 0);
});
