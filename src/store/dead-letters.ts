import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn, instantValue } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { Channel, StreamKey } from '../model/observation.ts';

/** An input beyond retry. The message names fields and kinds, never values: it is shown and logged. */
export type NewDeadLetter = {
  readonly integration: string;
  readonly entity: string | null;
  readonly externalId: string | null;
  readonly channel: Channel;
  readonly inboxId: number | null;
  /** The source's record as JSON text; null when there is none or it cannot be read. */
  readonly record: string | null;
  readonly isPartial: boolean;
  readonly isDelete: boolean;
  readonly lo: Instant;
  readonly hi: Instant;
  readonly version: bigint | null;
  readonly errorCode: string;
  readonly fieldPath: string | null;
  readonly message: string;
  readonly correlationId: string | null;
};

/** Sets inputs aside. A repeat of an open one (same record and channel, or same delivery) only counts an attempt more. */
export async function setAside(tx: Db, letter: NewDeadLetter): Promise<void> {
  const lo = Number.isFinite(letter.lo) ? letter.lo : null;
  await queryRows(
    tx,
    sql`INSERT INTO sync.dead_letters AS d (integration, entity, external_id, channel, inbox_id, record, is_partial, is_delete,
          lo, hi, version, error_code, field_path, message, correlation_id)
        VALUES (${letter.integration}, ${letter.entity}, ${letter.externalId}, ${letter.channel}, ${letter.inboxId},
          ${letter.record === null ? null : Buffer.from(letter.record)}::bytea, ${letter.isPartial}, ${letter.isDelete},
          coalesce(to_timestamp(${lo}::float8 / 1e6), '-infinity'), to_timestamp(${letter.hi}::float8 / 1e6),
          ${letter.version?.toString() ?? null}::numeric, ${letter.errorCode}, ${letter.fieldPath}, ${letter.message},
          ${letter.correlationId})
        ON CONFLICT ${conflictTarget(letter)} DO UPDATE SET attempt = d.attempt + 1, last_at = clock_timestamp(), record = excluded.record,
          is_partial = excluded.is_partial, is_delete = excluded.is_delete, lo = excluded.lo, hi = excluded.hi,
          version = excluded.version, error_code = excluded.error_code, field_path = excluded.field_path,
          message = excluded.message, correlation_id = excluded.correlation_id, inbox_id = excluded.inbox_id`,
  );
}

/** What makes two inputs the same one: the record; else the delivery; else (a nameless list row) what is wrong with it. */
function conflictTarget({ externalId, inboxId }: NewDeadLetter): SQL {
  if (externalId !== null) {
    return sql`(integration, entity, external_id, channel) WHERE state = 'open' AND external_id IS NOT NULL`;
  }
  if (inboxId !== null) return sql`(inbox_id) WHERE state = 'open' AND inbox_id IS NOT NULL AND external_id IS NULL`;
  return sql`(integration, entity, channel, error_code, coalesce(field_path, ''))
             WHERE state = 'open' AND inbox_id IS NULL AND external_id IS NULL`;
}

/** True when any record of the stream has an open dead letter: only then is there something to supersede. */
export async function hasOpenDeadLetters(db: Db, key: StreamKey): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`SELECT 1 AS one FROM sync.dead_letters
        WHERE state = 'open' AND external_id IS NOT NULL AND integration = ${key.integration} AND entity = ${key.entity} LIMIT 1`,
  );
  return rows.length > 0;
}

/** A sighting that was applied (`isEffective`), or that showed what we hold, and when and of which version it was. */
export type Settled = {
  readonly externalId: string;
  readonly version: bigint | null;
  readonly lo: Instant;
  readonly hi: Instant;
  readonly isEffective: boolean;
};

/**
 * Closes open dead letters that later sightings of their records have answered. By version where both have one. Else what
 * was applied answers letters up to its own time; what only showed that nothing changed must have been seen after them.
 */
export async function supersede(tx: Db, key: StreamKey, settled: readonly Settled[]): Promise<void> {
  if (settled.length === 0) return;
  const rows = settled.map((one) => ({
    external_id: one.externalId,
    version: one.version?.toString() ?? null,
    lo: Number.isFinite(one.lo) ? one.lo : null,
    hi: one.hi,
    is_effective: one.isEffective,
  }));
  await queryRows(
    tx,
    sql`UPDATE sync.dead_letters AS d SET state = 'superseded', last_at = clock_timestamp()
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS a(external_id text, version numeric, lo float8, hi float8, is_effective boolean)
        WHERE d.state = 'open' AND d.integration = ${key.integration} AND d.entity = ${key.entity}
          AND d.external_id = a.external_id
          AND CASE WHEN a.version IS NOT NULL AND d.version IS NOT NULL THEN a.version >= d.version
                   WHEN a.is_effective THEN d.hi <= ${sql.raw(instantValue('a.hi'))}
                   ELSE d.hi < ${sql.raw(instantValue('a.lo'))} END`,
  );
}

