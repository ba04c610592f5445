import type { Answer } from './answer.ts';
import type { Entry, PageQuery, View } from './collection.ts';
import type { Ledger } from './ledger.ts';
import { type Dialect, decodeSegment, type SourceRequest } from './operation.ts';
import {
  entityTagOf,
  METHOD_NOT_ALLOWED,
  NOT_FOUND,
  type WriteRules,
  writeChange,
  writeNew,
  writeRemoval,
} from './write.ts';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 250;

export type RestOptions<Record, Draft> = {
  /** `/customers`. */
  readonly path: string;
  /** Left out: nothing can be written. */
  readonly writes?: WriteRules<Record, Draft>;
};

const NO_WRITES = { create: null, update: null, canDelete: false } as const;

/**
 * Records as plain JSON over HTTP.
 * `GET /customers?limit=&starting_after=&updated_since=`: one page, in the order of ids, or, with `updated_since` (an instant,
 * included, or a counter), in the order of change. `next_cursor` is opaque and goes into `starting_after`.
 * `GET`, `PATCH`, `DELETE /customers/{id}` and `POST /customers`; `If-Match` takes the `ETag` of an answer.
 */
export function restDialect<Record extends Draft, Draft>(
  ledger: Ledger<Record, Draft>,
  { path, writes = NO_WRITES }: RestOptions<Record, Draft>,
): Dialect {
  const { records, form } = ledger;
  const rules = { ...writes, show: (entry: Entry<Record>, status: 200 | 201) => showRecord(entry, status) };
  const viewOf = (asOfMs: number | null) => (asOfMs === null ? records : records.asOf(asOfMs));

  return (request) => {
    const id = idIn(request.path, path);
    if (id === undefined) return null;
    const write = { resource: form.name, id };
    const isExpected = (entry: Entry<Record>) => isMatch(request.headers['if-match'], entry);
    if (id === null) {
      if (request.method === 'GET')
        return {
          kind: 'read',
          read: (asOf) => listRecords(viewOf(asOf), form.order, request),
          hasCursor: request.query.has('starting_after'),
        };
      if (request.method === 'POST' && writes.create !== null) {
        return { kind: 'write', ...write, verb: 'create', write: () => writeNew(ledger, rules, request.body) };
      }
    } else if (request.method === 'GET') {
      return { kind: 'read', read: (asOf) => getRecord(viewOf(asOf).get(id), request) };
    } else if (request.method === 'PATCH' && writes.update !== null) {
      const change = { id, body: request.body, isExpected };
      return { kind: 'write', ...write, verb: 'update', write: () => writeChange(ledger, rules, change) };
    } else if (request.method === 'DELETE' && writes.canDelete) {
      return { kind: 'write', ...write, verb: 'delete', write: () => writeRemoval(ledger, rules, { id, isExpected }) };
    }
    return { kind: 'read', read: () => METHOD_NOT_ALLOWED };
  };
}

/** Null for the list itself, undefined for another path. */
function idIn(path: string, base: string): string | null | undefined {
  if (path === base) return null;
  const id = path.startsWith(`${base}/`) ? path.slice(base.length + 1) : '';
  if (id === '' || id.includes('/')) return undefined;
  return decodeSegment(id) ?? undefined;
}

function listRecords<Record>(view: View<Record>, versions: 'time' | 'counter', { query }: SourceRequest): Answer {
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    return badRequest(`limit: expected a whole number from 1 to ${MAX_LIMIT}`);
  }
  const text = query.get('updated_since');
  const since = text === null ? null : versions === 'counter' ? Number(text) : Date.parse(text);
  if (Number.isNaN(since)) return badRequest('updated_since: expected an instant such as 2026-01-31T12:00:00Z');
  const order = since === null ? 'id' : 'change';
  const cursor = query.get('starting_after');
  const after = cursor === null ? null : decodeCursor(cursor);
  if (cursor !== null && after?.order !== order) {
    return badRequest('starting_after: expected the next_cursor of an answer to the same query');
  }
  const page = view.page({ order, since, after, skip: 0, limit });
  const last = page.entries.at(-1);
  const next = page.hasMore && last !== undefined ? encodeCursor({ order, id: last.id, at: last.at }) : null;
  const data = page.entries.map(({ record }) => record);
  return { status: 200, body: { data, has_more: next !== null, next_cursor: next } };
}

/** A deleted record is 404, as one that never was. */
function getRecord(entry: Entry<unknown> | undefined, { headers }: SourceRequest): Answer {
  if (entry === undefined) return NOT_FOUND;
  const etag = entityTagOf(entry);
  return headers['if-none-match'] === etag ? { status: 304, headers: { etag } } : showRecord(entry, 200);
}

const showRecord = (entry: Entry<unknown>, status: 200 | 201): Answer => ({
  status,
  headers: { etag: entityTagOf(entry) },
  body: entry.record,
});

export const isMatch = (header: string | undefined, entry: Entry<unknown>): boolean =>
  header === undefined || header === '*' || header === entityTagOf(entry);

const badRequest = (detail: string): Answer => ({ status: 400, body: { error: 'bad_request', detail } });

type Cursor = Pick<PageQuery, 'order'> & { readonly id: string; readonly at: number };

const encodeCursor = ({ order, id, at }: Cursor): string =>
  Buffer.from(JSON.stringify([order, at, id]), 'utf8').toString('base64url');

function decodeCursor(text: string): Cursor | null {
  try {
    const [order, at, id]: unknown[] = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    const isOrder = order === 'id' || order === 'change';
    return isOrder && typeof at === 'number' && typeof id === 'string' ? { order, at, id } : null;
  } catch {
    return null;
  }
}
