import { isSoundLookup, lookupsOf } from '../mapping/lookup.ts';
import { listSchema } from '../source/definition.ts';
import { type EndpointDefinition, endpointSchema, isWrite, listOf } from '../source/endpoint.ts';
import { placeholdersOf } from '../source/path-template.ts';
import { checkPaging } from './check-paging.ts';
import { checkShape, type Place } from './problems.ts';

/** Names of functions, as JavaScript writes them. */
const ENDPOINT_NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;
/** `createClient` has the first; the second would make a client look like a promise. */
const TAKEN: readonly string[] = ['close', 'then'];

/** Null stands for an endpoint that is broken elsewhere. */
export type CheckedEndpoints = ReadonlyMap<string, EndpointDefinition | null>;

/** Checks the endpoints of one integration, each by itself. `params` are the placeholders that the source fills. */
export function checkEndpoints(definition: unknown, params: readonly string[], place: Place): CheckedEndpoints {
  const checked = new Map<string, EndpointDefinition | null>();
  if (definition === undefined) return checked;
  if (typeof definition !== 'object' || definition === null || Array.isArray(definition)) {
    place.add('expected an object: endpoint({ … }) by name');
    return checked;
  }
  for (const [name, form] of Object.entries(definition)) {
    const here = place.at(name);
    if (!ENDPOINT_NAME.test(name))
      here.add('expected a name of letters, digits and _, at most 63, that begins with a letter');
    if (TAKEN.includes(name)) here.add('is no name that an endpoint can have; take another');
    const isSound = checkShape(endpointSchema, form, here) !== null;
    const one = isSound && isEndpoint(form) ? form : null;
    const open = one?.list === undefined ? [] : placeholdersOf(one.path).filter((param) => !params.includes(param));
    for (const param of open)
      here.at('path').add(`{${param}} of a list has no value: name it under params of the source`);
    if (one?.list !== undefined) checkList(one, here);
    checked.set(name, one);
  }
  return checked;
}

/** An endpoint's list is read as an entity's is, and can be as wrong. */
function checkList(form: EndpointDefinition, here: Place): void {
  const list = listSchema.safeParse(listOf(form));
  if (!list.success) return; // told by the endpoint's own schema
  const at = (...[first = '', ...rest]: readonly PropertyKey[]) =>
    first === 'items' ? here.at('data', ...rest) : here.at('list', first, ...rest);
  checkPaging(list.data, null, { ...here.at('list'), at });
}

const isEndpoint = (form: unknown): form is EndpointDefinition => endpointSchema.safeParse(form).success;

type LookupContext = {
  readonly endpoints: CheckedEndpoints;
  /** Names of the integration's entities, whose lists can be looked up in as well. */
  readonly entities: readonly string[];
  /** Placeholders that the source fills. */
  readonly params: readonly string[];
};

/** Checks that what the lookups of a mapping name is there, and can be read without further arguments. */
export function checkLookups(mapping: unknown, context: LookupContext, place: Place): void {
  if (typeof mapping !== 'object' || mapping === null) return;
  for (const [property, column] of Object.entries(mapping)) {
    for (const form of lookupsOf(column)) {
      const isSound = isSoundLookup(form);
      const problem = isSound ? problemOf(form.from, context) : `lookup('${form.from}') needs paths at by and take`;
      if (problem !== null) place.at(property).add(problem);
    }
  }
}

function problemOf(from: string, { endpoints, entities, params }: LookupContext): string | null {
  const form = endpoints.get(from);
  if (form === null || (form === undefined && entities.includes(from))) return null;
  if (form === undefined) return `lookup('${from}') names neither an endpoint nor an entity of this integration`;
  if (isWrite(form) || form.batch !== undefined) return `lookup('${from}') needs an endpoint that reads a list`;
  const missing = placeholdersOf(form.path).find((name) => !params.includes(name));
  if (missing !== undefined) return `lookup('${from}'): {${missing}} has no value: name it under params of the source`;
  if (form.params !== undefined && !form.params.safeParse({}).success)
    return `lookup('${from}') needs an endpoint whose \`params\` may all be left out`;
  return null;
}
