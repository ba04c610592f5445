import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { Channel, Origin, StreamKey } from '../model/observation.ts';

/** One decision worth telling about a record. */
export type HistoryEntry = {
  readonly externalId: string;
  readonly channel: Channel;
  readonly origin: Origin;
  readonly decision:
    | 'insert'
    | 'update'
    | 'delete'
    | 'stale'
    | 'verify'
    | 'defer'
    | 'quarantine'
    | 'regression'
    | 'repair'
    /** A write of ours is settled. */
    | 'push'
    /** Values of both sides met. */
    | 'conflict';
  readonly reason: string | null;
  readonly version: bigint | null;
  readonly hash: string | null;
  readonly appliedSeq: number | null;
  readonly correlationId: string | null;
};

/** Adds entries to the records' histories, in the caller's transaction: a decision and its effect agree. */
export async function appendHistory(tx: Db, key: StreamKey, entries: readonly HistoryEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const rows = entries.map((entry) => ({
    external_id: entry.externalId,
    channel: entry.channel,
    origin_kind: entry.origin.kind,
    origin_id: entry.origin.id,
    decision: entry.decision,
    reason: entry.reason,
    version: entry.version?.toString() ?? null,
    hash: entry.hash,
    applied_seq: entry.appliedSeq,
    correlation_id: entry.correlationId,
  }));
  await queryRows(
    tx,
    sql`INSERT INTO sync.record_history
          (integration, entity, external_id, channel, origin_kind, origin_id, decision, reason, version, hash, applied_seq, correlation_id)
        SELECT ${key.integration}, ${key.entity}, h.external_id, h.channel, h.origin_kind, h.origin_id, h.decision, h.reason,
               h.version, decode(h.hash, 'hex'), h.applied_seq, h.correlation_id
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS h(external_id text, channel text, origin_kind text, origin_id text, decision text, reason text, version numeric,
               hash text, applied_seq bigint, correlation_id text)`,
  );
}

export type HistoryRow = {
  readonly at: Instant;
  readonly channel: string;
  readonly originKind: string;
  readonly originId: string;
  readonly decision: string;
  readonly reason: string | null;
  readonly version: string | null;
  readonly appliedSeq: number | null;
  readonly correlationId: string | null;
};

/** A record's newest decisions, newest first. */
export async function readHistory(db: Db, key: StreamKey, externalId: string, limit: number): Promise<HistoryRow[]> {
  const rows = await queryRows<Record<string, string | number | null>>(
    db,
    sql`SELECT ${sql.raw(instantColumn('at'))}, channel, origin_kind, origin_id, decision, reason, version::text AS version,
               applied_seq::float8 AS applied_seq, correlation_id
        FROM sync.record_history
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND external_id = ${externalId}
        ORDER BY id DESC LIMIT ${limit}`,
  );
  return rows.map((row) => ({
    at: Number(row.at),
    channel: String(row.channel),
    originKind: String(row.origin_kind),
    originId: String(row.origin_id),
    decision: String(row.decision),
    reason: row.reason === null ? null : String(row.reason),
    version: row.version === null ? null : String(row.version),
    appliedSeq: row.applied_seq === null ? null : Number(row.applied_seq),
    correlationId: row.correlation_id === null ? null : String(row.correlation_id),
  }));
}

/** Entries this young name the records that may have too many; several clean-ups fit in. */
const RECENT_MS = 10 * 60_000;
const MAX_BUSY_RECORDS = 1_000;

/**
 * Removes entries older than `keepForMs`, and, of records that got one in the last ten minutes, all but the newest
 * `keepPerRecord`; at most `limit` of each a call. Both go by indexes: this is the largest table.
 */
export async function pruneHistory(
  db: Db,
  options: { keepForMs: number; keepPerRecord: number; limit: number },
): Promise<number> {
  const aged = await queryRows(
    db,
    sql`DELETE FROM sync.record_history WHERE id = ANY(ARRAY(
          SELECT id FROM sync.record_history
          WHERE at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond' ORDER BY at LIMIT ${options.limit}
        )) RETURNING 1 AS one`,
  );
  const crowded = await queryRows(
    db,
    sql`DELETE FROM sync.record_history WHERE id = ANY(ARRAY(
          SELECT excess.id FROM (
            SELECT DISTINCT integration, entity, external_id FROM (
              SELECT integration, entity, external_id FROM sync.record_history
              WHERE at > now() - ${RECENT_MS}::float8 * interval '1 millisecond' ORDER BY at DESC LIMIT ${10 * MAX_BUSY_RECORDS}
            ) AS recent LIMIT ${MAX_BUSY_RECORDS}
          ) AS busy, LATERAL (
            SELECT id FROM sync.record_history AS h
            WHERE h.integration = busy.integration AND h.entity = busy.entity AND h.external_id = busy.external_id
            ORDER BY h.id DESC OFFSET ${options.keepPerRecord} LIMIT ${options.limit}
          ) AS excess LIMIT ${options.limit}
        )) RETURNING 1 AS one`,
  );
  return aged.length + crowded.length;
}
