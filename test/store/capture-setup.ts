import { sql } from 'drizzle-orm';
import type { Database, Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import type { TargetTable } from '../../src/model/target.ts';
import type { CaptureTarget } from '../../src/store/capture.ts';
import { alignCaptures, type CaptureProblem, restoreCaptures } from '../../src/sync/capture.ts';
import { silentLog } from '../helpers/database.ts';

export const CUSTOMERS = { integration: 'shop', entity: 'customers' };
const log = { ...silentLog, debug() {} };

/** A plain target: `id` is the key, `name` and `amount` are mapped, `note` is the user's alone. */
export const TARGET: TargetTable = {
  schema: 'shop',
  name: 'customers',
  columns: {
    id: { name: 'id', sqlType: 'text', kind: 'text', isNotNull: true, hasDefault: false },
    name: { name: 'full_name', sqlType: 'text', kind: 'text', isNotNull: false, hasDefault: false },
    amount: { name: 'amount', sqlType: 'integer', kind: 'integer', isNotNull: false, hasDefault: false },
    deletedAt: {
      name: 'deleted_at',
      sqlType: 'timestamp with time zone',
      kind: 'timestamp',
      isNotNull: false,
      hasDefault: false,
    },
  },
  keyProperty: 'id',
  isKeyDirect: true,
  contentProperties: ['id', 'name', 'amount'],
  syncedAtProperties: [],
  deletedAtProperty: 'deletedAt',
};

export const CREATE_CUSTOMERS = `CREATE TABLE shop.customers
  (id text PRIMARY KEY, full_name text, amount integer, deleted_at timestamptz, note text)`;

export const capture = (target: TargetTable = TARGET, key = CUSTOMERS): CaptureTarget => ({ key, target });

/** Without waits: a lock that is held is tried for again at once. */
export const align = (
  database: Database,
  wanted: readonly CaptureTarget[],
  sleep: () => Promise<void> = async () => {},
): Promise<CaptureProblem[]> => alignCaptures({ database, log, sleep }, wanted);

/** As the running server does; nothing is waited for. */
export const restore = (database: Database, wanted: readonly CaptureTarget[]): Promise<CaptureProblem[]> =>
  restoreCaptures({ database, log }, wanted);

export const run = (db: Db, text: string) => queryRows(db, sql.raw(text));

/** An empty table, whose edits are captured. */
export async function prepareTable(database: Database, create: string = CREATE_CUSTOMERS): Promise<void> {
  const { db } = database;
  await run(db, 'DROP SCHEMA IF EXISTS shop CASCADE');
  await align(database, []);
  await run(db, 'CREATE SCHEMA shop');
  await run(db, create);
  const problems = await align(database, [capture()]);
  if (problems.length > 0) throw new Error(problems.map(({ problem }) => problem).join('; '));
  await run(db, 'TRUNCATE sync.local_changes');
}

/** What was captured since the last call: `U c1`, in the order in which it was. */
export async function captured(db: Db, { integration, entity } = CUSTOMERS): Promise<string[]> {
  const rows = await queryRows<{ op: string; key: string | null }>(
    db,
    sql`SELECT c.op, k.key FROM sync.local_changes AS c
        LEFT JOIN LATERAL unnest(c.target_keys) WITH ORDINALITY AS k(key, place) ON true
        WHERE c.integration = ${integration} AND c.entity = ${entity} ORDER BY c.id, k.place`,
  );
  await queryRows(db, sql`DELETE FROM sync.local_changes WHERE integration = ${integration} AND entity = ${entity}`);
  return rows.map(({ op, key }) => (key === null ? op : `${op} ${key}`));
}

/** Names of the triggers of ours on a table. */
export async function triggersOn(db: Db, table: string): Promise<string[]> {
  const rows = await queryRows<{ name: string }>(
    db,
    sql`SELECT tgname AS name FROM pg_trigger WHERE tgrelid = ${table}::regclass AND NOT tgisinternal ORDER BY 1`,
  );
  return rows.map(({ name }) => name).filter((name) => name.startsWith('syncline_'));
}
