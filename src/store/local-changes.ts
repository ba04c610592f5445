import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { LocalChange } from '../model/local-change.ts';
import type { StreamKey } from '../model/observation.ts';
import type { Order } from '../model/push.ts';

/** As many rows as the capture trigger puts into one line. */
const MAX_KEYS_PER_LINE = 64;

/**
 * Takes captured edits of a stream by removing them: they are back when the transaction is rolled back. Lines that another
 * transaction is taking are passed over. At least one line where there is any, so up to 63 edits more than
 * `limit`. Never by an id that was seen before: a transaction that began earlier may commit later.
 */
export async function takeLocalChanges(
  tx: Db,
  key: StreamKey,
  limit: number,
  order: Order = 'oldest',
): Promise<LocalChange[]> {
  const by = order === 'oldest' ? sql`ASC` : sql`DESC`;
  const rows = await queryRows<{ target_keys: string[]; op: LocalChange['op']; at: number }>(
    tx,
    sql`WITH taken AS (
          DELETE FROM sync.local_changes WHERE ctid = ANY (ARRAY(
            SELECT held.line FROM (
              SELECT open.line, sum(open.edits) OVER (ORDER BY open.id ${by}) - open.edits AS edits_before FROM (
                SELECT ctid AS line, id, greatest(cardinality(target_keys), 1) AS edits FROM sync.local_changes
                WHERE integration = ${key.integration} AND entity = ${key.entity}
                ORDER BY integration ${by}, entity ${by}, id ${by} LIMIT ${limit} FOR UPDATE SKIP LOCKED) AS open) AS held
            WHERE held.edits_before < ${limit}))
          RETURNING id, target_keys, op, at)
        SELECT target_keys, op, ${sql.raw(instantColumn('at'))} FROM taken ORDER BY id`,
  );
  return rows.flatMap(({ target_keys: keys, op, at }) =>
    (op === 'T' ? [''] : keys).map((targetKey) => ({ targetKey, op, at: Number(at) })),
  );
}

/** Adds edits that no trigger has captured. */
export async function addLocalChanges(
  tx: Db,
  key: StreamKey,
  op: 'I' | 'U' | 'D',
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return;
  await queryRows(
    tx,
    sql`INSERT INTO sync.local_changes (integration, entity, target_keys, op)
        SELECT ${key.integration}, ${key.entity}, array_agg(k.key ORDER BY k.place), ${op}
        FROM unnest(${sql.param([...keys])}::text[]) WITH ORDINALITY AS k(key, place) GROUP BY (k.place - 1) / ${MAX_KEYS_PER_LINE}`,
  );
}

/** Whether a stream that is not paused has captured edits. What an idle server asks several times a second: one look-up in an index. */
export async function hasLocalChanges(db: Db, { integration, entity }: StreamKey): Promise<boolean> {
  const found = await queryRows(
    db,
    sql`SELECT 1 AS one FROM sync.local_changes AS l WHERE l.integration = ${integration} AND l.entity = ${entity}
          AND NOT EXISTS (SELECT FROM sync.streams AS s
                          WHERE s.integration = ${integration} AND s.entity = ${entity} AND s.paused_reason IS NOT NULL)
        ORDER BY l.integration, l.entity, l.id LIMIT 1`,
  );
  return found.length > 0;
}

export type Backlog = StreamKey & { /** Rows, not statements. */ readonly edits: number; readonly oldestAt: Instant };

/** How many captured edits wait, by stream, and since when. Streams without any are not in the list. */
export async function countLocalChanges(db: Db): Promise<Backlog[]> {
  const rows = await queryRows<{ integration: string; entity: string; edits: string; oldest_at: number }>(
    db,
    sql`SELECT integration, entity, edits, ${sql.raw(instantColumn('oldest_at'))} FROM (
          SELECT integration, entity, sum(greatest(cardinality(target_keys), 1))::text AS edits, min(at) AS oldest_at
          FROM sync.local_changes GROUP BY integration, entity) AS waiting ORDER BY integration, entity`,
  );
  return rows.map(({ integration, entity, edits, oldest_at: oldestAt }) => ({
    integration,
    entity,
    edits: Number(edits),
    oldestAt: Number(oldestAt),
  }));
}

/**
 * Removes edits of streams that are not among `keys`, at most `limit` lines of those older than `keepForMs`: another replica
 * may know a stream that this one does not know yet. @returns how many lines.
 */
export async function expireLocalChanges(
  db: Db,
  keys: readonly StreamKey[],
  options: { readonly keepForMs: number; readonly limit: number },
): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.local_changes WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM sync.local_changes AS l
          WHERE l.at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
            AND NOT EXISTS (
              SELECT FROM unnest(${sql.param(keys.map(({ integration }) => integration))}::text[],
                                 ${sql.param(keys.map(({ entity }) => entity))}::text[]) AS k(integration, entity)
              WHERE k.integration = l.integration AND k.entity = l.entity)
          LIMIT ${options.limit} FOR UPDATE SKIP LOCKED))
        RETURNING 1 AS one`,
  );
  return rows.length;
}
