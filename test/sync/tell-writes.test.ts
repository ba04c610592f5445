import { pgTable, text } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { defineConfig, defineIntegration, entity } from '../../src/define/define.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { field } from '../../src/mapping/field.ts';
import { join } from '../../src/mapping/transforms/text.ts';
import { tellWrites } from '../../src/sync/tell-writes.ts';

const people = pgTable('people', { id: text('id').primaryKey(), name: text('name'), tags: text('tags') });

const told = (write?: WriteDefinition<'id' | 'name' | 'tags'>) => {
  const lines: (readonly [level: string, fields: object, words: string])[] = [];
  const log = (level: string) => (fields: object, words: string) => void lines.push([level, fields, words]);
  const form = entity({
    schema: z.object({ id: z.string(), name: z.string(), tags: z.array(z.string()) }),
    key: 'id',
    version: { kind: 'none' },
    read: { list: { path: '/people', items: '', pagination: { kind: 'none' } }, get: { path: '/people/{id}' } },
    target: people,
    mapping: { id: field('id'), name: field('name'), tags: field('tags', join(',')) },
    ...(write !== undefined && { write }),
  });
  const crm = defineIntegration({
    name: 'crm',
    source: { baseUrl: 'https://crm.example' },
    entities: { people: form },
  });
  tellWrites(defineConfig({ integrations: [crm] }), { info: log('info'), warn: log('warn') });
  return lines;
};

test('the start tells of a two-way entity which properties are read-only and why', async (t) => {
  const lines = told({ update: { path: '/people/{id}', ifMatch: true } });
  t.strictSame(lines, [
    [
      'info',
      {
        integration: 'crm',
        entity: 'people',
        sent: ['name'],
        createOnly: [],
        readOnly: { id: "it is the record's id", tags: 'join has no way back' },
      },
      'two-way',
    ],
  ]);
});

test('the start warns of what a definition cannot promise', async (t) => {
  const warned = (write: WriteDefinition<'id' | 'name' | 'tags'>) =>
    told(write).flatMap(([level, , words]) => (level === 'warn' ? [words] : []));
  t.match(warned({ update: { path: '/people/{id}' } }), [/bound to no version/]);
  t.match(warned({ update: { path: '/people/{id}', ifMatch: true, sends: 'record' } }), [
    /not sent \(id, tags\): .* lost/,
  ]);
  t.match(warned({ create: { path: '/people' } }), [/waits for a person$/]);
  t.match(warned({ create: { path: '/people' }, onUnknownCreate: 'retry' }), [/hold the record twice$/]);
  t.match(
    warned({ create: { path: '/people' }, marker: { field: 'ref' } }),
    [/waits for a person$/],
    'no search by it',
  );
  t.strictSame(warned({ create: { path: '/people' }, idempotency: { header: 'idempotency-key' } }), []);
  t.strictSame(warned({ create: { path: '/people' }, marker: { field: 'ref', searchParam: 'ref' } }), []);
});

test('the start says nothing of a mirror', async (t) => {
  t.strictSame(told(), []);
});
