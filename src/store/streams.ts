import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';

/** When a page was requested, and the greatest key it or an earlier page showed. */
export type Mark = { readonly at: Instant; readonly key: bigint };

export type StreamProgress = StreamKey & {
  readonly cursor: bigint | null;
  readonly marks: readonly Mark[];
  readonly needsFullAt: Instant | null;
  readonly lastFullStartedAt: Instant | null;
  readonly pausedReason: string | null;
};

/**
 * Makes sure a stream is known. A stream seen for the first time, or whose definition has changed since, owes a full run:
 * until then its rows may not be what the mapping now says. Its cursor and marks are forgotten: they may count in another
 * unit, or be of another list.
 */
export async function registerStream(db: Db, key: StreamKey, fingerprint: string): Promise<void> {
  await queryRows(
    db,
    sql`INSERT INTO sync.streams AS s (integration, entity, mapping_fingerprint)
        VALUES (${key.integration}, ${key.entity}, ${fingerprint})
        ON CONFLICT (integration, entity) DO UPDATE
        SET mapping_fingerprint = excluded.mapping_fingerprint, needs_full_at = clock_timestamp(), cursor = NULL, marks = '[]'
        WHERE s.mapping_fingerprint IS DISTINCT FROM excluded.mapping_fingerprint`,
  );
  await queryRows(
    db,
    sql`INSERT INTO sync.sync_status (integration, entity) VALUES (${key.integration}, ${key.entity}) ON CONFLICT DO NOTHING`,
  );
}

type StreamRow = {
  integration: string;
  entity: string;
  cursor: string | null;
  marks: string;
  needs_full_at: number | null;
  last_full_started_at: number | null;
  paused_reason: string | null;
};

const COLUMNS =
  sql.raw(`integration, entity, cursor::text AS cursor, marks::text AS marks, ${instantColumn('needs_full_at')},
  ${instantColumn('last_full_started_at')}, paused_reason`);

/** Progress of one stream; null when it was never registered. */
export async function readStream(db: Db, key: StreamKey): Promise<StreamProgress | null> {
  const [row] = await queryRows<StreamRow>(
    db,
    sql`SELECT ${COLUMNS} FROM sync.streams WHERE integration = ${key.integration} AND entity = ${key.entity}`,
  );
  return row === undefined ? null : toProgress(row);
}

/** Progress of every registered stream. */
export async function readStreams(db: Db): Promise<StreamProgress[]> {
  return (await queryRows<StreamRow>(db, sql`SELECT ${COLUMNS} FROM sync.streams`)).map(toProgress);
}

/** Moves the cursor. Null forgets it: the next incremental run reads from the beginning. */
export async function saveCursor(tx: Db, key: StreamKey, cursor: bigint | null, marks: readonly Mark[]): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.streams SET cursor = ${cursor?.toString() ?? null}::numeric, marks = ${toJson(marks)}::text::jsonb
        WHERE integration = ${key.integration} AND entity = ${key.entity}`,
  );
}

/**
 * Records a full run that read the whole list. Where it swept as well, what was owed before it started is paid; what came
 * up since is still owed.
 */
export async function saveFullRun(
  tx: Db,
  key: StreamKey,
  { startedAt, isSwept }: { startedAt: Instant; isSwept: boolean },
): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.streams SET last_full_started_at = to_timestamp(${startedAt}::float8 / 1e6),
               needs_full_at = CASE WHEN ${isSwept}::boolean AND needs_full_at <= to_timestamp(${startedAt}::float8 / 1e6) THEN NULL ELSE needs_full_at END
        WHERE integration = ${key.integration} AND entity = ${key.entity}`,
  );
}

/** Makes a full run owed from now on. */
export async function requireFullRun(tx: Db, key: StreamKey): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.streams SET needs_full_at = clock_timestamp() WHERE integration = ${key.integration} AND entity = ${key.entity}`,
  );
}

/** Whether removals of rows are held back, and until when those were captured that a person has let go on. */
export type DeleteHold = { readonly isHeld: boolean; readonly releasedAt: Instant | null };

/** `isLocked`: nobody else changes it, or asks for it locked, before the transaction ends. */
export async function readDeleteHold(
  db: Db,
  key: StreamKey,
  { isLocked }: { readonly isLocked: boolean },
): Promise<DeleteHold> {
  const [row] = await queryRows<{ is_held: boolean; deletes_released_at: Instant | null }>(
    db,
    sql`SELECT held_deletes IS NOT NULL AS is_held, ${sql.raw(instantColumn('deletes_released_at'))} FROM sync.streams
        WHERE integration = ${key.integration} AND entity = ${key.entity} ${sql.raw(isLocked ? 'FOR NO KEY UPDATE' : '')}`,
  );
  return { isHeld: row?.is_held ?? false, releasedAt: row?.deletes_released_at ?? null };
}

/** Lets removals go on that were captured until now; later ones are held back as before. @returns that moment. */
export async function releaseDeletes(tx: Db, key: StreamKey): Promise<Instant> {
  const [row] = await queryRows<{ deletes_released_at: Instant }>(
    tx,
    sql`UPDATE sync.streams SET deletes_released_at = clock_timestamp()
        WHERE integration = ${key.integration} AND entity = ${key.entity}
        RETURNING ${sql.raw(instantColumn('deletes_released_at'))}`,
  );
  if (row === undefined) throw new TypeError('Removals are released of a stream that is registered');
  return row.deletes_released_at;
}

/** Holds removals of rows back for a person, or (with null) lets them go on. The first reason stays. */
export async function holdDeletes(tx: Db, key: StreamKey, reason: string | null): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.streams SET held_deletes = CASE WHEN ${reason}::text IS NULL THEN NULL ELSE coalesce(held_deletes, ${reason}) END
        WHERE integration = ${key.integration} AND entity = ${key.entity}`,
  );
}

/** Stops or (with null) resumes a stream, saying why. */
export async function pauseStream(db: Db, key: StreamKey, reason: string | null): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.streams SET paused_reason = ${reason} WHERE integration = ${key.integration} AND entity = ${key.entity}
          AND paused_reason IS DISTINCT FROM ${reason}`,
  );
}

const toJson = (marks: readonly Mark[]): string => JSON.stringify(marks.map(({ at, key }) => [at, key.toString()]));

const toProgress = (row: StreamRow): StreamProgress => ({
  integration: row.integration,
  entity: row.entity,
  cursor: row.cursor === null ? null : BigInt(row.cursor),
  marks: (JSON.parse(row.marks) as [number, string][]).map(([at, key]) => ({ at, key: BigInt(key) })),
  needsFullAt: row.needs_full_at,
  lastFullStartedAt: row.last_full_started_at,
  pausedReason: row.paused_reason,
});
