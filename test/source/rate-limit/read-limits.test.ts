import { test } from 'tap';
import { readLimits } from '../../../src/source/rate-limit/read-limits.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
/** Four minutes ahead of us. */
const DATE = new Date(NOW_MS + 240_000).toUTCString();
const SERVER_S = NOW_MS / 1_000 + 240;

const read = (headers: Record<string, string | string[]>, body: unknown = null) =>
  readLimits({ headers: { date: DATE, ...headers }, body }, NOW_MS).observations;

test('limits are read in every form that sources use, by the clock of the answer', (t) => {
  const cases: [headers: Record<string, string>, expected: Record<string, unknown>][] = [
    [
      { ratelimit: '"default";r=50;t=30', 'ratelimit-policy': '"default";q=100;w=60' },
      { key: 'ratelimit default/100', limit: 100, remaining: 50, resetMs: 30_000, windowMs: 60_000 },
    ],
    [{ ratelimit: 'default;r=50;t=30' }, { key: 'ratelimit default', limit: null, remaining: 50, resetMs: 30_000 }],
    [{ ratelimit: 'limit=100, remaining=50, reset=50' }, { limit: 100, remaining: 50, resetMs: 50_000 }],
    [
      { 'ratelimit-limit': '100', 'ratelimit-remaining': '7', 'ratelimit-reset': '12' },
      { limit: 100, remaining: 7, resetMs: 12_000 },
    ],
    [
      { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(SERVER_S + 9) },
      { limit: 60, remaining: 0, resetMs: 9_000, isScoped: false },
    ],
    [
      { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': String((SERVER_S + 9) * 1_000) },
      { limit: null, resetMs: 9_000 },
    ],
    [{ 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '1.5' }, { resetMs: 1_500 }],
    [
      { 'x-ratelimit-remaining': '1', 'x-ratelimit-limit': '30', 'x-ratelimit-resource': 'search' },
      { key: 'x-ratelimit search/30', isScoped: true, resetMs: null },
    ],
    [
      { 'x-rate-limit': '700', 'x-rate-limit-remaining': '699' },
      { limit: 700, remaining: 699, windowMs: 60_000 },
    ],
    [
      {
        'x-hubspot-ratelimit-max': '100',
        'x-hubspot-ratelimit-remaining': '90',
        'x-hubspot-ratelimit-interval-milliseconds': '10000',
      },
      { limit: 100, remaining: 90, windowMs: 10_000 },
    ],
    [{ 'x-hubspot-ratelimit-secondly': '10', 'x-hubspot-ratelimit-secondly-remaining': '3' }, { windowMs: 1_000 }],
    [
      {
        'x-ratelimit-requests-limit': '5000',
        'x-ratelimit-requests-remaining': '4999',
        'x-ratelimit-requests-reset': String((SERVER_S + 60) * 1_000),
      },
      { limit: 5_000, remaining: 4_999, resetMs: 60_000 },
    ],
    [{ 'x-shopify-shop-api-call-limit': '32/40' }, { limit: 40, remaining: 8, perSecond: 2 }],
    [{ 'sforce-limit-info': 'api-usage=18/5000' }, { limit: 5_000, remaining: 4_982 }],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '999999999' }, { resetMs: 86_400_000 }],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(SERVER_S - 60) }, { resetMs: 0 }],
  ];
  for (const [headers, expected] of cases) {
    const observations = read(headers);
    t.equal(observations.length, 1, JSON.stringify(headers));
    t.match(observations[0], expected, JSON.stringify(headers));
  }
  t.end();
});

test('several limits in one answer are several', (t) => {
  const observations = read({
    ratelimit: '"burst";r=5;t=1, "day";r=900',
    'ratelimit-policy': '"burst";q=10;w=1, "day";q=1000;w=86400',
  });
  t.match(observations, [
    { key: 'ratelimit burst/10', remaining: 5, windowMs: 1_000 },
    { key: 'ratelimit day/1000', remaining: 900, windowMs: 86_400_000 },
  ]);
  t.end();
});

test('what is malformed says nothing', (t) => {
  for (const headers of [
    { ratelimit: '"default";r=50;;t=' },
    { ratelimit: '"default;r=50' },
    { ratelimit: 'limit=100, remaining' },
    { ratelimit: '"default";r=-1;t=30' },
    { 'x-ratelimit-remaining': 'many' },
    { 'x-ratelimit-remaining': '-1' },
    { 'x-ratelimit-limit': '100' },
    { 'x-shopify-shop-api-call-limit': '32 of 40' },
    { 'sforce-limit-info': 'api-usage=18' },
  ]) {
    t.same(read(headers), [], JSON.stringify(headers));
  }
  t.end();
});

test('the price of a query and what is left of the points are read from the body', (t) => {
  const body = {
    data: {},
    extensions: {
      cost: {
        requestedQueryCost: 101,
        actualQueryCost: 46,
        throttleStatus: { maximumAvailable: 1_000, currentlyAvailable: 954, restoreRate: 50 },
      },
    },
  };
  const { observations, cost } = readLimits({ headers: {}, body }, NOW_MS);
  t.match(observations, [{ limit: 1_000, remaining: 954, perSecond: 50 }]);
  t.equal(cost, 101);
  t.same(readLimits({ headers: {}, body: { extensions: { cost: { throttleStatus: null } } } }, NOW_MS), {
    observations: [],
    cost: null,
  });
  t.end();
});

test('a list that comes in several lines is one list', (t) => {
  const headers = { ratelimit: ['"burst";r=5;t=1', '"day";r=0;t=60'] };
  t.match(read(headers), [{ remaining: 5 }, { remaining: 0 }]);
  t.end();
});

test('a header that is made to be hard to read is not read for long', (t) => {
  for (const ratelimit of [`a${';b '.repeat(1_300)};;`, `"a"${' '.repeat(4_000)}`, `"${'\\"'.repeat(2_000)}`]) {
    const startedMs = performance.now();
    read({ ratelimit });
    t.ok(performance.now() - startedMs < 500, ratelimit.slice(0, 10));
  }
  t.end();
});
