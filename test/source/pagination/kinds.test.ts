import { test } from 'tap';
import { DEFAULT_MAX_PAGES, listSchema } from '../../../src/source/definition.ts';
import { cursor } from '../../../src/source/pagination/cursor.ts';
import { keyset } from '../../../src/source/pagination/keyset.ts';
import { linkHeader } from '../../../src/source/pagination/link-header.ts';
import { nextUrl } from '../../../src/source/pagination/next-url.ts';
import { none } from '../../../src/source/pagination/none.ts';
import { offset } from '../../../src/source/pagination/offset.ts';
import { pageNumber } from '../../../src/source/pagination/page-number.ts';
import { isResumable, type PaginationDefinition } from '../../../src/source/pagination/pagination.ts';
import { relay } from '../../../src/source/pagination/relay.ts';
import { failure } from '../setup.ts';
import { idsOf, listOf, ORIGIN, pagesOf, records, type Serve, type Served } from './listing.ts';

type Case = {
  readonly name: string;
  readonly pagination: PaginationDefinition;
  readonly pageSize?: { readonly param: string; readonly size: number };
  /** Path and query of each request, and what it is answered. Any other request fails. */
  readonly exchanges: Readonly<Record<string, Served>>;
  readonly cursors: readonly string[];
};

const ten = (from: number) => records(...Array.from({ length: 10 }, (_, index) => from + index));
const limit = { param: 'limit', size: 10 };
const connection = (hasNextPage: unknown, endCursor: unknown) => ({ items: [], pageInfo: { hasNextPage, endCursor } });

