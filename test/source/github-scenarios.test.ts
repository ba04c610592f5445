import { text } from 'node:stream/consumers';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { apiKey } from '../../src/source/auth/api-key.ts';
import { linkHeader } from '../../src/source/pagination/link-header.ts';
import { none } from '../../src/source/pagination/none.ts';
import type { Method, SourceRequest } from '../../src/source/request.ts';
import { type SeenRequest, sendText } from '../helpers/fake-api.ts';
import { readJsonFixture, skipWithout } from '../webhook/fixtures.ts';
import { failure, never, readAll, setup } from './setup.ts';

const FOLDER = 'github-http-scenarios';
/** Where everything must be there, a missing fixture is a failure. */
const skip = process.env.CI === undefined ? skipWithout(FOLDER) : false;

const exchangesSchema = z.array(
  z.object({
    method: z.string(),
    path: z.string(),
    body: z.unknown(),
    status: z.int(),
    response: z.json(),
    reqheaders: z.looseObject({ authorization: z.string() }),
    headers: z.record(z.string(), z.coerce.string()),
  }),
);
type Exchange = z.infer<typeof exchangesSchema>[number];

/** Framing is ours; the recorded connection is closed. */
const FRAMING = new Set(['content-length', 'connection', 'transfer-encoding']);
const GITHUB = /https:\/\/(?:api|uploads)\.github\.com/g;

/** What makes two requests the same: the query's meaning counts, not how it is written. */
function identify(method: string, path: string, body: string): string {
  const url = new URL(path, 'http://recorded');
  return JSON.stringify([method.toUpperCase(), url.pathname, [...url.searchParams].sort(), body]);
}

const bodyOf = ({ body }: Exchange): string => (typeof body === 'string' ? body : JSON.stringify(body));

/**
 * A client on a server that gives the recorded answers, each once, in the recorded order where a request comes again, with
 * links to itself. Any other request fails the test.
 */
async function replay(t: Test, scenario: string) {
  const exchanges = exchangesSchema.parse(readJsonFixture(`${FOLDER}/${scenario}/normalized-fixture.json`));
  const left = [...exchanges];
  const unexpected: SeenRequest[] = [];
  const made = await setup(
    t,
    async (response, request) => {
      const wanted = identify(request.method, request.url, await text(response.req));
      const index = left.findIndex(
        (exchange) =>
          identify(exchange.method, exchange.path, bodyOf(exchange)) === wanted &&
          exchange.reqheaders.authorization === request.headers.authorization,
      );
      const [exchange] = index < 0 ? [] : left.splice(index, 1);
      if (exchange === undefined) {
        unexpected.push(request);
        return sendText(response, 418, '');
      }
      const own = (text: string) => text.replace(GITHUB, `http://${request.headers.host}`);
      const headers = Object.entries(exchange.headers).flatMap(([name, value]) =>
        FRAMING.has(name) ? [] : [[name, own(value)] as const],
      );

      if (exchange.status === 204) return void response.writeHead(exchange.status, Object.fromEntries(headers)).end();
      sendText(response, exchange.status, own(JSON.stringify(exchange.response)), Object.fromEntries(headers));
    },
    {
      source: {
        auth: apiKey({ header: 'authorization', prefix: 'token ', value: '0000000000000000000000000000000000000001' }),
        params: { repository: `octokit-fixture-org/${scenario}` },
      },
    },
  );
  /** As the answer comes from the replaying server. */
  const ownJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replace(GITHUB, made.api.origin));
  return {
    ...made,
    exchanges,
    ownJson,
    unexpected,
    left,
    request: (method: Method, path: string, body: string | null, type?: string): SourceRequest => ({
      endpoint: `${method} ${path.split('?')[0]}`,
      method,
      url: new URL(path, made.api.origin),
      headers: type === undefined ? {} : { 'content-type': type },
      body,
      protocol: 'rest',
      isRepeatable: false,
    }),
  };
}

const options = { lane: 'urgent', signal: never() } as const;
const issues = {
  path: '/repos/{+repository}/issues',
  items: '',
  pagination: linkHeader(),
  pageSize: { param: 'per_page', size: 3 },
} as const;

