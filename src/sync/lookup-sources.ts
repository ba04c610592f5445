import type { EntityDefinition, IntegrationDefinition } from '../define/definition.ts';
import { type LookupForm, lookupsOf } from '../mapping/lookup.ts';
import { readParams } from '../source/call-endpoint.ts';
import { type EndpointDefinition, listOf, ttlMsOf } from '../source/endpoint.ts';
import type { LookupSource } from './lookups.ts';

/** Of lists that declare none: entities' lists, and endpoints whose answers are not cached. */
const DEFAULT_TTL_MS = 3_600_000;

/** What the mappings of an integration look ids up in: each list once, with everything that is taken of it. */
export function lookupSourcesOf({ endpoints = {}, entities }: IntegrationDefinition): readonly LookupSource[] {
  const forms = new Map<string, LookupForm[]>();
  for (const form of Object.values(entities).flatMap(lookupsOfEntity)) {
    const known = forms.get(form.from) ?? [];
    if (!known.some(({ by, take }) => by === form.by && take === form.take)) known.push(form);
    forms.set(form.from, known);
  }
  return [...forms].flatMap(([name, wanted]) => {
    const form = Object.hasOwn(endpoints, name) ? endpoints[name] : undefined;
    const entity = Object.hasOwn(entities, name) ? entities[name] : undefined;
    if (form !== undefined)
      return [{ name, list: listOf(form), params: readParams(form, {}), ttlMs: ttlOf(form), forms: wanted }];
    return entity === undefined ? [] : [{ name, list: entity.read.list, ttlMs: DEFAULT_TTL_MS, forms: wanted }];
  });
}

const ttlOf = (form: EndpointDefinition): number => ttlMsOf(form) || DEFAULT_TTL_MS;

const lookupsOfEntity = ({ mapping }: EntityDefinition): readonly LookupForm[] =>
  Object.values(mapping).flatMap(lookupsOf);

/** Names of the lists that one entity's mapping reads. */
export const lookupNamesOf = (entity: EntityDefinition): ReadonlySet<string> =>
  new Set(lookupsOfEntity(entity).map(({ from }) => from));
