import { inspect } from 'node:util';
import { t as suite, type Test, test } from 'tap';
import type { ListDefinition, SourceDefinition } from '../../src/source/definition.ts';
import type { SourceErrorCode } from '../../src/source/error.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { linkHeader } from '../../src/source/pagination/link-header.ts';
import { nextUrl } from '../../src/source/pagination/next-url.ts';
import { sendText } from '../helpers/fake-api.ts';
import { CANARY_ENVIRONMENT, CREDENTIALS, showsCanary } from '../hostile/credentials.ts';
import { startHostileApi } from '../hostile/start-api.ts';
import { failure, never, plainList, readAll, setup } from './setup.ts';

/** Against an API in another process, which goes wrong in ways that no library for servers can be talked into. */
const hostile = await startHostileApi(suite);

const TIMEOUT_MS = 300;
const ATTEMPTS = 2;
/** All attempts with their time-outs, and what a busy machine adds. The waits between them cost no time here. */
const MAX_ENDING_MS = ATTEMPTS * TIMEOUT_MS + 3_000;
const MAX_GROWTH_BYTES = 200 * 1024 * 1024;

let cases = 0;

/** A client on the hostile API with canaries for credentials, and a list at `path`. */
async function attack(
  t: Test,
  path: string,
  query: Readonly<Record<string, string | number>> = {},
  options: { readonly source?: Partial<SourceDefinition>; readonly list?: Partial<ListDefinition> } = {},
) {
  const name = `case-${cases++}`;
  const { client, slept, lines } = await setup(t, (response) => sendText(response, 404, ''), {
    source: {
      ...CREDENTIALS['a bearer token'],
      baseUrl: hostile.origin,
      timeout: `${TIMEOUT_MS}ms`,
      maxAttempts: ATTEMPTS,
      ...options.source,
    },
    environment: CANARY_ENVIRONMENT,
  });
  const list: ListDefinition = { ...plainList, path, query: { ...query, case: name }, ...options.list };
  return {
    client,
    list,
    slept,
    read: () => readAll(client, list),
    items: async () => (await readAll(client, list)).flatMap(({ items }) => items),
    seen: () => hostile.seen(name),
    /** What the listing ends with, within its bounds, showing no secret. */
    async fails(code: SourceErrorCode) {
      const fromMs = performance.now();
      const error = await failure(readAll(client, list));
      const tookMs = performance.now() - fromMs;
      t.equal(error.code, code);
      t.ok(tookMs < MAX_ENDING_MS, `ended after ${Math.round(tookMs)} ms`);
      t.notOk(showsCanary(inspect([error, lines], { depth: 6 })), 'no secret in the error or a log line');
      return error;
    },
  };
}

type Options = Parameters<typeof attack>[3];
type Failing = readonly [
  name: string,
  path: string,
  code: SourceErrorCode,
  seen: number,
  query?: Record<string, string | number>,
  options?: Options,
];

