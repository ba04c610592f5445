import { sql } from 'drizzle-orm';
import file, { test } from 'tap';
import type { Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import { findLostRows, findUncaptured } from '../../src/store/audit.ts';
import { takeLocalChanges } from '../../src/store/local-changes.ts';
import { markApplying } from '../../src/store/target-rows.ts';
import { createAudit } from '../../src/sync/audit.ts';
import { shareTwoWay, type TwoWayOptions, type TwoWayWorld } from './two-way/world.ts';
import { KEY } from './world.ts';

const createTwoWay = shareTwoWay(file);
const MAX_STEPS = 100;
const FIRST = { after: null, limit: 10, letGoUntil: null };

/** Records `c1`, `c2` … as a full run has left them. No trigger captures anything here. */
async function setUp(t: { teardown(work: () => unknown): unknown }, options: TwoWayOptions = {}, count = 3) {
  const world = await createTwoWay(t, { twoWay: options });
  const ids = Array.from({ length: count }, (_, place) => `c${place + 1}`);
  await world.apply(ids.map((id) => world.see(id)));
  await ready(world.db);
  return world;
}

const ready = (db: Db) =>
  queryRows(db, sql`UPDATE sync.streams SET needs_full_at = NULL, last_full_started_at = clock_timestamp()`);

/** Rows that are written from now on are new to the audit. */
const remember = (db: Db) =>
  queryRows(db, sql`UPDATE sync.streams SET audited_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint`);

/** A whole pass. @returns what was found, as captured edits. */
async function auditAll(world: TwoWayWorld, nowMs: () => number = () => 0): Promise<string[]> {
  const audit = createAudit(world.deps, nowMs);
  for (let step = 0; step < MAX_STEPS; step++) if (!(await audit.runOnce())) break;
  return await taken(world);
}

const taken = async ({ db }: TwoWayWorld): Promise<string[]> =>
  (await takeLocalChanges(db, KEY, 10_000)).map(({ op, targetKey }) => `${op} ${targetKey}`).sort();

const insertRow = ({ db }: TwoWayWorld, id: string) =>
  queryRows(db, sql`INSERT INTO shop.customers (id, amount) VALUES (${id}, 1)`);

test('rows that are as they were stored are no edits', async (t) => {
  t.same(await auditAll(await setUp(t)), []);
});

test('an edit, a removal and an insert that nobody captured are found', async (t) => {
  const world = await setUp(t);
  await remember(world.db);
  await world.edit('c1', { full_name: 'Hers' });
  await world.edit('c2', { note: 'not mapped' });
  await world.remove('c3');
  await insertRow(world, 'new');
  t.same(await auditAll(world), ['D c3', 'I new', 'U c1']);
});

test('every kind of value is compared as it was stored', async (t) => {
  const world = await setUp(t);
  const edits = [{ price: '9.51' }, { price: null }, { tags: '["b"]' }, { full_name: null }, { amount: 2 }];
  for (const edit of edits) {
    await world.edit('c1', edit);
    t.same(await auditAll(world), ['U c1'], JSON.stringify(edit));
  }
  await world.edit('c1', { full_name: 'Name c1', amount: 1, price: '9.5', tags: '[ "a" ]' });
  t.same(await auditAll(world), []);
});

test('a row that goes by a foreign key with a row of ours is found', async (t) => {
  const world = await setUp(t);
  await queryRows(
    world.db,
    sql`ALTER TABLE shop.customers ADD COLUMN boss text REFERENCES shop.customers (id) ON DELETE CASCADE`,
  );
  await queryRows(world.db, sql`UPDATE shop.customers SET boss = 'c1' WHERE id = 'c2'`);
  await world.apply([world.gone('c1')]);
  t.same(await auditAll(world), ['D c2']);
});

test('what a push or a conflict is open of is left alone', async (t) => {
  const world = await setUp(t);
  await remember(world.db);
  for (const id of ['c1', 'c2']) await world.edit(id, { full_name: 'Hers' });
  await insertRow(world, 'new');
  await world.startPush('c1');
  await queryRows(
    world.db,
    sql`INSERT INTO sync.conflicts (integration, entity, external_id, target_key, kind, fields, policy)
        VALUES ('shop', 'customers', 'c2', 'c2', 'both_changed', '{name}', 'manual')`,
  );
  const { push } = await world.startPush('new', { op: 'create' });
  t.same(await auditAll(world), []);
  await queryRows(
    world.db,
    sql`UPDATE sync.outbox_pushes SET state = 'done', finished_at = now(), lease_token = NULL, lease_expires_at = NULL`,
  );
  t.same(await auditAll(world), ['U c1'], `a create that is over (${push.op}) is not begun anew`);
});

test('rows that stood there before edits were captured are not created at the source', async (t) => {
  const world = await setUp(t);
  await insertRow(world, 'old');
  t.same(await auditAll(world), [], 'nobody knows since when');
  t.same(await auditAll(world), []);
  await insertRow(world, 'new');
  t.same(await auditAll(world), ['I new']);
});

test('a table that was restored elsewhere counts as known', async (t) => {
  const world = await setUp(t);
  await queryRows(world.db, sql`UPDATE sync.streams SET audited_xid = 4611686018427387904`);
  await insertRow(world, 'restored');
  t.same(await auditAll(world), []);
  await insertRow(world, 'new');
  t.same(await auditAll(world), ['I new']);
});

test('a row without a record is no edit where the source takes no creates', async (t) => {
  const world = await setUp(t);
  await remember(world.db);
  await insertRow(world, 'new');
  const { twoWay } = world.stream;
  if (twoWay === null) throw new Error('The stream is two-way');
  const stream = { ...world.stream, twoWay: { ...twoWay, writes: { ...twoWay.writes, create: null } } };
  const streams = new Map([['shop/customers', stream]]);
  t.same(await auditAll({ ...world, deps: { ...world.deps, streams } }), []);
});

test('a row that is gone is no edit where removals mean nothing', async (t) => {
  const world = await setUp(t, { localDeletes: 'detach' });
  await world.remove('c1');
  t.same(await auditAll(world), []);
});

test('a row that a trigger of the user’s kept out was removed by nobody', async (t) => {
  for (const localDeletes of ['push', 'restore'] as const) {
    const world = await setUp(t, { localDeletes });
    await world.keepOut(500);
    await world.apply([world.see('c4', { amount: 500 })]);
    t.match(await world.stateOf('c4'), { status: 'live', shadow: null });
    t.same(await auditAll(world), []);
    t.same(await world.inTx((tx) => tx.openRemovals(FIRST)), [], 'nothing that could be released');
    await world.apply([world.see('c4', { amount: 500, name: 'There', version: 2 })]);
    t.same(await world.conflicts(), [], 'nor is it taken for removed when the source changes it');
    await world.remove('c1');
    t.same(await auditAll(world), ['D c1']);
    t.same(await world.inTx((tx) => tx.openRemovals(FIRST)), [{ externalId: 'c1', targetKey: 'c1' }]);
  }
});

test('a row that was missing when its mirror became two-way is written, and is no removal', async (t) => {
  const world = await setUp(t, { localDeletes: 'push' });
  await world.remove('c1');
  await world.forgetStored('c1');
  t.same(await auditAll(world), []);
  t.same(await world.apply([world.see('c1', {}, { channel: 'page', isFullRun: true })], true), ['repair']);
  t.match(await world.rowOf('c1'), { full_name: 'Name c1' });
  t.match(await world.stateOf('c1'), { shadow: { name: 'Name c1' } });
  t.same(await world.conflicts(), []);
  t.same(await auditAll(world), []);
});

test('nothing is compared while a full run is owed, and it is looked at again a minute later', async (t) => {
  const world = await setUp(t);
  await world.edit('c1', { full_name: 'Hers' });
  await queryRows(world.db, sql`UPDATE sync.streams SET needs_full_at = clock_timestamp()`);
  let now = 0;
  const audit = createAudit(world.deps, () => now);
  t.equal(await audit.runOnce(), false);
  await ready(world.db);
  t.equal(await audit.runOnce(), false, 'not at once');
  now = 60_000;
  t.equal(await audit.runOnce(), true);
  t.same(await taken(world), ['U c1']);
});

test('a pass is followed by the next an hour later', async (t) => {
  const world = await setUp(t);
  let now = 0;
  const audit = createAudit(world.deps, () => now);
  const steps = async () => {
    let count = 0;
    while (await audit.runOnce()) count++;
    return count;
  };
  t.equal(await steps(), 2, 'rows, then records');
  now = 3_599_999;
  t.equal(await steps(), 0);
  now = 3_600_000;
  t.equal(await steps(), 2);
});

test('a stream whose audit fails is logged, and does not keep it from going on', async (t) => {
  const world = await setUp(t);
  const messages: string[] = [];
  const log = { ...world.deps.log, warn: (_fields: object, message: string) => void messages.push(message) };
  const audit = createAudit({ ...world.deps, log }, () => 0);
  await queryRows(world.db, sql`ALTER TABLE shop.customers RENAME TO elsewhere`);
  t.equal(await audit.runOnce(), true);
  t.equal(await audit.runOnce(), false);
  t.match(messages, [/audit of the rows failed/]);
  await queryRows(world.db, sql`ALTER TABLE shop.elsewhere RENAME TO customers`);
});

test('pages end where they should: every row and record is looked at once, however small they are', async (t) => {
  const world = await setUp(t, {}, 7);
  const { db, stream } = world;
  await db.transaction(async (tx) => {
    await markApplying(tx, true);
    await queryRows(tx, sql`UPDATE shop.customers SET full_name = 'Hers' WHERE id <> 'c4'`);
  });
  const differing: string[] = [];
  const pages: number[] = [];
  for (let after: string | null = null; ; ) {
    const page = await findUncaptured(db, KEY, stream.target, { after, limit: 2, since: null });
    differing.push(...page.found.map(({ targetKey }) => targetKey));
    pages.push(page.found.length);
    if (page.after === null) break;
    after = page.after;
  }
  t.same(differing, ['c1', 'c2', 'c3', 'c5', 'c6', 'c7']);
  t.same(pages, [2, 1, 2, 1]);
  await queryRows(db, sql`DELETE FROM shop.customers WHERE id IN ('c2', 'c7')`);
  const lost: string[] = [];
  for (let after: string | null = null; ; ) {
    const page = await findLostRows(db, KEY, stream.target, { after, limit: 3 });
    lost.push(...page.found);
    if (page.after === null) break;
    after = page.after;
  }
  t.same(lost, ['c2', 'c7']);
});
