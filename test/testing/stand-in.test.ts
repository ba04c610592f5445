import { get } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { pgTable, text } from 'drizzle-orm/pg-core';
import { type Test, test } from 'tap';
import { z } from 'zod';
import {
  cursor,
  type EntityDefinition,
  entity,
  field,
  type IntegrationDefinition,
  keyset,
  linkHeader,
  nextUrl,
  none,
  offset,
  pageNumber,
  relay,
  secret,
  signatures,
} from '../../src/index.ts';
import { createSourceClient } from '../../src/source/client.ts';
import type { ListDefinition } from '../../src/source/definition.ts';
import { createMemoryLedger } from '../../src/source/rate-limit/ledger.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { newProperties } from '../../src/testing/check-local-edits.ts';
import { createSourceEditor } from '../../src/testing/check-source-edits.ts';
import { createCounters } from '../../src/testing/counters.ts';
import type { JsonObject } from '../../src/testing/json.ts';
import { type Change, createLedger } from '../../src/testing/ledger.ts';
import { createRandom } from '../../src/testing/random.ts';
import { createSourceClock } from '../../src/testing/source-clock.ts';
import { createStandIn, redirectedTo, type StandIn, type StandInEntity } from '../../src/testing/stand-in.ts';
import { startReceiver } from '../examples/shop-setup.ts';
import { silentLog } from '../helpers/database.ts';

const things = pgTable('things', { id: text('id').primaryKey(), name: text('name').notNull() });
const thing = entity({
  schema: z.object({ id: z.string(), name: z.string(), rev: z.number() }),
  key: 'id',
  version: { kind: 'counter', field: 'rev' },
  read: {
    list: { path: '/{region}/things', items: 'data', pagination: none() },
    get: { path: '/{region}/things/{id}', record: 'thing' },
  },
  target: things,
  mapping: { id: field('id'), name: field('name') },
});
const made: StandInEntity = { makeRecord: (id, random) => ({ id, name: random.text(6), rev: 0 }) };

const withRead = (
  list: Partial<ListDefinition>,
  read: Partial<EntityDefinition['read']> = {},
): IntegrationDefinition => ({
  name: 'store',
  source: { baseUrl: 'https://api.example.com/v1', params: { region: secret('REGION') } },
  entities: { things: { ...thing, read: { ...thing.read, ...read, list: { ...thing.read.list, ...list } } } },
});

/** A stand-in with 25 records, and a client of the integration as it is sent there. */
async function start(t: Test, definition: IntegrationDefinition) {
  const made25 = createStandIn(definition, { seed: 7, tickMs: 1_000, maxLagMs: 0, entities: { things: made } });
  if ('impossible' in made25) throw new Error(made25.impossible);
  const { standIn } = made25;
  const records = standIn.records.get('things');
  if (records === undefined) throw new Error('No records');
  for (let count = 0; count < 25; count++) records.seed(made.makeRecord(standIn.newId(), standIn.random));
  const port = await standIn.source.start();
  t.teardown(() => standIn.source.close());
  const redirected = redirectedTo(definition, port);
  const resolved = resolveSource('store', redirected.source, {});
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  const client = createSourceClient(resolved.source, {
    now: async () => Date.now() * 1_000,
    nowMs: Date.now,
    random: () => 0,
    sleep: (ms, signal) => wait(ms, undefined, { signal }),
    ledger: createMemoryLedger(Date.now),
    onBreaker: () => {},
    log: { ...silentLog, debug() {} },
  });
  t.teardown(() => client.close());
  return { standIn, records, client, redirected, port, form: redirected.entities.things ?? thing };
}

const { signal } = new AbortController();
const idsOf = ({ records }: StandIn) => {
  const page = records.get('things')?.records.page({ order: 'id', since: null, after: null, skip: 0, limit: 100 });
  return page?.entries.map(({ id }) => id) ?? [];
};

