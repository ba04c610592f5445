import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { makeRecord, QUIET_SINCE_MS, recordId } from './records.ts';

/**
 * A program: a list as long as its argument says, of which nothing but one page is kept: all pages are alike but for the
 * ids at both ends. It takes next to no time and no memory beside its client's.
 */
const FIRST_ID = recordId(0);
const count = Number(process.argv[2] ?? 1000);
const texts = new Map<number, { readonly first: string; readonly middle: string; readonly last: string }>();

function partsOf(size: number) {
  const known = texts.get(size);
  if (known !== undefined) return known;
  const items = Array.from({ length: size }, (_, id) => JSON.stringify(makeRecord(id, 0, QUIET_SINCE_MS)));
  const [first = ''] = items;
  const parts = { first, middle: items.slice(1, -1).join(','), last: first };
  texts.set(size, parts);
  return parts;
}

const server = createServer((request, response) => {
  const query = new URL(request.url ?? '/', 'http://api').searchParams;
  const start = Number(query.get('cursor') ?? 0);
  const size = Number(query.get('limit') ?? 100);
  const { first, middle, last } = partsOf(size);
  const end = start + size;
  const next = end < count ? `"${end}"` : 'null';
  const body = `{"data":[${first.replace(FIRST_ID, recordId(start))},${middle},${last.replace(FIRST_ID, recordId(end - 1))}],"next":${next}}`;
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ address: `http://127.0.0.1:${port}`, startMs: 0 });
});
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message === 'stop') process.exit(0);
});