/** Sentences, and how often the API is asked: twice where a retry may help. */
const failing: readonly Failing[] = [
  ['a 500 is a server error', '/status', 'server_error', 2, { code: 500 }],
  ['a 503 with a wait of a second is a server error', '/status', 'server_error', 2, { code: 503, wait: 1 }],
  ['a 599 is a server error', '/status', 'server_error', 2, { code: 599 }],
  ['a 401 that repeats our credentials shows none of them', '/status', 'unauthorized', 1, { code: 401 }],
  ['a 404 for a list is not an empty list', '/status', 'not_found', 1, { code: 404 }],
  ['a 410 without a cursor speaks of the list', '/status', 'gone', 1, { code: 410 }],
  ['a storm of 429 without a wait ends with the attempts', '/status', 'rate_limited', 2, { code: 429 }],
  ['a 429 with a wait of an hour is not slept on', '/status', 'rate_limited', 1, { code: 429, wait: 3_600 }],
  ['a 503 with a wait of a day is not slept on', '/status', 'server_error', 1, { code: 503, wait: 86_400 }],
  ['a 429 with a wait of -5 is retried', '/status', 'rate_limited', 2, { code: 429, wait: -5 }],
  ['a 429 with a wait of 1e99 is retried', '/status', 'rate_limited', 2, { code: 429, wait: '1e99' }],
  ['a 429 with a wait that cannot be read is retried', '/status', 'rate_limited', 2, { code: 429, wait: 'soon' }],
  [
    'a 429 with a date in the past is retried',
    '/status',
    'rate_limited',
    2,
    { code: 429, wait: 'Thu, 01 Jan 1970 00:00:00 GMT' },
  ],
  [
    'a 429 with a date a century away is not slept on',
    '/status',
    'rate_limited',
    1,
    { code: 429, wait: 'Fri, 01 Jan 2126 00:00:00 GMT' },
  ],
  ['a connection reset before the answer is the network', '/reset/before', 'network', 2],
  ['a connection reset within the headers is the network', '/reset/in-headers', 'network', 2],
  ['a connection reset within the body is the network', '/reset/in-body', 'network', 2],
  ['a connection closed before the answer is the network', '/closed/before', 'network', 2],
  ['a connection closed within the headers is the network', '/closed/in-headers', 'network', 2],
  ['a connection closed within the body is the network, and the half is not shown', '/closed/in-body', 'network', 2],
  ['a connection that is never answered ends at the time-out', '/silent', 'timeout', 2],
  ['headers that come byte by byte end at the time-out', '/slow/headers', 'timeout', 2],
  ['a body that comes byte by byte ends at the time-out', '/slow/body', 'timeout', 2],
  ['chunks of a byte end at the time-out', '/slow/chunks', 'timeout', 2],
  ['JSON cut off within a whole answer is the network', '/json/cut-in-whole-answer', 'network', 2],
  ['a body shorter than its length is the network', '/length/too-long', 'network', 2],
  ['a body longer than its length is never read as a shorter one', '/length/too-short', 'network', 2],
  ['a negative length is the network', '/length/negative', 'network', 2],
  ['two lengths that differ are the network', '/length/twice', 'network', 2],
  ['a length over 64 bits is the network', '/length/over-64-bit', 'network', 2],
  ['a length beside chunks is the network', '/length/and-chunked', 'network', 2],
  ['a chunk size that is no number is the network', '/chunks/garbage', 'network', 2],
  ['a chunk size over 64 bits is the network', '/chunks/size-over-64-bit', 'network', 2],
  ['chunks without their end are the network', '/chunks/no-end', 'network', 2],
  ['a header of 4 MB is refused', '/headers/megabytes', 'invalid_response', 1],
  ['headers without end are refused', '/headers/endless', 'invalid_response', 1],
  ['a header with a NUL is the network', '/headers/with-nul', 'network', 2],
  ['early hints without end finish at the time-out', '/early/endless-hints', 'timeout', 2],
  ['a protocol switched unasked is the network', '/early/switching', 'network', 2],
  ['an answer of HTTP/0.9 is the network', '/garbage/http-0.9', 'network', 2],
  ['a version of HTTP that there is not is the network', '/garbage/http-3', 'network', 2],
  ['a status of four digits is the network', '/garbage/status', 'network', 2],
  ['a TLS alert in place of HTTP is the network', '/garbage/tls', 'network', 2],
  ['our own request in place of HTTP is the network, and not shown', '/garbage/echo', 'network', 2],
  ['a GraphQL error in a 200 is no empty list', '/errors/graphql', 'invalid_response', 1],
  ['`ok: false` in a 200 is no empty list', '/errors/ok-false', 'invalid_response', 1],
  ['HTML that says it is JSON is refused', '/type/html-says-json', 'invalid_response', 1],
  ['plain text that says it is gzip is refused', '/encoding/plain-says-gzip', 'invalid_response', 1],
  ['gzip that says it is plain is refused', '/encoding/gzip-says-plain', 'invalid_response', 1],
  ['gzip that says it is brotli is refused', '/encoding/gzip-says-brotli', 'invalid_response', 1],
  ['gzip that is cut off is the network', '/encoding/gzip-cut', 'network', 2],
  ['an empty 200 is no empty list', '/empty/200', 'invalid_response', 1],
  ['a 204 is no empty list', '/empty/204', 'invalid_response', 1],
  ['a 205 is no empty list', '/empty/205', 'invalid_response', 1],
  ['a 304 unasked is no empty list', '/empty/304', 'invalid_response', 1],
  ['UTF-16 is refused', '/text/utf-16', 'invalid_response', 1],
  ['invalid UTF-8 is refused', '/text/invalid-utf-8', 'invalid_response', 1],
  ['a character cut in half is refused', '/text/cut-utf-8', 'invalid_response', 1],
  ['NaN is no JSON', '/text/nan', 'invalid_response', 1],
  ['Infinity is no JSON', '/text/infinity', 'invalid_response', 1],
  ['single quotes are no JSON', '/text/single-quotes', 'invalid_response', 1],
  ['a trailing comma is no JSON', '/text/trailing-comma', 'invalid_response', 1],
  ['two documents are no JSON', '/text/two-documents', 'invalid_response', 1],
  ['lines of JSON are no JSON', '/text/json-lines', 'invalid_response', 1],
  ['a megabyte of blanks is no JSON', '/text/blanks', 'invalid_response', 1],
  ['a NUL within a string is no JSON', '/text/nul', 'invalid_response', 1],
  ['a scalar is no list', '/text/scalar', 'invalid_response', 1],
  ['null is no list', '/text/null', 'invalid_response', 1],
  [
    'an object like a list is no list',
    '/text/items-not-a-list',
    'invalid_response',
    1,
    {},
    { list: { items: 'data' } },
  ],
  [
    'a list inherited by `__proto__` is no list',
    '/text/prototype-envelope',
    'invalid_response',
    1,
    {},
    { list: { items: 'data' } },
  ],
  ['a redirect to itself ends', '/redirect/loop', 'invalid_response', 6],
  ['redirects to ever new places end', '/redirect/endless', 'invalid_response', 6],
  ['a redirect to nowhere is refused', '/redirect/nowhere', 'invalid_response', 1],
];

