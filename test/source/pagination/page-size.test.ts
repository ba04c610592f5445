import { test } from 'tap';
import { SourceError } from '../../../src/source/error.ts';
import { cursor } from '../../../src/source/pagination/cursor.ts';
import { keyset } from '../../../src/source/pagination/keyset.ts';
import { linkHeader } from '../../../src/source/pagination/link-header.ts';
import { none } from '../../../src/source/pagination/none.ts';
import { offset } from '../../../src/source/pagination/offset.ts';
import { pageNumber } from '../../../src/source/pagination/page-number.ts';
import type { PaginationDefinition } from '../../../src/source/pagination/pagination.ts';
import { failure } from '../setup.ts';
import { idsOf, listOf, pagesOf, records, refuseOver, type Serve } from './listing.ts';

const COUNT = 1_000;
const all = records(...Array.from({ length: COUNT }, (_, index) => index + 1));
const everyId = all.map(({ id }) => id);
const sized = (pagination: PaginationDefinition, size: number, min?: number) =>
  listOf(pagination, { pageSize: { param: 'limit', size, ...(min === undefined ? {} : { min }) } });

/** Serves `all` by key, offset or page number, and notes each size asked for. */
const serveAll =
  (sizes: number[], check: (query: Readonly<Record<string, string>>) => void): Serve =>
  (query) => {
    const limit = Number(query.limit);
    sizes.push(limit);
    check(query);
    const start = Number(query.after ?? query.skip ?? (Number(query.page ?? 1) - 1) * limit);
    return { body: { items: all.slice(start, start + limit) } };
  };

test('a page that is too much is asked for by halves, at the same place', async (t) => {
  for (const code of ['too_large', 'timeout'] as const) {
    const sizes: number[] = [];
    const serve = serveAll(sizes, (query) => Number(query.after) === 100 && refuseOver(20, query, code));
    const pages = await pagesOf(sized(keyset({ param: 'after', field: 'id' }), 100), serve);
    t.same(sizes.slice(0, 4), [100, 100, 50, 25], code);
    t.same(sizes.slice(4, 6), [12, 12]);
    t.same(idsOf(pages), everyId, 'each record once');
  }
});

test('a size that goes well grows back by doubling, never above the declared one, and later after each failure', async (t) => {
  const sizes: number[] = [];
  let failures = 0;
  const serve = serveAll(sizes, (query) => {
    if (Number(query.after ?? 0) < 100 || failures === 2) return;
    if (Number(query.limit) > 10) {
      failures += 1;
      throw new SourceError('too_large', 'too much');
    }
  });
  const pages = await pagesOf(sized(keyset({ param: 'after', field: 'id' }), 20), serve);
  t.same(sizes.slice(0, 6), [20, 20, 20, 20, 20, 20]);
  t.same(sizes.slice(6, 14), Array(8).fill(10), 'eight pages at half the size');
  t.equal(sizes[14], 20, 'then the whole again, which is too much');
  t.same(sizes.slice(15, 31), Array(16).fill(10), 'twice as many pages after the second failure');
  t.ok(sizes.slice(31).every((size) => size === 20));
  t.same(idsOf(pages), everyId);
});

test('pages shrink no further than to the least size, and then the error stands', async (t) => {
  for (const [min, expected] of [
    [undefined, [8, 4, 2, 1]],
    [3, [8, 4, 3]],
    [8, [8]],
  ] as const) {
    const sizes: number[] = [];
    const serve = serveAll(sizes, (query) => refuseOver(0, query));
    const error = await failure(pagesOf(sized(cursor({ param: 'after', next: 'next' }), 8, min), serve));
    t.match(error, { code: 'too_large', message: 'GET /records: too much' });
    t.same(sizes, expected);
  }
});

test('a source that is away is not asked with ever smaller pages, and other failures are not answered so', async (t) => {
  for (const [code, expected] of [
    ['timeout', [100, 50, 25, 12]],
    ['server_error', [100]],
    ['aborted', [100]],
  ] as const) {
    const sizes: number[] = [];
    const serve = serveAll(sizes, (query) => refuseOver(0, query, code));
    t.equal((await failure(pagesOf(sized(keyset({ param: 'after', field: 'id' }), 100), serve))).code, code);
    t.same(sizes, expected);
  }
});

