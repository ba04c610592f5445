import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import { queryRows } from '../../../src/db/query.ts';
import { createAudit } from '../../../src/sync/audit.ts';
import { alignCaptures, restoreCaptures } from '../../../src/sync/capture.ts';
import { discardDeletes } from '../../../src/sync/held-deletes.ts';
import { silentLog } from '../../helpers/database.ts';
import { KEY } from '../world.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
type World = Awaited<ReturnType<typeof createWorld>>;
type Options = NonNullable<Parameters<typeof createWorld>[1]>;
const log = { ...silentLog, debug() {} };

/** Records that are known on both sides, in a table whose edits are captured. */
async function setUp(t: Parameters<typeof createWorld>[0], twoWay: Options['twoWay'] = {}, count = 3) {
  const world = await createWorld(t, { twoWay: { localDeletes: 'push', ...twoWay } });
  const wish = { key: KEY, target: world.stream.target, localDeletes: world.stream.twoWay?.localDeletes ?? 'push' };
  const deps = { database: world.database, log, sleep: async () => {} };
  t.teardown(() => alignCaptures(deps, []));
  await alignCaptures(deps, []);
  await alignCaptures(deps, [wish]);
  const ids = Array.from({ length: count }, (_, place) => `c${place + 10}`);
  for (const id of ids) await world.known(id);
  await owes(world, false);
  return {
    ...world,
    ids,
    takeUp: () => restoreCaptures(deps, [wish]),
    ddl: (text: string) => queryRows(world.db, sql.raw(text)),
    /** Every record, as a full run shows it. */
    async fullRun() {
      await world.apply(
        ids.map((id) => world.see(id, { ...world.shop.records.get(id) })),
        true,
      );
      await world.pushAll();
    },
    async auditAll() {
      const audit = createAudit(
        { ...world.deps, db: world.db, streams: new Map([['shop/customers', world.stream]]) },
        () => 0,
      );
      for (let step = 0; step < 10; step++) if (!(await audit.runOnce())) break;
    },
  };
}

const owes = ({ db }: Pick<World, 'db'>, isOwed: boolean) =>
  queryRows(
    db,
    sql`UPDATE sync.streams SET needs_full_at = CASE WHEN ${isOwed}::boolean THEN clock_timestamp() END,
               last_full_started_at = clock_timestamp()`,
  );

async function progressOf({ db }: Pick<World, 'db'>) {
  const [row] = await queryRows<{ is_owed: boolean; held: string | null }>(
    db,
    sql`SELECT needs_full_at IS NOT NULL AS is_owed, held_deletes AS held FROM sync.streams`,
  );
  return row;
}

const MADE_ANEW = [
  'CREATE TABLE shop.customers_anew (LIKE shop.customers INCLUDING ALL)',
  'DROP TABLE shop.customers',
  'ALTER TABLE shop.customers_anew RENAME TO customers',
];

test('a table that is dropped and made anew deletes nothing at the source, and a full run fills it', async (t) => {
  const world = await setUp(t);
  for (const step of MADE_ANEW) await world.ddl(step);
  await world.auditAll();
  await world.fullRun();
  t.same([world.shop.writes, world.shop.records.size], [0, 3], 'not before it is noticed');
  t.same(await world.takeUp(), []);
  t.match(await progressOf(world), { is_owed: true, held: /^its table was made anew, and edits of it before 2/ });
  await world.pushAll();
  await world.fullRun();
  t.same([world.shop.writes, world.shop.records.size], [0, 3]);
  for (const id of world.ids) t.ok(await world.isInLine(id), id);
  t.match(await discardDeletes(world.deps, 'test'), { rows: 0, refused: 0 });
  t.equal((await progressOf(world))?.held, null);
  await world.edit('c10', { full_name: 'Hers' });
  await world.pushAll();
  t.equal(world.shop.records.get('c10')?.name, 'Hers', 'edits are captured again');
});

test('older rows that come back with a table give way to the source, and are kept', async (t) => {
  const world = await setUp(t);
  await world.ddl('CREATE TABLE shop.backup AS SELECT * FROM shop.customers');
  await world.ddl(`UPDATE shop.customers SET full_name = 'Newer'`);
  await world.pushAll();
  t.equal(world.shop.records.get('c11')?.name, 'Newer');
  const { writes } = world.shop;
  for (const step of MADE_ANEW) await world.ddl(step);
  await world.ddl(`INSERT INTO shop.customers SELECT * FROM shop.backup WHERE id <> 'c12'`);
  await world.takeUp();
  await world.fullRun();
  t.equal(world.shop.writes, writes);
  t.match(await world.rowOf('c11'), { full_name: 'Newer' });
  t.match(await world.rowOf('c12'), { full_name: 'Newer' });
  t.match((await world.conflicts()).map(({ kind, target_key: key, local }) => [kind, key, local?.name]).sort(), [
    ['adopted', 'c10', 'Name c10'],
    ['adopted', 'c11', 'Name c11'],
  ]);
});

