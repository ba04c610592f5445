import { sql } from 'drizzle-orm';
import type { Database, Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import type { Instant } from '../../src/model/instant.ts';
import type { Content } from '../../src/model/observation.ts';
import type { RecordState } from '../../src/model/record-state.ts';
import { claimHints, finishHint } from '../../src/store/hints.ts';
import { readStates } from '../../src/store/record-states.ts';
import { resumeSource } from '../../src/store/source-states.ts';
import { registerStream } from '../../src/store/streams.ts';
import { alignCaptures } from '../../src/sync/capture.ts';
import { openRecordTx } from '../../src/sync/record-tx.ts';
import { CrashError } from './actors.ts';
import type { Clock } from './clock.ts';
import { type CopiedRows, readCopy } from './sql-copy.ts';
import type { Storage, StorageParts } from './storage.ts';
import { KEY, TARGET } from './stream.ts';
import { commit, rollBack } from './table.ts';
import type { SimulationTx } from './worker.ts';

/**
 * Puts the database's clock into the hands of the scheduler: functions of this schema are found before PostgreSQL's own, so
 * that whatever the server's SQL asks for the time, it is answered with the simulation's.
 */
export async function takeClock(db: Db): Promise<void> {
  await queryRows(db, sql`CREATE SCHEMA simulation`);
  await queryRows(db, sql`CREATE SEQUENCE simulation.ticks START 1 MAXVALUE 9000000000000000`);
  await queryRows(
    db,
    sql`CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
          $$ SELECT pg_catalog.to_timestamp(nextval('simulation.ticks') / 1e6) $$`,
  );
  await queryRows(db, sql`SET search_path = simulation, pg_catalog, public`);
}

/** An empty database with the user's table, its edits captured by the triggers that the server installs. */
export async function emptyDatabase(database: Database): Promise<void> {
  const { db } = database;
  const tables = await queryRows<{ name: string }>(
    db,
    sql`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'sync'`,
  );
  await queryRows(db, sql.raw(`TRUNCATE ${tables.map(({ name }) => `sync.${name}`).join(', ')} RESTART IDENTITY`));
  await queryRows(db, sql`DROP SCHEMA IF EXISTS shop CASCADE`);
  await queryRows(db, sql`CREATE SCHEMA shop`);
  await queryRows(
    db,
    sql`CREATE TABLE shop.customers (id text PRIMARY KEY, a text, b text, d text, n integer, ref text)`,
  );
  await registerStream(db, KEY, 'revision 1');
  const quiet = () => {};
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const problems = await alignCaptures({ database, log, sleep: async () => {} }, [{ key: KEY, target: TARGET }]);
  if (problems.length > 0) throw new Error(`The table cannot be captured: ${problems[0]?.problem}`);
}

/** The same server over SQL. After each transaction the tables in memory are a copy of the database, for all who only look. */
export function createSqlStorage(db: Db, parts: StorageParts): Storage {
  const { tables, clock, stream, onCommit, wrapTx } = parts;
  const asked: (() => Promise<void>)[] = [];
  let running: Promise<unknown> = Promise.resolve();

  /** One transaction at a time, as the embedded database has them anyway. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = running.then(work);
    running = turn.catch(() => {});
    return turn;
  }

  async function run<T>(isDead: () => boolean, work: (tx: SimulationTx) => Promise<T>): Promise<T> {
    await setClock(db, clock.read());
    tables.log.isOpen = true;
    try {
      const result = await db.transaction(async (tx) => {
        const done = await work({ ...wrapTx(openRecordTx(tx, stream())), ...hintsOf(tx) });
        if (isDead()) throw new CrashError('The replica died before its commit');
        return done;
      });
      commit(tables.log);
      await copy();
      return result;
    } catch (error) {
      rollBack(tables.log);
      throw error;
    } finally {
      await readClock(db, clock);
    }
  }

  /** Brings the tables in memory in line, and has what changed checked. */
  async function copy(): Promise<void> {
    const rows = await readCopy(db, KEY);
    const changed = statesChanged(tables.states.rows, await readStates(db, KEY, rows.recordIds));
    const written = new Set(keysChanged(tables.rows.rows, rows.customers));
    put(rows);
    for (const [id, { after }] of changed) tables.states.set(id, after);
    onCommit({ at: clock.at(), states: changed, written, faults: [], met: [], decided: [], told: [] });
  }

  function put(rows: CopiedRows): void {
    for (const name of ['pushes', 'tokens', 'conflicts', 'hints', 'changes'] as const) {
      const table = tables[name] as {
        rows: ReadonlyMap<unknown, unknown>;
        remove(key: unknown): void;
        set(key: unknown, value: unknown): void;
      };
      const now = rows[name] as ReadonlyMap<unknown, unknown>;
      for (const key of [...table.rows.keys()]) if (!now.has(key)) table.remove(key);
      for (const [key, value] of now) table.set(key, value);
    }
    for (const key of [...tables.rows.rows.keys()]) if (!rows.customers.has(key)) tables.rows.remove(key);
    for (const [key, value] of rows.customers) tables.rows.set(key, value);
    tables.progress.set({ ...tables.progress.get(), ...rows.waits });
  }

  return {
    pushesAtOnce: 1,
    storeFor: (actor) => ({
      async transaction(work) {
        await actor.gate('begin');
        const result = await actor.uninterrupted(() => inTurn(() => run(actor.isDead, work)));
        await actor.gate('committed');
        return result;
      },
    }),
    edit(targetKey, content) {
      // Seen at once by whoever edits next; done before anybody else goes on.
      const isThere = tables.rows.get(targetKey) !== undefined;
      if (content === null) tables.rows.remove(targetKey);
      else tables.rows.set(targetKey, content);
      asked.push(() => editRow(db, targetKey, { content, isThere }));
    },
    resume() {
      asked.push(async () => {
        await resumeSource(db, KEY.integration, ['auth']);
      });
    },
    async flush() {
      if (asked.length === 0) return;
      await inTurn(async () => {
        await setClock(db, clock.read());
        for (let next = asked.shift(); next !== undefined; next = asked.shift()) await next();
        const rows = await readCopy(db, KEY);
        put(rows);
        await readClock(db, clock);
      });
    },
  };
}

const hintsOf = (tx: Db): Pick<SimulationTx, 'claimHint' | 'finishHint'> => ({
  async claimHint(leaseMs) {
    const [hint] = await claimHints(tx, { integrations: [KEY.integration], limit: 1, leaseMs });
    return hint ?? null;
  },
  finishHint: (hint) => finishHint(tx, hint),
});

const setClock = async (db: Db, at: Instant): Promise<void> => {
  await queryRows(db, sql`SELECT setval('simulation.ticks', ${at}::bigint)`);
};

async function readClock(db: Db, clock: Clock): Promise<void> {
  const [row] = await queryRows<{ at: string }>(db, sql`SELECT last_value::text AS at FROM simulation.ticks`);
  clock.advanceTo(Number(row?.at ?? 0));
}

type Edit = { readonly content: Content | null; readonly isThere: boolean };

async function editRow(db: Db, key: string, { content, isThere }: Edit): Promise<void> {
  if (content === null) {
    await queryRows(db, sql`DELETE FROM shop.customers WHERE id = ${key}`);
    return;
  }
  const { id, a = null, b = null, d = null, n = null, ref = null } = content;
  await queryRows(
    db,
    isThere
      ? sql`UPDATE shop.customers SET a = ${a}, b = ${b}, d = ${d}, n = ${n}::integer, ref = ${ref} WHERE id = ${id}`
      : sql`INSERT INTO shop.customers (id, a, b, d, n, ref) VALUES (${id}, ${a}, ${b}, ${d}, ${n}::integer, ${ref})`,
  );
}

function statesChanged(before: ReadonlyMap<string, RecordState>, after: ReadonlyMap<string, RecordState>) {
  const changed = new Map<string, { before: RecordState | null; after: RecordState }>();
  for (const [id, state] of after) {
    const old = before.get(id) ?? null;
    if (old === null || old.appliedSeq !== state.appliedSeq || old.hi !== state.hi || old.status !== state.status)
      changed.set(id, { before: old, after: state });
    else if (old.localVersion !== state.localVersion || old.version !== state.version || old.lo !== state.lo)
      changed.set(id, { before: old, after: state });
  }
  return changed;
}

const keysChanged = (before: ReadonlyMap<string, Content>, after: ReadonlyMap<string, Content>): string[] =>
  [...new Set([...before.keys(), ...after.keys()])].filter(
    (key) => JSON.stringify(before.get(key)) !== JSON.stringify(after.get(key)),
  );