test('page numbers count on in the smaller size, from the same record', async (t) => {
  const asked: string[] = [];
  const serve: Serve = (query, url, body) => {
    asked.push(`${query.page} of ${query.limit}`);
    return serveAll([], (inner) => inner.page === '3' && refuseOver(50, inner))(query, url, body);
  };
  const pages = await pagesOf(sized(pageNumber({ param: 'page' }), 100), serve);
  t.same(asked.slice(0, 7), ['1 of 100', '2 of 100', '3 of 100', '1 of 50', '5 of 50', '6 of 50', '7 of 50']);
  t.same(idsOf(pages), everyId);
  t.same([pages[2]?.cursor, pages[2]?.nextCursor], ['5/50', '6/50']);
});

test('page numbers of an odd size go on in one that divides it', async (t) => {
  const sizes: number[] = [];
  const pages = await pagesOf(
    sized(pageNumber({ param: 'page' }), 75),
    serveAll(sizes, (query) => query.page === '2' && refuseOver(40, query)),
  );
  t.same([...new Set(sizes)], [75, 25]);
  t.same(idsOf(pages), everyId);
});

test('page numbers do not shrink where only a size below the least one begins a page at the same record', async (t) => {
  const serve = serveAll([], (query) => query.page === '2' && refuseOver(6, query));
  t.match(await failure(pagesOf(sized(pageNumber({ param: 'page' }), 7, 3), serve)), {
    code: 'too_large',
    message: /no size from 3 on divides 7/,
  });
});

test('page numbers do not shrink where the source rounds or caps sizes: the error stands and says why', async (t) => {
  const rounded: Serve = (query) => {
    if (query.page === '3' && query.limit === '100') refuseOver(50, query);
    const start = (Number(query.page) - 1) * 100;
    return { body: { items: all.slice(start, start + 100) } };
  };
  const numbers = sized(pageNumber({ param: 'page' }), 100);
  t.match(await failure(pagesOf(numbers, rounded)), {
    code: 'too_large',
    message: /too much; smaller pages cannot help: the source does not give pages of exactly the size/,
  });
  const capped: Serve = (query) => {
    if (query.page === '3') refuseOver(50, query);
    const start = (Number(query.page) - 1) * 30;
    return { body: { items: all.slice(start, start + Math.min(30, Number(query.limit))) } };
  };
  t.match(await failure(pagesOf(numbers, capped)), {
    code: 'too_large',
    message: /earlier pages did not have the size/,
  });
});

test('a listing by links shrinks before its first link only; the links carry the size from then on', async (t) => {
  const list = sized(linkHeader(), 100);
  const serve =
    (tooMuchAt: string | undefined): Serve =>
    ({ limit = '', page }) => {
      if (page === tooMuchAt) refuseOver(50, { limit });
      const from = (Number(page ?? 1) - 1) * Number(limit);
      const items = all.slice(from, from + Number(limit));
      const next = `</records?limit=${limit}&page=${Number(page ?? 1) + 1}>; rel="next"`;
      return { body: { items }, headers: from + Number(limit) < COUNT ? { link: next } : {} };
    };
  t.same(idsOf(await pagesOf(list, serve(undefined))), everyId);
  t.match(await failure(pagesOf(list, serve('3'))), {
    code: 'too_large',
    message: /the next link carries the size of pages/,
  });
});

test('a single page and pages of one record with an overlap cannot shrink', async (t) => {
  const tooMuch: Serve = (query) => {
    refuseOver(0, query);
    throw new Error('unreachable');
  };
  t.match(await failure(pagesOf(sized(none(), 100), tooMuch)), { message: /single page/ });
  t.match(await failure(pagesOf(sized(offset({ param: 'skip' }), 4), tooMuch)), { message: /cannot overlap/ });
});

test('pages that shrank into the overlap are no end', async (t) => {
  const sizes: number[] = [];
  const serve = serveAll(sizes, (query) => Number(query.skip) > 0 && Number(query.skip) < 80 && refuseOver(10, query));
  const pages = await pagesOf(sized(offset({ param: 'skip', overlap: 0.5 }), 100), serve);
  t.same(new Set(idsOf(pages)), new Set(everyId));
  t.ok(sizes.includes(6));
});
