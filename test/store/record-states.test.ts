import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { test } from 'tap';
import { readDatabaseNow } from '../../src/db/instants.ts';
import { queryRows } from '../../src/db/query.ts';
import { BEFORE_ALL } from '../../src/model/instant.ts';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import { countLive, insertStates, lockStates, readStates, saveStates } from '../../src/store/record-states.ts';
import { createTestDatabase } from '../helpers/database.ts';

const KEY = { integration: 'shop', entity: 'customers' };
const instant = fc.oneof(fc.constant(BEFORE_ALL), fc.integer({ min: 0, max: 4_102_444_800_000_000 }));
const version = fc.option(fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }), { nil: null });
const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((one) => !one.includes('\0'));

const anyState: fc.Arbitrary<RecordState> = fc.record({
  externalId: text,
  status: fc.constantFrom('none' as const, 'live' as const, 'tombstone' as const),
  targetKey: fc.constant(null),
  baseHash: fc.option(fc.constantFrom('00ff', 'ab'.repeat(32)), { nil: null }),
  base: fc.option(fc.record({ name: fc.option(text, { nil: null }), amount: fc.constantFrom('1.50', '-0.001') }), {
    nil: null,
  }),
  version,
  etag: fc.option(text, { nil: null }),
  lo: instant,
  hi: instant,
  tombVersion: version,
  isTombSoft: fc.boolean(),
  isTombUnversioned: fc.boolean(),
  aliveAt: instant,
  appliedSeq: fc.nat(),
  regressSeenAt: fc.option(fc.integer({ min: 0, max: 4_102_444_800_000_000 }), { nil: null }),
  shadow: fc.option(fc.record({ name: fc.option(fc.constantFrom('Ada', ''), { nil: null }) }), { nil: null }),
  localVersion: fc.nat(),
});

test('a state comes back exactly as it was stored, to the microsecond and the last digit', async (t) => {
  const { db } = await createTestDatabase(t);
  await fc.assert(
    fc.asyncProperty(anyState, anyState, async (first, second) => {
      const ids = [first.externalId];
      await queryRows(db, sql`DELETE FROM sync.record_states`);
      await insertStates(db, KEY, [first]);
      const inserted = (await readStates(db, KEY, ids)).get(first.externalId);
      await saveStates(db, KEY, [{ ...second, externalId: first.externalId }]);
      const saved = (await lockStates(db, KEY, ids)).get(first.externalId);
      t.same(inserted, first);
      t.same(saved, { ...second, externalId: first.externalId });
    }),
    { numRuns: 60 },
  );
});

test('an insert names only the records that were not there', async (t) => {
  const { db } = await createTestDatabase(t);
  const live = (externalId: string): RecordState => ({ ...blankState(externalId), status: 'live', baseHash: 'aa' });
  t.same([...(await insertStates(db, KEY, [live('b'), live('a')]))].sort(), ['a', 'b']);
  t.same([...(await insertStates(db, KEY, [live('c'), { ...live('a'), baseHash: 'bb' }]))], ['c']);
  t.equal((await readStates(db, KEY, ['a'])).get('a')?.baseHash, 'aa', 'what is there stays');
  t.same(
    [...(await insertStates(db, { ...KEY, entity: 'orders' }, [live('a')]))],
    ['a'],
    'of another entity it is another record',
  );
  t.equal(await countLive(db, KEY), 3);
});

test('the database’s clock moves within a transaction', async (t) => {
  const { db } = await createTestDatabase(t);
  await db.transaction(async (tx) => {
    const before = await readDatabaseNow(tx);
    t.ok(Number.isSafeInteger(before));
    t.ok((await readDatabaseNow(tx)) > before);
  });
});
