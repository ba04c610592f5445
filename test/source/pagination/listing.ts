import type { IncomingHttpHeaders } from 'node:http';
import { instantFromMs } from '../../../src/model/instant.ts';
import type { Call } from '../../../src/source/call.ts';
import type { Page } from '../../../src/source/client.ts';
import type { ListDefinition } from '../../../src/source/definition.ts';
import type { SourceErrorCode } from '../../../src/source/error.ts';
import { SourceError } from '../../../src/source/error.ts';
import { listPages } from '../../../src/source/list-pages.ts';
import type { PaginationDefinition } from '../../../src/source/pagination/pagination.ts';
import { createRequests } from '../../../src/source/requests.ts';
import { mustResolve, never } from '../setup.ts';

export type Served = { readonly body: unknown; readonly headers?: IncomingHttpHeaders };
type Query = Readonly<Record<string, string>>;
/** One request's answer; throws what a call would. */
export type Serve = (query: Query, url: URL, body: unknown) => Served;

export const ORIGIN = 'http://source.test';

/** Pages at `items` and with sizes in `limit`, unless `change` says otherwise. */
export const listOf = (pagination: PaginationDefinition, change: Partial<ListDefinition> = {}): ListDefinition => ({
  path: '/records',
  items: 'items',
  pagination,
  ...change,
});

/** A listing of a source that is a function: no server, so that thousands of them are quick. */
export function listing(list: ListDefinition, serve: Serve, cursor: string | null = null) {
  const call: Call = async ({ url, body: sent }) => {
    const { body, headers = {} } = serve(
      Object.fromEntries(url.searchParams),
      url,
      sent === null ? null : JSON.parse(sent),
    );
    const at = instantFromMs(0);
    return { kind: 'answered', answer: { status: 200, url, headers, body }, startedAt: at, endedAt: at };
  };
  const auth = {
    authorize: (request: never) => request,
    renew: async () => false,
    withoutCredentials: (url: URL) => url,
  };
  const requests = createRequests(mustResolve({ baseUrl: ORIGIN }));
  return listPages({ call, requests, auth }, list, { cursor, signal: never() });
}

export async function pagesOf(list: ListDefinition, serve: Serve, cursor: string | null = null): Promise<Page[]> {
  const pages: Page[] = [];
  for await (const page of listing(list, serve, cursor)) pages.push(page);
  return pages;
}

/** Refuses pages of more than `max` records, as a source does that cannot make them. */
export function refuseOver(max: number, query: Query, code: SourceErrorCode = 'too_large'): void {
  if (Number(query.limit) > max) throw new SourceError(code, 'GET /records: too much');
}

/** A record of which only the id matters. */
export const records = (...ids: readonly (string | number)[]) => ids.map((id) => ({ id }));

export const idsOf = (pages: readonly Page[]): unknown[] =>
  pages.flatMap((page) => page.items.map((item) => Reflect.get(Object(item), 'id')));
