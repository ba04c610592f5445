import fc from 'fast-check';
import { test } from 'tap';
import { SourceError, type SourceErrorCode } from '../../../src/source/error.ts';
import { cursor } from '../../../src/source/pagination/cursor.ts';
import { keyset } from '../../../src/source/pagination/keyset.ts';
import { offset } from '../../../src/source/pagination/offset.ts';
import { pageNumber } from '../../../src/source/pagination/page-number.ts';
import type { PaginationDefinition } from '../../../src/source/pagination/pagination.ts';
import { idsOf, listOf, pagesOf, type Serve } from './listing.ts';

const RUNS = { numRuns: 300 };
const MAX_ID = 400;
const MAX_SIZE = 40;

/** What happens at one request: how large a page may be, and how the list changes once it was given. */
const stepArbitrary = fc.record({
  // Mostly enough, so that listings come far before they shrink.
  maxSize: fc.oneof({ arbitrary: fc.constant(MAX_SIZE), weight: 3 }, fc.integer({ min: 1, max: MAX_SIZE })),
  isSlow: fc.boolean(),
  inserted: fc.array(fc.nat(2 * MAX_ID), { maxLength: 12, size: 'max' }),
  deleted: fc.array(fc.nat(2 * MAX_ID), { maxLength: 12, size: 'max' }),
});
type Step = {
  readonly maxSize: number;
  readonly isSlow: boolean;
  readonly inserted: number[];
  readonly deleted: number[];
};

const scenarioArbitrary = fc.record({
  ids: fc.uniqueArray(fc.nat(MAX_ID), { maxLength: 200, size: 'max' }),
  size: fc.integer({ min: 1, max: MAX_SIZE }),
  cap: fc.integer({ min: 1, max: MAX_SIZE }),
  steps: fc.array(stepArbitrary, { maxLength: 60, size: 'max' }),
});
type Scenario = {
  readonly ids: number[];
  readonly size: number;
  readonly cap: number;
  readonly steps: readonly Step[];
};

/**
 * A list in ascending order that changes between requests. `mayDelete` says how many records may go after a page of so
 * many; an id that went does not come back.
 */
function createSource({ ids, cap, steps }: Scenario, mayDelete: (pageCount: number) => number, least: number) {
  let live = [...ids].sort((a, b) => a - b);
  const gone = new Set<number>();
  const throughout = new Set(ids);
  let requests = 0;
  const serve = (
    read: (live: readonly number[], query: Readonly<Record<string, string>>, limit: number) => number[],
  ): Serve => {
    return (query) => {
      const step = steps[requests++];
      const limit = Number(query.limit);
      if (step !== undefined && limit > Math.max(least, step.maxSize)) {
        throw new SourceError(step.isSlow ? 'timeout' : 'too_large', 'too much');
      }
      const page = read(live, query, Math.min(limit, cap));
      const last = page.at(-1);
      const isMore = last !== undefined && live.some((id) => id > last);
      const body = { items: page.map((id) => ({ id })), next: isMore ? `k${last}` : null };
      if (step !== undefined) {
        const going = [...new Set(step.deleted)].filter((id) => live.includes(id)).slice(0, mayDelete(page.length));
        for (const id of going) {
          gone.add(id);
          throughout.delete(id);
        }
        const coming = step.inserted.filter((id) => !gone.has(id));
        live = [...new Set([...live.filter((id) => !gone.has(id)), ...coming])].sort((a, b) => a - b);
      }
      return { body };
    };
  };
  return { serve, throughout };
}

const anyNumber = () => Number.POSITIVE_INFINITY;
const count = (ids: readonly unknown[], id: number) => ids.filter((other) => other === id).length;
const after = (live: readonly number[], from: number, limit: number) => live.filter((id) => id > from).slice(0, limit);
const paged = (pagination: PaginationDefinition, size: number, min = 1) =>
  listOf(pagination, { pageSize: { param: 'limit', size, min: Math.min(min, size) } });

/**
 * Null where the listing ends with an error: time-outs in a row, or positions that list the same records again since as many
 * came before them. What was given by then is not taken for a whole list.
 */
const orFailure = (listed: Promise<unknown[]>, code: SourceErrorCode = 'timeout'): Promise<unknown[] | null> =>
  listed.catch((error: unknown) => {
    if (error instanceof SourceError && (error.code === 'timeout' || error.code === code)) return null;
    throw error;
  });

