import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { test } from 'tap';
import { arrayText, parseArrayText } from '../../src/db/array-text.ts';
import { queryRows } from '../../src/db/query.ts';
import { createTestDatabase } from '../helpers/database.ts';

test('any array of text and nulls survives being written and read', async () => {
  const element = fc.option(
    fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('NULL', 'null', '', '{}', '",\\', ' ')),
  );
  fc.assert(
    fc.property(fc.array(element), (elements) => {
      const read = parseArrayText(arrayText(elements), (text) => text);
      return JSON.stringify(read) === JSON.stringify(elements);
    }),
  );
});

test('nested arrays, empty ones and those with their own lower bound are read', async (t) => {
  t.same(parseArrayText('{{1,2},{NULL,4}}', Number), [
    [1, 2],
    [null, 4],
  ]);
  t.same(parseArrayText('{}', Number), []);
  t.same(parseArrayText('[0:1]={5,6}', Number), [5, 6]);
});

test('PostgreSQL reads what is written and writes what is read', async (t) => {
  const { db } = await createTestDatabase(t);
  const texts = ['a', 'b"c\\', '{d,e}', null, 'NULL', '', 'ü\n\t', ' x '];
  const [row] = await queryRows(
    db,
    sql`SELECT ${sql.param(texts)}::text[] AS texts, ARRAY[1,NULL,3]::int4[] AS ints, ARRAY[9007199254740993,NULL]::int8[] AS bigs,
      ARRAY[true,NULL,false] AS flags, ARRAY['{"a": 1}'::jsonb] AS jsons, ARRAY[[0.5,1],[2,NULL]]::float8[] AS grid,
      ARRAY['\\x00ff'::bytea] AS bytes`,
  );
  t.same(row, {
    texts,
    ints: [1, null, 3],
    bigs: ['9007199254740993', null],
    flags: [true, null, false],
    jsons: [{ a: 1 }],
    grid: [
      [0.5, 1],
      [2, null],
    ],
    bytes: [Buffer.from([0, 255])],
  });
});
