import { drip, echo, FINE, type Misbehaviour, pour, type Strike, sendJson } from './strike.ts';

const DRIP_MS = 25;
const MEGABYTE = 1024 * 1024;
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const BODY = JSON.stringify(FINE);

/** Bytes as they are, then the connection ends. */
const raw =
  (bytes: string | Buffer | ((strike: Strike) => string)): Misbehaviour =>
  (strike) => {
    strike.socket.end(typeof bytes === 'function' ? bytes(strike) : bytes);
  };

const writeThenReset =
  (bytes: string): Misbehaviour =>
  ({ socket }) => {
    socket.write(bytes, () => socket.resetAndDestroy());
  };

/** For ever, as fast as the other side reads. */
const flood =
  (first: string, piece: string): Misbehaviour =>
  ({ socket }) => {
    socket.write(first);
    const bytes = Buffer.from(piece);
    pour(
      socket,
      () => bytes,
      () => {},
    );
  };

/** A chunked answer's body with a proper beginning. */
const chunked = (rest: string): string => `${HEAD}transfer-encoding: chunked\r\n\r\n2\r\n["\r\n${rest}`;

/** What goes wrong below HTTP, and HTTP that nobody should send. */
export const connections: Readonly<Record<string, Misbehaviour>> = {
  '/reset/before': ({ socket }) => void socket.resetAndDestroy(),
  '/reset/in-headers': writeThenReset('HTTP/1.1 200 OK\r\ncontent-ty'),
  '/reset/in-body': writeThenReset(`${HEAD}content-length: 100\r\n\r\n["half`),
  '/closed/before': ({ socket }) => socket.end(),
  '/closed/in-headers': raw('HTTP/1.1 200 OK\r\ncontent-ty'),
  '/closed/in-body': raw((strike) => `${HEAD}content-length: 10000\r\n\r\n${echo(strike)}`),
  '/silent': () => {},
  '/slow/headers': ({ socket }) => drip(socket, [...'HTTP/1.1 200 OK\r\nx-slow: ', 'a'], DRIP_MS),
  '/slow/body': ({ socket }) => drip(socket, [`${HEAD}content-length: 100000\r\n\r\n[`, ' '], DRIP_MS),
  '/slow/chunks': ({ socket }) => drip(socket, [`${HEAD}transfer-encoding: chunked\r\n\r\n`, '1\r\n \r\n'], DRIP_MS),
  '/slow/error-body': ({ socket }) =>
    drip(socket, ['HTTP/1.1 400 No\r\ncontent-length: 100000\r\n\r\n[', ' '], DRIP_MS),
  '/json/cut-in-whole-answer': (strike) => sendJsonText(strike, '{"data":[{"id":"c1"},{"id":"c'),
  '/length/too-long': raw(`${HEAD}content-length: ${BODY.length + 50}\r\n\r\n${BODY}`),
  '/length/too-short': raw(`${HEAD}content-length: ${BODY.length - 3}\r\n\r\n${BODY}`),
  '/length/negative': raw(`${HEAD}content-length: -1\r\n\r\n${BODY}`),
  '/length/twice': raw(`${HEAD}content-length: ${BODY.length}\r\ncontent-length: 3\r\n\r\n${BODY}`),
  '/length/over-64-bit': raw(`${HEAD}content-length: 99999999999999999999999\r\n\r\n${BODY}`),
  '/length/and-chunked': raw(`${HEAD}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n8\r\n${BODY}\r\n0\r\n\r\n`),
  '/chunks/garbage': raw(chunked('ZZ\r\nfine"]\r\n0\r\n\r\n')),
  '/chunks/size-over-64-bit': raw(chunked('FFFFFFFFFFFFFFFFFF\r\nfine"]')),
  '/chunks/no-end': raw(chunked('6\r\nfine"]\r\n')),
  '/chunks/endless-extension': flood(chunked('1;'), 'x'.repeat(MEGABYTE)),
  '/chunks/endless-trailer': flood(chunked('6\r\nfine"]\r\n0\r\n'), `x-trailer: ${'x'.repeat(1_000)}\r\n`),
  '/headers/megabytes': raw(`${HEAD}x-large: ${'x'.repeat(4 * MEGABYTE)}\r\n\r\n${BODY}`),
  '/headers/endless': flood(HEAD, `x-more: ${'x'.repeat(1_000)}\r\n`),
  '/headers/with-nul': raw(`${HEAD}x-nul: a\0b\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`),
  '/early/continue': raw(`HTTP/1.1 100 Continue\r\n\r\n${HEAD}content-length: ${BODY.length}\r\n\r\n${BODY}`),
  '/early/hints': raw(
    `${'HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n'.repeat(100)}${HEAD}content-length: ${BODY.length}\r\n\r\n${BODY}`,
  ),
  '/early/endless-hints': flood('', 'HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n'.repeat(100)),
  '/early/endless-continue': flood('', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)),
  '/early/switching': raw('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nwhatever'),
  '/garbage/http-0.9': raw(BODY),
  '/garbage/http-3': raw(`HTTP/3.7 200 OK\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`),
  '/garbage/status': raw(`HTTP/1.1 9999 OK\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`),
  '/garbage/tls': raw(Buffer.from('1503010002022815030300020100', 'hex')),
  '/garbage/echo': raw((strike) => `${echo(strike)}\r\n\r\n`),
  /** Announces that the connection stays, and drops it as soon as the answer is out. */
  '/keep-alive/dropped': (strike) => {
    strike.response.once('finish', () => strike.socket.destroy());
    sendJson(strike, FINE, { connection: 'keep-alive', 'keep-alive': 'timeout=600' });
  },
  /** A second answer that nobody asked for follows on the same connection. */
  '/keep-alive/unasked': ({ socket }) => {
    const answer = `${HEAD}content-length: ${BODY.length}\r\n\r\n${BODY}`;
    socket.write(answer + answer.replace(BODY, JSON.stringify(['lies'])));
  },
};

function sendJsonText(strike: Strike, text: string): void {
  strike.response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(text.length) });
  strike.response.end(text);
}
