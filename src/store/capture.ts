import { sql } from 'drizzle-orm';
import {
  type CaptureTarget,
  captureOf,
  FUNCTION_PREFIX,
  silenceStatement,
  streamOfComment,
} from '../db/capture-sql.ts';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import { keyColumn, quote, tableName } from '../db/target-sql.ts';
import type { StreamKey } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';

export type { CaptureTarget } from '../db/capture-sql.ts';

/** A function of ours that captures edits, and where it is called from. */
export type FoundCapture = {
  readonly functionName: string;
  /** Null where its comment does not say. */
  readonly stream: StreamKey | null;
  readonly body: string;
  readonly triggers: readonly { readonly name: string; readonly tableId: string; readonly isEnabled: boolean }[];
};

export type CaptureSteps = {
  readonly install: readonly CaptureInstall[];
  readonly remove: readonly FoundCapture[];
};

/**
 * `isAnew`: tables that were renamed or replaced call the function as well. `isOurs`: the function is there and as this
 * configuration has it, so that only its triggers are missing.
 */
export type CaptureInstall = { readonly capture: CaptureTarget; readonly isAnew: boolean; readonly isOurs: boolean };

/** What is to be done so that the edits of these streams are captured, and those of no other. Locks nothing. */
export async function findCaptureSteps(db: Db, wanted: readonly CaptureTarget[]): Promise<CaptureSteps> {
  const found = await readCaptures(db);
  const install: CaptureInstall[] = [];
  for (const capture of wanted) {
    const tableId = await readTableId(db, capture.target);
    if (tableId === null) continue;
    const { functionName, body, triggers } = captureOf(capture);
    const present = found.find((one) => one.functionName === functionName);
    const isAnew = present?.triggers.some((trigger) => trigger.tableId !== tableId) ?? false;
    const hasTriggers = triggers.every((name) =>
      present?.triggers.some((trigger) => trigger.name === name && trigger.isEnabled),
    );
    if (present?.body !== body || isAnew || !hasTriggers) {
      install.push({ capture, isAnew, isOurs: present?.body === body });
    }
  }
  const names = new Set(wanted.map((capture) => captureOf(capture).functionName));
  return { install, remove: found.filter(({ functionName }) => !names.has(functionName)) };
}

async function readCaptures(db: Db): Promise<FoundCapture[]> {
  const rows = await queryRows<{ name: string; body: string; comment: string | null; triggers: string }>(
    db,
    sql`SELECT p.proname AS name, p.prosrc AS body, obj_description(p.oid, 'pg_proc') AS comment,
               coalesce((SELECT json_agg(json_build_object('name', t.tgname, 'tableId', t.tgrelid::text,
                           'isEnabled', t.tgenabled IN ('O', 'A')))
                         FROM pg_trigger AS t WHERE t.tgfoid = p.oid), '[]')::text AS triggers
        FROM pg_proc AS p WHERE p.pronamespace = 'sync'::regnamespace AND starts_with(p.proname, ${FUNCTION_PREFIX})
        ORDER BY p.proname`,
  );
  return rows.map(({ name, body, comment, triggers }) => ({
    functionName: name,
    stream: streamOfComment(comment),
    body,
    triggers: JSON.parse(triggers),
  }));
}

/** The table's id in the catalogue; null while there is no such table. It is another one after the table was made anew. */
async function readTableId(db: Db, table: TargetTable): Promise<string | null> {
  const [row] = await queryRows<{ id: string | null }>(
    db,
    sql`SELECT to_regclass(${tableName(table)})::oid::text AS id`,
  );
  return row?.id ?? null;
}

/** Types whose text is the same in every session, and as the mapping writes it: edits name their row by it. */
const KEY_KINDS: ReadonlySet<string> = new Set(['text', 'integer', 'decimal']);

