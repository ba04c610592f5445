import fc from 'fast-check';
import { test } from 'tap';
import { type EventRoute, type WebhookDefinition, webhookDefinitionSchema } from '../../src/webhook/definition.ts';
import { isPattern, prepareMatcher } from '../../src/webhook/event-pattern.ts';
import { inBody, inEvent } from '../../src/webhook/locator.ts';
import { MAX_BATCH_EVENTS, prepareRoutes, routeEvents, UNREADABLE_TYPE } from '../../src/webhook/routes.ts';
import { signatures } from '../../src/webhook/signatures.ts';

const signature = signatures.standardWebhooks({ secrets: ['whsec_AAAA'] });
const customers: EventRoute = { entity: 'customers', record: 'data' };
const define = (events: WebhookDefinition['events'], over: Partial<WebhookDefinition> = {}): WebhookDefinition => ({
  signature,
  events,
  ...over,
});
const route = (definition: WebhookDefinition, body: unknown, headers = {}) =>
  routeEvents(prepareRoutes(definition), body, headers);

test('an exact pattern goes before a wildcard, a longer wildcard before a shorter', async (t) => {
  const match = prepareMatcher(
    [
      '*',
      'customer.*',
      'customer.*.created',
      'customer.tax_id.*',
      'customer.created',
      'orders/*',
      'a.*.c',
      'a.b.*',
    ].map((text) => [text, text] as const),
  );
  for (const [type, expected] of [
    ['customer.created', 'customer.created'],
    ['customer.updated', 'customer.*'],
    ['customer.a.b.c', 'customer.*'],
    ['customer.card.created', 'customer.*.created'],
    ['customer.tax_id.created', 'customer.*.created'],
    ['customer.tax_id.gone', 'customer.tax_id.*'],
    ['customer', '*'],
    ['customer.', '*'],
    ['customer..created', 'customer.*'],
    ['orders/create', 'orders/*'],
    ['orders/', '*'],
    ['a.b.c', 'a.*.c'],
    ['__proto__', '*'],
  ] as const) {
    t.equal(match(type), expected, type);
  }
  t.equal(prepareMatcher([['a.*', 1]])('b.a'), null);
  t.equal(prepareMatcher([['a.*.c', 1]])('a.b.c.d'), null);
  t.equal(prepareMatcher<number>([])('constructor'), null);
});

test('a star is a wildcard only for a whole segment or at the end', async (t) => {
  for (const text of ['*', 'a.*', 'a.*.b', '*.a', 'a*', 'orders/*', 'a', 'constructor'])
    t.equal(isPattern(text), true, text);
  for (const text of ['', 'a*b', '*a', 'a*.b', '**', 'a.**', '*a.b']) t.equal(isPattern(text), false, text);
});

test('an exact type is matched exactly, whatever the type', async () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1 })), fc.string(), (types, type) => {
      const plain = types.filter((text) => !text.includes('*'));
      return prepareMatcher(plain.map((text) => [text, text]))(type) === (plain.includes(type) ? type : null);
    }),
  );
});

test('an event goes to every route of its type, with its record', async (t) => {
  const definition = define({
    'customer.*': customers,
    'customer.deleted': { ...customers, deletes: true },
    'order.paid': [
      { entity: 'orders', record: 'data.order', version: 'at' },
      { entity: 'customers', record: 'data.customer' },
    ],
  });
  t.same(route(definition, { type: 'customer.created', data: { id: 1 } }), {
    kind: 'routed',
    events: [
      {
        index: 0,
        eventType: 'customer.created',
        entity: 'customers',
        record: { id: 1 },
        isDelete: false,
        payload: 'full',
      },
    ],
    unknownTypes: [],
    problems: [],
  });
  t.match(route(definition, { type: 'customer.deleted', data: { id: 1 } }), { events: [{ isDelete: true }] });
  t.match(route(definition, { type: 'order.paid', at: 7, data: { order: { id: 2 }, customer: { id: 1 } } }), {
    events: [
      { entity: 'orders', record: { id: 2 }, version: 7 },
      { entity: 'customers', record: { id: 1 } },
    ],
  });
});

