import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn, instantValue } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import { BEFORE_ALL } from '../model/instant.ts';
import type { Content, StreamKey } from '../model/observation.ts';
import type { RecordState, RecordStatus } from '../model/record-state.ts';

type StateRow = {
  external_id: string;
  target_key: string | null;
  status: RecordStatus;
  base: string | null;
  base_hash: string | null;
  version: string | null;
  etag: string | null;
  lo: number | null;
  hi: number | null;
  tomb_version: string | null;
  is_tomb_soft: boolean;
  is_tomb_unversioned: boolean;
  alive_at: number | null;
  applied_seq: string;
  regress_seen_at: number | null;
  shadow: string | null;
  local_version: string;
};

const COLUMNS = sql.raw(`external_id, target_key, status, base::text AS base, encode(base_hash, 'hex') AS base_hash,
  version::text AS version, etag, ${instantColumn('lo')}, ${instantColumn('hi')}, tomb_version::text AS tomb_version,
  is_tomb_soft, is_tomb_unversioned, ${instantColumn('alive_at')}, applied_seq::text AS applied_seq,
  ${instantColumn('regress_seen_at')}, shadow::text AS shadow, local_version::text AS local_version`);

/** States of the given records, without locking. Records never seen are missing from the map. */
export async function readStates(db: Db, key: StreamKey, ids: readonly string[]): Promise<Map<string, RecordState>> {
  return toMap(await selectStates(db, key, ids, sql``));
}

/** As `readStates`, but locks the rows until the transaction ends, in the order of their ids. */
export async function lockStates(tx: Db, key: StreamKey, ids: readonly string[]): Promise<Map<string, RecordState>> {
  return toMap(await selectStates(tx, key, ids, sql`FOR UPDATE`));
}

/** Adds states of records seen for the first time; returns the ids that were not there yet. Waits for a rival insert. */
export async function insertStates(tx: Db, key: StreamKey, states: readonly RecordState[]): Promise<Set<string>> {
  if (states.length === 0) return new Set();
  const rows = await queryRows<{ external_id: string }>(
    tx,
    sql`INSERT INTO sync.record_states (integration, entity, ${STATE_COLUMNS})
        SELECT ${key.integration}, ${key.entity}, ${STATE_VALUES} FROM ${recordset(states)}
        ORDER BY s.external_id COLLATE "C"
        ON CONFLICT (integration, entity, external_id) DO NOTHING RETURNING external_id`,
  );
  return new Set(rows.map((row) => row.external_id));
}

/** Stores states of records whose rows this transaction has locked. As an upsert, because that finds them by the key alone. */
export async function saveStates(tx: Db, key: StreamKey, states: readonly RecordState[]): Promise<void> {
  if (states.length === 0) return;
  await queryRows(
    tx,
    sql`INSERT INTO sync.record_states AS r (integration, entity, ${STATE_COLUMNS})
        SELECT ${key.integration}, ${key.entity}, ${STATE_VALUES} FROM ${recordset(states)}
        ON CONFLICT (integration, entity, external_id) DO UPDATE SET (${STATE_COLUMNS}) = (${EXCLUDED})`,
  );
}

/**
 * Ids of the records that live in rows of these keys, by key: live ones, and deleted ones whose row an open conflict keeps.
 * Each by an index of its own; a record without a key of its own lives in the row of its id.
 */
