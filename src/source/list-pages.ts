import { kindOf } from '../lib/kind.ts';
import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { Authenticator } from './auth/authenticator.ts';
import type { Call } from './call.ts';
import type { Page, SourceClient } from './client.ts';
import { DEFAULT_MAX_PAGES, type ListDefinition } from './definition.ts';
import { SourceError } from './error.ts';
import { createLoopGuard } from './loop-guard.ts';
import { resolveOwnLink } from './own-origin.ts';
import { createPaginator } from './pagination/pagination.ts';
import type { Requests } from './requests.ts';

type ListDeps = { readonly call: Call; readonly requests: Requests; readonly auth: Authenticator };

/** See `SourceClient.listPages`. A page whose next cursor is a repeated one is not given: it would be resumed from. */
export async function* listPages(
  { call, requests, auth }: ListDeps,
  list: ListDefinition,
  { params = {}, cursor: start = null, lane = 'urgent', signal }: Parameters<SourceClient['listPages']>[1],
): AsyncGenerator<Page, void, undefined> {
  const paginator = createPaginator(list.pagination);
  const guard = createLoopGuard();
  if (start !== null) guard.isRepeat(start);
  const maxPages = list.maxPages ?? DEFAULT_MAX_PAGES;
  const pageSize = list.pageSize?.size ?? null;
  const sizeParam = list.pageSize === undefined ? {} : { [list.pageSize.param]: list.pageSize.size };

  let cursor: string | null = start;
  for (let pages = 0; pages < maxPages; pages++) {
    const request = requests.forPage(list, paginator.target(cursor, pageSize), { ...sizeParam, ...params });
    const { endpoint } = request;
    const reply = await call(request, { lane, signal });
    if (reply.kind === 'absent') throw listError(endpoint, cursor, reply.error);
    if (reply.kind === 'not_modified') throw new SourceError('invalid_response', `${endpoint}: answered 304 unasked`);
    const { startedAt, endedAt, answer } = reply;
    const { headers, body } = answer;
    const items = readItems(endpoint, list, body);
    const cursorFromLink = (link: string) => {
      const bare = auth.withoutCredentials(resolveOwnLink(link, answer.url, `${endpoint}: the next link`));
      return `${bare.pathname}${bare.search}`;
    };
    const nextCursor = paginator.next({ endpoint, cursor, pageSize, headers, body, items, cursorFromLink });
    if (nextCursor !== null && guard.isRepeat(nextCursor)) {
      throw new SourceError('page_loop', `${endpoint}: page ${pages + 1} leads back to a page that was read before`);
    }
    yield { items, startedAt, endedAt, cursor, nextCursor };
    if (nextCursor === null) return;
    cursor = nextCursor;
  }
  throw new SourceError('page_loop', `GET ${list.path}: does not end within ${maxPages} pages`);
}

/** Only a page cursor expires. A 410 without one speaks of the list, or of what its query carries. */
const listError = (endpoint: string, cursor: string | null, error: SourceError): SourceError =>
  cursor === null || error.code !== 'gone'
    ? error
    : new SourceError('cursor_expired', `${endpoint}: the cursor is no longer accepted (410)`, { status: 410 });

function readItems(endpoint: string, { items: path, record }: ListDefinition, body: unknown): readonly unknown[] {
  const found = readPath(body, mustParsePath(path));
  const items = found.found ? found.value : undefined;
  if (!Array.isArray(items)) {
    const place = path === '' ? 'the answer' : `\`${path}\``;
    throw new SourceError('invalid_response', `${endpoint}: ${place}: expected an array, got ${kindOf(items)}`);
  }
  if (record === undefined) return items;
  const recordPath = mustParsePath(record);
  return items.map((item) => {
    const inner = readPath(item, recordPath);
    return inner.found ? inner.value : undefined;
  });
}
