import { kindOf } from '../lib/kind.ts';
import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { Authenticator } from './auth/authenticator.ts';
import type { Call } from './call.ts';
import type { Page, SourceClient } from './client.ts';
import type { ListDefinition } from './definition.ts';
import { SourceError } from './error.ts';
import { createLoopGuard } from './loop-guard.ts';
import { resolveOwnLink } from './own-origin.ts';
import { createPaginator } from './pagination/pagination.ts';
import type { Urls } from './urls.ts';

/** Of one listing. A source that gives ever new cursors would hold a run for ever. */
const MAX_PAGES = 1_000_000;

type ListDeps = { readonly call: Call; readonly urls: Urls; readonly auth: Authenticator };

/** See `SourceClient.listPages`. A page whose next cursor is a repeated one is not given: it would be resumed from. */
export async function* listPages(
  { call, urls, auth }: ListDeps,
  list: ListDefinition,
  { query = {}, cursor: start = null, signal }: Parameters<SourceClient['listPages']>[1],
): AsyncGenerator<Page, void, undefined> {
  const endpoint = `GET ${list.path}`;
  const paginator = createPaginator(list.pagination);
  const guard = createLoopGuard();
  if (start !== null) guard.isRepeat(start);

  let cursor: string | null = start;
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const url = urls.forPage(list, paginator.target(cursor), query);
    const reply = await call(endpoint, url, signal);
    if (reply.kind === 'absent') throw listError(endpoint, cursor, reply.error);
    const { startedAt, endedAt, answer } = reply;
    const { headers, body } = answer;
    const items = readItems(endpoint, list.items, body);
    const cursorFromLink = (link: string) => {
      const bare = auth.withoutCredentials(resolveOwnLink(link, answer.url, `${endpoint}: the next link`));
      return `${bare.pathname}${bare.search}`;
    };
    const nextCursor = paginator.next({ endpoint, headers, body, items, cursorFromLink });
    if (nextCursor !== null && guard.isRepeat(nextCursor)) {
      throw new SourceError('page_loop', `${endpoint}: page ${pages + 1} leads back to a page that was read before`);
    }
    yield { items, startedAt, endedAt, cursor, nextCursor };
    if (nextCursor === null) return;
    cursor = nextCursor;
  }
  throw new SourceError('page_loop', `${endpoint}: does not end within ${MAX_PAGES} pages`);
}

/** Only a page cursor expires. A 410 without one speaks of the list, or of what its query carries. */
const listError = (endpoint: string, cursor: string | null, error: SourceError): SourceError =>
  cursor === null || error.code !== 'gone'
    ? error
    : new SourceError('cursor_expired', `${endpoint}: the cursor is no longer accepted (410)`, { status: 410 });

function readItems(endpoint: string, path: string, body: unknown): readonly unknown[] {
  const found = readPath(body, mustParsePath(path));
  const items = found.found ? found.value : undefined;
  if (Array.isArray(items)) return items;
  const place = path === '' ? 'the answer' : `\`${path}\``;
  throw new SourceError('invalid_response', `${endpoint}: ${place}: expected an array, got ${kindOf(items)}`);
}
