import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { defineConfig, defineIntegration, entity } from '../../src/define/define.ts';
import { describeConfig } from '../../src/define/specification/document.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { secret } from '../../src/lib/setting.ts';
import { field, withDefault } from '../../src/mapping/field.ts';
import { trim } from '../../src/mapping/transforms/text.ts';
import type { AuthDefinition } from '../../src/source/auth/auth.ts';
import type { SourceDefinition } from '../../src/source/definition.ts';
import { linkHeader } from '../../src/source/pagination/link-header.ts';

const CANARY = 'canary-7c1e';

const people = pgTable('people', { id: text('id').primaryKey(), name: text('name'), visits: integer('visits') });

const specify = (source: Partial<SourceDefinition>, write?: WriteDefinition<'id' | 'name' | 'visits'>): string =>
  describeConfig(
    defineConfig({
      integrations: [
        defineIntegration({
          name: 'crm',
          source: { baseUrl: 'https://crm.example/v1', ...source },
          entities: {
            people: entity({
              schema: z.object({ id: z.string(), name: z.string().nullish(), visits: z.number().nullish() }),
              key: 'id',
              version: { kind: 'none' },
              read: {
                list: { path: '/people', items: 'data', pagination: linkHeader() },
                get: { path: '/people/{id}' },
              },
              target: people,
              mapping: { id: field('id'), name: field('name', trim), visits: field('visits', withDefault(0)) },
              ...(write !== undefined && { write }),
            }),
          },
        }),
      ],
    }),
  );

test('the limits that a source declares are in its specification', async (t) => {
  const text = specify({
    rateLimits: [
      { requests: 100, per: '1m', weights: { 'GET /search': 5 } },
      { name: 'writes', match: 'POST /items', requests: 20, per: '1m', window: 'fixed', concurrent: 2 },
    ],
  });
  t.match(text, '| all requests | every request | 100 requests per 60 s, rolling |');
  t.match(text, '`GET /search` counts for 5');
  t.match(text, '| writes | `POST /items` | 20 requests per 60 s, fixed |');
  t.match(text, '| writes | `POST /items` | 2 at the same time |');
  t.match(specify({}), 'None is declared.');
});

test('what an answer means is in its specification, the rules of the source first', async (t) => {
  const text = specify({ failures: [{ status: 400, code: { path: 'error', equals: 'quota' }, then: 'rate_limited' }] });
  const rule = text.indexOf('| status `400` and `error` is `"quota"` | `rate_limited` | `rate_limited` |');
  t.ok(rule > 0);
  t.ok(text.indexOf('| `4xx` |  | `bad_request` |') > rule);
});

test('credentials are shown by the names of their variables, and never as they stand', async (t) => {
  const byName = specify({ auth: { kind: 'bearer', token: secret('CRM_TOKEN') } });
  t.match(byName, '| token | `secret(CRM_TOKEN)` |');
  const kinds: readonly AuthDefinition[] = [
    { kind: 'bearer', token: CANARY },
    { kind: 'api_key', header: 'x-key', value: CANARY },
    { kind: 'api_key', query: 'key', value: CANARY, prefix: 'Key ' },
  ];
  for (const auth of kinds) {
    const text = specify({ auth });
    t.notMatch(text, CANARY, auth.kind);
    t.match(text, 'not shown', auth.kind);
  }
});

test('every column is there with where it comes from, and a table cell holds no line break and no bar', async (t) => {
  const text = specify({});
  t.match(text, '### people → `people`');
  t.match(text, '| `name` | text | `name` | `trim` |');
  t.match(text, '| `visits` | integer | `visits` | default `0` |');
  const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  t.strictSame(headings, [
    'Pattern',
    'Source',
    'Authentication',
    'Rate limits',
    'Error handling',
    'Caching',
    'Data mapping and pagination',
    'Monitoring',
    'Production checklist',
    'Next steps',
  ]);
});

test('of a two-way entity it says what is sent, what is not and why, and how', async (t) => {
  const text = specify(
    {},
    {
      update: { path: '/people/{id}', ifMatch: true },
      create: { path: '/people' },
      conflict: { merge: 'manual' },
      fields: { name: 'target_wins' },
      createOnly: ['visits'],
      debounce: '1s',
    },
  );
  t.match(text, 'Two-way: edits of the rows of `people` are sent to the source.');
  t.match(text, '| column | type | from | steps | way back |');
  t.match(text, "| `id` | text | `id` |  | none: it is the record's id |");
  t.match(text, '| `name` | text | `name` | `trim` | yes |');
  t.match(text, '| `visits` | integer | `visits` | default `0` | when the record is created |');
  t.match(text, "| update | `PATCH /people/{id}`, what was edited, if the record's tag is still the same |");
  t.match(text, '| create | `POST /people`, nulls left out |');
  t.match(text, '| delete | never |');
  t.match(text, '| changed on both sides | `manual`, `name`: `target_wins` |');
  t.match(text, '| sent | 1s after the edit, 10 calls for one record in 10m at most |');
  t.match(text, /- people: nothing tells whether a create .* it waits for a person\./);
  t.notMatch(text, 'bound to no version');
});

test('of a mirror it says nothing of ways back', async (t) => {
  const text = specify({});
  t.match(text, 'Mirror: edits of the rows never reach the source.');
  t.notMatch(text, 'way back');
});
