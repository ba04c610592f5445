import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { makeRecord, QUIET_SINCE_MS } from './records.ts';

/**
 * A program: the list of a source with as many records as its argument says. `POST /change?share=0.01` changes that share
 * of them, spread evenly; `PATCH` changes one, by its tag where one is sent. Asked for `writes`, it tells when which record
 * was written since it was last asked. Records are kept as written text, so that a page costs this process next to nothing.
 */
export type Write = { readonly id: string; readonly atMs: number };

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

const writes: Write[] = [];

function patch(id: number, request: IncomingMessage, response: ServerResponse): void {
  let body = '';
  request.setEncoding('utf8').on('data', (text) => {
    body += text;
  });
  request.on('end', () => {
    const tag = request.headers['if-match'];
    if (tag !== undefined && tag !== tagOf(id)) return void response.writeHead(412).end('{}');
    revisions[id] = (revisions[id] ?? 0) + 1;
    const record = { ...JSON.parse(texts[id] ?? '{}'), ...JSON.parse(body), updated_at: new Date().toISOString() };
    texts[id] = JSON.stringify(record);
    writes.push({ id: record.id, atMs: Date.now() });
    response.setHeader('etag', tagOf(id)).end(texts[id]);
  });
}

const tagOf = (id: number): string => `"${revisions[id] ?? 0}"`;

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
  const place = Number(id.replace(/^cus_/, ''));
  const text = texts[place];
  if (text === undefined) response.statusCode = 404;
  else if (request.method === 'PATCH') return patch(place, request, response);
  else response.setHeader('etag', tagOf(place));
  return response.end(text ?? '{}');
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ address: `http://127.0.0.1:${port}`, startMs: 0 });
});
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message === 'stop') process.exit(0);
  if (message === 'writes') process.send?.(writes.splice(0));
});
