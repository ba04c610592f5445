import type { Authenticator } from './auth/authenticator.ts';
import type { Call } from './call.ts';
import type { Page, SourceClient } from './client.ts';
import { DEFAULT_MAX_PAGES, type ListDefinition } from './definition.ts';
import { SourceError } from './error.ts';
import { createListGuard } from './loop-guard.ts';
import { linkCursor, resolveOwnLink } from './own-origin.ts';
import { createPageSizing } from './pagination/page-size.ts';
import { createPaginator } from './pagination/pagination.ts';
import type { Paginator } from './pagination/paginator.ts';
import { readItems } from './read-items.ts';
import { endpointOf, type Requests } from './requests.ts';
import { type AskPage, askShrinking, type PageAt } from './shrink-page.ts';

type ListDeps = { readonly call: Call; readonly requests: Requests; readonly auth: Authenticator };
type ListOptions = Parameters<SourceClient['listPages']>[1];

/**
 * See `SourceClient.listPages`. A page that shows that the listing goes nowhere is not given: it would be resumed from.
 * A page that is too much for the source or for us is asked for again in parts, where that can be done without losing or
 * doubling a record.
 */
export async function* listPages(
  deps: ListDeps,
  list: ListDefinition,
  options: ListOptions,
): AsyncGenerator<Page, void, undefined> {
  const paginator = createPaginator(list.pagination);
  const ask = createAsk(deps, list, paginator, options);
  const sizing = list.pageSize === undefined ? null : createPageSizing(list.pageSize);
  const start = options.cursor ?? null;
  const guard = createListGuard({ start, canMove: !paginator.isResumable });
  const maxPages = list.maxPages ?? DEFAULT_MAX_PAGES;

  let at: PageAt = { cursor: start, pageSize: list.pageSize?.size ?? null };
  for (let number = 1; number <= maxPages; number++) {
    const page = await askShrinking({ ask, paginator, sizing }, at);
    const { endpoint, items, startedAt, endedAt, cursor, pageSize } = page;
    const nextCursor = paginator.next(page);
    const problem = guard.problemOf(items, nextCursor);
    if (problem !== null) throw new SourceError('page_loop', `${endpoint}: page ${number} ${problem}`);
    yield { items, startedAt, endedAt, cursor, nextCursor };
    if (nextCursor === null) return;
    at = { cursor: nextCursor, pageSize };
    if (sizing === null || pageSize === null) continue;
    const larger = sizing.afterPage(pageSize);
    if (larger === pageSize) continue;
    const resized = paginator.resize(nextCursor, pageSize, larger);
    if (resized.kind === 'resized' && !resized.needsExactPages) at = resized;
  }
  throw new SourceError('page_loop', `${endpointOf(list)}: does not end within ${maxPages} pages`);
}

function createAsk(
  { call, requests, auth }: ListDeps,
  list: ListDefinition,
  paginator: Paginator,
  { params = {}, lane = 'urgent', signal }: ListOptions,
): AskPage {
  return async ({ cursor, pageSize }) => {
    const sizeParam = list.pageSize === undefined || pageSize === null ? {} : { [list.pageSize.param]: pageSize };
    const request = requests.forPage(list, paginator.target(cursor, pageSize), { ...sizeParam, ...params });
    const { endpoint } = request;
    const reply = await call(request, { lane, signal });
    if (reply.kind === 'absent') throw listError(endpoint, cursor, reply.error);
    if (reply.kind === 'not_modified') throw new SourceError('invalid_response', `${endpoint}: answered 304 unasked`);
    const { startedAt, endedAt, answer } = reply;
    const { headers, body, url } = answer;
    const items = readItems(endpoint, list, body);
    const cursorFromLink = (link: string) =>
      linkCursor(auth.withoutCredentials(resolveOwnLink(link, url, `${endpoint}: the next link`)));
    return { endpoint, cursor, pageSize, headers, body, items, cursorFromLink, startedAt, endedAt };
  };
}

/** Only a page cursor expires. A 410 without one speaks of the list, or of what its query carries. */
const listError = (endpoint: string, cursor: string | null, error: SourceError): SourceError =>
  cursor === null || error.code !== 'gone'
    ? error
    : new SourceError('cursor_expired', `${endpoint}: the cursor is no longer accepted (410)`, { status: 410 });
