import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import {
  columnOf,
  comparable,
  contentColumns,
  keyColumn,
  keyRows,
  keyText,
  populated,
  quote,
  quoteText,
  tableName,
} from '../db/target-sql.ts';
import type { StreamKey } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';

/** `unrecorded`: the row belongs to no record. `differs`: it is not as its record was stored. */
export type Uncaptured = { readonly targetKey: string; readonly kind: 'unrecorded' | 'differs' };

export type AuditPage<T> = {
  readonly found: readonly T[];
  /** Where the next page begins; null after the last one. */
  readonly after: string | null;
};

export type AuditStart = { /** Null: from the first. */ readonly after: string | null; readonly limit: number };

/**
 * Reads up to `limit` rows of the target in the order of their keys and finds those that were edited without being captured:
 * they differ from how their record was stored, or have no record though a transaction from `since` on wrote them (null: none
 * did). Rows stamped as deleted are passed over: to the flows they are not there. Locks nothing.
 */
export async function findUncaptured(
  db: Db,
  key: StreamKey,
  table: TargetTable,
  { after, limit, since }: AuditStart & { readonly since: bigint | null },
): Promise<AuditPage<Uncaptured>> {
  const column = quote(keyColumn(table).name);
  const content = contentColumns(table);
  const differs = `(${content.map((one) => comparable('(g.r)', one)).join(', ')})
    IS DISTINCT FROM (${content.map((one) => comparable('p', one)).join(', ')})`;
  const from = after === null ? sql`true` : sql`${sql.raw(`t.${column}`)} > (${keyValue(table, after)})`;
  const [page] = await queryRows<{ last: string | null; count: number; found: string }>(
    db,
    sql`WITH page AS MATERIALIZED (
          SELECT t AS r, t.xmin::text::bigint AS written_by FROM ${sql.raw(`${tableName(table)} AS t`)}
          WHERE ${sql.raw(`t.${column} IS NOT NULL`)} AND ${from} ORDER BY ${sql.raw(`t.${column}`)} LIMIT ${limit}),
        found AS (
          SELECT ${sql.raw(keyText('(g.r)', table))} AS key, s.external_id IS NULL AS is_new FROM page AS g
          LEFT JOIN LATERAL (${recordOf(key, sql.raw(keyText('(g.r)', table)))} LIMIT 1) AS s ON true
          LEFT JOIN LATERAL ${sql.raw(`jsonb_populate_record(NULL::${tableName(table)}, ${byColumn(table, 's.shadow')})`)} AS p ON true
          WHERE NOT (${sql.raw(stamped(table, '(g.r)'))})
            AND CASE WHEN s.external_id IS NULL THEN ${writtenSince(since)} ELSE s.shadow IS NOT NULL AND ${sql.raw(differs)} END)
        SELECT (SELECT count(*)::int FROM page) AS count,
               ${sql.raw(`(SELECT (g.r).${column}::text FROM page AS g ORDER BY (g.r).${column} DESC LIMIT 1)`)} AS last,
               (SELECT coalesce(json_agg(json_build_object('key', f.key, 'isNew', f.is_new)), '[]')::text FROM found AS f) AS found`,
  );
  const found: { key: string; isNew: boolean }[] = JSON.parse(page?.found ?? '[]');
  return {
    found: found.map((one) => ({ targetKey: one.key, kind: one.isNew ? 'unrecorded' : 'differs' })),
    after: page !== undefined && page.count >= limit ? page.last : null,
  };
}

/**
 * Reads the states of up to `limit` records in the order of their ids: keys of live ones whose row was stored and is gone, or
 * stamped as deleted. A row that was never stored (a trigger of the user's kept it out) was removed by nobody.
 */
export async function findLostRows(
  db: Db,
  key: StreamKey,
  table: TargetTable,
  { after, limit }: AuditStart,
): Promise<AuditPage<string>> {
  const column = quote(keyColumn(table).name);
  const [page] = await queryRows<{ last: string | null; count: number; found: string }>(
    db,
    sql`WITH page AS MATERIALIZED (
          SELECT external_id, status = 'live' AND shadow IS NOT NULL AS is_stored, coalesce(target_key, external_id) AS key
          FROM sync.record_states
          WHERE integration = ${key.integration} AND entity = ${key.entity} AND (${after}::text IS NULL OR external_id > ${after}::text)
          ORDER BY integration, entity, external_id LIMIT ${limit})
        SELECT (SELECT count(*)::int FROM page) AS count, (SELECT max(external_id) FROM page) AS last,
               (SELECT coalesce(json_agg(g.key), '[]')::text FROM page AS g
                CROSS JOIN LATERAL jsonb_populate_record(${sql.raw(`NULL::${tableName(table)}`)},
                  jsonb_build_object(${keyColumn(table).name}::text, g.key)) AS p
                LEFT JOIN LATERAL (SELECT true AS is_there ${sql.raw(`FROM ${tableName(table)} AS t WHERE t.${column} = p.${column}
                  AND NOT (${stamped(table, 't')}) LIMIT 1`)}) AS r ON true
                WHERE g.is_stored AND r.is_there IS NULL) AS found`,
  );
  return {
    found: JSON.parse(page?.found ?? '[]'),
    after: page !== undefined && page.count >= limit ? page.last : null,
  };
}