export async function findByTargetKey(
  db: Db,
  key: StreamKey,
  targetKeys: readonly string[],
): Promise<Map<string, string>> {
  if (targetKeys.length === 0) return new Map();
  const keys = sql`${sql.param([...targetKeys])}::text[]`;
  const ofStream = sql`r.integration = ${key.integration} AND r.entity = ${key.entity}`;
  const rows = await queryRows<{ target_key: string; external_id: string }>(
    db,
    sql`SELECT c.target_key, r.external_id FROM sync.conflicts c JOIN sync.record_states r
            ON r.integration = c.integration AND r.entity = c.entity AND r.external_id = c.external_id
        WHERE c.integration = ${key.integration} AND c.entity = ${key.entity} AND c.outcome IS NULL
          AND c.target_key = ANY(${keys}) AND r.status = 'tombstone'
        UNION ALL
        SELECT r.external_id, r.external_id FROM sync.record_states r
        WHERE ${ofStream} AND r.external_id = ANY(${keys}) AND r.target_key IS NULL AND r.status = 'live'
        UNION ALL
        SELECT r.target_key, r.external_id FROM sync.record_states r
        WHERE ${ofStream} AND r.target_key = ANY(${keys}) AND r.status = 'live'`,
  );
  return new Map(rows.map((row) => [row.target_key, row.external_id]));
}

/**
 * Forgets of up to `limit` records, in the order of their ids after `after`, what orders sightings; deletions become such as
 * anything may undo. Base and shadow stay. @returns the last id, null after the last records, and how many they were.
 */
export async function forgetOrder(
  tx: Db,
  key: StreamKey,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly last: string | null; readonly count: number }> {
  const rows = await queryRows<{ external_id: string }>(
    tx,
    sql`WITH batch AS (
          SELECT external_id FROM sync.record_states
          WHERE integration = ${key.integration} AND entity = ${key.entity}
            AND (${after}::text IS NULL OR external_id > ${after}::text)
          ORDER BY external_id LIMIT ${limit} FOR UPDATE
        ), forgotten AS (
          UPDATE sync.record_states AS r
          SET version = NULL, etag = NULL, lo = '-infinity', hi = '-infinity', tomb_version = NULL,
              is_tomb_soft = (r.status = 'tombstone'), is_tomb_unversioned = false, regress_seen_at = NULL,
              updated_at = clock_timestamp()
          FROM batch WHERE r.integration = ${key.integration} AND r.entity = ${key.entity} AND r.external_id = batch.external_id
          RETURNING r.external_id
        )
        SELECT external_id FROM forgotten ORDER BY external_id`,
  );
  return { last: rows.length < limit ? null : (rows.at(-1)?.external_id ?? null), count: rows.length };
}

/**
 * Forgets of up to `limit` records, in the order of their ids after `after`, how the target stored them, and what the source
 * said: of these properties, or (with null) of all. @returns the last id, null after the last records.
 */
