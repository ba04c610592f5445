import { test } from 'tap';
import { prepareRateLimits, rateLimitsSchema } from '../../../src/source/rate-limit/definition.ts';
import { describeRateLimits } from '../../../src/source/rate-limit/describe.ts';
import { prepareEndpointPattern } from '../../../src/source/rate-limit/endpoint-pattern.ts';

test('a pattern means the endpoints that it says', (t) => {
  const cases: [pattern: string, endpoint: string, isMeant: boolean][] = [
    ['POST /items', 'POST /items', true],
    ['POST /items', 'GET /items', false],
    ['POST /items', 'POST /items/{id}', false],
    ['* /items/{id}', 'DELETE /items/{id}', true],
    ['GET /search/*', 'GET /search/a/b', true],
    ['GET /search/*', 'GET /search', false],
    ['GET /shops/*/orders', 'GET /shops/{shop}/orders', true],
    ['GET /shops/*/orders', 'GET /shops/{shop}/items', false],
  ];
  for (const [pattern, endpoint, isMeant] of cases) {
    t.equal(prepareEndpointPattern(pattern)(endpoint), isMeant, `${pattern} ${endpoint}`);
  }
  t.end();
});

test('limits that cannot be kept are refused', (t) => {
  for (const limit of [
    {},
    { requests: 5 },
    { per: '1m', concurrent: 1 },
    { requests: 5, per: '10ms' },
    { requests: 5, per: '32d' },
    { requests: 0, per: '1m' },
    { requests: 5, per: '1m', weights: { 'GET /x': 6 } },
    { requests: 5, per: '1m', weights: { '/x': 2 } },
    { requests: 5, per: '1m', match: 'FETCH /x' },
  ]) {
    t.notOk(rateLimitsSchema.safeParse([limit]).success, JSON.stringify(limit));
  }
  const twice = { requests: 5, per: '1m' };
  t.notOk(rateLimitsSchema.safeParse([twice, twice]).success, 'the same twice');
  t.ok(rateLimitsSchema.safeParse([{ requests: 5, per: '1m', weights: { 'GET /x': 5 } }, { concurrent: 2 }]).success);
  t.end();
});

test('a limit is told in words', (t) => {
  const limits = prepareRateLimits([{ match: 'POST /items', requests: 20, per: '1m' }, { concurrent: 4 }]);
  t.match(describeRateLimits(limits), [
    { name: 'POST /items', match: 'POST /items', rule: '20 requests per 60 s, rolling', limit: 20, used: null },
    { name: 'all requests', match: null, rule: '4 at the same time', limit: 4 },
  ]);
  t.end();
});