test('an unknown or unreadable type is told, and is no failure', async (t) => {
  const definition = define({ 'customer.created': customers });
  for (const [type, expected] of [
    ['invoice.paid', 'invoice.paid'],
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    ['toString', 'toString'],
    ['x'.repeat(10_000), UNREADABLE_TYPE],
    ['a\u0000', UNREADABLE_TYPE],
    [null, UNREADABLE_TYPE],
    [{ created: 1 }, UNREADABLE_TYPE],
  ] as const) {
    t.same(route(definition, { type, data: {} }), {
      kind: 'routed',
      events: [],
      unknownTypes: [expected],
      problems: [],
    });
  }
  for (const body of [null, 1, 'x', [], undefined]) {
    t.same(route(definition, body), { kind: 'routed', events: [], unknownTypes: [UNREADABLE_TYPE], problems: [] });
  }
});

test('a record that is not there is a problem of its event alone, told without its value', async (t) => {
  const definition = define({ '*': customers }, { batch: 'events' });
  const events = [
    { type: 'a', data: { id: 1 } },
    { type: 'b' },
    { type: 'c', data: 'secret' },
    { type: 'd', data: null },
    { type: 'e', data: [1] },
  ];
  const problem = { entity: 'customers', fieldPath: 'data', expected: 'an object' };
  t.same(route(definition, { events }), {
    kind: 'routed',
    events: [{ index: 0, eventType: 'a', entity: 'customers', record: { id: 1 }, isDelete: false, payload: 'full' }],
    unknownTypes: [],
    problems: [
      { index: 1, eventType: 'b', ...problem, received: 'missing' },
      { index: 2, eventType: 'c', ...problem, received: 'string' },
      { index: 3, eventType: 'd', ...problem, received: 'null' },
      { index: 4, eventType: 'e', ...problem, received: 'array' },
    ],
  });
});

test('a thin payload gives the id as text, from the record or from its own path', async (t) => {
  const definition = define({
    thin: { entity: 'customers', record: 'data.id', payload: 'id' },
    apart: { entity: 'customers', record: 'data', payload: 'id', id: 'ref' },
  });
  t.match(route(definition, { type: 'thin', data: { id: 42 } }), { events: [{ record: '42', payload: 'id' }] });
  t.match(route(definition, { type: 'apart', ref: 'cus_1' }), { events: [{ record: 'cus_1' }] });
  for (const id of [null, '', {}, [], true, 1.5, 2 ** 60, undefined]) {
    t.match(
      route(definition, { type: 'thin', data: { id } }),
      { events: [], problems: [{ fieldPath: 'data.id', expected: 'a text or a whole number' }] },
      JSON.stringify(id),
    );
  }
  t.match(route(definition, { type: 'apart' }), { problems: [{ fieldPath: 'ref', received: 'missing' }] });
});

test('a partial payload carries the version that it was made from, when it has one', async (t) => {
  const definition = define({ a: { ...customers, payload: 'partial', previousVersion: 'prev', version: 'next' } });
  t.match(route(definition, { type: 'a', data: {}, prev: 3, next: null }), {
    events: [{ payload: 'partial', previousVersion: 3, version: null }],
  });
  const without = route(definition, { type: 'a', data: {} });
  t.equal(without.kind === 'routed' && 'previousVersion' in (without.events[0] ?? {}), false);
});

test('a delete can be told by a value in the event', async (t) => {
  const one = define({ a: { ...customers, deletes: { path: 'action', equals: 'removed' } } });
  const several = define({ a: { ...customers, deletes: { path: 'data.state', equals: ['gone', 0, null] } } });
  const isDelete = (definition: WebhookDefinition, body: object) => {
    const routing = route(definition, { type: 'a', data: {}, ...body });
    return routing.kind === 'routed' && routing.events[0]?.isDelete;
  };
  t.equal(isDelete(one, { action: 'removed' }), true);
  t.equal(isDelete(one, { action: 'added' }), false);
  t.equal(isDelete(one, {}), false);
  for (const state of ['gone', 0, null]) t.equal(isDelete(several, { data: { state } }), true);
  for (const state of ['0', false, undefined]) t.equal(isDelete(several, { data: { state } }), false);
});