const LISTINGS: readonly Case[] = [
  {
    name: 'offset goes on before the end of each page, and ends where nothing is beyond the overlap',
    pagination: offset({ param: 'skip' }),
    pageSize: limit,
    exchanges: {
      '/records?limit=10&skip=0': { body: { items: ten(1) } },
      '/records?limit=10&skip=9': { body: { items: ten(10) } },
      '/records?limit=10&skip=18': { body: { items: records(19) } },
    },
    cursors: ['9+1', '18+1'],
  },
  {
    name: 'offset follows short pages, since servers cap their size',
    pagination: offset({ param: 'skip', overlap: 2 }),
    pageSize: { param: 'limit', size: 100 },
    exchanges: {
      '/records?limit=100&skip=0': { body: { items: ten(1) } },
      '/records?limit=100&skip=8': { body: { items: ten(9) } },
      '/records?limit=100&skip=16': { body: { items: [] } },
    },
    cursors: ['8+2', '16+2'],
  },
  {
    name: 'offset ends at the total that the answer declares',
    pagination: offset({ param: 'skip', overlap: 0.5, total: 'total' }),
    pageSize: limit,
    exchanges: {
      '/records?limit=10&skip=0': { body: { items: ten(1), total: '15' } },
      '/records?limit=10&skip=5': { body: { items: ten(6), total: 15 } },
    },
    cursors: ['5+5'],
  },
  {
    name: 'offset goes on after a full page, whatever its total: a total can be that of the page',
    pagination: offset({ param: 'skip', total: 'total' }),
    pageSize: limit,
    exchanges: {
      '/records?limit=10&skip=0': { body: { items: ten(1), total: 10 } },
      '/records?limit=10&skip=9': { body: { items: records(10), total: 10 } },
    },
    cursors: ['9+1'],
  },
  {
    name: 'offset goes on where more records come than its total',
    pagination: offset({ param: 'skip', total: 'total' }),
    pageSize: { param: 'limit', size: 100 },
    exchanges: {
      '/records?limit=100&skip=0': { body: { items: ten(1), total: 3 } },
      '/records?limit=100&skip=9': { body: { items: records(10), total: 3 } },
    },
    cursors: ['9+1'],
  },
  {
    name: 'page numbers end at an empty page',
    pagination: pageNumber({ param: 'page' }),
    pageSize: limit,
    exchanges: {
      '/records?limit=10&page=1': { body: { items: ten(1) } },
      '/records?limit=10&page=2': { body: { items: records(11) } },
      '/records?limit=10&page=3': { body: { items: [] } },
    },
    cursors: ['2/10', '3/10~'],
  },
  {
    name: 'page numbers go on where records come beyond the number of pages',
    pagination: pageNumber({ param: 'page', totalPages: 'pages' }),
    exchanges: {
      '/records?page=1': { body: { items: ten(1), pages: 0 } },
      '/records?page=2': { body: { items: [], pages: 0 } },
    },
    cursors: ['2'],
  },
  {
    name: 'page numbers from 0 end at the number of pages',
    pagination: pageNumber({ param: 'page', first: 0, totalPages: 'pages' }),
    exchanges: {
      '/records?page=0': { body: { items: ten(1), pages: 2 } },
      '/records?page=1': { body: { items: ten(11), pages: 2 } },
    },
    cursors: ['1'],
  },
  {
    name: 'page numbers end where nothing more is said to come, over an empty page',
    pagination: pageNumber({ param: 'page', hasMore: 'more' }),
    exchanges: {
      '/records?page=1': { body: { items: [], more: true } },
      '/records?page=2': { body: { items: ten(11), more: false } },
    },
    cursors: ['2'],
  },
  {
    name: 'a cursor in a header is followed to the answer without one',
    pagination: cursor({ param: 'after', nextHeader: 'X-Next-Cursor' }),
    exchanges: {
      '/records': { body: { items: ten(1) }, headers: { 'x-next-cursor': 'a b' } },
      '/records?after=a+b': { body: { items: ten(11) }, headers: { 'x-next-cursor': '' } },
    },
    cursors: ['a b'],
  },
  {
    name: 'next URLs are followed, relative and absolute, until there is none',
    pagination: nextUrl({ next: 'links.next' }),
    exchanges: {
      '/records': { body: { items: ten(1), links: { next: '?page=2' } } },
      '/records?page=2': { body: { items: ten(11), links: { next: `${ORIGIN}/v2/records?page=3#top` } } },
      '/v2/records?page=3': { body: { items: ten(21), links: { next: null } } },
    },
    cursors: ['/records?page=2', '/v2/records?page=3'],
  },
  {
    name: 'a next URL is not followed where nothing more is said to come',
    pagination: nextUrl({ next: 'next', hasMore: 'more' }),
    exchanges: { '/records': { body: { items: ten(1), more: false, next: '/records?page=2' } } },
    cursors: [],
  },
  {
    name: 'a GraphQL connection is followed by its pageInfo',
    pagination: relay({ connection: 'data.records' }),
    exchanges: {
      '/records': { body: { items: ten(1), data: { records: connection(true, 'c1') } } },
      '/records?after=c1': { body: { items: ten(11), data: { records: connection(false, 'c2') } } },
    },
    cursors: ['c1'],
  },
  {
    name: 'a keyset goes on after the last key, to an empty page',
    pagination: keyset({ param: 'since_id', field: 'id' }),
    exchanges: {
      '/records': { body: { items: records(9, 10) } },
      '/records?since_id=10': { body: { items: records(11) } },
      '/records?since_id=11': { body: { items: [] } },
    },
    cursors: ['10', '11'],
  },
  {
    name: 'a keyset of digits in strings is in the order of the numbers, however large',
    pagination: keyset({ param: 'since_id', field: 'id', hasMore: 'more' }),
    exchanges: {
      '/records': { body: { items: records('9', '10', '9007199254740993'), more: true } },
      '/records?since_id=9007199254740993': {
        body: { items: records('9007199254740994', '90071992547409930'), more: false },
      },
    },
    cursors: ['"9007199254740993"'],
  },
  {
    name: 'a keyset of texts is in the order of their code units',
    pagination: keyset({ param: 'since_id', field: 'id', order: 'text', hasMore: 'more' }),
    exchanges: { '/records': { body: { items: records('10', '9', 'B', 'a'), more: false } } },
    cursors: [],
  },
  {
    name: 'a single page is the list',
    pagination: none(),
    exchanges: { '/records': { body: { items: ten(1) } } },
    cursors: [],
  },
];

for (const { name, pagination, pageSize, exchanges, cursors } of LISTINGS) {
  test(name, async (t) => {
    const asked: string[] = [];
    const list = listOf(pagination, pageSize === undefined ? {} : { pageSize });
    t.ok(listSchema.safeParse(list).success, 'the definition is accepted');
    const serve = (_query: unknown, { pathname, search }: URL): Served => {
      asked.push(`${pathname}${search}`);
      const exchange = exchanges[`${pathname}${search}`];
      if (exchange === undefined) throw new Error(`Asked for ${pathname}${search}`);
      return exchange;
    };
    const pages = await pagesOf(list, serve);
    t.same(asked, Object.keys(exchanges));
    t.same(
      pages.flatMap(({ nextCursor }) => nextCursor ?? []),
      cursors,
    );
    t.equal(pages.length, asked.length);
  });
}