test('the recorded issues are read to their last page, by the links that GitHub gave', { skip }, async (t) => {
  const { client, exchanges, ownJson, left, unexpected, api } = await replay(t, 'paginate-issues');
  const pages = await readAll(client, issues);
  t.same(
    pages.map((page) => page.items),
    exchanges.map((exchange) => ownJson(exchange.response)),
  );
  t.equal(new Set(pages.flatMap((page) => page.items.map((item) => JSON.stringify(item)))).size, 13);
  t.same(
    pages.map((page) => page.nextCursor),
    [2, 3, 4, 5, null].map((page) => page && `/repositories/1000/issues?per_page=3&page=${page}`),
  );
  t.same([left, unexpected], [[], []], 'each recorded request once, and no other');
  t.equal(api.seen.length, exchanges.length);
});

test('the recorded issues are read on from a page in the middle', { skip }, async (t) => {
  const { client, exchanges, ownJson, unexpected } = await replay(t, 'paginate-issues');
  const pages = await readAll(client, issues, { cursor: '/repositories/1000/issues?per_page=3&page=3' });
  t.same(
    pages.map((page) => page.items),
    exchanges.slice(2).map((exchange) => ownJson(exchange.response)),
  );
  t.same(unexpected, []);
});

test('a link of another size than the recorded one is asked for as it stands, and told as what it is', {
  skip,
}, async (t) => {
  const { client, unexpected } = await replay(t, 'paginate-issues');
  const error = await failure(readAll(client, issues, { cursor: '/repositories/1000/issues?per_page=2&page=3' }));
  t.equal(error.status, 418);
  t.equal(unexpected.length, 1);
});

test('a renamed repository is found by its old name, and changed by it with method and body', { skip }, async (t) => {
  const { client, exchanges, ownJson, left, unexpected, request } = await replay(t, 'rename-repository');
  const path = '/repos/octokit-fixture-org/rename-repository';
  await client.send(request('PATCH', path, '{"name":"rename-repository-newname"}'), options);
  const sighting = await client.getRecord({ path: '/repos/octokit-fixture-org/{id}' }, 'rename-repository', options);
  t.same(sighting.kind === 'found' && sighting.record, ownJson(exchanges[2]?.response));
  const change = '{"name":"rename-repository-newname","description":"test description"}';
  const reply = await client.send(request('PATCH', path, change), options);
  t.same(reply.kind === 'answered' && reply.answer.body, ownJson(exchanges[4]?.response));
  t.same([left, unexpected], [[], []]);
});

test('a request that GitHub finds invalid fails at once, and is not sent again', { skip }, async (t) => {
  const { client, api, left, unexpected, request } = await replay(t, 'errors');
  const label = request('POST', '/repos/octokit-fixture-org/errors/labels', '{"name":"foo","color":"invalid"}');
  const error = await failure(client.send(label, options));
  t.equal(error.status, 422);
  t.notOk(error.isRetryable);
  t.notMatch(error.message, /foo|invalid/);
  t.equal(api.seen.length, 1);
  t.same([left, unexpected], [[], []]);
});

test('an asset that exists is refused, found, deleted and sent again', { skip }, async (t) => {
  const { client, left, unexpected, request } = await replay(t, 'release-assets-conflict');
  const base = '/repos/octokit-fixture-org/release-assets-conflict/releases';
  const release = await client.getRecord({ path: '/repos/{+repository}/releases/tags/{id}' }, 'v1.0.0', options);
  t.equal(release.kind, 'found');
  const asset = () =>
    request('POST', `${base}/1000/assets?name=test-upload.txt&label=test`, 'Hello, world!\n', 'text/plain');
  const error = await failure(client.send(asset(), options));
  t.equal(error.status, 422);
  t.notOk(error.isRetryable);

  const [page] = await readAll(client, { path: `${base}/1000/assets`, items: '', pagination: none() });
  const { id } = z.object({ id: z.int() }).parse(page?.items[0]);
  const deleted = await client.send(request('DELETE', `${base}/assets/${id}`, null), options);
  t.match(deleted, { kind: 'answered', answer: { status: 204, body: undefined } });
  t.match(await client.send(asset(), options), { kind: 'answered', answer: { status: 201, body: { id: 1001 } } });
  t.same([left, unexpected], [[], []]);
});

test('the recorded search gives its items, by a query with a space, a colon and a slash', { skip }, async (t) => {
  const { client, exchanges, ownJson, left, unexpected } = await replay(t, 'search-issues');
  const pages = await readAll(client, {
    path: '/search/issues',
    query: { q: 'sesame repo:octokit-fixture-org/search-issues' },
    items: 'items',
    pagination: linkHeader(),
  });
  const { items } = z.object({ items: z.array(z.unknown()) }).parse(ownJson(exchanges[0]?.response));
  t.same(
    pages.map((page) => page.items),
    [items],
  );
  t.equal(items.length, 2);
  t.same([left, unexpected], [[], []]);
});