export type DeadLetter = {
  readonly id: number;
  readonly integration: string;
  readonly entity: string | null;
  readonly externalId: string | null;
  readonly channel: Channel;
  readonly inboxId: number | null;
  readonly errorCode: string;
  readonly fieldPath: string | null;
  readonly message: string;
  readonly attempt: number;
  readonly firstAt: Instant;
  readonly lastAt: Instant;
  readonly state: 'open' | 'replayed' | 'superseded' | 'discarded';
  readonly correlationId: string | null;
};

const LISTED =
  sql.raw(`id::text AS id, integration, entity, external_id, channel, inbox_id::text AS inbox_id, error_code,
  field_path, message, attempt, ${instantColumn('first_at')}, ${instantColumn('last_at')}, state, correlation_id`);

type DeadLetterRow = {
  id: string;
  integration: string;
  entity: string | null;
  external_id: string | null;
  channel: Channel;
  inbox_id: string | null;
  error_code: string;
  field_path: string | null;
  message: string;
  attempt: number;
  first_at: number;
  last_at: number;
  state: DeadLetter['state'];
  correlation_id: string | null;
};

const toDeadLetter = (row: DeadLetterRow): DeadLetter => ({
  id: Number(row.id),
  integration: row.integration,
  entity: row.entity,
  externalId: row.external_id,
  channel: row.channel,
  inboxId: row.inbox_id === null ? null : Number(row.inbox_id),
  errorCode: row.error_code,
  fieldPath: row.field_path,
  message: row.message,
  attempt: Number(row.attempt),
  firstAt: Number(row.first_at),
  lastAt: Number(row.last_at),
  state: row.state,
  correlationId: row.correlation_id,
});

export type DeadLetterFilter = {
  readonly integration: string | null;
  readonly entity: string | null;
  readonly state: DeadLetter['state'] | null;
  /** Only letters with a smaller id: the last one of the page before. */
  readonly before: number | null;
  readonly limit: number;
};

/** Dead letters by filter, newest first. */
export async function listDeadLetters(db: Db, filter: DeadLetterFilter): Promise<DeadLetter[]> {
  const rows = await queryRows<DeadLetterRow>(
    db,
    sql`SELECT ${LISTED} FROM sync.dead_letters
        WHERE (${filter.integration}::text IS NULL OR integration = ${filter.integration})
          AND (${filter.entity}::text IS NULL OR entity = ${filter.entity})
          AND (${filter.state}::text IS NULL OR state = ${filter.state})
          AND (${filter.before}::bigint IS NULL OR id < ${filter.before}::bigint)
        ORDER BY id DESC LIMIT ${filter.limit}`,
  );
  return rows.map(toDeadLetter);
}

/** What a redrive needs, with the row locked; null when there is no such dead letter. */
export type LockedDeadLetter = DeadLetter & {
  readonly record: string | null;
  readonly isPartial: boolean;
  readonly isDelete: boolean;
  readonly lo: Instant;
  readonly hi: Instant;
  readonly version: bigint | null;
};

/** Locks one dead letter for the rest of the transaction. */
export async function lockDeadLetter(tx: Db, id: number): Promise<LockedDeadLetter | null> {
  const [row] = await queryRows<
    DeadLetterRow & {
      record: Buffer | null;
      is_partial: boolean;
      is_delete: boolean;
      lo: number | null;
      hi: number;
      version: string | null;
    }
  >(
    tx,
    sql`SELECT ${LISTED}, record, is_partial, is_delete, ${sql.raw(instantColumn('lo'))}, ${sql.raw(instantColumn('hi'))},
               version::text AS version
        FROM sync.dead_letters WHERE id = ${id} FOR UPDATE`,
  );
  if (row === undefined) return null;
  return {
    ...toDeadLetter(row),
    record: row.record === null ? null : Buffer.from(row.record).toString('utf8'),
    isPartial: row.is_partial,
    isDelete: row.is_delete,
    lo: row.lo ?? Number.NEGATIVE_INFINITY,
    hi: Number(row.hi),
    version: row.version === null ? null : BigInt(row.version),
  };
}

/** Ends an open dead letter. @returns false when it was not open. */
export async function closeDeadLetter(tx: Db, id: number, state: 'replayed' | 'discarded'): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`UPDATE sync.dead_letters SET state = ${state}, last_at = clock_timestamp()
        WHERE id = ${id} AND state = 'open' RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/** Removes closed dead letters older than `keepForMs`, at most `limit`. Open ones are kept until somebody closes them. */
export async function expireDeadLetters(db: Db, options: { keepForMs: number; limit: number }): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.dead_letters WHERE id IN (
          SELECT id FROM sync.dead_letters
          WHERE state <> 'open' AND last_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
          LIMIT ${options.limit} FOR UPDATE SKIP LOCKED) RETURNING 1 AS one`,
  );
  return rows.length;
}

/** Open dead letters per stream; entity is null for deliveries that could not be read at all. */
export async function countOpenDeadLetters(
  db: Db,
): Promise<{ integration: string; entity: string | null; open: number }[]> {
  const rows = await queryRows<{ integration: string; entity: string | null; open: string }>(
    db,
    sql`SELECT integration, entity, count(*)::text AS open FROM sync.dead_letters WHERE state = 'open' GROUP BY 1, 2`,
  );
  return rows.map((row) => ({ ...row, open: Number(row.open) }));
}