for (const [name, path, code, seen, query, options] of failing) {
  test(name, async (t) => {
    const attacked = await attack(t, path, query, options);
    await attacked.fails(code);
    t.equal(await attacked.seen(), seen, 'requests');
  });
}

test('an error whose body never ends is that error or a time-out, and ends', async (t) => {
  const attacked = await attack(t, '/slow/error-body');
  const fromMs = performance.now();
  const { code } = await failure(attacked.read());
  t.ok(code === 'timeout' || code === 'bad_request', code);
  t.ok(performance.now() - fromMs < MAX_ENDING_MS);
});

test('a 100 Continue that nobody waited for ends the attempt or is passed over, also without end', async (t) => {
  const endless = await attack(t, '/early/endless-continue');
  const fromMs = performance.now();
  const { code } = await failure(endless.read());
  t.ok(code === 'timeout' || code === 'network', code);
  t.ok(performance.now() - fromMs < MAX_ENDING_MS);
  const once = await attack(t, '/early/continue');
  t.match(await failure(once.read()), { code: 'network' });
});

for (const path of ['/chunks/endless-extension', '/chunks/endless-trailer']) {
  test(`${path.slice('/chunks/endless-'.length)}s of chunks without end finish within the time-out, in bounded memory`, async (t) => {
    const attacked = await attack(t, path, {}, { source: { timeout: '1s', maxAttempts: 1 } });
    const growth = await growthOf(async () => {
      const { code } = await failure(attacked.read());
      t.ok(['timeout', 'network', 'invalid_response', 'too_large'].includes(code), code);
    });
    t.ok(growth < MAX_GROWTH_BYTES, `${Math.round(growth / 1e6)} MB`);
  });
}