test('a removal whose table is made anew before it is sent deletes nothing', async (t) => {
  const world = await setUp(t);
  await world.remove('c10');
  await world.plan();
  for (const step of MADE_ANEW) await world.ddl(step);
  await world.push();
  await world.takeUp();
  await world.pushAll();
  t.equal(world.shop.writes, 0);
});

test('a row that vanished with its table while its edit was under way is deleted by nobody', async (t) => {
  const world = await setUp(t);
  await world.edit('c10', { full_name: 'Hers' });
  await world.plan();
  world.shop.fates = [
    {
      kind: 'with',
      after: async () => {
        for (const step of MADE_ANEW) await world.ddl(step);
      },
    },
  ];
  await world.push();
  await world.pushAll();
  await world.takeUp();
  await world.fullRun();
  t.equal(world.shop.records.size, 3);
  t.equal(world.shop.records.get('c10')?.name, 'Hers');
  t.match(await world.rowOf('c10'), { full_name: 'Hers' });
});

for (const policy of ['source_wins', 'target_wins', 'manual'] as const) {
  test(`a column that is dropped and added again is filled from the source, and wipes nothing there: ${policy}`, async (t) => {
    const world = await setUp(t, { policy, adopt: policy === 'target_wins' ? 'target_wins' : 'source_wins' });
    await world.ddl('ALTER TABLE shop.customers DROP COLUMN price, ADD COLUMN price numeric(10, 2)');
    await world.edit('c10', { full_name: 'Hers' });
    await world.auditAll();
    await world.fullRun();
    t.equal(world.shop.writes, 0, 'nothing is sent before it is noticed');
    await world.takeUp();
    t.match(await progressOf(world), { is_owed: true, held: null });
    await world.pushAll();
    await world.fullRun();
    for (const id of world.ids) {
      t.match(await world.rowOf(id), { price: '9.50' }, id);
      t.equal(world.shop.records.get(id)?.price, '9.50');
    }
    t.equal(world.shop.records.get('c10')?.name, 'Hers', 'the edit beside it is sent');
    t.equal(world.shop.writes, 1);
  });
}

test('what a column made anew was filled with gives way to the source, and is kept', async (t) => {
  const world = await setUp(t);
  await world.ddl('ALTER TABLE shop.customers DROP COLUMN price, ADD COLUMN price numeric(10, 2) DEFAULT 1');
  await world.takeUp();
  await world.fullRun();
  t.equal(world.shop.writes, 0);
  t.match(await world.rowOf('c11'), { price: '9.50' });
  t.match(
    (await world.conflicts()).map(({ kind, local }) => [kind, local?.price]),
    Array(3).fill(['adopted', '1']),
  );
});

test('a column whose type is changed, or that is added beside the mapped ones, is the column that it was', async (t) => {
  const world = await setUp(t);
  await world.ddl('ALTER TABLE shop.customers ALTER COLUMN price TYPE numeric(12, 2), ADD COLUMN mine text');
  t.same(await world.takeUp(), []);
  t.match(await progressOf(world), { is_owed: false });
});

test('edits made while triggers were switched off are found, and the table counts as the one that it was', async (t) => {
  const world = await setUp(t);
  await world.ddl('ALTER TABLE shop.customers DISABLE TRIGGER USER');
  await world.edit('c10', { full_name: 'Hers' });
  await world.takeUp();
  t.match(await progressOf(world), { is_owed: true, held: null });
  await world.fullRun();
  t.equal(world.shop.records.get('c10')?.name, 'Hers');
});

test('where rows that are gone mean nothing, a table made anew holds nothing back', async (t) => {
  const world = await setUp(t, { localDeletes: 'detach' });
  for (const step of MADE_ANEW) await world.ddl(step);
  await world.takeUp();
  await world.fullRun();
  t.match(await progressOf(world), { held: null });
  t.same([world.shop.writes, world.shop.records.size], [0, 3]);
});

test('a table that was restored together with what is known of it is taken for the same', async (t) => {
  const world = await setUp(t);
  for (const step of MADE_ANEW) await world.ddl(step);
  const [found] = await queryRows<{ name: string; comment: string }>(
    world.db,
    sql`SELECT proname AS name, obj_description(oid, 'pg_proc') AS comment FROM pg_proc
        WHERE pronamespace = 'sync'::regnamespace`,
  );
  const elsewhere = found?.comment.replace(/"schemaId":"\d+"/, '"schemaId":"1"');
  await world.ddl(`COMMENT ON FUNCTION sync.${found?.name}() IS '${elsewhere}'`);
  await world.takeUp();
  t.match(await progressOf(world), { held: null });
  t.ok((await world.stateOf('c10'))?.shadow);
});
