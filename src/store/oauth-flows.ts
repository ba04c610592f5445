import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';

/** An authorization that was begun. `stateHash` is the SHA-256 of its `state`. */
export type OAuthFlow = { readonly stateHash: Buffer; readonly integration: string; readonly sealed: Buffer };

/**
 * Keeps an authorization until it comes back. Of one integration there are never more than `maxOpen`: the one that was
 * begun first goes, so that abandoned ones shut nobody out.
 */
export async function insertFlow(
  db: Db,
  { stateHash, integration, sealed }: OAuthFlow,
  { validForMs, maxOpen }: { readonly validForMs: number; readonly maxOpen: number },
): Promise<void> {
  await queryRows(
    db,
    sql`WITH old AS (
          DELETE FROM sync.oauth_flows WHERE state_hash IN (
            SELECT state_hash FROM sync.oauth_flows WHERE integration = ${integration}
            ORDER BY expires_at DESC OFFSET ${maxOpen - 1})
        )
        INSERT INTO sync.oauth_flows (state_hash, integration, sealed, expires_at)
        VALUES (${stateHash}, ${integration}, ${sealed},
                clock_timestamp() + ${validForMs}::float8 * interval '1 millisecond')`,
  );
}

/** Takes an authorization out, once. Null when there is none such, another integration's, or one past its time. */
export async function takeFlow(db: Db, integration: string, stateHash: Buffer): Promise<Buffer | null> {
  const [row] = await queryRows<{ sealed: Buffer; is_valid: boolean }>(
    db,
    sql`DELETE FROM sync.oauth_flows WHERE state_hash = ${stateHash} AND integration = ${integration}
        RETURNING sealed, expires_at > clock_timestamp() AS is_valid`,
  );
  return row?.is_valid === true ? row.sealed : null;
}

/** Removes those that never came back. @returns how many, at most `limit`. */
export async function expireFlows(db: Db, limit: number): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.oauth_flows WHERE state_hash IN (
          SELECT state_hash FROM sync.oauth_flows WHERE expires_at < clock_timestamp() LIMIT ${limit})
        RETURNING 1 AS one`,
  );
  return rows.length;
}
