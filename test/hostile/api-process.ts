import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answers } from './answers.ts';
import { createCollection } from './collection.ts';
import { connections } from './connections.ts';
import { masses } from './masses.ts';
import { pageTraps } from './pages.ts';
import { type Misbehaviour, sendJson } from './strike.ts';
import { texts } from './texts.ts';

/**
 * A program: an API that misbehaves as each path says, and a listener of another origin that tells who came to it. It lives
 * as long as its standard input is open, so that it ends with its parent, however that ends.
 */
const MAX_LIFE_MS = 20 * 60_000;
/** Of the larger ones that our requests have: a header that we repeat must get through. */
const MAX_HEADER_BYTES = 256 * 1024;

const misbehaviours: Readonly<Record<string, Misbehaviour>> = {
  ...answers,
  ...connections,
  ...masses,
  ...pageTraps,
  ...texts,
};
const collection = createCollection(Number(process.argv[2] ?? 1));
const counts = new Map<string, number>();
const cases = new Map<string, number>();
const foreignRequests: unknown[] = [];
let foreignConnections = 0;

const foreign = createServer((request, response) => {
  foreignRequests.push({ method: request.method, url: request.url, headers: request.headers });
  sendJson({ response }, ['stolen']);
});
foreign.on('connection', () => {
  foreignConnections += 1;
});

const api = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
  const { socket } = request;
  const url = new URL(request.url?.replace(/^\/+/, '/') ?? '/', own);
  if (url.pathname === '/control/seen')
    return sendJson({ response }, cases.get(url.searchParams.get('case') ?? '') ?? 0);
  if (url.pathname === '/control/foreign') {
    return sendJson({ response }, { connections: foreignConnections, requests: foreignRequests });
  }
  if (url.pathname.startsWith('/control/')) {
    const told = collection.command(url);
    return told === undefined ? response.writeHead(404).end() : sendJson({ response }, told);
  }
  const name = url.searchParams.get('case') ?? '';
  const key = `${url.pathname} ${name}`;
  const index = counts.get(key) ?? 0;
  counts.set(key, index + 1);
  cases.set(name, (cases.get(name) ?? 0) + 1);
  const strike = { request, response, socket, url, index, own, foreign: foreignOrigin };
  const misbehave = misbehaviours[url.pathname] ?? collection.answer(strike);
  if (misbehave === null) return response.writeHead(404).end('{}');
  misbehave(strike);
});
// The other side goes whenever it likes.
api.on('connection', (socket) => socket.on('error', () => socket.destroy()));

const foreignOrigin = await listen(foreign);
const own = await listen(api);
process.stdout.write(`${JSON.stringify({ origin: own, foreign: foreignOrigin })}\n`);
process.stdin.resume();
process.stdin.once('close', () => process.exit(0));
setTimeout(() => process.exit(1), MAX_LIFE_MS).unref();

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}
