import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { makeRecord, QUIET_SINCE_MS } from './records.ts';

/**
 * A program: the list of a source with as many records as its argument says. `POST /change?share=0.01` changes that share
 * of them, spread evenly. Records are kept as written text, so that a page costs this process next to nothing.
 */
const MAX_RECORDS = 5_000_000;
const count = Math.min(Number(process.argv[2] ?? 1000), MAX_RECORDS);
const revisions = new Uint16Array(count);
const texts = Array.from({ length: count }, (_, id) => JSON.stringify(makeRecord(id, 0, QUIET_SINCE_MS)));

function change(share: number): number {
  const step = Math.max(1, Math.round(1 / share));
  let changed = 0;
  for (let id = 0; id < count; id += step) {
    revisions[id] = (revisions[id] ?? 0) + 1;
    texts[id] = JSON.stringify(makeRecord(id, revisions[id] ?? 0, Date.now()));
    changed++;
  }
  return changed;
}

function page(query: URLSearchParams): string {
  const start = Number(query.get('cursor') ?? 0);
  const end = Math.min(count, start + Number(query.get('limit') ?? 100));
  const next = end < count ? `"${end}"` : 'null';
  return `{"data":[${texts.slice(start, end).join(',')}],"next":${next}}`;
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://api');
  const [, , id] = url.pathname.split('/');
  response.setHeader('content-type', 'application/json');
  if (request.method === 'POST') return response.end(String(change(Number(url.searchParams.get('share')))));
  if (id === undefined) return response.end(page(url.searchParams));
  const text = texts[Number(id.replace(/^cus_/, ''))];
  if (text === undefined) response.statusCode = 404;
  return response.end(text ?? '{}');
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ address: `http://127.0.0.1:${port}`, startMs: 0 });
});
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message === 'stop') process.exit(0);
});