/** `open`: a push of the row waits, is under way or parked, or a conflict of it waits for a person: the row is known of. */
export type Handled = { readonly targetKey: string; readonly isOpen: boolean };

/** Rows of these keys that a push or an open conflict exists of, or did lately. */
export async function findHandled(db: Db, key: StreamKey, targetKeys: readonly string[]): Promise<Handled[]> {
  if (targetKeys.length === 0) return [];
  const wanted = sql`integration = ${key.integration} AND entity = ${key.entity} AND target_key = ANY(${sql.param([...targetKeys])}::text[])`;
  const rows = await queryRows<{ target_key: string; is_open: boolean }>(
    db,
    sql`SELECT target_key, bool_or(is_open) AS is_open FROM (
          SELECT target_key, state <> 'done' AS is_open FROM sync.outbox_pushes WHERE ${wanted}
          UNION ALL SELECT target_key, true FROM sync.conflicts WHERE ${wanted} AND outcome IS NULL) AS handled
        GROUP BY target_key`,
  );
  return rows.map(({ target_key: targetKey, is_open: isOpen }) => ({ targetKey, isOpen }));
}

export type AuditState = {
  /** A full run has linked the rows that were there, and none is owed since. */
  readonly isReady: boolean;
  /** Rows that transactions before this one wrote are known, whether they have a record or not; null before the first pass. */
  readonly since: bigint | null;
  /** To be kept as `since` when a pass that begins now has ended. */
  readonly next: bigint;
};

/** Null where the stream was never registered. */
export async function readAuditState(db: Db, key: StreamKey): Promise<AuditState | null> {
  // A stored number ahead of the server's own is another server's, whose data were restored here.
  const [row] = await queryRows<{ is_ready: boolean; since: string | null; next: string }>(
    db,
    sql`SELECT needs_full_at IS NULL AND last_full_started_at IS NOT NULL AND paused_reason IS NULL AS is_ready, since::text AS since,
               greatest(since, CASE WHEN since IS NULL THEN now_xmax ELSE now_xmin END)::text AS next
        FROM (SELECT s.*, CASE WHEN audited_xid <= n.now_xmax THEN audited_xid END AS since, n.now_xmin, n.now_xmax
              FROM sync.streams AS s CROSS JOIN (
                SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS now_xmin,
                       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now_xmax) AS n
              WHERE s.integration = ${key.integration} AND s.entity = ${key.entity}) AS state`,
  );
  if (row === undefined) return null;
  return { isReady: row.is_ready, since: row.since === null ? null : BigInt(row.since), next: BigInt(row.next) };
}

/** Keeps where the next pass begins. Never earlier than another process has kept. */
export async function saveAudited(db: Db, key: StreamKey, xid: bigint): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.streams SET audited_xid = greatest(${xid.toString()}::bigint,
               CASE WHEN audited_xid <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN audited_xid END)
        WHERE integration = ${key.integration} AND entity = ${key.entity}`,
  );
}

/** The record that lives in the row of this key. Each way to find it has an index of its own. */
const recordOf = (key: StreamKey, rowKey: SQL): SQL => {
  const ofStream = sql`r.integration = ${key.integration} AND r.entity = ${key.entity} AND r.status = 'live'`;
  return sql`SELECT r.external_id, r.shadow FROM sync.record_states AS r
             WHERE ${ofStream} AND r.external_id = ${rowKey} AND r.target_key IS NULL
             UNION ALL SELECT r.external_id, r.shadow FROM sync.record_states AS r WHERE ${ofStream} AND r.target_key = ${rowKey}`;
};

/** A row shows the lower half of its transaction's number, which goes round: the later of two is less than half a round ahead. */
const writtenSince = (since: bigint | null): SQL =>
  since === null
    ? sql`false`
    : sql`g.written_by >= 3 AND (g.written_by - ${(since % XIDS).toString()}::bigint + ${XIDS.toString()}::bigint) % ${XIDS.toString()}::bigint < ${(XIDS / 2n).toString()}::bigint`;

const XIDS = 2n ** 32n;

const keyValue = (table: TargetTable, key: string): SQL =>
  sql`SELECT ${sql.raw(`p.${quote(keyColumn(table).name)}`)} FROM ${populated(table, keyRows(table, [key]))}`;

/** A function takes at most a hundred arguments. */
const MAX_PAIRS = 40;

/** Content by the names of its columns. */
function byColumn(table: TargetTable, content: string): string {
  const pairs = table.contentProperties.map(
    (property) => `${quoteText(columnOf(table, property).name)}, ${content} -> ${quoteText(property)}`,
  );
  const parts: string[] = [];
  for (let start = 0; start < pairs.length; start += MAX_PAIRS) {
    parts.push(`jsonb_build_object(${pairs.slice(start, start + MAX_PAIRS).join(', ')})`);
  }
  return parts.join(' || ');
}

const stamped = (table: TargetTable, alias: string): string =>
  table.deletedAtProperty === null
    ? 'false'
    : `${alias}.${quote(columnOf(table, table.deletedAtProperty).name)} IS NOT NULL`;