const pageSize = { param: 'limit', size: 10 };
const graphql = { query: 'query Things($after: String, $first: Int) { … }' };
const LISTS: readonly (readonly [string, Partial<ListDefinition>])[] = [
  ['none', {}],
  ['cursor in the body', { pagination: cursor({ param: 'after', next: 'meta.next' }), pageSize }],
  ['cursor in a header', { pagination: cursor({ param: 'after', nextHeader: 'x-next' }), pageSize, items: '' }],
  ['cursor of the last item', { pagination: cursor({ param: 'after', itemField: 'id', hasMore: 'more' }), pageSize }],
  ['keyset', { pagination: keyset({ param: 'since_id', field: 'id' }), pageSize }],
  ['offset', { pagination: offset({ param: 'skip', total: 'total' }), pageSize }],
  ['page number', { pagination: pageNumber({ param: 'page', totalPages: 'pages' }), pageSize }],
  ['page number from 0 without a count', { pagination: pageNumber({ param: 'page', first: 0 }), pageSize }],
  ['link header', { pagination: linkHeader(), pageSize, items: '' }],
  ['next URL', { pagination: nextUrl({ next: 'links.next' }), pageSize, query: { state: 'all' } }],
  [
    'parameters in a body',
    { pagination: cursor({ param: 'page.after', next: 'next' }), body: { kind: 'thing' }, paramsIn: 'body' },
  ],
  [
    'connection of GraphQL',
    {
      pagination: relay({ connection: 'data.things' }),
      graphql,
      path: '/graphql',
      items: 'data.things.edges',
      record: 'node',
      pageSize: { param: 'first', size: 10 },
    },
  ],
];

for (const [name, list] of LISTS) {
  test(`a list gives every record once through the pages of its own kind: ${name}`, async (t) => {
    const { standIn, client, form } = await start(t, withRead(list));
    const listed = new Set<string>();
    let pages = 0;
    for await (const page of client.listPages(form.read.list, { signal })) {
      pages += 1;
      for (const item of page.items) listed.add(String(Reflect.get(Object(item), 'id')));
    }
    t.strictSame([...listed].sort(), [...idsOf(standIn)].sort());
    t.ok(name === 'none' || pages >= 2, 'in several pages');
    t.equal(standIn.unknownParams().size, 0);
  });
}

test('reads by id and of many find what is there, and 404 or leave out what is not', async (t) => {
  const getMany = { path: '/things', idsParam: 'ids', items: 'found', key: 'id' };
  const { standIn, client, form } = await start(t, withRead({}, { getMany }));
  const [first = '', second = ''] = idsOf(standIn);
  const found = await client.getRecord(form.read.get ?? { path: '' }, first, { signal });
  t.match(found, { kind: 'found', record: { id: first } });
  t.match(await client.getRecord(form.read.get ?? { path: '' }, 'nobody', { signal }), { kind: 'absent' });
  const many = await client.getRecords(getMany, [first, second, 'nobody'], { signal });
  t.strictSame([...many.keys()].sort(), [first, second].sort());
});

test('what changed is listed alone, when the list is asked for it', async (t) => {
  const changedSince = { param: 'since' };
  const { records, client, form } = await start(
    t,
    withRead({ pagination: cursor({ param: 'after', next: 'next' }) }, { changedSince }),
  );
  const id = records.records.idAt(3) ?? '';
  records.prepareUpdate(id, (record) => ({ ...record, name: 'changed' }))?.();
  const at = records.records.get(id)?.at;
  const listed: unknown[] = [];
  for await (const page of client.listPages(form.read.list, { signal, params: { since: String(at) } })) {
    listed.push(...page.items);
  }
  t.match(listed, [{ id, name: 'changed', rev: at }]);
});

test('a list by a field that is not the key has no stand-in, and is told', async (t) => {
  const definition = withRead({ pagination: keyset({ param: 'since', field: 'name' }), pageSize });
  const result = createStandIn(definition, { seed: 7, tickMs: 1_000, maxLagMs: 0, entities: { things: made } });
  t.match(result, { impossible: /^things: / });
});

