import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import type { StreamKey } from '../model/observation.ts';

/** How long an idempotency key stands for what it created. */
const KEEP_MS = 24 * 3_600_000;

type EditKeyRow = {
  readonly keyHash: string;
  readonly requestHash: string;
  readonly targetKey: string;
  readonly pushId: string;
};

const isKept = sql`k.created_at > clock_timestamp() - ${KEEP_MS}::float8 * interval '1 millisecond'`;

/** What a key stands for; null when it is new, or older than a day. */
export async function findEditKey(db: Db, key: StreamKey, keyHash: string): Promise<EditKeyRow | null> {
  const [row] = await queryRows<{ request_hash: string; target_key: string; push_id: string }>(
    db,
    sql`SELECT encode(request_hash, 'hex') AS request_hash, target_key, push_id::text AS push_id FROM sync.edit_keys k
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND key_hash = decode(${keyHash}, 'hex') AND ${isKept}`,
  );
  if (row === undefined) return null;
  return { keyHash, requestHash: row.request_hash, targetKey: row.target_key, pushId: row.push_id };
}

/**
 * Keeps a key, and waits for a rival's. What it stood for gives way where that is older than a day, or is the push that is named.
 * @returns false when it stands for something else already.
 */
export async function saveEditKey(
  tx: Db,
  key: StreamKey,
  row: EditKeyRow,
  formerPushId: string | null,
): Promise<boolean> {
  const saved = await queryRows(
    tx,
    sql`INSERT INTO sync.edit_keys AS k (integration, entity, key_hash, request_hash, target_key, push_id)
        VALUES (${key.integration}, ${key.entity}, decode(${row.keyHash}, 'hex'), decode(${row.requestHash}, 'hex'),
                ${row.targetKey}, ${row.pushId}::uuid)
        ON CONFLICT (integration, entity, key_hash) DO UPDATE
        SET request_hash = excluded.request_hash, target_key = excluded.target_key, push_id = excluded.push_id,
            created_at = excluded.created_at
        WHERE NOT (${isKept}) OR k.push_id = ${formerPushId}::uuid RETURNING 1 AS one`,
  );
  return saved.length > 0;
}

/** Forgets keys that are past their day, at most `limit` a call. @returns how many. */
export async function expireEditKeys(db: Db, limit: number): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.edit_keys WHERE (integration, entity, key_hash) IN (
          SELECT integration, entity, key_hash FROM sync.edit_keys k WHERE NOT (${isKept}) ORDER BY created_at LIMIT ${limit}
        ) RETURNING 1 AS one`,
  );
  return rows.length;
}
