import { test } from 'tap';
import { instantFromMs } from '../../src/model/instant.ts';
import { apiKey } from '../../src/source/auth/api-key.ts';
import type { ListDefinition } from '../../src/source/definition.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { linkHeader } from '../../src/source/pagination/link-header.ts';
import { type Answerer, sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';
import { failure, never, plainList, readAll, START_MS, setup } from './setup.ts';

const cursorList: ListDefinition = {
  path: '/customers',
  items: 'data',
  pagination: cursor({ param: 'after', next: 'meta.next' }),
};
const linkList: ListDefinition = { path: '/issues', items: '', pagination: linkHeader() };

const queryOf = (url: string) => Object.fromEntries(new URL(url, 'http://x').searchParams);

/** Pages of one item, a, b, c …, by cursor; `next` says where each leads. */
const cursorPages =
  (next: (at: string | null) => unknown): Answerer =>
  (response, { url }) => {
    const at = queryOf(url).after ?? null;
    sendJson(response, { data: [{ at }], meta: { next: next(at) } });
  };

test('a cursor is followed until the source names none', async (t) => {
  for (const end of [undefined, null, '', false]) {
    const { client, api } = await setup(
      t,
      cursorPages((at) => (at === null ? 'p2' : at === 'p2' ? 3 : end)),
    );
    const pages = await readAll(client, { ...cursorList, query: { active: true } }, { params: { since: '2026 01' } });
    t.same(
      pages.map((page) => [page.items, page.cursor, page.nextCursor]),
      [
        [[{ at: null }], null, 'p2'],
        [[{ at: 'p2' }], 'p2', '3'],
        [[{ at: '3' }], '3', null],
      ],
    );
    t.same(
      api.seen.map((request) => queryOf(request.url)),
      [
        { active: 'true', since: '2026 01' },
        { active: 'true', since: '2026 01', after: 'p2' },
        { active: 'true', since: '2026 01', after: '3' },
      ],
    );
  }
});

test('a listing resumes at a stored cursor, without its earlier pages', async (t) => {
  const { client, api } = await setup(
    t,
    cursorPages((at) => (at === 'p2' ? 'p3' : null)),
  );
  const pages = await readAll(client, cursorList, { cursor: 'p2' });
  t.same(
    pages.map((page) => page.cursor),
    ['p2', 'p3'],
  );
  t.equal(api.seen.length, 2);
});

test('a page is requested only when it is asked for', async (t) => {
  const { client, api } = await setup(
    t,
    cursorPages(() => 'p2'),
  );
  const pages = client.listPages(cursorList, { signal: never() });
  t.equal(api.seen.length, 0);
  await pages.next();
  await pages.return();
  t.equal(api.seen.length, 1);
});

test('the id of the last item is the cursor while the source says that there is more', async (t) => {
  const list: ListDefinition = {
    path: '/v1/customers',
    items: 'data',
    pagination: cursor({ param: 'starting_after', itemField: 'id', hasMore: 'has_more' }),
    pageSize: { param: 'limit', size: 2 },
  };
  const { client, api } = await setup(t, (response, { url }) => {
    const isFirst = !url.includes('starting_after');
    sendJson(response, { data: isFirst ? [{ id: 'a' }, { id: 'b' }] : [{ id: 'c' }], has_more: isFirst });
  });
  t.equal((await readAll(client, list)).length, 2);
  t.same(
    api.seen.map((request) => request.url),
    ['/v1/customers?limit=2', '/v1/customers?limit=2&starting_after=b'],
  );
});

test('a list that says there is more but names no cursor is not taken for complete', async (t) => {
  for (const body of [
    { data: [], has_more: true },
    { data: [{ id: null }], has_more: true },
    { data: [{ id: 'a' }] },
    { data: [{ id: 'a' }], has_more: 'true' },
    { data: [{ id: {} }], has_more: true },
    { data: [{ id: 'x'.repeat(5_000) }], has_more: true },
  ]) {
    const { client } = await setup(t, (response) => sendJson(response, body));
    const list = { ...cursorList, pagination: cursor({ param: 'after', itemField: 'id', hasMore: 'has_more' }) };
    t.equal((await failure(readAll(client, list))).code, 'invalid_response', JSON.stringify(body).slice(0, 60));
  }
});

test('an empty page with a next cursor is followed', async (t) => {
  const { client } = await setup(t, (response, { index }) =>
    sendJson(response, { data: index < 3 ? [] : [1], meta: { next: index < 3 ? `p${index}` : null } }),
  );
  t.same(
    (await readAll(client, cursorList)).map((page) => page.items.length),
    [0, 0, 0, 1],
  );
});

test('items that are missing or no array are refused with their path', async (t) => {
  for (const [body, got] of [
    [{}, 'missing'],
    [{ data: null }, 'null'],
    [{ data: { 0: 'a' } }, 'object'],
    [[], 'missing'],
    ['data', 'missing'],
  ] as const) {
    const { client } = await setup(t, (response) => sendJson(response, body));
    const error = await failure(readAll(client, cursorList));
    t.equal(error.code, 'invalid_response');
    t.equal(error.message, `GET /customers: \`data\`: expected an array, got ${got}`);
  }
});

test('a page carries when it was asked for and when it was answered', async (t) => {
  const made = await setup(t, (response, { index }) => {
    made.clock.nowMs += 40;
    if (index === 0) sendText(response, 500, '');
    else sendJson(response, []);
  });
  const [page] = await readAll(made.client, plainList);
  t.equal(page?.startedAt, instantFromMs(START_MS));
  t.equal(page?.endedAt, instantFromMs(START_MS + 40 + 125 + 40), 'the failed attempt and its wait are within');
});

test('a cursor that comes again ends the listing with an error, before its page is given', async (t) => {
  for (const [loop, from] of [
    [['a', 'a'], null],
    [['a', 'b', 'c', 'a'], null],
    [['a', 'b', 'a'], null],
    [['z'], 'z'],
  ] as const) {
    const { client, api } = await setup(t, (response, { index }) =>
      sendJson(response, { data: [index], meta: { next: loop[index % loop.length] } }),
    );
    const error = await failure(readAll(client, cursorList, { cursor: from }));
    t.equal(error.code, 'page_loop');
    t.notOk(error.isRetryable);
    t.ok(api.seen.length <= loop.length);
  }
});

test('a 410 means an expired cursor only where there was one', async (t) => {
  const { client } = await setup(t, (response) => sendText(response, 410, ''));
  t.equal((await failure(readAll(client, cursorList, { cursor: 'p2' }))).code, 'cursor_expired');
  t.equal((await failure(readAll(client, cursorList))).code, 'gone');
});

test('a 404 to a list is an error, not an empty list', async (t) => {
  const { client } = await setup(t, (response) => sendText(response, 404, '[]'));
  t.equal((await failure(readAll(client, plainList))).code, 'not_found');
});

test('a Link header is followed as it stands, absolute or relative', async (t) => {
  const { client, api } = await setup(t, (response, { index, headers }) => {
    const links = [
      `<http://${headers.host}/repositories/1/issues?page=2&q=a%20b>; rel="next", </issues?page=9>; rel="last"`,
      '<?page=3>; title="a, b"; REL="prev NEXT"',
      '</issues?page=2>; rel="prev"',
    ];
    sendJson(response, [index], { link: links[index] ?? '' });
  });
  const pages = await readAll(client, { ...linkList, query: { state: 'all' } });
  t.same(
    api.seen.map((request) => request.url),
    ['/issues?state=all', '/repositories/1/issues?page=2&q=a%20b', '/repositories/1/issues?page=3'],
  );
  t.equal(pages[0]?.nextCursor, '/repositories/1/issues?page=2&q=a%20b');
  const resumed = await readAll(client, linkList, { cursor: pages[0]?.nextCursor ?? null });
  t.equal(resumed[0]?.cursor, '/repositories/1/issues?page=2&q=a%20b');
});

test('a Link header that cannot be read is not taken for the end of the list', async (t) => {
  for (const link of ['next: /issues?page=2', "</issues?page=2>; rel='next'", ', </issues?page=2>; rel="next"']) {
    const { client } = await setup(t, (response) => sendJson(response, [], { link }));
    t.equal((await failure(readAll(client, linkList))).code, 'invalid_response', link);
  }
});

test('a next link to another origin is not followed, and the other server sees nothing', async (t) => {
  const other = await startFakeApi(t, (response) => sendJson(response, []));
  const link = (target: string) => setup(t, (response) => sendJson(response, [], { link: `<${target}>; rel="next"` }));
  for (const [target, part] of [
    [`${other.origin}/issues?token=CANARY`, 'port'],
    [`//127.0.0.1:${other.port}/issues?token=CANARY`, 'port'],
    [`http://localhost:${other.port}/?token=CANARY`, 'host'],
    ['https://127.0.0.1/?token=CANARY', 'scheme'],
    ['data:application/json,[]#CANARY', 'scheme'],
    ['javascript:CANARY', 'scheme'],
  ] as const) {
    const { client } = await link(target);
    const error = await failure(readAll(client, linkList));
    t.equal(error.code, 'foreign_link', target);
    t.match(error.message, new RegExp(`another ${part}`));
    t.notMatch(error.message, /CANARY|127|localhost/);
  }
  t.equal(other.seen.length, 0);
});

test('a stored text that is no link of the source starts the listing again, and leads nowhere', async (t) => {
  const other = await startFakeApi(t, (response) => sendJson(response, []));
  const { client, api } = await setup(t, (response) => sendJson(response, []));
  const foreign = [`${other.origin}/x`, `//127.0.0.1:${other.port}/x`, `/\\127.0.0.1:${other.port}/x`];
  for (const stored of [...foreign, `\\\\127.0.0.1:${other.port}/x`, '?page=2', 'p2', '']) {
    t.equal((await failure(readAll(client, linkList, { cursor: stored }))).code, 'cursor_expired', stored);
  }
  t.equal(other.seen.length + api.seen.length, 0);
});

test('a link to a path with two slashes stays with the source', async (t) => {
  const { client, api } = await setup(t, (response, { index, headers }) =>
    sendJson(
      response,
      [index],
      index === 0 ? { link: `<http://${headers.host}//127.0.0.2/x?page=2>; rel="next"` } : {},
    ),
  );
  await readAll(client, linkList);
  t.equal(api.seen[1]?.url, '//127.0.0.2/x?page=2');
});

test('a key in the query goes with every page but is in no cursor', async (t) => {
  const { client, api } = await setup(
    t,
    (response, { index, url }) => sendJson(response, [], index === 0 ? { link: `<${url}&page=2>; rel="next"` } : {}),
    { source: { auth: apiKey({ query: 'api_key', value: 'CANARY 1' }) } },
  );
  const pages = await readAll(client, linkList);
  t.same(
    api.seen.map((request) => queryOf(request.url)),
    [{ api_key: 'CANARY 1' }, { api_key: 'CANARY 1', page: '2' }],
  );
  t.equal(pages[0]?.nextCursor, '/issues?page=2');
});

test('paths join the path of the base URL, and parameters fill them', async (t) => {
  const { client, api } = await setup(t, (response) => sendJson(response, []), {
    basePath: '/api/v2/',
    source: { params: { repository: 'octo cat/a.b', team: 'x/y' } },
  });
  await readAll(client, { ...plainList, path: '/repos/{+repository}/teams/{team}/issues' });
  t.equal(api.seen[0]?.url, '/api/v2/repos/octo%20cat/a.b/teams/x%2Fy/issues');
});