const long = 'x'.repeat(5_000);
const REFUSED: readonly [string, PaginationDefinition, Served, RegExp][] = [
  [
    'a total that is no number',
    offset({ param: 'skip', total: 'total' }),
    { body: { items: ten(1), total: 'many' } },
    /`total`/,
  ],
  ['a missing total', offset({ param: 'skip', total: 'total' }), { body: { items: ten(1) } }, /missing/],
  [
    'a number of pages that is a fraction',
    pageNumber({ param: 'page', totalPages: 'pages' }),
    { body: { items: ten(1), pages: 1.5 } },
    /`pages`/,
  ],
  [
    'hasMore that is no boolean',
    pageNumber({ param: 'page', hasMore: 'more' }),
    { body: { items: ten(1), more: 1 } },
    /`more`/,
  ],
  [
    'a long header',
    cursor({ param: 'after', nextHeader: 'x-next' }),
    { body: { items: ten(1) }, headers: { 'x-next': long } },
    /over 4096/,
  ],
  [
    'a header that comes twice',
    cursor({ param: 'after', nextHeader: 'x-next' }),
    { body: { items: ten(1) }, headers: { 'x-next': ['a', 'b'] } },
    /more than once/,
  ],
  ['a URL that is none', nextUrl({ next: 'next' }), { body: { items: ten(1), next: 'http://' } }, /not a URL/],
  ['a URL that is an object', nextUrl({ next: 'next' }), { body: { items: ten(1), next: {} } }, /expected a URL/],
  [
    'more, but no URL',
    nextUrl({ next: 'next', hasMore: 'more' }),
    { body: { items: ten(1), more: true } },
    /names no cursor/,
  ],
  ['a long URL', nextUrl({ next: 'next' }), { body: { items: ten(1), next: `/?${long}${long}` } }, /over 8192/],
  [
    'hasNextPage without an endCursor',
    relay({ connection: 'data' }),
    { body: { items: ten(1), data: connection(true, null) } },
    /names no cursor/,
  ],
  [
    'a connection without pageInfo',
    relay({ connection: 'data' }),
    { body: { items: ten(1), data: {} } },
    /hasNextPage/,
  ],
  [
    'an endCursor that is no text',
    relay({ connection: 'data' }),
    { body: { items: ten(1), data: connection(true, 7) } },
    /endCursor/,
  ],
  [
    'a long endCursor',
    relay({ connection: 'data' }),
    { body: { items: ten(1), data: connection(true, long) } },
    /over 4096/,
  ],
  ['keys that descend', keyset({ param: 'after', field: 'id' }), { body: { items: records(2, 1) } }, /item 1 .*ascend/],
  ['a key that comes twice', keyset({ param: 'after', field: 'id' }), { body: { items: records(1, 1) } }, /item 1/],
  [
    'digits in the order of texts',
    keyset({ param: 'after', field: 'id' }),
    { body: { items: records('10', '9') } },
    /`order`/,
  ],
  [
    'a text where numbers are declared',
    keyset({ param: 'after', field: 'id', order: 'number' }),
    { body: { items: records('1', 'b') } },
    /whole number/,
  ],
  ['a record without a key', keyset({ param: 'after', field: 'uid' }), { body: { items: ten(1) } }, /missing/],
  [
    'a key that JSON rounds',
    keyset({ param: 'after', field: 'id' }),
    { body: { items: records(2 ** 53) } },
    /cannot carry exactly/,
  ],
  ['a long key', keyset({ param: 'after', field: 'id' }), { body: { items: records(long) } }, /over 4096/],
  [
    'a cursor with a NUL, which no database keeps',
    cursor({ param: 'after', next: 'next' }),
    { body: { items: ten(1), next: 'xxx\0' } },
    /well-formed text/,
  ],
  [
    'half a character as a cursor, which no URL carries',
    cursor({ param: 'after', next: 'next' }),
    { body: { items: ten(1), next: 'xxx\ud83d' } },
    /well-formed text/,
  ],
  [
    'half a character as an endCursor',
    relay({ connection: 'data' }),
    { body: { items: ten(1), data: connection(true, '\ude00') } },
    /endCursor.*well-formed text/,
  ],
  [
    'half a character in a key',
    keyset({ param: 'after', field: 'id' }),
    { body: { items: records('a\ud83d') } },
    /well-formed text/,
  ],
  [
    'more, but no record to go on after',
    keyset({ param: 'after', field: 'id', hasMore: 'more' }),
    { body: { items: [], more: true } },
    /names no cursor/,
  ],
];

for (const [name, pagination, served, message] of REFUSED) {
  test(`${name}: the list is not taken for complete`, async (t) => {
    const error = await failure(pagesOf(listOf(pagination), () => served));
    t.equal(error.code, 'invalid_response');
    t.match(error.message, message);
    t.notMatch(error.message, /xxx/);
  });
}

