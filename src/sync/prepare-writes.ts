import type { EntityDefinition } from '../define/definition.ts';
import type { CreateDefinition, DeleteDefinition, UpdateDefinition, WriteDefinition } from '../define/write.ts';
import type { TwoWay, WriteEndpoint } from './two-way.ts';

/** The endpoints of an entity's writes with their defaults filled in. */
export const prepareWrites = (form: EntityDefinition, write: WriteDefinition): TwoWay['writes'] => ({
  update: write.update === undefined ? null : updateOf(form, write.update),
  create: write.create === undefined ? null : createOf(form, write.create),
  delete: write.delete === undefined ? null : deleteOf(write.delete),
});

const updateOf = (form: EntityDefinition, update: UpdateDefinition): WriteEndpoint => ({
  ...common(update),
  method: update.method ?? (update.graphql === undefined ? 'PATCH' : 'POST'),
  sends: update.sends ?? 'changes',
  nulls: 'send',
  bodyAt: update.bodyAt ?? '',
  recordAt: recordAt(form, update),
  idAt: null,
  ifMatch: ifMatchOf(update),
  graphql: graphqlOf(update.graphql),
});

const createOf = (form: EntityDefinition, create: CreateDefinition): WriteEndpoint => ({
  ...common(create),
  method: create.method ?? 'POST',
  sends: create.sends ?? 'record',
  nulls: create.nulls ?? 'omit',
  bodyAt: create.bodyAt ?? '',
  recordAt: create.id === undefined ? recordAt(form, create) : null,
  idAt: create.id ?? null,
  ifMatch: null,
  graphql: graphqlOf(create.graphql),
});

/** A delete sends no fields, and what its answer shows is no sign that the record is still there. */
const deleteOf = (form: DeleteDefinition): WriteEndpoint => ({
  ...common(form),
  method: form.method ?? (form.graphql === undefined ? 'DELETE' : 'POST'),
  sends: 'changes',
  nulls: 'send',
  bodyAt: '',
  recordAt: null,
  idAt: null,
  ifMatch: ifMatchOf(form),
  graphql: form.graphql === undefined ? null : { ...form.graphql, fieldsVariable: null },
});

type Form = UpdateDefinition | CreateDefinition | DeleteDefinition;

const common = ({ path, query = {}, headers = {}, body = {}, failures = [] }: Form) => ({
  path,
  query: Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value)])),
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  body,
  failures,
});

/** Where a read by id shows the record, a write does too, unless it says otherwise. */
function recordAt({ read }: EntityDefinition, { record, answers }: UpdateDefinition | CreateDefinition): string | null {
  return answers === 'nothing' ? null : (record ?? read.get?.record ?? '');
}

function ifMatchOf({ ifMatch = false }: UpdateDefinition | DeleteDefinition): WriteEndpoint['ifMatch'] {
  if (typeof ifMatch === 'string') return ifMatch;
  return ifMatch ? 'etag' : null;
}

function graphqlOf(
  graphql: { readonly query: string; readonly idVariable?: string; readonly fieldsVariable?: string } | undefined,
): WriteEndpoint['graphql'] {
  if (graphql === undefined) return null;
  const { query, idVariable = null, fieldsVariable = '' } = graphql;
  return { query, idVariable, fieldsVariable };
}