test('a batch is split, wherever its list stands', async (t) => {
  const event = { type: 'a', data: { id: 1 } };
  for (const batch of ['', '$']) {
    t.match(route(define({ a: customers }, { batch }), [event, event]), { events: [{ index: 0 }, { index: 1 }] });
  }
  t.match(route(define({ a: customers }, { batch: 'x.events' }), { x: { events: [event] } }), {
    events: [{ index: 0 }],
  });
  t.same(route(define({ a: customers }, { batch: 'events' }), { events: [] }), {
    kind: 'routed',
    events: [],
    unknownTypes: [],
    problems: [],
  });
  const ids = define({ '*': { entity: 'accounts', record: '', payload: 'id' } }, { batch: 'accounts', eventType: [] });
  t.match(route(ids, { accounts: ['a', 'b'] }), { events: [{ record: 'a' }, { record: 'b' }] });
});

test('the type of a batched event can come from the event, the body and the header', async (t) => {
  const definition = define(
    { 'page.feed': customers },
    { batch: 'entry', eventType: [inBody('object'), inEvent('field')] },
  );
  t.match(route(definition, { object: 'page', entry: [{ field: 'feed', data: {} }, { field: 'likes' }] }), {
    events: [{ index: 0, eventType: 'page.feed' }],
    unknownTypes: ['page.likes'],
  });
  const github = define(
    { 'issues.opened': { entity: 'issues', record: 'issue' } },
    { signature: signatures.github({ secrets: ['s'] }) },
  );
  t.match(route(github, { action: 'opened', issue: { id: 1 } }, { 'x-github-event': 'issues' }), {
    events: [{ record: { id: 1 } }],
  });
});

test('a batch that is no list, or too long, is refused whole', async (t) => {
  const definition = define({ a: customers }, { batch: 'events' });
  t.same(route(definition, {}), { kind: 'refused', reason: 'batch_missing', fieldPath: 'events', received: 'missing' });
  t.same(route(definition, { events: { 0: {} } }), {
    kind: 'refused',
    reason: 'batch_missing',
    fieldPath: 'events',
    received: 'object',
  });
  const long = Array(MAX_BATCH_EVENTS + 1).fill(null);
  t.same(route(definition, { events: long }), {
    kind: 'refused',
    reason: 'batch_too_large',
    count: MAX_BATCH_EVENTS + 1,
    maxCount: MAX_BATCH_EVENTS,
  });
  t.match(route(definition, { events: long.slice(1) }), { kind: 'routed' });
});

test('routing never throws, whatever JSON came', async () => {
  const prepared = prepareRoutes(
    define(
      { '*': [customers, { entity: 'x', record: 'data.0', payload: 'id', version: 'v' }] },
      { eventType: [inEvent('type'), inBody('a.b')] },
    ),
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.record({ type: fc.jsonValue(), data: fc.jsonValue() })), (body) => {
      const routing = prepared(body, {});
      return routing.kind === 'routed' && routing.events.length + routing.problems.length <= 2;
    }),
  );
});

test('a definition with a mistake is refused, and the problem names its place', async (t) => {
  t.equal(webhookDefinitionSchema.safeParse(define({ a: customers })).success, true);
  const bad: [object, string][] = [
    [{ events: { 'a*b': customers } }, 'events.a*b'],
    [{ events: { a: { entity: '', record: '' } } }, 'events.a.0.entity'],
    [{ events: { a: [customers, { ...customers, record: 'a..b' }] } }, 'events.a.1.record'],
    [{ events: { a: { ...customers, id: 'id' } } }, 'events.a.0.id'],
    [{ events: { a: { ...customers, payload: 'thin' } } }, 'events.a.0.payload'],
    [{ events: { a: { ...customers, delete: true } } }, 'events.a.0'],
    [{ events: { a: [] } }, 'events.a'],
    [{ events: { a: customers }, eventType: [] }, 'events.a'],
    [{ batch: 'a.[' }, 'batch'],
    [{ maxBodyBytes: 0 }, 'maxBodyBytes'],
    [{ signature: { ...signature, secrets: [] } }, 'signature.secrets'],
    [{ signature: { ...signature, secrets: [''] } }, 'signature.secrets.0'],
  ];
  for (const [over, path] of bad) {
    const result = webhookDefinitionSchema.safeParse({ ...define({ a: customers }), ...over });
    t.equal(result.error?.issues[0]?.path.join('.'), path, JSON.stringify(over));
  }
});