test('webhooks come as the definition routes them: type in header and body, record where it is read, ids alone', async (t) => {
  const definition: IntegrationDefinition = {
    ...withRead({}),
    webhook: {
      signature: signatures.github({ secrets: [secret('NOBODY_HAS_IT')] }),
      batch: 'events',
      eventType: [
        { from: 'header', names: ['x-topic'] },
        { from: 'event', path: 'verb' },
      ],
      events: {
        'thing.*': { entity: 'things', record: 'payload.id', payload: 'id' },
        'thing.gone': { entity: 'things', record: 'payload', deletes: true },
      },
    },
  };
  const { standIn, records } = await start(t, definition);
  const receiver = await startReceiver(t);
  standIn.source.setWebhookUrl(new URL(receiver.url));
  const [id = ''] = idsOf(standIn);
  records.prepareUpdate(id, (record) => record)?.();
  await standIn.source.drain();
  records.remove(id);
  await standIn.source.drain();
  const [updated, deleted] = receiver.received.map(({ headers, body }) => ({
    topic: headers['x-topic'],
    body: JSON.parse(body),
  }));
  t.match(updated, { topic: 'thing', body: { events: [{ verb: 'updated', payload: { id } }] } });
  t.match(deleted, { topic: 'thing', body: { events: [{ verb: 'gone', payload: { id } }] } });
});

/** What a raw request is answered: clients of fetch mend such paths themselves. */
async function askRaw(port: number, path: string): Promise<number | undefined> {
  const headers = { authorization: 'Bearer made-up-for-the-check' };
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.once('error', reject);
  });
}

test('paths that are no URL and ids that are no text are answered, and the source goes on', async (t) => {
  const { port, standIn } = await start(t, withRead({}));
  t.equal(await askRaw(port, '//'), 400);
  t.equal(await askRaw(port, '/region/things/%ff'), 404);
  t.equal(await askRaw(port, `/region/things/${idsOf(standIn)[0]}`), 200);
});

test('each entity knows a repeated write by its own header', async (t) => {
  const withWrite = (name: string): EntityDefinition => ({
    ...thing,
    read: { list: { ...thing.read.list, path: `/${name}` }, get: { path: `/${name}/{id}` } },
    write: { update: { path: `/${name}/{id}` }, idempotency: { header: `X-${name}-Key` } },
  });
  const definition: IntegrationDefinition = {
    name: 'store',
    source: { baseUrl: 'https://api.example.com/v1' },
    entities: { first: withWrite('first'), second: withWrite('second') },
  };
  const result = createStandIn(definition, {
    seed: 7,
    tickMs: 1,
    maxLagMs: 0,
    entities: { first: made, second: made },
  });
  if ('impossible' in result) throw new Error(result.impossible);
  const { source, records, newId, random } = result.standIn;
  for (const ledger of records.values()) ledger.seed(made.makeRecord(newId(), random));
  const port = await source.start();
  t.teardown(() => source.close());
  for (const [name, ledger] of records) {
    const id = ledger.records.idAt(0) ?? '';
    const send = (header: string) =>
      fetch(`http://127.0.0.1:${port}/${name}/${id}`, {
        method: 'PATCH',
        headers: { authorization: 'Bearer made-up-for-the-check', 'content-type': 'application/json', [header]: name },
        body: JSON.stringify({ name: 'once' }),
      }).then((response) => response.arrayBuffer());
    await send(`x-${name}-key`);
    await send(`x-${name}-key`);
    t.match(source.writeCounts().byRecord[name]?.[id], { received: 2, executed: 1 }, name);
  }
});

test('with `apiGone` what is not there and the cursor of a page are answered 410, and a first page is not', async (t) => {
  const { standIn, port } = await start(t, withRead({ pagination: keyset({ param: 'after', field: 'id' }), pageSize }));
  standIn.source.set({ apiGone: 1 });
  const [first = ''] = idsOf(standIn);
  t.equal(await askRaw(port, '/region/things/1'), 410);
  t.equal(await askRaw(port, `/region/things/${first}`), 200);
  t.equal(await askRaw(port, '/region/things?limit=10'), 200);
  t.equal(await askRaw(port, `/region/things?limit=10&after=${first}`), 410);
  t.equal(standIn.source.counters.api.gone, 2);
});