test('a page that does not begin after its key is refused', async (t) => {
  for (const ids of [[10], [9, 11], ['10']]) {
    const serve = () => ({ body: { items: records(...ids) } });
    const error = await failure(pagesOf(listOf(keyset({ param: 'after', field: 'id' })), serve, '10'));
    t.match(error.message, /does not begin after its cursor/);
  }
});

test('a next URL of the own origin is kept without what is no part of a request', async (t) => {
  const own = ['HTTP://SOURCE.TEST:80/x?a=1#part', 'http://user:secret@source.test/x?a=1', '//source.test/x?a=1'];
  for (const next of own) {
    const serve: Serve = (_query, url) => ({
      body: { items: records(url.href), next: url.search === '' ? next : null },
    });
    const [page] = await pagesOf(listOf(nextUrl({ next: 'next' })), serve);
    t.equal(page?.nextCursor, '/x?a=1', next);
  }
});

test('what a list sends in its body goes with its links, too', async (t) => {
  const bodies: unknown[] = [];
  const list = listOf(nextUrl({ next: 'next' }), {
    method: 'POST',
    paramsIn: 'body',
    body: { active: true },
    pageSize: { param: 'limit', size: 10 },
  });
  await pagesOf(list, (_query, _url, body) => {
    bodies.push(body);
    return { body: { items: records(bodies.length), next: bodies.length === 1 ? '/records/next' : null } };
  });
  t.same(bodies, [
    { active: true, limit: 10 },
    { active: true, limit: 10 },
  ]);
});

test('a next URL in the body that leaves the origin is not followed', async (t) => {
  for (const next of [
    'https://source.test/x',
    '//elsewhere.test/x',
    '/\\elsewhere.test/x',
    'http://source.test:81/x',
    'http://source.test./x',
    'http://[::1]/x',
    'http://xn--surce-kva.test/x',
    'data:application/json,[]',
    'blob:http://source.test/x',
  ]) {
    const serve = () => ({ body: { items: ten(1), next } });
    t.equal((await failure(pagesOf(listOf(nextUrl({ next: 'next' })), serve))).code, 'foreign_link', next);
  }
});

test('a stored cursor that the pagination never made starts the listing again, and nothing is asked', async (t) => {
  const cases: readonly [PaginationDefinition, readonly string[]][] = [
    [offset({ param: 'skip' }), ['', 'x', '10', '-1+1', '1e3+1', `${'9'.repeat(16)}+1`]],
    [pageNumber({ param: 'page' }), ['', 'x', '0', '1', '2/100', '2', '-2/10', '2/10!']],
    [cursor({ param: 'after', next: 'next' }), ['', long]],
    [nextUrl({ next: 'next' }), ['', 'page=2', 'http://source.test/x', '//elsewhere.test/x']],
    [linkHeader(), ['', '?page=2']],
    [relay({ connection: 'data' }), ['', long]],
    [keyset({ param: 'after', field: 'id' }), ['', 'abc', '""', '{}', 'null', '1.5', `"${long}"`]],
    [none(), ['x']],
  ];
  for (const [pagination, stored] of cases) {
    for (const text of stored) {
      const list = listOf(pagination, { pageSize: limit });
      const serve = () => t.fail('nothing may be asked') as never;
      const error = await failure(pagesOf(list, serve, text));
      t.equal(error.code, 'cursor_expired', `${pagination.kind}: ${text.slice(0, 20)}`);
      if (text !== '') t.notOk(error.message.includes(`${text} `), 'the cursor is not shown');
    }
  }
});

test('each kind says whether a stored cursor outlives the process', async (t) => {
  const resumable = [
    cursor({ param: 'a', next: 'b' }),
    keyset({ param: 'a', field: 'b' }),
    relay({ connection: 'a' }),
    nextUrl({ next: 'a', resumable: true }),
  ];
  const positions = [offset({ param: 'a' }), pageNumber({ param: 'a' }), linkHeader(), nextUrl({ next: 'a' }), none()];
  t.ok(resumable.every(isResumable));
  t.notOk(positions.some(isResumable));
});

