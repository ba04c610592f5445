import { char, pgTable, text, uuid, varchar } from 'drizzle-orm/pg-core';
import { test } from 'tap';
import { z } from 'zod';
import { describeTarget } from '../../src/define/target.ts';
import { type FieldMapping, field } from '../../src/mapping/field.ts';
import { lowercase } from '../../src/mapping/transforms/text.ts';

const schema = z.object({ id: z.string(), code: z.string() });
const read = { list: { path: '/things', items: 'data', pagination: { kind: 'none' } } } as const;
const things = pgTable('things', {
  text: text('text'),
  varchar: varchar('varchar', { length: 40 }),
  char: char('char', { length: 40 }),
  uuid: uuid('uuid'),
  list: text('list').array(),
});
const isDirect = (targetKey: string, mapped: FieldMapping = field('id')): boolean =>
  describeTarget({
    schema,
    key: 'id',
    version: { kind: 'none' },
    read,
    target: things,
    targetKey,
    mapping: { [targetKey]: mapped },
  }).isKeyDirect;

test('a key is direct only where a text column takes the external id as it is', async (t) => {
  t.equal(isDirect('text'), true);
  t.equal(isDirect('varchar'), true);
  for (const other of ['char', 'uuid', 'list']) t.equal(isDirect(other), false, other);
  t.equal(isDirect('text', field('code')), false, 'another field may repeat');
  t.equal(isDirect('text', field('id', lowercase)), false, 'a step may make two ids one');
});
