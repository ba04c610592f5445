import { test } from 'tap';
import { z } from 'zod';
import { field, withDefault } from '../../src/mapping/field.ts';
import { type Lookup, type LookupReader, lookup } from '../../src/mapping/lookup.ts';
import { createMapper, type Mapper } from '../../src/mapping/mapper.ts';
import { trim } from '../../src/mapping/transforms/text.ts';
import type { TargetColumn } from '../../src/model/target.ts';

const text = (name: string, isNotNull = false): TargetColumn => ({
  name,
  sqlType: 'text',
  kind: 'text',
  isNotNull,
  hasDefault: false,
});

/** A mapper whose column `name` is looked up by `assignee_id`. */
function mapperWith(
  steps: readonly [Lookup, ...Parameters<typeof field>[1][]],
  lookups?: LookupReader,
  isNotNull = false,
): Mapper {
  return createMapper({
    integration: 'desk',
    entity: 'tickets',
    schema: z.object({
      id: z.string(),
      assignee_id: z.union([z.string(), z.number()]).nullish(),
      flag: z.boolean().optional(),
    }),
    key: 'id',
    version: { kind: 'none' },
    mapping: { id: field('id'), name: field('assignee_id', ...steps) },
    target: {
      schema: 'public',
      name: 'tickets',
      columns: { id: text('id', true), name: text('name', isNotNull) },
      keyProperty: 'id',
      isKeyDirect: true,
      contentProperties: ['id', 'name'],
      syncedAtProperties: [],
      deletedAtProperty: null,
    },
    lookups,
  });
}

const USERS = new Map<string, unknown>([
  ['1', ' Ada '],
  ['2', null],
  ['3', 7],
]);
const reader: LookupReader = (_, id) => (USERS.has(id) ? { kind: 'found', value: USERS.get(id) } : { kind: 'missing' });
const users = lookup('users', { by: 'id', take: 'name' });
const nameOf = (mapper: Mapper, assignee: unknown): unknown => {
  const mapped = mapper.map({ id: 'a', assignee_id: assignee });
  return mapped.kind === 'mapped' ? mapped.content.name : mapped.kind === 'invalid' ? mapped.problem.code : mapped.kind;
};

test('an id becomes what the list says of it, whether it is text or a number, and further steps follow', async (t) => {
  t.equal(nameOf(mapperWith([users], reader), '1'), ' Ada ');
  t.equal(nameOf(mapperWith([users, trim], reader), 1), 'Ada');
});

test('an id that is not in the list becomes null, or what stands in for it', async (t) => {
  t.equal(nameOf(mapperWith([users], reader), '9'), null);
  t.equal(
    nameOf(mapperWith([lookup('users', { by: 'id', take: 'name', otherwise: 'nobody' })], reader), '9'),
    'nobody',
  );
  t.equal(nameOf(mapperWith([users, withDefault('none')], reader), '9'), 'none');
  t.equal(nameOf(mapperWith([users], reader, true), '9'), 'missing', 'NOT NULL refuses it');
});

test('no id is looked up as little as an entry without a name', async (t) => {
  t.equal(nameOf(mapperWith([users], reader), null), null);
  t.equal(nameOf(mapperWith([users], reader), undefined), null);
  t.equal(nameOf(mapperWith([users], reader), '2'), null);
});

test('a value of another kind refuses the record that uses it', async (t) => {
  t.equal(nameOf(mapperWith([users], reader), '3'), 'wrong_kind');
  t.equal(nameOf(mapperWith([lookup('users', { by: 'id', take: 'name', as: z.string() })], reader), '3'), 'bad_value');
});

test('without a table the record does not map, and says why', async (t) => {
  t.equal(nameOf(mapperWith([users]), '1'), 'lookup_unavailable');
  t.equal(
    nameOf(
      mapperWith([users], () => ({ kind: 'unsettled' })),
      '1',
    ),
    'lookup_unavailable',
  );
  t.equal(nameOf(mapperWith([users]), null), null, 'where there is nothing to look up it maps');
});

test('the fingerprint changes with what is looked up, and where', async (t) => {
  const prints = [
    users,
    lookup('people', { by: 'id', take: 'name' }),
    lookup('users', { by: 'uid', take: 'name' }),
    lookup('users', { by: 'id', take: 'email' }),
    lookup('users', { by: 'id', take: 'name', otherwise: 'nobody' }),
  ].map((step) => mapperWith([step]).fingerprint);
  t.equal(new Set(prints).size, prints.length);
});
