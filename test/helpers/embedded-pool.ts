import { createHash } from 'node:crypto';
import { t as root } from 'tap';
import type { Database } from '../../src/db/connect.ts';
import { createQueue, IN_MEMORY } from '../../src/db/embedded.ts';
import { type EmbeddedClient, openEmbeddedClient } from '../../src/db/embedded-client.ts';
import { DatabaseError } from '../../src/db/errors.ts';
import { openDb, type SqlClient } from '../../src/db/session.ts';

/** To start one takes seconds of processor time, to empty one milliseconds. */
const MAX_IDLE = 2;
const idle: Instance[] = [];

type Instance = {
  readonly client: EmbeddedClient;
  /** What it looked like when it was new. */
  readonly shape: string;
  readonly tables: readonly string[];
  readonly rows: ReadonlyMap<string, string>;
};

root.teardown(async () => {
  for (const { client } of idle.splice(0)) await client.close();
});

/** A migrated, empty database in memory, which the next test of this process gets again, emptied, once it is closed. */
export async function borrowEmbedded(dump: () => Promise<Uint8Array>): Promise<Database> {
  const instance = idle.pop() ?? (await start(await dump()));
  const { client, returned } = lend(instance.client);
  const db = openDb(client);
  let closing: Promise<void> | null = null;
  return {
    kind: 'embedded',
    db,
    ingestDb: db,
    serverVersion: instance.client.serverVersion,
    exclusively: createQueue(db),
    close: () => {
      closing ??= returned().then(() => takeBack(instance));
      return closing;
    },
  };
}

async function start(dump: Uint8Array): Promise<Instance> {
  const client = await openEmbeddedClient({ dataDir: IN_MEMORY, dump });
  return { client, shape: await shapeOf(client), tables: await tablesOf(client), rows: await rowsOf(client) };
}

/** The client for one test: what it still asks after its end is refused, as by a database that is closed. */
function lend(client: EmbeddedClient): { readonly client: SqlClient; readonly returned: () => Promise<void> } {
  let isReturned = false;
  const open = new Set<Promise<unknown>>();
  function guarded<T>(work: () => Promise<T>): Promise<T> {
    if (isReturned) return Promise.reject(new DatabaseError('closed', 'The embedded database is closed'));
    const running = work();
    open.add(running);
    const done = () => open.delete(running);
    running.then(done, done);
    return running;
  }
  return {
    client: {
      query: (sql, params, options) => guarded(() => client.query(sql, params, options)),
      exec: (sql) => guarded(() => client.exec(sql)),
      transaction: (work) => guarded(() => client.transaction(work)),
    },
    async returned() {
      isReturned = true;
      await Promise.allSettled(open);
    },
  };
}

/** Kept where it can be made as it was when it was new, else ended. */
async function takeBack(instance: Instance): Promise<void> {
  const { client, shape, tables, rows } = instance;
  try {
    await client.exec(REMOVE_OTHERS);
    // Of migrations that a test has run besides.
    for (const table of await tablesOf(client)) if (!tables.includes(table)) await client.exec(`DROP TABLE ${table}`);
    const filled = [...(await rowsOf(client))].filter(([table, hash]) => rows.get(table) !== hash);
    if (filled.length > 0) await client.exec(`TRUNCATE ${filled.map(([table]) => table).join(', ')} CASCADE`);
    await client.exec(restartSequences([...rows.keys()]));
    await client.exec('DISCARD ALL');
    const isAsNew = (await shapeOf(client)) === shape && isSame(await rowsOf(client), rows);
    if (isAsNew && idle.length < MAX_IDLE) return void idle.push(instance);
  } catch {
    // A test left it in a state that cannot be cleared: it is of no more use.
  }
  await client.close();
}

const isSame = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([table, hash]) => b.get(table) === hash);

/** Everything but the server's own schema, and the functions that capturing puts there. */
const REMOVE_OTHERS = `DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace
      WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'sync') LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
  FOR name IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'sync'::regnamespace LOOP
    EXECUTE 'DROP FUNCTION ' || name || ' CASCADE';
  END LOOP;
  CREATE SCHEMA public;
END $$`;

/** But for those of tables that are never emptied, which hold what the migrations have put there. */
const restartSequences = (filled: readonly string[]): string => `SELECT setval(s.oid::regclass, seqstart, false)
  FROM pg_class s JOIN pg_sequence ON seqrelid = s.oid LEFT JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
  WHERE s.relnamespace = 'sync'::regnamespace AND coalesce(d.refobjid::regclass::text, '') <> ALL (ARRAY[${filled.map((table) => `'${table}'`).join(', ')}]::text[])`;

/** Tables, columns, constraints, indexes, triggers, roles, settings: in one word. */
async function shapeOf(client: EmbeddedClient): Promise<string> {
  const { rows } = await client.query(`
    SELECT attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull AS part
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'sync'::regnamespace AND attnum > 0
    UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'sync'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'sync'
    UNION ALL SELECT tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT relname || coalesce(reloptions::text, '') || coalesce(relacl::text, '') FROM pg_class
      WHERE relnamespace = 'sync'::regnamespace
    UNION ALL SELECT rolname || coalesce(rolconfig::text, '') FROM pg_roles
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
    ORDER BY part`);
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex');
}

async function tablesOf(client: EmbeddedClient): Promise<readonly string[]> {
  const { rows } = await client.query(
    `SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'sync'::regnamespace AND relkind IN ('r', 'p')`,
  );
  return rows.map((row) => (row as { name: string }).name);
}

/** What each table of the server holds that is not empty, in one word. */
async function rowsOf(client: EmbeddedClient): Promise<Map<string, string>> {
  const names = await tablesOf(client);
  const asked = names.map(
    (name) => `SELECT '${name}' AS name, md5(string_agg(r::text, ',' ORDER BY r::text)) AS hash FROM ${name} r`,
  );
  const found = await client.query(asked.join(' UNION ALL '));
  return new Map(
    found.rows
      .map((row) => row as { name: string; hash: string | null })
      .flatMap(({ name, hash }) => (hash === null ? [] : [[name, hash] as const])),
  );
}
