import type { EntityDefinition } from '../definition.ts';
import { wayBackOf } from '../way-back.ts';
import type { CreateDefinition, DeleteDefinition, PolicyChoice, UpdateDefinition, WriteDefinition } from '../write.ts';
import { code, table } from './markdown.ts';

/** How edits of an entity's rows reach its source: a section of Markdown. */
export function describeWrite(write: WriteDefinition): string {
  const { update, create, delete: removal, idempotency, marker, budget, debounce, mode } = write;
  const rows = [
    ['update', update === undefined ? 'never' : describeUpdate(update)],
    ['create', create === undefined ? 'never' : describeCreate(create)],
    ['delete', removal === undefined ? 'never' : endpointOf(removal, 'DELETE')],
    ['changed on both sides', describePolicies(write)],
    ['a row removed here', REMOVALS[write.localDeletes ?? 'restore']],
    [
      'rows from before',
      write.adopt === 'target_wins' ? 'keep their values, which are sent' : "get the source's values",
    ],
    ['a repeated write', idempotency === undefined ? 'not known by the source' : describeKey(idempotency)],
    ['a created record', marker === undefined ? 'carries no mark' : describeMarker(marker)],
    ['an edit by a route', mode === 'source-first' ? 'asks the source first' : 'writes the row first'],
    [
      'sent',
      `${debounce ?? '200ms'} after the edit, ${budget?.calls ?? 10} calls for one record in ${budget?.per ?? '10m'} at most`,
    ],
  ];
  return table(['writing', ''], rows);
}

const REMOVALS = {
  restore: 'is written again',
  push: 'is deleted at the source',
  detach: 'stays away; its record is left alone',
} as const;

type Form = UpdateDefinition | CreateDefinition | DeleteDefinition;

const endpointOf = ({ method, path, graphql }: Form, usual: string): string =>
  code(`${method ?? (graphql === undefined ? usual : 'POST')} ${path}`);

const describeUpdate = (update: UpdateDefinition): string =>
  `${endpointOf(update, 'PATCH')}, ${update.sends === 'record' ? 'the whole record' : 'what was edited'}, ${describeMatch(update)}`;

const describeCreate = (create: CreateDefinition): string =>
  `${endpointOf(create, 'POST')}, nulls ${create.nulls === 'send' ? 'too' : 'left out'}`;

function describeMatch({ ifMatch = false }: UpdateDefinition): string {
  if (ifMatch === false) return 'bound to no version';
  return ifMatch === 'version' ? "if the record's version is still the same" : "if the record's tag is still the same";
}

function describePolicies({ conflict, fields = {} }: WriteDefinition): string {
  const own = Object.entries(fields).map(([property, choice]) => `${code(property)}: ${nameOf(choice)}`);
  return [nameOf(conflict), ...own].join(', ');
}

function nameOf(choice: PolicyChoice | undefined): string {
  if (typeof choice === 'object') return code(choice.merge);
  return code(choice === undefined || choice === 'merge' ? 'source_wins' : choice);
}

const describeKey = ({ header, ttl }: NonNullable<WriteDefinition['idempotency']>): string =>
  `known by ${code(header)}, for ${ttl ?? '24h'}`;

const describeMarker = ({ field, searchParam }: NonNullable<WriteDefinition['marker']>): string =>
  `is marked at ${code(field)}${searchParam === undefined ? '' : `, and found by ${code(searchParam)}`}`;

/** By property, whether it is sent, and if not why. Stamps are none of the source's. */
export function describeWayBack(entity: EntityDefinition): (property: string) => string {
  const { readOnly } = wayBackOf(entity);
  const createOnly: readonly string[] = entity.write?.createOnly ?? [];
  const { mapping } = entity;
  return (property) => {
    const reason = readOnly.get(property);
    if (reason !== undefined) return `none: ${reason}`;
    const kind = mapping[property]?.kind;
    if (kind === 'synced_at' || kind === 'deleted_at') return 'none: it is ours';
    return createOnly.includes(property) ? 'when the record is created' : 'yes';
  };
}
