import { Pool } from 'undici';
import { instantFromMs } from '../src/model/instant.ts';
import { createSourceClient, type SourceClient } from '../src/source/client.ts';
import type { ListDefinition, SourceDefinition } from '../src/source/definition.ts';
import { cursor } from '../src/source/pagination/cursor.ts';
import { createMemoryLedger } from '../src/source/rate-limit/ledger.ts';
import { resolveSource } from '../src/source/resolve.ts';

/** A program: lists pages by the source client and by undici alone, and says what each cost this process. */
export const VARIANTS = ['bare', 'client', 'limited'] as const;
export type Variant = (typeof VARIANTS)[number];
/** `address` is the list's; a listing ends after `pages`, or with the list. */
export type ClientOrder = {
  readonly address: string;
  readonly variant: Variant;
  readonly pageSize: number;
  readonly pages: number;
};
export type ClientReport = { readonly cpuMs: number; readonly pages: number; readonly records: number };

const clients = new Map<string, SourceClient>();
const pools = new Map<string, Pool>();
const signal = new AbortController().signal;
/** Never reached, and so kept at its full cost. */
const LIMITS: Partial<SourceDefinition> = { rateLimits: [{ requests: 1_000_000, per: '1s' }] };

async function listBare({ address, pageSize, pages }: ClientOrder): Promise<[number, number]> {
  const pool = pools.get(address) ?? new Pool(address, { connections: 1, pipelining: 1 });
  pools.set(address, pool);
  let next: string | null = null;
  let records = 0;
  for (let page = 1; page <= pages; page++) {
    const path: string = `/customers?limit=${pageSize}${next === null ? '' : `&cursor=${next}`}`;
    const { body } = await pool.request({ method: 'GET', path, headers: { accept: 'application/json' } });
    const answer = JSON.parse(await body.text());
    records += answer.data.length;
    next = answer.next;
    if (next === null) return [page, records];
  }
  return [pages, records];
}

async function listByClient({ address, variant, pageSize, pages }: ClientOrder): Promise<[number, number]> {
  const key = `${variant} ${address}`;
  const client = clients.get(key) ?? makeClient(address, variant === 'limited' ? LIMITS : {});
  clients.set(key, client);
  const list: ListDefinition = {
    path: '/customers',
    items: 'data',
    pagination: cursor({ param: 'cursor', next: 'next' }),
    pageSize: { param: 'limit', size: pageSize },
  };
  let read = 0;
  let records = 0;
  for await (const { items } of client.listPages(list, { signal })) {
    read += 1;
    records += items.length;
    if (read === pages) break;
  }
  return [read, records];
}

function makeClient(address: string, definition: Partial<SourceDefinition>): SourceClient {
  const result = resolveSource('bench', { baseUrl: address, concurrency: 1, ...definition }, {});
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return createSourceClient(result.source, {
    // The server asks its database; what that costs is not the client's.
    now: async () => instantFromMs(Date.now()),
    nowMs: Date.now,
    random: Math.random,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    ledger: createMemoryLedger(Date.now),
    onBreaker() {},
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
}

async function run(order: ClientOrder): Promise<ClientReport> {
  const before = process.cpuUsage();
  const [pages, records] = order.variant === 'bare' ? await listBare(order) : await listByClient(order);
  const { user, system } = process.cpuUsage(before);
  return { cpuMs: (user + system) / 1000, pages, records };
}

process.on('disconnect', () => process.exit(0));
process.on('message', (message: ClientOrder | 'stop') => {
  if (message === 'stop') return process.exit(0);
  run(message).then(
    (report) => process.send?.(report),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.send?.({ address: '', startMs: 0 });