test('an event with a partial payload holds the id, the version and what was changed', async (t) => {
  const events = { 'thing.updated': { entity: 'things', record: 'data', payload: 'partial' } } as const;
  const signature = signatures.standardWebhooks({ secrets: [secret('NOBODY_HAS_IT')] });
  const { standIn, records } = await start(t, { ...withRead({}), webhook: { signature, events } });
  const receiver = await startReceiver(t);
  standIn.source.setWebhookUrl(new URL(receiver.url));
  const [id = ''] = idsOf(standIn);
  records.prepareUpdate(id, (record) => ({ ...record, name: 'changed' }))?.();
  records.prepareUpdate(id, (record) => ({ ...record, colour: 'red' }))?.();
  await standIn.source.drain();
  const sent = receiver.received.map(({ body }) => Object.keys(JSON.parse(body).data).sort());
  t.strictSame(sent.sort(), [
    ['colour', 'id', 'rev'],
    ['id', 'name', 'rev'],
  ]);
});

test('a change that `lateCommit` draws is stamped at once and becomes visible later; `drain` waits for it', async (t) => {
  const { standIn, records } = await start(t, withRead({}));
  standIn.source.set({ lateCommit: 1, lateCommitMaxMs: 20 });
  const [id = '', other = ''] = idsOf(standIn);
  const commit = records.prepareUpdate(id, (record) => ({ ...record, name: 'late' }));
  if (commit !== null) standIn.source.commit(commit);
  records.prepareUpdate(other, (record) => ({ ...record, name: 'soon' }))?.();
  t.not(records.records.get(id)?.record.name, 'late');
  await standIn.source.drain();
  t.equal(records.records.get(id)?.record.name, 'late');
  t.ok((records.records.get(id)?.at ?? 0) < (records.records.get(other)?.at ?? 0), 'in the order of the stamps');
});

test('where ids come back the editor makes deleted records anew, stamped later than their deletion; else it does not', async (t) => {
  for (const deletes of [{}, { idsReturn: false }]) {
    const clock = createSourceClock({ nowMs: () => 1_700_000_000_000, tickMs: 1_000 });
    const changes: Change[] = [];
    const records = createLedger<JsonObject, JsonObject>(
      { name: 'things', order: 'time', idOf: ({ id }) => String(id), stamp: (draft, at) => ({ ...draft, rev: at }) },
      { clock, counters: createCounters(), announce: (change) => changes.push(change) },
    );
    let next = 0;
    const editor = createSourceEditor({
      ...{ records, entity: { ...thing, deletes }, own: made, random: createRandom(7, 'edits') },
      newId: () => String(++next),
      commit: (commit) => commit(),
    });
    for (let edit = 0; edit < 300; edit++) editor.edit({ canDelete: true });
    const back = changes.filter(({ verb, id }, index) => {
      const gone = changes.slice(0, index).findLast((change) => change.id === id && change.verb === 'deleted');
      return verb === 'created' && gone !== undefined;
    });
    t.equal(back.length > 0, deletes.idsReturn !== false);
    for (const { id, at } of back) {
      const deleted = changes.find((change) => change.id === id && change.verb === 'deleted');
      t.ok(at > (deleted?.at ?? 0), 'later than the deletion, within one tick too');
    }
  }
});

test('fields that follow from others follow every change of a record', async (t) => {
  const derive = (record: JsonObject) => ({ ...record, shout: String(record.name).toUpperCase() });
  const options = { seed: 7, tickMs: 1_000, maxLagMs: 0, entities: { things: { ...made, derive } } };
  const result = createStandIn(withRead({}), options);
  if ('impossible' in result) throw new Error(result.impossible);
  const records = result.standIn.records.get('things');
  records?.seed({ id: '1', name: 'a', rev: 0 });
  records?.prepareUpdate('1', (record) => ({ ...record, name: 'b' }))?.();
  t.match(records?.records.get('1')?.record, { name: 'b', shout: 'B' });
});

test('what a record was before is not written into its row as an edit: that would be none, or take one back', (t) => {
  const seen = [
    { name: 'Ada', email: 'ada@example.com' },
    { name: 'Grace', email: null },
  ];
  t.strictSame(newProperties(['name', 'email'], { name: 'Barbara', email: null }, seen), ['name']);
  t.strictSame(newProperties(['name', 'email'], { name: 'Ada', email: 'b@example.com' }, seen), ['email']);
  t.end();
});
