import { test } from 'tap';
import { sendJson, sendText } from '../helpers/fake-api.ts';
import { never, setup } from './setup.ts';

const get = { path: '/orders/{id}', record: 'data' };

test('a record is read again by its tag, and a 304 is a sighting of it with the times of that read', async (t) => {
  const { client, api, clock } = await setup(t, (response, { headers }) => {
    clock.nowMs += 10;
    if (headers['if-none-match'] === 'W/"7"') sendText(response, 304, '', { etag: 'W/"7"' });
    else sendJson(response, { data: { id: '1', total: 5 } }, { etag: 'W/"7"' });
  });
  const first = await client.getRecord(get, '1', { signal: never() });
  clock.nowMs += 1_000;
  const second = await client.getRecord(get, '1', { signal: never() });
  t.match(second, { kind: 'found', record: { id: '1', total: 5 }, etag: 'W/"7"' });
  t.equal(api.seen[1]?.headers['if-none-match'], 'W/"7"');
  t.ok(second.startedAt > first.endedAt, 'it was asked again, and says when');
});

test('records are never served without asking: each change is seen at once', async (t) => {
  let total = 0;
  const { client, api } = await setup(t, (response, { headers }) => {
    total += 1;
    t.equal(headers['if-none-match'], total === 1 ? undefined : `"${total - 1}"`);
    sendJson(response, { data: { id: '1', total } }, { etag: `"${total}"` });
  });
  for (const expected of [1, 2, 3]) {
    t.match(await client.getRecord(get, '1', { signal: never() }), { record: { total: expected } });
  }
  t.equal(api.seen.length, 3);
});

test('a date alone makes no read conditional: it cannot tell two changes of one second apart', async (t) => {
  const { client, api } = await setup(t, (response) =>
    sendJson(response, { data: { id: '1' } }, { 'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT' }),
  );
  await client.getRecord(get, '1', { signal: never() });
  await client.getRecord(get, '1', { signal: never() });
  t.equal(api.seen[1]?.headers['if-modified-since'], undefined);
});

test('a record that is gone is forgotten', async (t) => {
  const { client, api } = await setup(t, (response, { index }) =>
    index === 1 ? sendText(response, 404, '{}') : sendJson(response, { data: { id: '1' } }, { etag: '"1"' }),
  );
  await client.getRecord(get, '1', { signal: never() });
  t.equal((await client.getRecord(get, '1', { signal: never() })).kind, 'absent');
  t.equal((await client.getRecord(get, '1', { signal: never() })).kind, 'found');
  t.equal(api.seen[2]?.headers['if-none-match'], undefined);
});

test('headers that come twice are read as one list, and a tag that comes twice is none', async (t) => {
  const { client, api } = await setup(t, (response, { index }) => {
    response.setHeader('vary', ['Accept', 'Origin']);
    response.setHeader('cache-control', index === 0 ? ['private', 'max-age=0'] : ['private', 'no-store']);
    response.setHeader('etag', index === 2 ? ['"1"', '"2"'] : ['"1"']);
    response.end('{"data":{"id":"1"}}');
  });
  for (const etag of ['"1"', '"1"', null]) {
    t.match(await client.getRecord(get, '1', { signal: never() }), { kind: 'found', etag });
  }
  t.same(
    api.seen.map(({ headers }) => headers['if-none-match']),
    [undefined, '"1"', undefined],
    'no-store counts wherever it stands',
  );
});
