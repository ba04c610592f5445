import { once } from 'node:events';
import { connect } from 'node:net';
import { pino } from 'pino';
import { test } from 'tap';
import { createServer } from '../../src/http/server.ts';
import { startTestApp } from '../app/setup.ts';
import { customer, event, MAX_BODY_BYTES, signShop } from '../app/shop.ts';

/** Sends bytes as they are and gives everything that came back until the server closed the connection. */
async function exchange(
  port: number,
  bytes: string | Buffer,
  parts: readonly (string | Buffer)[] = [],
): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.setEncoding('utf8').on('data', (text) => {
    received += text;
  });
  socket.on('error', () => {}); // a server that hangs up in the middle of our sending is what we look at
  await once(socket, 'connect');
  socket.write(bytes);
  for (const part of parts) socket.write(part);
  const timer = setTimeout(() => socket.destroy(new Error('still open')), 10_000);
  await once(socket, 'close');
  clearTimeout(timer);
  return received;
}

const request = (lines: readonly string[], body = ''): string => `${lines.join('\r\n')}\r\n\r\n${body}`;

test('a client that never ends its request is given up on, in its headers and in its body', async (t) => {
  const server = createServer(pino({ level: 'silent' }), { requestTimeoutMs: 300 });
  server.post('/', async () => 'read');
  const port = Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port);
  t.teardown(() => server.close());
  const starts = [
    'POST / HT',
    'POST / HTTP/1.1\r\nHost: localhost\r\nx-slow: ',
    'POST / HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{',
  ];
  for (const received of await Promise.all(starts.map((start) => exchange(port, start)))) {
    t.match(received, /^HTTP\/1\.1 408 [\s\S]*application\/problem\+json[\s\S]*"status":408/);
  }
});

test('over a raw socket', async (t) => {
  const app = await startTestApp(t);

  await t.test(
    'HTTP that is none is answered with a problem document or hung up on, and the server goes on',
    async (t) => {
      const body = event('customer.created', customer('raw'));
      const signed = Object.entries(signShop(body)).map(([name, value]) => `${name}: ${value}`);
      const post = ['POST /webhooks/shop HTTP/1.1', 'Host: localhost', 'Connection: close', ...signed];
      const cases: readonly (readonly [what: string, bytes: string, status: RegExp])[] = [
        ['no HTTP at all', '\u0000\u0001\u0002 hello\r\n\r\n', /^HTTP\/1\.1 400 /],
        ['a TLS hello', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\r\n\r\n', /^HTTP\/1\.1 400 /],
        ['an unknown method', request(['BREW /health HTTP/1.1', 'Host: localhost']), /^HTTP\/1\.1 400 /],
        ['another protocol', request(['GET / RTSP/9.9', 'Host: localhost']), /^HTTP\/1\.1 400 /],
        [
          'a header without a colon',
          request(['GET /health HTTP/1.1', 'Host: localhost', 'nonsense']),
          /^HTTP\/1\.1 400 /,
        ],
        ['a header with NUL', request(['GET /health HTTP/1.1', 'Host: localhost', 'x: a\u0000b']), /^HTTP\/1\.1 400 /],
        [
          'headers without end',
          request(['GET /health HTTP/1.1', 'Host: localhost', `x: ${'y'.repeat(40_000)}`]),
          /^HTTP\/1\.1 431 /,
        ],
        ['a path without end', request([`GET /${'a'.repeat(40_000)} HTTP/1.1`, 'Host: localhost']), /^HTTP\/1\.1 431 /],
        ['a length that is none', request([...post, 'Content-Length: many'], body), /^HTTP\/1\.1 400 /],
        ['a negative length', request([...post, 'Content-Length: -1'], body), /^HTTP\/1\.1 400 /],
        [
          'two lengths',
          request([...post, `Content-Length: ${body.length}`, `Content-Length: ${body.length + 1}`], body),
          /^HTTP\/1\.1 400 /,
        ],
        [
          'a length and chunks',
          request([...post, 'Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
          /^HTTP\/1\.1 400 /,
        ],
        ['chunks that are none', request([...post, 'Transfer-Encoding: chunked'], 'zz\r\n\r\n'), /^HTTP\/1\.1 400 /],
        ['an announced giant', request([...post, `Content-Length: ${MAX_BODY_BYTES + 1}`], ''), /^HTTP\/1\.1 413 /],
        ['no host', request(['GET /health HTTP/1.1', 'Connection: close']), /^HTTP\/1\.1 400 /],
        [
          'a path that does not decode',
          request(['GET /records/shop/customers/%E0%A4%A HTTP/1.1', 'Host: localhost', 'Connection: close']),
          /^HTTP\/1\.1 400 /,
        ],
      ];
      for (const [what, bytes, status] of cases) {
        const received = await exchange(app.port, Buffer.from(bytes, 'latin1'));
        t.match(received, status, what);
        if (what !== 'no host') t.match(received.toLowerCase(), 'application/problem+json', what);
        t.notMatch(received, /at \S+ \(|node_modules|HPE_/, `${what}: no stack`);
      }
      t.equal((await app.get('/health')).status, 200);
      t.same(await app.sql('SELECT 1 AS one FROM sync.inbox_deliveries'), []);
    },
  );

  await t.test('a request without a host is no caller on this machine', async (t) => {
    t.match(await exchange(app.port, 'GET /status HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 403 /);
    t.match(await exchange(app.port, 'GET /health HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /);
  });

  await t.test('a request that breaks off in its body stores nothing', async (t) => {
    const body = event('customer.created', customer('broken'));
    const headers = Object.entries(signShop(body)).map(([name, value]) => `${name}: ${value}`);
    const head = request([
      'POST /webhooks/shop HTTP/1.1',
      'Host: localhost',
      ...headers,
      `Content-Length: ${body.length}`,
    ]);
    const socket = connect(app.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(head + body.slice(0, -1));
    // Another request is answered after those bytes have been read: then the server holds all but the last one.
    t.equal((await app.get('/health')).status, 200);
    socket.destroy();
    await once(socket, 'close');
    t.equal((await app.get('/status')).status, 200);
    t.same(await app.sql('SELECT 1 AS one FROM sync.inbox_deliveries'), []);
  });

  await t.test('pipelined requests are each answered for themselves', async (t) => {
    const one = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const last = 'GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    const received = await exchange(app.port, one + one + last);
    t.same(
      [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
      ['200', '200', '404'],
    );
    t.equal(new Set([...received.matchAll(/x-correlation-id: (\S+)/g)].map(([, id]) => id)).size, 3);
  });
});
