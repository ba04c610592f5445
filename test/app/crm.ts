import { createServer, type IncomingMessage } from 'node:http';
import { boolean, date, integer, jsonb, numeric, pgTable, text, timestamp, varchar } from 'drizzle-orm/pg-core';
import type { Test } from 'tap';
import { z } from 'zod';
import type { EntityDefinition, IntegrationDefinition } from '../../src/define/definition.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { env } from '../../src/lib/setting.ts';
import { constant, field, syncedAt } from '../../src/mapping/field.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { createGate } from '../helpers/gate.ts';
import { listenFor } from '../helpers/listen.ts';

/** What the tests of edits through the API work with: one entity that takes writes, in a table with columns of most kinds. */
const contacts = pgTable('crm_contacts', {
  externalId: text('external_id').primaryKey(),
  email: text('email_address').notNull(),
  name: varchar('name', { length: 20 }),
  balance: numeric('balance', { precision: 12, scale: 2 }),
  age: integer('age'),
  isActive: boolean('is_active'),
  bornOn: date('born_on', { mode: 'string' }),
  tags: jsonb('tags'),
  revision: integer('revision'),
  system: text('system').notNull(),
  changedAt: timestamp('changed_at', { withTimezone: true, mode: 'string' }),
  syncedAt: timestamp('synced_at', { withTimezone: true }),
});
export const CREATE_CONTACTS = `CREATE TABLE crm_contacts (external_id text PRIMARY KEY, email_address text NOT NULL,
  name varchar(20), balance numeric(12, 2), age integer, is_active boolean, born_on date, tags jsonb, revision integer,
  system text NOT NULL, changed_at timestamptz, synced_at timestamptz, CONSTRAINT age_is_no_guess CHECK (age <> 99))`;

export type Contact = {
  readonly id: string;
  readonly rev: number;
  readonly email: string;
  readonly name: string | null;
  readonly balance: string | null;
  readonly age: number | null;
  readonly active: boolean | null;
  readonly born: string | null;
  readonly tags: unknown;
  readonly changed: string;
};

export const contact = (id: string, changes: Partial<Contact> = {}): Contact => ({
  id,
  rev: 1,
  email: `${id}@example.com`,
  name: `Name of ${id}`,
  balance: '10.50',
  age: 30,
  active: true,
  born: '1990-01-31',
  tags: { a: 1 },
  changed: '2026-01-31T00:00:00Z',
  ...changes,
});

const contactsEntity: Omit<EntityDefinition, 'write'> = {
  schema: z.object({
    id: z.string(),
    rev: z.number(),
    email: z.string(),
    name: z.string().nullable(),
    balance: z.string().nullable(),
    age: z.number().nullable(),
    active: z.boolean().nullable(),
    born: z.string().nullable(),
    tags: z.json(),
    changed: z.string(),
  }),
  key: 'id',
  version: { kind: 'counter', field: 'rev' },
  readLag: '0s',
  read: {
    list: { path: '/contacts', items: 'data', pagination: cursor({ param: 'after', next: 'next' }) },
    get: { path: '/contacts/{id}' },
  },
  target: contacts,
  mapping: {
    externalId: field('id'),
    email: field('email'),
    name: field('name'),
    balance: field('balance'),
    age: field('age'),
    isActive: field('active'),
    bornOn: field('born'),
    tags: field('tags'),
    revision: field('rev'),
    system: constant('crm'),
    changedAt: field('changed'),
    syncedAt: syncedAt(),
  },
};

export const crmDefinition = (write: WriteDefinition = {}): IntegrationDefinition => ({
  name: 'crm',
  source: { baseUrl: env('SHOP_API_URL') },
  entities: {
    contacts: {
      ...contactsEntity,
      write: {
        update: { path: '/contacts/{id}' },
        create: { path: '/contacts' },
        delete: { path: '/contacts/{id}' },
        localDeletes: 'push',
        readOnly: ['revision', 'changedAt'],
        debounce: '1ms',
        ...write,
      },
    },
    mirrored: contactsEntity,
  },
});

type Call = {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
};
type Answer = { readonly status: number; readonly body?: unknown } | 'hang_up';

export type Crm = {
  readonly origin: string;
  readonly records: Map<string, Contact>;
  /** Requests that would change something. */
  readonly writes: Call[];
  /** Before each write; an answer in place of carrying it out, or after (`isDone`) it was. */
  gate: (call: Call) => Promise<Answer | undefined> | Answer | undefined;
  /** Once it was carried out. */
  afterwards: (call: Call) => Answer | undefined;
};

/** A CRM that takes writes: every one makes another revision, and names are trimmed. */
export async function startCrm(t: Test): Promise<Crm> {
  const crm: Omit<Crm, 'origin'> = {
    records: new Map(),
    writes: [],
    gate: () => undefined,
    afterwards: () => undefined,
  };
  let created = 0;
  const carryOut = ({ method, path, body }: Call): { status: number; body?: unknown } => {
    const id = decodeURIComponent(path.slice('/contacts/'.length));
    const known = crm.records.get(id);
    if (method === 'POST') {
      created += 1;
      const made = normal({ ...contact(`new${created}`), ...(body as object), id: `new${created}`, rev: 1 });
      crm.records.set(made.id, made);
      return { status: 201, body: made };
    }
    if (known === undefined) return { status: 404, body: {} };
    if (method === 'DELETE') {
      crm.records.delete(id);
      return { status: 204 };
    }
    const changed = normal({ ...known, ...(body as object), rev: known.rev + 1 });
    crm.records.set(id, changed);
    return { status: 200, body: changed };
  };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://crm');
    const send = (answer: Answer) => {
      if (answer === 'hang_up') return response.destroy();
      const { status, body } = answer;
      return response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(body === undefined ? '' : JSON.stringify(body));
    };
    if (request.method === 'GET') {
      if (pathname === '/contacts') return send({ status: 200, body: { data: [...crm.records.values()], next: null } });
      const found = crm.records.get(decodeURIComponent(pathname.slice('/contacts/'.length)));
      return send(found === undefined ? { status: 404, body: {} } : { status: 200, body: found });
    }
    let sent = '';
    for await (const chunk of request) sent += chunk;
    const call = {
      method: request.method ?? '',
      path: pathname,
      body: sent === '' ? null : JSON.parse(sent),
      headers: request.headers,
    };
    crm.writes.push(call);
    const instead = await crm.gate(call);
    if (instead !== undefined) return send(instead);
    const done = carryOut(call);
    return send(crm.afterwards(call) ?? done);
  });
  const port = await listenFor(t, server);
  return Object.assign(crm, { origin: `http://127.0.0.1:${port}` });
}

const normal = (one: Contact): Contact => ({ ...one, name: one.name?.trim() ?? null });

/** Writes arrive and are not carried out until they are released. `called`: the first of them has arrived. */
export function holdWrites(crm: Pick<Crm, 'gate'>, isHeld: (call: Call) => boolean = () => true) {
  const [called, gate] = [createGate(), createGate()];
  crm.gate = async (call) => {
    if (!isHeld(call)) return undefined;
    called.open();
    await gate.opened;
    return undefined;
  };
  return { called: called.opened, release: gate.open };
}