test('a definition that cannot page is refused at its option', async (t) => {
  const cases: readonly [object, string][] = [
    [{ kind: 'offset', param: 'skip', overlap: 0 }, 'overlap'],
    [{ kind: 'offset', param: 'skip', overlap: 0.7 }, 'overlap'],
    [{ kind: 'offset', param: 'skip', overlap: 1.5 }, 'overlap'],
    [{ kind: 'page_number', param: 'page', first: 2 }, 'first'],
    [{ kind: 'page_number', param: 'page', totalPages: 'a', hasMore: 'b' }, 'hasMore'],
    [{ kind: 'cursor', param: 'after', next: 'a', nextHeader: 'b' }, 'pagination'],
    [{ kind: 'cursor', param: 'after' }, 'pagination'],
    [{ kind: 'cursor', param: 'after', itemField: 'a' }, 'hasMore'],
    [{ kind: 'relay', connection: '' }, 'connection'],
    [{ kind: 'keyset', param: 'a', field: '' }, 'field'],
    [{ kind: 'keyset', param: 'a', field: 'id', order: 'descending' }, 'order'],
    [{ kind: 'next_url' }, 'next'],
  ];
  for (const [pagination, at] of cases) {
    const result = listSchema.safeParse({ ...listOf(none()), pagination });
    t.same(
      result.error?.issues.map((issue) => issue.path.at(-1)),
      [at],
      JSON.stringify(pagination),
    );
  }
});

test('cursors go into the body where the list says so, numbers as numbers', async (t) => {
  const bodies: unknown[] = [];
  const list = listOf(keyset({ param: 'filter.since', field: 'id' }), {
    method: 'POST',
    paramsIn: 'body',
    body: { filter: { active: true } },
    pageSize: { param: 'page.limit', size: 2 },
  });
  const pages = await pagesOf(list, (_query, _url, body) => {
    bodies.push(body);
    return { body: { items: bodies.length === 1 ? records(1, 2) : [] } };
  });
  t.same(idsOf(pages), [1, 2]);
  t.same(bodies, [
    { filter: { active: true }, page: { limit: 2 } },
    { filter: { active: true, since: 2 }, page: { limit: 2 } },
  ]);
});

test('a list that does not end within maxPages is an error, and so are a thousand empty pages', async (t) => {
  let asked = 0;
  const serve = () => ({ body: { items: records(asked), next: `c${++asked}` } });
  const bounded = listOf(cursor({ param: 'after', next: 'next' }), { maxPages: 3 });
  t.match(await failure(pagesOf(bounded, serve)), { code: 'page_loop', message: /^GET .* within 3 pages/ });
  t.equal(asked, 3);
  const posted = { ...bounded, method: 'POST', body: {} } as const;
  t.match(await failure(pagesOf(posted, serve)), { code: 'page_loop', message: /^POST .* within 3 pages/ });
  t.ok(DEFAULT_MAX_PAGES >= 1_000_000);

  asked = 0;
  const empty = listOf(cursor({ param: 'after', next: 'next' }));
  const error = await failure(pagesOf(empty, () => ({ body: { items: [], next: `c${++asked}` } })));
  t.match(error, { code: 'page_loop', message: /page 1001 follows 1000 empty ones/ });

  asked = 0;
  const sparse = () => ({
    body: { items: asked % 900 === 899 ? records(asked) : [], next: ++asked < 2_700 && `c${asked}` },
  });
  t.equal(idsOf(await pagesOf(empty, sparse)).length, 3, 'fewer empty pages in a row are followed');
});

test('a page that comes again under another cursor is an error that names it', async (t) => {
  let asked = 0;
  const serve = () => ({ body: { items: ten(asked === 2 ? 1 : asked * 10 + 1), next: `c${++asked}` } });
  const error = await failure(pagesOf(listOf(cursor({ param: 'after', next: 'next' })), serve));
  t.match(error, { code: 'page_loop', message: /page 3 has the records of a page that was read before/ });
});

test('a source that ignores the page number is noticed, however many pages it claims', async (t) => {
  for (const claimed of [2, 3, 1_000]) {
    const list = listOf(pageNumber({ param: 'page', totalPages: 'pages' }), { pageSize: limit });
    const error = await failure(pagesOf(list, () => ({ body: { items: ten(1), pages: claimed } })));
    t.equal(error.code, 'page_loop', String(claimed));
  }
  for (const pagination of [offset({ param: 'skip' }), pageNumber({ param: 'page' })]) {
    const error = await failure(pagesOf(listOf(pagination, { pageSize: limit }), () => ({ body: { items: ten(1) } })));
    t.equal(error.code, 'page_loop');
    t.match(error.message, /page 4 /);
  }
});

test('a page that comes again because the list grew is read on', async (t) => {
  const all = [...ten(1), ...ten(11)];
  let asked = 0;
  const pages = await pagesOf(listOf(pageNumber({ param: 'page' }), { pageSize: limit }), ({ page }) => {
    if (++asked === 2) all.unshift(...ten(100));
    return { body: { items: all.slice((Number(page) - 1) * 10, Number(page) * 10) } };
  });
  t.same(
    pages.map((page) => page.items),
    [ten(1), ten(1), ten(11), []],
  );
});
