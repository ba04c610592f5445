import { inspect } from 'node:util';
import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import fc from 'fast-check';
import { test } from 'tap';
import { z } from 'zod';
import { checkConfig } from '../../src/define/check-config.ts';
import { entity } from '../../src/define/define.ts';
import { env, secret } from '../../src/lib/setting.ts';
import { constant, deletedAt, field, fields, syncedAt, withDefault } from '../../src/mapping/field.ts';
import { concat, lowercase } from '../../src/mapping/transforms/text.ts';
import { isoDate } from '../../src/mapping/transforms/time.ts';
import { bearer } from '../../src/source/auth/bearer.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { offset } from '../../src/source/pagination/offset.ts';
import { signatures } from '../../src/webhook/signatures.ts';

const customers = pgTable('customers', {
  id: text('id').primaryKey(),
  email: text('email'),
  name: text('name').notNull(),
  orders: integer('orders'),
  serial: integer('serial').generatedAlwaysAsIdentity(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
  syncedAt: timestamp('synced_at', { withTimezone: true }).notNull(),
  deletedAt: timestamp('deleted_at', { withTimezone: true }),
});
const schema = z.object({
  id: z.string(),
  email: z.string().nullish(),
  name: z.string(),
  updated_at: z.string(),
  address: z.object({ line1: z.string() }),
});

const mapping = {
  id: field('id'),
  email: field('email', lowercase),
  name: field('name'),
  updatedAt: field('updated_at', isoDate),
  syncedAt: syncedAt(),
};
const read = {
  list: { path: '/customers', items: 'data', pagination: cursor({ param: 'after', next: 'next' }) },
  changedSince: { param: 'since', overlap: '5m' },
  get: { path: '/customers/{id}' },
} as const;
const form = entity({
  schema,
  key: 'id',
  version: { kind: 'timestamp', field: 'updated_at' },
  read,
  target: customers,
  mapping,
  reconcile: { incremental: '*/5 * * * *', full: '0 3 * * *' },
});
const SECRET = 'whsec_c3VwZXItc2VjcmV0LWNhbmFyeS12YWx1ZQ==';
const environment = { SHOP_URL: 'https://shop.example/v1', SHOP_TOKEN: 'token-canary', SHOP_SECRET: SECRET };
const integration = {
  name: 'shop',
  source: { baseUrl: env('SHOP_URL'), auth: bearer({ token: secret('SHOP_TOKEN') }) },
  webhook: {
    signature: signatures.standardWebhooks({ secrets: [secret('SHOP_SECRET')] }),
    events: { 'customer.*': { entity: 'customers', record: 'data' } },
  },
  entities: { customers: form },
};
const config = { integrations: [integration] };

const problemsOf = (definition: unknown, names: Record<string, string | undefined> = environment) => {
  const result = checkConfig(definition, names);
  return result.ok ? {} : Object.fromEntries(result.problems.map(({ path, problem }) => [path, problem]));
};
const withEntity = (change: object) => ({
  integrations: [{ ...integration, entities: { customers: { ...form, ...change } } }],
});
const withIntegration = (change: object) => ({ integrations: [{ ...integration, ...change }] });
const E = 'integrations[0].entities.customers';

test('a sound definition comes back as it is', async (t) => {
  const result = checkConfig(config, environment);
  t.strictSame(problemsOf(config), {});
  t.equal(result.ok && result.definition, config);
});

test('every problem is told at once, each at its place', async (t) => {
  const found = problemsOf(
    {
      integrations: [
        {
          ...integration,
          name: 'Shop!',
          fulll: 1,
          entities: { customers: { ...form, key: 'uid', readLag: 'soon', reconcile: { full: 'nightly', fulll: '' } } },
        },
        {
          ...integration,
          name: 'other',
          source: { baseUrl: 'ftp://x' },
          webhook: { ...integration.webhook, events: { 'a.b': { entity: 'orders', record: 'data' } } },
        },
      ],
      extra: true,
    },
    { SHOP_URL: environment.SHOP_URL, SHOP_SECRET: '' },
  );
  t.same(Object.keys(found).sort(), [
    'extra',
    'integrations[0].entities.customers.key',
    'integrations[0].entities.customers.mapping',
    'integrations[0].entities.customers.readLag',
    'integrations[0].entities.customers.reconcile.full',
    'integrations[0].entities.customers.reconcile.fulll',
    'integrations[0].fulll',
    'integrations[0].name',
    'integrations[0].source.auth.token',
    'integrations[0].webhook.signature.secrets[0]',
    'integrations[1].source.baseUrl',
    "integrations[1].webhook.events['a.b'].entity",
    'integrations[1].webhook.signature.secrets[0]',
  ]);
  t.match(found['integrations[0].source.auth.token'], /SHOP_TOKEN, which is not set/);
  t.match(found['integrations[0].webhook.signature.secrets[0]'], /SHOP_SECRET, which is empty/);
  t.match(found["integrations[1].webhook.events['a.b'].entity"], /it has customers/);
});

test('what is wrong inside an entity is named by its own path', async (t) => {
  const cases: [object, string, RegExp][] = [
    [{ schema: {} }, `${E}.schema`, /zod schema/],
    [{ schema: undefined }, `${E}.schema`, /zod schema/],
    [{ key: '' }, `${E}.key`, /path/],
    [{ key: 'a..b' }, `${E}.key`, /keys joined by dots/],
    [{ targetKey: 'nope' }, `${E}.targetKey`, /mapping fills/],
    [{ targetKey: 'syncedAt' }, `${E}.targetKey`, /mapping fills/],
    [{ mapping: { ...mapping, id: field('name') } }, `${E}.mapping`, /targetKey/],
    [{ version: { kind: 'timestamp', field: 'changed_at' } }, `${E}.version.field`, /nothing at changed_at/],
    [{ version: { kind: 'time', field: 'x' } }, `${E}.version.kind`, /./],
    [{ version: { kind: 'counter', field: 'name', format: 'iso' } }, `${E}.version.format`, /no option/],
    [{ only: 'x' }, `${E}.only`, /function/],
    [{ read: { ...read, list: { ...read.list, path: 'customers' } } }, `${E}.read.list.path`, /begins with \//],
    [{ read: { ...read, list: { ...read.list, path: '/{shop}/customers' } } }, `${E}.read.list.path`, /params/],
    [{ read: { ...read, get: { path: '/customers' } } }, `${E}.read.get.path`, /\{id\}/],
    [{ read: { ...read, changedSince: { param: 'since', format: 'raw' } } }, `${E}.read.changedSince.format`, /iso/],
    [
      { read: { ...read, changedSince: { param: 'since', overlap: '5 minutes' } } },
      `${E}.read.changedSince.overlap`,
      /duration/,
    ],
    [
      { read: { ...read, get: { path: '/graphql', idParam: 'ids', graphql: { query: 'query ($id: ID) { x }' } } } },
      `${E}.read.get.idParam`,
      /no variable \$ids/,
    ],
    [
      {
        read: {
          ...read,
          getMany: { path: '/many', idsParam: 'a..b', paramsIn: 'body', method: 'POST', items: '', key: 'id' },
        },
      },
      `${E}.read.getMany.idsParam`,
      /keys joined by dots/,
    ],
    [
      { read: { ...read, list: { ...read.list, graphql: { query: 'query ($after: ID) { x }' } } } },
      `${E}.read.changedSince.param`,
      /no variable \$since/,
    ],
    [{ read: { list: read.list } }, `${E}.reconcile.incremental`, /changedSince/],
    [{ version: { kind: 'none' } }, `${E}.read.changedSince`, /version/],
    [
      { version: { kind: 'none' }, read: { list: read.list }, reconcile: {}, deletes: { events: 'versioned' } },
      `${E}.deletes.events`,
      /versioned/,
    ],
    [{ deletes: { event: 'versioned' } }, `${E}.deletes.event`, /no option/],
    [{ reconcile: { full: '61 * * * *' } }, `${E}.reconcile.full`, /cron/],
    [{ reconcile: { deletions: { maxShare: 2 } } }, `${E}.reconcile.deletions.maxShare`, /./],
    [{ target: { id: 1 } }, `${E}.target`, /drizzle/],
    [{ reed: {} }, `${E}.reed`, /no option/],
    [
      { mapping: { ...mapping, emial: field('email') } },
      `${E}.mapping.emial`,
      /no property of this name; it has id, email/,
    ],
    [{ mapping: { ...mapping, email: field('emial') } }, `${E}.mapping.email`, /nothing at emial/],
    [
      { mapping: { ...mapping, email: fields(['address.line1', 'address.line2'], concat(' ')) } },
      `${E}.mapping.email`,
      /address\.line2/,
    ],
    [{ mapping: { ...mapping, serial: constant(1) } }, `${E}.mapping.serial`, /database/],
    [{ mapping: { ...mapping, orders: constant('many') } }, `${E}.mapping.orders`, /integer/],
    [{ mapping: { ...mapping, orders: field('name', withDefault(1.5)) } }, `${E}.mapping.orders`, /integer/],
    [{ mapping: { ...mapping, name: constant(null) } }, `${E}.mapping.name`, /null/],
    [{ mapping: { ...mapping, name: syncedAt() } }, `${E}.mapping.name`, /timestamp column, got text/],
    [{ mapping: { ...mapping, syncedAt: deletedAt() } }, `${E}.mapping.syncedAt`, /null/],
    [{ mapping: { ...mapping, updatedAt: deletedAt(), deletedAt: deletedAt() } }, `${E}.mapping`, /more than once/],
    [{ mapping: { ...mapping, email: 'email' } }, `${E}.mapping.email`, /expected field/],
    [{ mapping: { id: field('id'), syncedAt: syncedAt() } }, `${E}.mapping.name`, /NOT NULL/],
  ];
  for (const [change, path, words] of cases) {
    const found = problemsOf(withEntity(change));
    t.match(found[path] ?? `nothing at ${path}, but at ${Object.keys(found).join(', ')}`, words, path);
  }
});

test('what is wrong between webhooks, source and entities is named', async (t) => {
  const events = (route: object) =>
    withIntegration({
      webhook: { ...integration.webhook, events: { x: { entity: 'customers', record: 'data', ...route } } },
    });
  const E2 = 'integrations[0].webhook.events.x';
  t.strictSame(problemsOf(events({ payload: 'partial', previousVersion: 'old.updated_at' })), {});
  t.strictSame(problemsOf(events({ payload: 'id' })), {});
  const noGet = { ...integration, entities: { customers: { ...form, read: { list: read.list }, reconcile: {} } } };
  const idOnly = { x: { entity: 'customers', record: 'data', payload: 'id' } };
  t.match(problemsOf({ integrations: [{ ...noGet, webhook: { ...integration.webhook, events: idOnly } }] }), {
    [`${E2}.payload`]: /read\.get/,
  });
  const open = { ...integration, entities: { customers: { ...form, schema: z.unknown() } } };
  const partial = { x: { entity: 'customers', record: 'data', payload: 'partial' } };
  t.match(problemsOf({ integrations: [{ ...open, webhook: { ...integration.webhook, events: partial } }] }), {
    [`${E2}.payload`]: /z\.object/,
  });
  t.match(problemsOf({ integrations: [integration, integration] }), { 'integrations[1].name': /integrations\[0\]/ });
  t.match(problemsOf(withIntegration({ entities: {} })), { 'integrations[0].entities': /at least one/ });
  t.match(problemsOf(withIntegration({ entities: { 'Big Ones': form } })), {
    "integrations[0].entities['Big Ones']": /small letters/,
  });
  t.match(problemsOf({ integrations: [] }), { integrations: /at least one/ });
  for (const nothing of [null, undefined, 5, 'x', [], () => 1])
    t.ok(Object.keys(problemsOf(nothing)).length > 0, inspect(nothing));
});

test('no problem shows a secret or any other value of the environment', async (t) => {
  const names = {
    SHOP_URL: 'https://user:canary-password@shop.example',
    SHOP_TOKEN: 'canary\ntoken',
    SHOP_SECRET: 'whsec_canary secret!',
  };
  const result = checkConfig(config, names);
  t.equal(result.ok, false);
  t.ok(Object.keys(problemsOf(config, names)).length >= 3);
  t.notMatch(JSON.stringify(result), /canary/);
  const sound = checkConfig(config, environment);
  for (const shown of [JSON.stringify([integration.source, integration.webhook]), inspect(sound, { depth: 20 })]) {
    t.notMatch(shown, /canary/);
    t.notOk(shown.includes(SECRET));
  }
});

test('a definition of any shape gives problems, never an exception', async () => {
  const near = fc.record({
    integrations: fc.array(
      fc.record(
        {
          name: fc.anything(),
          source: fc.anything(),
          webhook: fc.anything(),
          entities: fc.dictionary(fc.string(), fc.oneof(fc.anything(), fc.constant(form))),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 3 },
    ),
  });
  fc.assert(
    fc.property(fc.oneof(fc.anything(), near), (definition) => !checkConfig(definition, {}).ok),
    { numRuns: 500 },
  );
});

test('pagination that does not fit its list is told with the entity', async (t) => {
  const list = { ...read.list, pagination: offset({ param: 'skip' }) };
  t.match(problemsOf(withEntity({ read: { ...read, list } })), { [`${E}.read.list.pageSize`]: /needed beside offset/ });
});
