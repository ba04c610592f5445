import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { Sighted } from '../../src/model/apply.ts';
import { applyBatch } from '../../src/sync/apply.ts';
import { absenceOf, customer, shareDatabase, sightingOf, type World } from './world.ts';

const createWorld = shareDatabase(file);

const apply = async (world: World, sightings: readonly Sighted[], repairs = false) =>
  (await world.db.transaction((tx) => applyBatch(tx, world.stream, sightings, { repairs }))).map(({ kind }) => kind);
const put = (world: World, id: string, over = {}, sight = {}) =>
  sightingOf(world.stream, customer(id, { version: 1, ...over }), sight);

const LONG = 'x'.repeat(21);

test('whatever one record breaks, the rest of its batch is written and the dead letter holds no value', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.full_name = 'refuse me' THEN RAISE EXCEPTION 'no % here', NEW.full_name; END IF; RETURN NEW; END $$`);
  await world.run(
    sql`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.refuse()`,
  );
  await world.run(sql`CREATE UNIQUE INDEX ON shop.customers (code)`);
  const bad: readonly (readonly [id: string, record: object, code: string, rule: RegExp])[] = [
    ['long', { name: LONG }, 'database_data', /22001/],
    ['negative', { amount: -7 }, 'database_constraint', /23514, constraint customers_amount_check/],
    ['empty', { amount: null }, 'database_constraint', /23502, column amount/],
    ['no-number', { amount: 'seven' }, 'database_data', /22P02/],
    ['nul', { name: 'a\u0000b' }, 'database_data', /22P05/],
    ['half', { name: 'a\ud800' }, 'database_data', /22P02|22P05/],
    ['raised', { name: 'refuse me' }, 'database_other', /P0001/],
    ['twice', { code: 'taken' }, 'database_constraint', /23505, constraint customers_code_idx/],
  ];
  const good = ['a', 'm', 'z'].map((id) => put(world, id, id === 'a' ? { code: 'taken' } : {}));
  const outcomes = await apply(world, [
    ...good,
    ...bad.map(([id, record]) => put(world, id, record, { isLastAttempt: true })),
  ]);
  t.same(
    (await world.rows()).map((row) => row.id),
    ['a', 'm', 'z'],
  );
  t.same(outcomes, ['insert', 'insert', 'insert', ...bad.map(() => 'quarantine')]);
  const letters = await world.deadLetters();
  for (const [id, , code, rule] of bad) {
    const letter = letters.find((one) => one.externalId === id);
    t.equal(letter?.errorCode, code, id);
    t.match(letter?.message, rule);
    t.notMatch(letter?.message, /seven|refuse me|taken|xxxx|-7/);
  }
  t.equal(await world.stateOf('long'), undefined, 'a refused record leaves no state that could hide a later success');
});

test('a unique value that moves from one record to another arrives, whichever of the two comes first', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`CREATE UNIQUE INDEX ON shop.customers (code)`);
  await apply(world, [put(world, 'giver', { code: 'k' }), put(world, 'taker')]);
  const taker = put(world, 'taker', { code: 'k', version: 2 });
  const giver = put(world, 'giver', { code: 'free', version: 2 });
  t.same(await apply(world, [taker, giver]), ['update', 'update'], 'in one batch');
  t.same(await apply(world, [put(world, 'giver', { code: 'k', version: 3 })]), ['retry'], 'alone it waits');
  t.same(await world.deadLetters(), []);
  t.match(await world.row('taker'), { code: 'k' });
});

test('a parent that is missing is worth another try, on the last one it is the record’s fault', async (t) => {
  const world = await createWorld(t);
  t.same(await apply(world, [put(world, 'c1', { parent: 'p1' }), put(world, 'c2')]), ['retry', 'insert']);
  t.same(await world.deadLetters(), []);
  t.same(await apply(world, [put(world, 'c1', { parent: 'p1' }, { isLastAttempt: true })]), ['quarantine']);
  t.match(await world.deadLetters(), [{ externalId: 'c1', errorCode: 'database_foreign_key' }]);
});

test('a refused record’s repeats are one dead letter, and a later success closes it', async (t) => {
  const world = await createWorld(t);
  await apply(world, [put(world, 'c1', { amount: -1 })]);
  await apply(world, [put(world, 'c1', { amount: -1 })]);
  t.match(await world.deadLetters(), [{ externalId: 'c1', attempt: 2 }]);
  t.same(await apply(world, [put(world, 'c1', { amount: 5, version: 2 })]), ['insert']);
  t.same(await world.deadLetters(), []);
  t.match(await world.deadLetters('superseded'), [{ externalId: 'c1' }]);
});

test('a failure that is no record’s is thrown, and nothing of the batch is kept', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`ALTER TABLE shop.customers RENAME COLUMN full_name TO title`);
  await t.rejects(apply(world, [put(world, 'c1'), put(world, 'c2')]));
  t.same(await world.deadLetters(), []);
  t.equal(await world.stateOf('c1'), undefined);
});

test('several sightings of one record in a batch are decided one after the other, and written once', async (t) => {
  const world = await createWorld(t);
  const versions = [1, 3, 2, 3].map((version) => put(world, 'c1', { name: `v${version}`, version }));
  t.same(await apply(world, versions), ['insert', 'update', 'stale', 'noop']);
  t.equal((await world.row('c1'))?.full_name, 'v3');
  t.equal((await world.stateOf('c1'))?.appliedSeq, 2);
  const gone = absenceOf('c1', {}, { isPositiveDelete: true, version: 4n });
  t.same(
    await apply(world, [
      put(world, 'c1', { version: 4, name: 'v4' }),
      { ...gone, seen: { ...gone.seen, version: 5n } },
    ]),
    ['update', 'delete'],
  );
  t.same(await world.rows(), []);
});

test('a record deleted and created again within one batch has its row', async (t) => {
  const world = await createWorld(t);
  await apply(world, [put(world, 'c1', { version: 1 })]);
  const gone = absenceOf('c1', {}, { isPositiveDelete: true, version: 2n });
  t.same(await apply(world, [gone, put(world, 'c1', { name: 'again', version: 3 })]), ['delete', 'insert']);
  t.equal((await world.row('c1'))?.full_name, 'again');
});

test('columns that the mapping does not name are left alone', async (t) => {
  const world = await createWorld(t);
  await apply(world, [put(world, 'c1')]);
  await world.run(sql`UPDATE shop.customers SET note = 'mine'`);
  await apply(world, [put(world, 'c1', { name: 'new', version: 2 })]);
  t.match(await world.row('c1'), { full_name: 'new', note: 'mine' });
});

test('an update that changes nothing in the row writes no row', async (t) => {
  const world = await createWorld(t);
  await apply(world, [put(world, 'c1', { name: 'same' })]);
  await world.run(sql`UPDATE sync.record_states SET base_hash = decode('ff', 'hex')`);
  const before = await world.rows();
  t.same(await apply(world, [put(world, 'c1', { name: 'same', version: 2 })]), ['update']);
  t.same(await world.rows(), before);
});

test('a table with a deletion time keeps the row, stamps it once, and clears the stamp on return', async (t) => {
  const world = await createWorld(t, { softDelete: true, deleteEvents: 'versioned' });
  await apply(world, [put(world, 'c1'), put(world, 'c2')]);
  const gone = (version: bigint) => absenceOf('c1', {}, { isPositiveDelete: true, version });
  t.same(await apply(world, [gone(2n)]), ['delete']);
  const [deleted, other] = await world.rows();
  t.not(deleted?.deleted_at, null);
  t.equal(other?.deleted_at, null);
  t.same(await apply(world, [gone(3n)]), ['noop']);
  t.equal((await world.rows())[0]?.written, deleted?.written, 'a second deletion does not stamp again');
  t.same(await apply(world, [put(world, 'c1', { version: 4 })]), ['insert']);
  t.equal((await world.row('c1'))?.deleted_at, null);
});

test('a record whose own key changes moves its row, and a deletion finds it there', async (t) => {
  const world = await createWorld(t, { keyProperty: 'code' });
  await apply(world, [put(world, 'c1', { code: 'k1' }), put(world, 'c2', { code: 'k2' })]);
  t.equal((await world.stateOf('c1'))?.targetKey, 'k1');
  t.same(await apply(world, [put(world, 'c1', { code: 'k9', version: 2 })]), ['update']);
  t.same(
    (await world.rows()).map((row) => row.code),
    ['k9', 'k2'],
  );
  t.same(
    await apply(world, [
      absenceOf('c1', {}, { isPositiveDelete: true, version: null }),
      put(world, 'c2', { code: 'k2' }),
    ]),
    ['verify', 'noop'],
  );
  const read = absenceOf('c1', { channel: 'get', lo: 10, hi: 11 });
  t.same(await apply(world, [read]), ['delete']);
  t.same(
    (await world.rows()).map((row) => row.code),
    ['k2'],
  );
});

test('two records that claim one key do not overwrite each other: the second is set aside', async (t) => {
  const world = await createWorld(t, { keyProperty: 'code' });
  t.same(await apply(world, [put(world, 'c1', { code: 'k1' }), put(world, 'c2', { code: 'k1' })]), [
    'insert',
    'quarantine',
  ]);
  t.match(await world.rows(), [{ id: 'c1', code: 'k1' }]);
  t.match(await world.deadLetters(), [{ externalId: 'c2', errorCode: 'database_constraint' }]);
});

test('of two ids that the mapping makes one key the second is set aside, and deleting it leaves the first one’s row', async (t) => {
  const world = await createWorld(t, { keyProperty: 'code' });
  t.same(await apply(world, [put(world, 'k1', { code: 'k1' })]), ['insert']);
  t.same(await apply(world, [put(world, 'K1', { code: 'k1', version: 2 })]), ['quarantine']);
  t.match(await world.deadLetters(), [{ externalId: 'K1', errorCode: 'database_constraint' }]);
  await apply(world, [absenceOf('K1', { channel: 'get', lo: 10, hi: 11 })]);
  t.match(await world.rows(), [{ id: 'k1', code: 'k1' }]);
});

test('a record deleted and created again under another key in one batch leaves no row under the old one', async (t) => {
  for (const softDelete of [false, true]) {
    const world = await createWorld(t, { keyProperty: 'code', softDelete });
    await apply(world, [put(world, 'c1', { code: 'k1' })]);
    const gone = absenceOf('c1', {}, { isPositiveDelete: true, version: 2n });
    const again = put(world, 'c1', { code: 'k2', version: 3 });
    t.same(await apply(world, [gone, again]), ['delete', 'insert']);
    const standing = (await world.rows()).filter((row) => row.deleted_at === null);
    t.same(
      standing.map((row) => row.code),
      ['k2'],
    );
    const goneAgain = absenceOf('c1', {}, { isPositiveDelete: true, version: 4n });
    await apply(world, [goneAgain, put(world, 'c1', { code: 'k2', name: 'back', version: 5 })]);
    t.match(
      (await world.rows()).filter((row) => row.deleted_at === null),
      [{ code: 'k2', full_name: 'back' }],
    );
  }
});

test('a key that a record had only within one batch is nobody’s to remove', async (t) => {
  const world = await createWorld(t, { keyProperty: 'code' });
  await apply(world, [put(world, 'c1', { code: 'k1' })]);
  const gone = absenceOf('c2', {}, { isPositiveDelete: true, version: 2n });
  t.same(await apply(world, [put(world, 'c2', { code: 'k1' }), gone]), ['insert', 'delete']);
  t.same(
    (await world.rows()).map((row) => row.id),
    ['c1'],
  );
});

test('a 404 of an id that was never held removes nobody’s row', async (t) => {
  const world = await createWorld(t);
  await world.run(sql`INSERT INTO shop.customers (id, amount) VALUES ('hers', 1)`);
  t.same(await apply(world, [absenceOf('hers', { channel: 'get', lo: 1, hi: 2 })]), ['noop']);
  t.equal((await world.rows()).length, 1);
  t.match(await world.stateOf('hers'), { status: 'tombstone', isTombSoft: true });
});

test('damaged and missing rows are mended where repair is on, others are not touched', async (t) => {
  const world = await createWorld(t);
  const seen = ['c1', 'c2', 'c3'].map((id) => put(world, id));
  await apply(world, seen);
  const before = await world.row('c3');
  await world.run(sql`UPDATE shop.customers SET full_name = 'damaged' WHERE id = 'c1'`);
  await world.run(sql`DELETE FROM shop.customers WHERE id = 'c2'`);
  t.same(await apply(world, seen), ['noop', 'noop', 'noop']);
  t.same(await apply(world, seen, true), ['repair', 'repair', 'noop']);
  t.match(await world.rows(), [
    { id: 'c1', full_name: 'Name c1' },
    { id: 'c2' },
    { id: 'c3', written: before?.written },
  ]);
});

test('of a batch without changes nothing is locked or written', async (t) => {
  const world = await createWorld(t);
  const seen = ['c1', 'c2'].map((id) => put(world, id));
  await apply(world, seen);
  const marks = sql`SELECT (SELECT string_agg(xmin::text || xmax::text || ctid::text, ' ' ORDER BY external_id) FROM sync.record_states) AS states,
                           (SELECT string_agg(xmin::text || xmax::text || ctid::text, ' ' ORDER BY id) FROM shop.customers) AS rows,
                           (SELECT count(*)::int FROM sync.record_history) AS told`;
  const before = await world.run(marks);
  t.same(await apply(world, seen), ['noop', 'noop']);
  t.same(await world.run(marks), before);
});

test('applying a batch twice gives the same rows and no second effect', async (t) => {
  const world = await createWorld(t);
  const seen = [put(world, 'c1'), put(world, 'c2', { name: 'two' })];
  t.same(await apply(world, seen), ['insert', 'insert']);
  const rows = await world.rows();
  t.same(await apply(world, seen), ['noop', 'noop']);
  t.same(await world.rows(), rows);
});