test('a keyset listing gives what existed throughout exactly once, whatever comes, goes and shrinks meanwhile', async () => {
  await fc.assert(
    fc.asyncProperty(scenarioArbitrary, fc.boolean(), async (scenario, isText) => {
      const source = createSource(scenario, anyNumber, 1);
      const text = (id: number) => (isText ? `k${String(id).padStart(9, '0')}` : id);
      const list = paged(keyset({ param: 'after', field: 'id' }), scenario.size);
      const serve = source.serve((live, query, limit) => {
        const from = query.after === undefined ? -1 : Number(query.after.replace('k', ''));
        return after(live, from, limit);
      });
      const pages = await orFailure(
        pagesOf(list, (query, url, body) => {
          const { items } = Object(serve(query, url, body).body);
          return { body: { items: items.map(({ id }: { id: number }) => ({ id: text(id) })) } };
        }).then(idsOf),
      );
      if (pages === null) return true;
      const given = pages.map((id) => Number(String(id).replace('k', '')));
      return new Set(given).size === given.length && [...source.throughout].every((id) => count(given, id) === 1);
    }),
    RUNS,
  );
});

test('a listing by cursors gives what existed throughout exactly once, whatever comes, goes and shrinks meanwhile', async () => {
  await fc.assert(
    fc.asyncProperty(scenarioArbitrary, async (scenario) => {
      const source = createSource(scenario, anyNumber, 1);
      const serve = source.serve((live, query, limit) => after(live, Number(query.at?.slice(1) ?? -1), limit));
      const list = paged(cursor({ param: 'at', next: 'next' }), scenario.size);
      const given = await orFailure(pagesOf(list, serve).then(idsOf));
      if (given === null) return true;
      return new Set(given).size === given.length && [...source.throughout].every((id) => count(given, id) === 1);
    }),
    RUNS,
  );
});

test('a listing by offset misses nothing that existed throughout, while fewer go between pages than overlap', async () => {
  await fc.assert(
    fc.asyncProperty(scenarioArbitrary, fc.constantFrom(0.1, 0.5, 1, 3), async (scenario, overlap) => {
      const overlapping = (pageCount: number) =>
        Math.min(Math.floor(pageCount / 2), overlap < 1 ? Math.ceil(pageCount * overlap) : overlap);
      const source = createSource({ ...scenario, cap: Math.max(scenario.cap, 2) }, overlapping, 2);
      const serve = source.serve((live, query, limit) => live.slice(Number(query.skip), Number(query.skip) + limit));
      const list = paged(offset({ param: 'skip', overlap }), Math.max(scenario.size, 2), 2);
      const given = await orFailure(pagesOf(list, serve).then(idsOf), 'page_loop');
      return given === null || [...source.throughout].every((id) => given.includes(id));
    }),
    RUNS,
  );
});

test('page numbers that shrink give each record of a quiet list exactly once, or fail, however the source takes sizes', async () => {
  const takes = {
    exactly: (size: number) => size,
    capped: (size: number) => Math.min(size, 7),
    'rounded up': (size: number) => Math.ceil(size / 10) * 10,
    'rounded down': (size: number) => Math.max(5, Math.floor(size / 10) * 10),
  };
  let whole = 0;
  await fc.assert(
    fc.asyncProperty(
      scenarioArbitrary,
      fc.constantFrom(...Object.values(takes)),
      fc.constantFrom(0 as const, 1 as const),
      async ({ ids, size, steps }, take, first) => {
        let requests = 0;
        const serve: Serve = (query) => {
          const step = steps[requests++];
          const limit = Number(query.limit);
          if (step !== undefined && limit > step.maxSize) throw new SourceError('too_large', 'too much');
          const start = (Number(query.page) - first) * take(limit);
          return { body: { items: ids.slice(start, start + take(limit)).map((id) => ({ id })) } };
        };
        const list = paged(pageNumber({ param: 'page', first }), size);
        const given = await pagesOf(list, serve).then(idsOf, (error: unknown) => {
          if (error instanceof SourceError) return null;
          throw error;
        });
        if (given === null) return true;
        whole += 1;
        return given.length === ids.length && ids.every((id) => given.includes(id));
      },
    ),
    RUNS,
  );
  if (whole < RUNS.numRuns / 10) throw new Error('hardly a listing came to its end');
});