export async function forgetStored(
  tx: Db,
  key: StreamKey,
  properties: readonly string[] | null,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<string | null> {
  const without = (column: string) =>
    properties === null ? sql`NULL` : sql`${sql.raw(`r.${column}`)} - ${sql.param([...properties])}::text[]`;
  const rows = await queryRows<{ external_id: string }>(
    tx,
    sql`WITH batch AS (
          SELECT external_id FROM sync.record_states
          WHERE integration = ${key.integration} AND entity = ${key.entity}
            AND (${after}::text IS NULL OR external_id > ${after}::text)
          ORDER BY external_id LIMIT ${limit} FOR UPDATE
        ), forgotten AS (
          UPDATE sync.record_states AS r
          SET base = ${without('base')}, shadow = ${without('shadow')}, updated_at = clock_timestamp()
          FROM batch WHERE r.integration = ${key.integration} AND r.entity = ${key.entity} AND r.external_id = batch.external_id
          RETURNING r.external_id
        )
        SELECT external_id FROM forgotten ORDER BY external_id`,
  );
  return rows.length < limit ? null : (rows.at(-1)?.external_id ?? null);
}

/** How many records of a stream are live. */
export async function countLive(db: Db, key: StreamKey): Promise<number> {
  const rows = await queryRows<{ n: string }>(
    db,
    sql`SELECT count(*)::text AS n FROM sync.record_states
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND status = 'live'`,
  );
  return Number(rows[0]?.n ?? 0);
}

const STATE_NAMES = `external_id, target_key, status, base, base_hash, version, etag, lo, hi, tomb_version,
  is_tomb_soft, is_tomb_unversioned, alive_at, applied_seq, regress_seen_at, shadow, local_version, updated_at, buried_at`;
const STATE_COLUMNS = sql.raw(STATE_NAMES);
const EXCLUDED = sql.raw(STATE_NAMES.replaceAll(/\w+/g, 'excluded.$&'));

const STATE_VALUES =
  sql.raw(`s.external_id, s.target_key, s.status, s.base, decode(s.base_hash, 'hex'), s.version, s.etag,
  ${instantValue('s.lo')}, ${instantValue('s.hi')}, s.tomb_version, s.is_tomb_soft, s.is_tomb_unversioned,
  ${instantValue('s.alive_at')}, s.applied_seq, to_timestamp(s.regress_seen_at / 1e6), s.shadow, s.local_version, clock_timestamp(),
  CASE WHEN s.status = 'tombstone' THEN clock_timestamp() END`);

const recordset = (states: readonly RecordState[]) => sql`jsonb_to_recordset(${JSON.stringify(
  states.map(toRow),
)}::text::jsonb) AS s(external_id text, target_key text, status text, base jsonb, base_hash text, version numeric, etag text,
  lo float8, hi float8, tomb_version numeric, is_tomb_soft boolean, is_tomb_unversioned boolean, alive_at float8,
  applied_seq bigint, regress_seen_at float8, shadow jsonb, local_version bigint)`;

const finite = (at: number | null): number | null => (at === BEFORE_ALL ? null : at);

const toRow = (state: RecordState) => ({
  external_id: state.externalId,
  target_key: state.targetKey,
  status: state.status,
  base: state.base,
  base_hash: state.baseHash,
  version: state.version?.toString() ?? null,
  etag: state.etag,
  lo: finite(state.lo),
  hi: finite(state.hi),
  tomb_version: state.tombVersion?.toString() ?? null,
  is_tomb_soft: state.isTombSoft,
  is_tomb_unversioned: state.isTombUnversioned,
  alive_at: finite(state.aliveAt),
  applied_seq: state.appliedSeq,
  regress_seen_at: state.regressSeenAt,
  shadow: state.shadow,
  local_version: state.localVersion,
});

/**
 * One look-up by the whole key for each id, whatever the statistics say. `external_id = ANY(…)` may be taken for a filter
 * on all rows of the stream while the table is young and not yet analysed: slower by as much as it has grown.
 */
async function selectStates(db: Db, key: StreamKey, ids: readonly string[], suffix: ReturnType<typeof sql>) {
  if (ids.length === 0) return [];
  return await queryRows<StateRow>(
    db,
    sql`SELECT r.* FROM (SELECT id FROM unnest(${sql.param(ids)}::text[]) AS w(id) ORDER BY id COLLATE "C") AS wanted
        CROSS JOIN LATERAL (
          SELECT ${COLUMNS} FROM sync.record_states
          WHERE integration = ${key.integration} AND entity = ${key.entity} AND external_id = wanted.id
          LIMIT 1 ${suffix}) AS r`,
  );
}

function toMap(rows: readonly StateRow[]): Map<string, RecordState> {
  return new Map(rows.map((row) => [row.external_id, toState(row)]));
}

const toState = (row: StateRow): RecordState => ({
  externalId: row.external_id,
  targetKey: row.target_key,
  status: row.status,
  baseHash: row.base_hash,
  base: row.base === null ? null : (JSON.parse(row.base) as Content),
  version: toVersion(row.version),
  etag: row.etag,
  lo: row.lo ?? BEFORE_ALL,
  hi: row.hi ?? BEFORE_ALL,
  tombVersion: toVersion(row.tomb_version),
  isTombSoft: row.is_tomb_soft,
  isTombUnversioned: row.is_tomb_unversioned,
  aliveAt: row.alive_at ?? BEFORE_ALL,
  appliedSeq: Number(row.applied_seq),
  regressSeenAt: row.regress_seen_at,
  shadow: row.shadow === null ? null : JSON.parse(row.shadow),
  localVersion: Number(row.local_version),
});

const toVersion = (text: string | null): bigint | null => (text === null ? null : BigInt(text));
