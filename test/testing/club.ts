import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { z } from 'zod';
import {
  bearer,
  cursor,
  defineIntegration,
  type EntityDefinition,
  entity,
  env,
  field,
  type IntegrationDefinition,
  isoDate,
  lowercase,
  secret,
  signatures,
  trim,
} from '../../src/index.ts';
import type { StandInEntity } from '../../src/testing/index.ts';

export const people = pgTable('people', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  email: text('email'),
  score: integer('score').notNull(),
  updatedAt: timestamp('updated_at', { withTimezone: true }),
});

/** Without a column for the time of the last change. */
export const plainPeople = pgTable('people', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  email: text('email'),
  score: integer('score').notNull(),
});

export const personSchema = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string().nullable(),
  score: z.int(),
  updated_at: z.string(),
});

export const person = entity({
  schema: personSchema,
  key: 'id',
  version: { kind: 'timestamp', field: 'updated_at' },
  deletes: { idsReturn: false },
  readLag: '300ms',
  read: {
    list: {
      path: '/people',
      items: 'data',
      pagination: cursor({ param: 'page_token', next: 'meta.next' }),
      pageSize: { param: 'limit', size: 10 },
    },
    changedSince: { param: 'since', overlap: '5s' },
    get: { path: '/people/{id}' },
  },
  target: people,
  mapping: {
    id: field('id'),
    name: field('name', trim),
    email: field('email', lowercase),
    score: field('score'),
    updatedAt: field('updated_at', isoDate),
  },
});

/** A definition as it should be; each test spoils one thing of it. */
export const definition = defineIntegration({
  name: 'club',
  source: { baseUrl: env('CLUB_URL'), auth: bearer({ token: secret('CLUB_TOKEN') }) },
  webhook: {
    signature: signatures.stripe({ secrets: [secret('CLUB_SECRET')] }),
    events: {
      'person.updated': { entity: 'people', record: 'data.object' },
      'person.deleted': { entity: 'people', record: 'data.object', deletes: true },
    },
  },
  entities: {
    people: person,
  },
});

export const made: StandInEntity = {
  makeRecord: (id, random) => ({
    id,
    name: ` ${random.pick(['Ada', 'Grace', 'Edsger', 'Barbara'])} ${random.text(4)}`,
    email: random.chance(0.2) ? null : `${random.text(5)}@Example.com`,
    score: random.whole(0, 1_000),
    updated_at: '',
  }),
};

export const withEntity = (change: Partial<EntityDefinition>): IntegrationDefinition => ({
  ...definition,
  entities: { people: { ...person, ...change } },
});

/** Everything goes both ways. */
export const write = {
  update: { path: '/people/{id}', ifMatch: true },
  create: { path: '/people' },
  delete: { path: '/people/{id}' },
  localDeletes: 'push',
  idempotency: { header: 'Idempotency-Key' },
} as const;
