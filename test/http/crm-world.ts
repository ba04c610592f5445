import type { Test } from 'tap';
import type { EntityDefinition, IntegrationDefinition } from '../../src/define/definition.ts';
import type { WriteDefinition } from '../../src/define/write.ts';
import { CREATE_CONTACTS, type Crm, contact, crmDefinition, startCrm } from '../app/crm.ts';
import { startTestApp, type TestApp, type TestAppOptions } from '../app/setup.ts';

export type PushDocument = {
  readonly id: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly recordId: string | null;
  readonly parked: string | null;
};
export type RecordDocument = {
  readonly id: string | null;
  readonly status: string;
  readonly etag: string;
  readonly row: Record<string, unknown> | null;
  readonly twoWay: {
    key: string;
    dirty: string[];
    conflict: { id: string } | null;
    pushes: PushDocument[];
  } | null;
  readonly history: { decision: string; by: { kind: string; id: string } }[];
};
export type Answer = { readonly record: RecordDocument | null; readonly push: PushDocument | null };

type Change = {
  readonly mapping?: EntityDefinition['mapping'];
  readonly without?: readonly (keyof WriteDefinition)[];
  readonly settings?: TestAppOptions['settings'];
  /** Another table of the same columns. */
  readonly target?: EntityDefinition['target'];
  readonly table?: string;
};

/** The CRM's definition, with other mappings of some properties, and without some of what it says of writes. */
function definitionOf(write: WriteDefinition, { mapping = {}, without = [], target }: Change): IntegrationDefinition {
  const definition = crmDefinition(write);
  const { contacts } = definition.entities;
  if (contacts?.write === undefined) throw new Error('Contacts are two-way');
  const kept = Object.entries(contacts.write).filter(([name]) => !without.some((one) => one === name));
  return {
    ...definition,
    entities: {
      ...definition.entities,
      contacts: {
        ...contacts,
        mapping: { ...contacts.mapping, ...mapping },
        write: Object.fromEntries(kept),
        ...(target === undefined ? {} : { target }),
      },
    },
  };
}

/** A server with the CRM's contacts, two-way, and one to whom the routes are called. */
export async function startWorld(t: Test, write: WriteDefinition = {}, change: Change = {}) {
  const crm = await startCrm(t);
  const app = await startTestApp(t, {
    definitions: [definitionOf(write, change)],
    apiUrl: crm.origin,
    tables: change.table ?? CREATE_CONTACTS,
    ...(change.settings === undefined ? {} : { settings: change.settings }),
  });
  const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    fetch(app.address + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  const read = (id: string) => json<RecordDocument>(app.get(`/records/crm/contacts/${encodeURIComponent(id)}`));
  return { crm, app, send, read };
}

/** Records that are known here and there. */
export async function load(app: TestApp, crm: Crm, ids: readonly string[]): Promise<void> {
  for (const id of ids) crm.records.set(id, contact(id));
  await reconcile(app);
}

export async function reconcile(app: TestApp): Promise<void> {
  const wish = { integration: 'crm', entity: 'contacts', mode: 'full' };
  const response = await app.post('/sync/reconcile?wait=true', JSON.stringify(wish));
  if (response.status !== 200) throw new Error(`Not reconciled: ${response.status}`);
}

export const json = async <T>(response: Response | Promise<Response>): Promise<T> =>
  (await response).json() as Promise<T>;