const fine: readonly (readonly [name: string, path: string, items?: readonly unknown[]])[] = [
  ['a hundred early hints do not matter', '/early/hints'],
  ['JSON that says it is HTML is read', '/type/json-says-html'],
  ['JSON with an empty content type is read', '/type/json-says-nothing'],
  ['a byte order mark does not matter', '/text/byte-order-mark'],
  [
    'items that are no objects come as they are, none is left out',
    '/text/items-not-objects',
    [null, 1, 'x', [], true, { id: 'c1' }],
  ],
  ['of a key that comes twice the last one counts', '/text/duplicate-keys', [{ id: 'second' }]],
  ['a lone surrogate comes as it is', '/text/lone-surrogate', ['\ud800']],
  [
    'a number beyond all numbers does not end the listing',
    '/text/large-exponent',
    [{ amount: Number.POSITIVE_INFINITY }],
  ],
];
for (const [name, path, items = ['fine']] of fine) {
  test(name, async (t) => {
    const attacked = await attack(t, path);
    t.same(await attacked.items(), items);
  });
}

test('`__proto__` in an answer is a key like any other', async (t) => {
  const attacked = await attack(t, '/text/prototype-keys');
  const [item] = await attacked.items();
  t.equal(Reflect.get(Object(item), 'id'), 'c1');
  t.equal(Reflect.get({}, 'isAdmin'), undefined);
  t.equal(Object.getPrototypeOf(item), Object.prototype);
  t.ok(Object.hasOwn(Object(item), '__proto__'));
});

for (const path of ['/text/deep', '/text/deep-objects']) {
  test(`an answer nested 100,000 deep ends as items or as an error: ${path.slice('/text/'.length)}`, async (t) => {
    const attacked = await attack(t, path);
    const items = await attacked.items();
    t.equal(items.length, 1);
  });
}

test('a storm that passes is outlasted, and a record comes once', async (t) => {
  const attacked = await attack(t, '/status', { code: 429, wait: 1, times: 4 }, { source: { maxAttempts: 5 } });
  t.same(await attacked.items(), ['fine']);
  t.equal(await attacked.seen(), 5);
  for (const waited of attacked.slept) t.ok(waited >= 1_000, `waited ${waited} ms`);
});

test('a source that drops every kept connection is read all the same', async (t) => {
  const attacked = await attack(t, '/keep-alive/dropped', {}, { source: { maxAttempts: 3 } });
  for (let round = 0; round < 20; round++) t.same(await attacked.items(), ['fine']);
});

test('an answer that nobody asked for is not taken for the next one', async (t) => {
  const attacked = await attack(t, '/keep-alive/unasked', {}, { source: { maxAttempts: 5, concurrency: 1 } });
  for (let round = 0; round < 20; round++) t.same(await attacked.items(), ['fine']);
});

const byCursor = { items: 'data', pagination: cursor({ param: 'cursor', next: 'next' }) } as const;

test('a page that leads to itself is a loop', async (t) => {
  const attacked = await attack(t, '/pages/self', {}, { list: byCursor });
  await attacked.fails('page_loop');
  t.equal(await attacked.seen(), 2);
});

test('a cycle of 2,500 pages is a loop, found within three turns', async (t) => {
  const attacked = await attack(
    t,
    '/pages/cycle',
    { length: 2_500 },
    { list: byCursor, source: { timeout: '5s', maxAttempts: 2 } },
  );
  t.match(await failure(attacked.read()), { code: 'page_loop' });
  t.ok((await attacked.seen()) <= 3 * 2_500, `${await attacked.seen()} pages`);
});

test('ever new cursors end at maxPages', async (t) => {
  const attacked = await attack(t, '/pages/endless', {}, { list: { ...byCursor, maxPages: 200 } });
  await attacked.fails('page_loop');
  t.equal(await attacked.seen(), 200);
});

