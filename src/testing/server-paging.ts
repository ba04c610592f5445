import { assertNever } from '../lib/assert-never.ts';
import type { JsonValue } from '../model/json.ts';
import type { PaginationDefinition } from '../source/pagination/pagination.ts';
import type { Answer } from './answer.ts';
import type { Entry, Page, PageQuery } from './collection.ts';
import { type JsonObject, withValueAt } from './json.ts';

/** What the request says of its page, by parameter. */
type Params = (name: string) => unknown;
export type PageStart = Pick<PageQuery, 'after' | 'skip'> | 'unreadable';
type Answered = { readonly page: Page<JsonObject>; readonly start: number; readonly limit: number };

/** The other side of a kind of pagination: what a source makes of a page's parameters, and how it names the next page. */
export type ServerPaging = {
  /** Parameters that it knows. */
  readonly params: readonly string[];
  /** Its cursors name records in the order of ids, whatever is asked for. */
  readonly needsIds: boolean;
  start(params: Params, limit: number): PageStart;
  /** Puts into the answer what leads on. */
  finish(answer: Answer & { readonly body: JsonValue }, answered: Answered, url: URL): Answer;
};

const FIRST: PageStart = { after: null, skip: 0 };
/** Of the URLs that a source makes itself. */
const LINK_PARAM = 'page_position';

/** Null where a source cannot be stood in for: nothing says which record such a cursor names. `key`: dot path to the id. */
export function serverPagingOf(pagination: PaginationDefinition, key: string): ServerPaging | null {
  switch (pagination.kind) {
    case 'none':
      return { params: [], needsIds: false, start: () => FIRST, finish: (answer) => answer };
    case 'cursor': {
      const { param, next, nextHeader, itemField, hasMore } = pagination;
      if (itemField !== undefined && itemField !== key) return null;
      const isId = itemField !== undefined;
      return {
        params: [param],
        needsIds: isId,
        start: (params) => startAfter(params(param), isId),
        finish(answer, { page }) {
          const cursor = cursorOf(page);
          let { body } = answer;
          if (next !== undefined) body = withValueAt(body, next, cursor);
          if (hasMore !== undefined) body = withValueAt(body, hasMore, page.hasMore);
          const headers = nextHeader === undefined || cursor === null ? {} : { [nextHeader]: cursor };
          return { ...answer, headers: { ...answer.headers, ...headers }, body };
        },
      };
    }
    case 'keyset': {
      const { param, field, hasMore } = pagination;
      if (field !== key) return null;
      return {
        params: [param],
        needsIds: true,
        start: (params) => startAfter(params(param), true),
        finish: (answer, { page }) =>
          hasMore === undefined ? answer : { ...answer, body: withValueAt(answer.body, hasMore, page.hasMore) },
      };
    }
    case 'relay': {
      const { connection, after = 'after' } = pagination;
      return {
        params: [after],
        needsIds: false,
        start: (params) => startAfter(params(after), false),
        finish(answer, { page }) {
          const pageInfo = { hasNextPage: page.hasMore, endCursor: cursorOf(page) };
          return { ...answer, body: withValueAt(answer.body, `${connection}.pageInfo`, pageInfo) };
        },
      };
    }
    case 'offset': {
      const { param, total } = pagination;
      return {
        params: [param],
        needsIds: false,
        start: (params) => skipped(params(param) ?? 0),
        finish: (answer, { page }) =>
          total === undefined ? answer : { ...answer, body: withValueAt(answer.body, total, page.total) },
      };
    }
    case 'page_number': {
      const { param, first = 1, totalPages, hasMore } = pagination;
      return {
        params: [param],
        needsIds: false,
        start: (params, limit) => skipped((Number(params(param) ?? first) - first) * limit),
        finish(answer, { page, limit }) {
          let { body } = answer;
          if (totalPages !== undefined) body = withValueAt(body, totalPages, Math.ceil(page.total / limit));
          if (hasMore !== undefined) body = withValueAt(body, hasMore, page.hasMore);
          return { ...answer, body };
        },
      };
    }
    case 'link_header': {
      const { rel = 'next' } = pagination;
      return {
        params: [LINK_PARAM],
        needsIds: false,
        start: (params) => skipped(params(LINK_PARAM) ?? 0),
        finish(answer, answered, url) {
          const link = linkOf(answered, url);
          const headers = link === null ? {} : { link: `<${link}>; rel="${rel}"` };
          return { ...answer, headers: { ...answer.headers, ...headers } };
        },
      };
    }
    case 'next_url': {
      const { next, hasMore } = pagination;
      return {
        params: [LINK_PARAM],
        needsIds: false,
        start: (params) => skipped(params(LINK_PARAM) ?? 0),
        finish(answer, answered, url) {
          const body = withValueAt(answer.body, next, linkOf(answered, url));
          return { ...answer, body: hasMore === undefined ? body : withValueAt(body, hasMore, answered.page.hasMore) };
        },
      };
    }
    default:
      return assertNever(pagination);
  }
}

/** Cursors are opaque but where they are ids. */
function startAfter(cursor: unknown, isId: boolean): PageStart {
  if (cursor === undefined || cursor === null) return FIRST;
  if (isId) return { after: { id: String(cursor), at: 0 }, skip: 0 };
  try {
    const [at, id]: unknown[] = JSON.parse(Buffer.from(String(cursor), 'base64url').toString('utf8'));
    return typeof at === 'number' && typeof id === 'string' ? { after: { at, id }, skip: 0 } : 'unreadable';
  } catch {
    return 'unreadable';
  }
}

const skipped = (count: unknown): PageStart => {
  const skip = Number(count);
  return Number.isInteger(skip) && skip >= 0 ? { after: null, skip } : 'unreadable';
};

function cursorOf({ entries, hasMore }: Page<JsonObject>): string | null {
  const last: Entry<unknown> | undefined = entries.at(-1);
  return hasMore && last !== undefined
    ? Buffer.from(JSON.stringify([last.at, last.id]), 'utf8').toString('base64url')
    : null;
}

function linkOf({ page, start }: Answered, url: URL): string | null {
  if (!page.hasMore) return null;
  const next = new URL(url);
  next.searchParams.set(LINK_PARAM, String(start + page.entries.length));
  return next.href;
}

/** The records of an answer, as its list says where they stand. */
export const itemsOf = (entries: readonly Entry<JsonObject>[], record: string | undefined): JsonValue[] =>
  entries.map((entry) => (record === undefined ? entry.record : withValueAt({}, record, entry.record)));