/** What would keep edits of this table from being captured, in words that follow its name. */
export async function findCaptureProblems(
  db: Db,
  table: TargetTable,
  { needsTriggers }: { readonly needsTriggers: boolean },
): Promise<string[]> {
  const [row] = await queryRows<{ may_create: boolean; hides_rows: boolean; has_foreign: boolean }>(
    db,
    sql`SELECT has_table_privilege(c.oid, 'TRIGGER') AS may_create, row_security_active(c.oid) AS hides_rows,
               EXISTS (WITH RECURSIVE parts AS (
                         SELECT c.oid AS id UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN parts ON i.inhparent = parts.id)
                       SELECT FROM parts JOIN pg_class AS p ON p.oid = parts.id WHERE p.relkind = 'f') AS has_foreign
        FROM pg_class AS c WHERE c.oid = to_regclass(${tableName(table)})`,
  );
  if (row === undefined) return [];
  const key = keyColumn(table);
  const problems: string[] = [];
  if (!KEY_KINDS.has(key.kind)) {
    problems.push(
      `has ${key.name} of type ${key.sqlType} as its key: two-way sync takes text, uuid, integers and numeric`,
    );
  }
  if (needsTriggers && !row.may_create) {
    problems.push('must let the database user create triggers, which capture edits: grant TRIGGER on it');
  }
  if (row.hides_rows) {
    problems.push(
      'hides rows from the database user by row-level security, and what is hidden would look removed: use its owner without FORCE ROW LEVEL SECURITY, or a user with BYPASSRLS',
    );
  }
  if (row.has_foreign) {
    problems.push('has a foreign table among its children, of which PostgreSQL captures no edits: detach that table');
  }
  return problems;
}

/**
 * Puts a stream's capture in place, whatever was there. Writers of the table are kept out for a moment, and waited for no longer
 * than `lockTimeoutMs`: then it throws a lock time-out, and the transaction must end. Rows that stand there now count as known.
 * Which table it is, the caller notes in the same transaction.
 */
export async function installCapture(
  tx: Db,
  { capture, isAnew }: Pick<CaptureInstall, 'capture' | 'isAnew'>,
  lockTimeoutMs: number,
): Promise<void> {
  const { functionName, statements } = captureOf(capture);
  await limitLockWait(tx, lockTimeoutMs);
  if (isAnew) await dropFunction(tx, functionName);
  for (const statement of statements) await queryRows(tx, sql.raw(statement));
  const { integration, entity } = capture.key;
  await queryRows(
    tx,
    sql`INSERT INTO sync.streams AS s (integration, entity, audited_xid)
        VALUES (${integration}, ${entity}, pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
        ON CONFLICT (integration, entity) DO UPDATE SET audited_xid = coalesce(s.audited_xid, excluded.audited_xid)`,
  );
}

/**
 * Removes a capture with its triggers, on whatever tables they are and whoever owns those. Waits for readers and writers of
 * these tables no longer than `lockTimeoutMs`. Rows of the stream count as unknown from then on.
 */
export async function removeCapture(
  tx: Db,
  { functionName, stream }: Pick<FoundCapture, 'functionName' | 'stream'>,
  lockTimeoutMs: number,
): Promise<void> {
  await limitLockWait(tx, lockTimeoutMs);
  await dropFunction(tx, functionName);
  await forgetAudit(tx, stream);
}

/**
 * Makes a capture do nothing. Waits for no lock on the table, whose triggers go on calling it. Rows of the stream count as
 * unknown from then on: what is written in the meantime is not an edit of a two-way stream.
 */
export async function silenceCapture(
  tx: Db,
  { functionName, stream }: Pick<FoundCapture, 'functionName' | 'stream'>,
): Promise<void> {
  await queryRows(tx, sql.raw(silenceStatement(functionName)));
  await forgetAudit(tx, stream);
}

async function forgetAudit(tx: Db, stream: StreamKey | null): Promise<void> {
  if (stream === null) return;
  await queryRows(
    tx,
    sql`UPDATE sync.streams SET audited_xid = NULL WHERE integration = ${stream.integration} AND entity = ${stream.entity}`,
  );
}

export type LockHolder = { readonly pid: number /** ISO, UTC. */; readonly since: string | null };

/** Sessions that hold a lock on this table which keeps triggers from being created, the oldest transaction first; at most 5. */
export async function findLockHolders(db: Db, table: TargetTable): Promise<LockHolder[]> {
  return await queryRows<LockHolder & Record<string, unknown>>(
    db,
    sql`SELECT l.pid, to_char(min(a.xact_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
        FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
        WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.relation = to_regclass(${tableName(table)}) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
        GROUP BY l.pid ORDER BY min(a.xact_start) LIMIT 5`,
  );
}

/** Of its triggers too: a function takes along what depends on it, even on tables that are not ours. */
const dropFunction = (tx: Db, functionName: string) =>
  queryRows(tx, sql.raw(`DROP FUNCTION IF EXISTS sync.${quote(functionName)}() CASCADE`));

const limitLockWait = (tx: Db, ms: number) =>
  queryRows(tx, sql`SELECT set_config('lock_timeout', ${String(ms)}, true)`);