test('a cursor that has expired is told from a list that is gone', async (t) => {
  const attacked = await attack(t, '/pages/expired', {}, { list: byCursor });
  t.match(await attacked.fails('cursor_expired'), { status: 410 });
  t.equal(await attacked.seen(), 3);
});

test('a cursor of a megabyte, or one that is an object, is refused', async (t) => {
  for (const path of ['/pages/long-cursor', '/pages/cursor-of-objects']) {
    const attacked = await attack(t, path, {}, { list: byCursor });
    await attacked.fails('invalid_response');
  }
});

test('empty pages with a next cursor are followed to the records behind them', async (t) => {
  const attacked = await attack(t, '/pages/empty-then-full', {}, { list: byCursor });
  t.same(await attacked.items(), [{ id: 'last' }]);
});

/** Links out of the source, in the words that parsers of URLs disagree about. */
const ways: readonly string[] = [
  'http://{foreign}/stolen',
  '//{foreign}/stolen',
  '\\\\{foreign}/stolen',
  '/\\{foreign}/stolen',
  '\\/{foreign}/stolen',
  'http:\\\\{foreign}\\stolen',
  'HTTP://{foreign}/stolen',
  'http:///{foreign}/stolen',
  'http:/{foreign}/stolen',
  'http:{foreign}/stolen',
  'http://{own}@{foreign}/stolen',
  'http://{own}%2F@{foreign}/stolen',
  'http://{own}:80@{foreign}/stolen',
  'http://127.0.0.1:{ownPort}\\@{foreign}/stolen',
  'http://{foreign}#@{own}/',
  'http://{foreign}?@{own}/',
  'http://localhost:{foreignPort}/stolen',
  'http://0:{foreignPort}/stolen',
  'http://2130706433:{foreignPort}/stolen',
  'http://[::ffff:127.0.0.1]:{foreignPort}/stolen',
  'http://127.0.0.1.evil.example:{ownPort}/stolen',
  'https://{own}/stolen',
  'https://{foreign}/stolen',
  'http://localhost:{ownPort}/stolen',
  'ws://{own}/stolen',
  'ftp://{own}/stolen',
  'file:///etc/passwd',
  'javascript:alert(1)',
  'data:application/json,[]',
  'http://{own}//{foreign}/stolen',
  '/.//{foreign}/stolen',
  '/%2f%2f{foreign}/stolen',
  '//{own}:@{foreign}/stolen',
];

for (const [name, source] of Object.entries(CREDENTIALS)) {
  test(`${name} reaches no other origin, whatever a next link names`, async (t) => {
    const kinds = [
      ['/link', { pagination: linkHeader(), maxPages: 3 }],
      ['/link/in-body', { pagination: nextUrl({ next: 'next' }), items: 'data', maxPages: 3 }],
    ] as const;
    for (const to of ways) {
      for (const [path, list] of kinds) {
        const attacked = await attack(t, path, { to }, { source, list });
        const error = await failure(attacked.read());
        t.ok(['foreign_link', 'invalid_response', 'not_found'].includes(error.code), `${to}: ${error.code}`);
        t.notMatch(inspect(error), /stolen|passwd/, to);
        t.notOk(showsCanary(inspect(error, { depth: 6 })), to);
      }
    }
    t.same(await hostile.foreignSeen(), { connections: 0, requests: [] });
  });

  test(`${name} reaches no other origin, whatever a redirect names`, async (t) => {
    for (const to of ways) {
      for (const code of [301, 303, 307]) {
        const attacked = await attack(t, '/redirect', { to, code }, { source });
        const error = await failure(attacked.read());
        t.ok(['foreign_link', 'invalid_response', 'not_found'].includes(error.code), `${to}: ${error.code}`);
        t.notOk(showsCanary(inspect(error, { depth: 6 })), to);
      }
    }
    t.same(await hostile.foreignSeen(), { connections: 0, requests: [] });
  });
}

