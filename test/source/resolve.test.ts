import { inspect } from 'node:util';
import { test } from 'tap';
import { env, secret } from '../../src/lib/setting.ts';
import { apiKey } from '../../src/source/auth/api-key.ts';
import { bearer } from '../../src/source/auth/bearer.ts';
import { getSchema, listSchema, sourceSchema } from '../../src/source/definition.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { linkHeader } from '../../src/source/pagination/link-header.ts';
import { none } from '../../src/source/pagination/none.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { mustResolve } from './setup.ts';

const problemsOf = (...[definition, environment]: [Parameters<typeof resolveSource>[1], Record<string, string>]) => {
  const result = resolveSource('shop', definition, environment);
  return result.ok ? [] : result.problems;
};

test('every missing or unusable setting is named at once, with its place', async (t) => {
  const problems = problemsOf(
    {
      baseUrl: env('API_URL'),
      auth: bearer({ token: secret('TOKEN') }),
      headers: { 'x-version': env('API_VERSION') },
      params: { owner: env('OWNER') },
    },
    { TOKEN: 'CANARY\n', API_VERSION: '' },
  );
  t.same(problems.map(({ path }) => path).sort(), ['auth.token', 'baseUrl', 'headers.x-version', 'params.owner']);
  t.match(problems.find(({ path }) => path === 'auth.token')?.problem, /line break/);
  t.notMatch(JSON.stringify(problems), /CANARY/);
});

test('a base URL that is not plain http or https is refused', async (t) => {
  for (const baseUrl of [
    'api.example.com',
    'ftp://example.com',
    'file:///etc/passwd',
    'https://user:CANARY@example.com',
    'https://example.com/?key=CANARY',
    'https://example.com/#a',
  ]) {
    const problems = problemsOf({ baseUrl }, {});
    t.same(
      problems.map(({ path }) => path),
      ['baseUrl'],
      baseUrl,
    );
    t.notMatch(JSON.stringify(problems), /CANARY/);
  }
});

test('defaults stand where the definition says nothing', async (t) => {
  t.match(mustResolve({ baseUrl: 'https://example.com/v1/' }), {
    timeoutMs: 30_000,
    maxAttempts: 5,
    maxResponseBytes: 33_554_432,
    concurrency: 4,
  });
  t.equal(mustResolve({ baseUrl: 'https://example.com/v1/' }).baseUrl().href, 'https://example.com/v1');
});

test('a resolved source shows no credential when it is printed or serialised', async (t) => {
  for (const auth of [
    bearer({ token: secret('TOKEN') }),
    apiKey({ header: 'x-key', value: secret('TOKEN') }),
    apiKey({ query: 'key', value: secret('TOKEN') }),
  ]) {
    const definition = { baseUrl: 'https://example.com', auth, headers: { 'x-other': secret('TOKEN') } };
    const source = mustResolve(definition, { TOKEN: 'CANARY' });
    for (const shown of [definition, source]) {
      t.notMatch(`${JSON.stringify(shown)} ${inspect(shown, { depth: 10, showHidden: true })}`, /CANARY/);
    }
  }
});

test('the builders make what the schemas accept', async (t) => {
  for (const auth of [
    bearer({ token: secret('TOKEN') }),
    apiKey({ header: 'x-key', value: env('KEY'), prefix: 'Token ' }),
    apiKey({ query: 'key', value: 'literal' }),
  ]) {
    t.ok(sourceSchema.safeParse({ baseUrl: env('URL'), auth, timeout: '10s', headers: { accept: 'a/b' } }).success);
  }
  for (const pagination of [
    none(),
    linkHeader(),
    linkHeader({ rel: 'older' }),
    cursor({ param: 'after', next: 'meta.next', hasMore: 'meta.more' }),
    cursor({ param: 'starting_after', itemField: 'id', hasMore: 'has_more' }),
  ]) {
    t.ok(listSchema.safeParse({ path: '/a/{owner}', items: 'data', pagination, query: { a: 1, b: true } }).success);
  }
  t.ok(getSchema.safeParse({ path: '/a/{id}', record: 'data' }).success);
});

test('a definition that cannot work is refused at its path', async (t) => {
  const list = { path: '/a', items: 'data', pagination: none() };
  for (const [schema, value, path] of [
    [sourceSchema, { baseUrl: '' }, 'baseUrl'],
    [sourceSchema, { baseUrl: 'x', timeOut: '3s' }, ''],
    [sourceSchema, { baseUrl: 'x', timeout: 30 }, 'timeout'],
    [sourceSchema, { baseUrl: 'x', timeout: '0s' }, 'timeout'],
    [sourceSchema, { baseUrl: 'x', timeout: '11m' }, 'timeout'],
    [sourceSchema, { baseUrl: 'x', maxAttempts: 0 }, 'maxAttempts'],
    [sourceSchema, { baseUrl: 'x', concurrency: 1_000 }, 'concurrency'],
    [sourceSchema, { baseUrl: 'x', headers: { Host: 'y' } }, 'headers.Host'],
    [sourceSchema, { baseUrl: 'x', headers: { 'a b': 'y' } }, 'headers.a b'],
    [sourceSchema, { baseUrl: 'x', auth: { kind: 'magic' } }, 'auth.kind'],
    [sourceSchema, { baseUrl: 'x', auth: { kind: 'api_key', value: 'y' } }, 'auth'],
    [sourceSchema, { baseUrl: 'x', auth: { kind: 'api_key', value: 'y', header: 'a', query: 'b' } }, 'auth'],
    [listSchema, { ...list, path: 'a' }, 'path'],
    [listSchema, { ...list, path: '/a/{id}' }, 'path'],
    [listSchema, { ...list, items: 'a..b' }, 'items'],
    [listSchema, { ...list, pagination: { kind: 'scroll' } }, 'pagination.kind'],
    [listSchema, { ...list, pagination: { kind: 'cursor', param: 'a' } }, 'pagination'],
    [listSchema, { ...list, pagination: { kind: 'cursor', param: 'a', itemField: 'id' } }, 'pagination.hasMore'],
    [listSchema, { ...list, pageSize: { param: 'limit', size: 0 } }, 'pageSize.size'],
    [getSchema, { path: '/a' }, 'path'],
  ] as const) {
    const result = schema.safeParse(value);
    t.notOk(result.success, JSON.stringify(value));
    t.equal(result.error?.issues[0]?.path.join('.'), path, JSON.stringify(value));
  }
});
