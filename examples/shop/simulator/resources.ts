import type { PageStart } from './collection.ts';
import type { Ledger } from './ledger.ts';
import type { Stamped } from './records.ts';
import type { ShopClock } from './shop-clock.ts';

export type Answer = { readonly status: number; readonly body: unknown };

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 250;

/**
 * `GET /customers?limit=&starting_after=&updated_since=`: one page, in id order, or, with `updated_since` (an instant,
 * included), in the order of (updated_at, id). `next_cursor` is opaque and goes into `starting_after`.
 */
export function listRecords<R extends Stamped>(
  records: Ledger<R>['records'],
  query: URLSearchParams,
  clock: ShopClock,
): Answer {
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    return badRequest(`limit: expected a whole number from 1 to ${MAX_LIMIT}`);
  }
  const since = query.get('updated_since');
  const sinceMs = since === null ? null : Date.parse(since);
  if (Number.isNaN(sinceMs)) return badRequest('updated_since: expected an instant such as 2026-01-31T12:00:00Z');
  const order: PageStart['order'] = sinceMs === null ? 'id' : 'change';
  const cursor = query.get('starting_after');
  const start = cursor === null ? firstStart(sinceMs, clock) : decodeCursor(cursor);
  if (start === null || start.order !== order) {
    return badRequest('starting_after: expected the next_cursor of an answer to the same query');
  }
  const page = records.page(start, limit);
  return {
    status: 200,
    body: {
      data: page.records,
      has_more: page.next !== null,
      next_cursor: page.next === null ? null : encodeCursor(page.next),
    },
  };
}

/** `GET /customers/{id}`. A deleted record is 404, as one that never was. */
export function getRecord<R extends Stamped>(records: Ledger<R>['records'], id: string): Answer {
  const record = records.get(id);
  return record === undefined ? { status: 404, body: { error: 'not_found' } } : { status: 200, body: record };
}

const badRequest = (detail: string): Answer => ({ status: 400, body: { error: 'bad_request', detail } });

const firstStart = (sinceMs: number | null, clock: ShopClock): PageStart =>
  sinceMs === null
    ? { order: 'id', afterId: '' }
    : { order: 'change', afterId: '', updatedAt: clock.formatFrom(sinceMs) };

const encodeCursor = (start: PageStart): string =>
  Buffer.from(
    start.order === 'id' ? `id ${start.afterId}` : `change ${start.afterId} ${start.updatedAt}`,
    'utf8',
  ).toString('base64url');

function decodeCursor(cursor: string): PageStart | null {
  const [order, afterId, updatedAt] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ');
  if (afterId === undefined) return null;
  if (order === 'id') return { order, afterId };
  return order === 'change' && updatedAt !== undefined ? { order, afterId, updatedAt } : null;
}