test('a Link header of garbage or of megabytes ends no listing as if it were whole', async (t) => {
  for (const to of ['<', '</x', '<>; rel="next"', `</${'x'.repeat(9_000)}>; rel="next"`]) {
    const attacked = await attack(t, '/link/raw', { to }, { list: { pagination: linkHeader(), maxPages: 3 } });
    const error = await failure(attacked.read());
    t.ok(['invalid_response', 'page_loop', 'not_found'].includes(error.code), `${to.slice(0, 20)}: ${error.code}`);
  }
});

/** By how much this process grew at most while something ran, over what it had before. */
async function growthOf(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss();
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 5);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(peak, process.memoryUsage.rss()) - before;
}

const tooMuch: readonly (readonly [name: string, path: string, codes: readonly SourceErrorCode[]])[] = [
  ['3 GB with their length announced', '/huge/announced', ['too_large']],
  ['3 GB in chunks', '/huge/chunked', ['too_large']],
  ['3 GB until the connection closes', '/huge/until-closed', ['too_large']],
  ['3 GB behind a length of ten bytes', '/huge/says-it-is-small', ['network', 'invalid_response']],
  ['3 GB behind a 500', '/huge/error', ['server_error']],
  ['a gzip bomb of 3.2 GB', '/bomb/gzip', ['too_large']],
  ['a gzip bomb within gzip, as declared', '/bomb/nested-declared', ['invalid_response']],
  ['a gzip bomb within gzip, undeclared', '/bomb/nested-undeclared', ['invalid_response']],
  ['a brotli bomb of 1 GB', '/bomb/brotli', ['too_large']],
];
for (const [name, path, codes] of tooMuch) {
  test(`${name}: refused, and our memory stays`, async (t) => {
    // The default limit of 32 MiB; making a bomb takes the other side seconds.
    const attacked = await attack(t, path, {}, { source: { timeout: '30s', maxAttempts: 1 } });
    const growth = await growthOf(async () => {
      const { code } = await failure(attacked.read());
      t.ok(codes.includes(code), code);
    });
    t.ok(growth < MAX_GROWTH_BYTES, `${Math.round(growth / 1e6)} MB`);
    t.equal(await attacked.seen(), 1);
  });
}

test('a million items in one page come whole, one by one', async (t) => {
  const attacked = await attack(t, '/items/million', {}, { source: { timeout: '60s' } });
  const items = await attacked.items();
  t.equal(items.length, 1_000_000);
  t.same(items.at(-1), { id: 999_999 });
});

test('an abort ends each kind of waiting at once', async (t) => {
  for (const path of ['/silent', '/slow/headers', '/slow/body', '/slow/chunks', '/early/endless-hints']) {
    const attacked = await attack(t, path, {}, { source: { timeout: '1m' } });
    const controller = new AbortController();
    const reading = failure(readAll(attacked.client, attacked.list, { signal: controller.signal }));
    while ((await attacked.seen()) === 0);
    const fromMs = performance.now();
    controller.abort();
    t.match(await reading, { code: 'aborted' }, path);
    const tookMs = performance.now() - fromMs;
    t.ok(tookMs < 1_000, `${path}: ${Math.round(tookMs)} ms`);
  }
});

test('closing the client ends what is under way', async (t) => {
  const attacked = await attack(t, '/silent', {}, { source: { timeout: '1m' } });
  const reading = failure(attacked.read());
  while ((await attacked.seen()) === 0);
  await attacked.client.close();
  t.match(await reading, { code: 'aborted' });
});

test('a read by id takes none of it for the absence of a record', async (t) => {
  const { client } = await attack(t, '/none');
  for (const [folder, id] of [
    ['empty', '200'],
    ['empty', '204'],
    ['empty', '304'],
    ['errors', 'ok-false'],
    ['errors', 'graphql'],
    ['text', 'null'],
    ['reset', 'before'],
    ['type', 'html-says-json'],
  ] as const) {
    const error = await failure(client.getRecord({ path: `/${folder}/{id}`, record: 'data' }, id, { signal: never() }));
    t.ok(error.code === 'invalid_response' || error.code === 'network', `${id}: ${error.code}`);
  }
});
