import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';

/** One integration's row. `now` is the database's clock when it was read. */
export type CredentialRow = {
  readonly sealed: Buffer | null;
  readonly generation: number;
  readonly usedGeneration: number | null;
  readonly now: Instant;
};

type SqlRow = { sealed: Buffer | null; generation: string; used_generation: string | null; now: number };

const NOW = sql`(extract(epoch FROM clock_timestamp()) * 1000000)::float8 AS now`;
const COLUMNS = sql`sealed, generation::text AS generation, used_generation::text AS used_generation, ${NOW}`;
const lapsesIn = (leaseMs: number) => sql`clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'`;

/** Null where nothing has ever been kept. */
export async function readCredentials(db: Db, integration: string): Promise<CredentialRow | null> {
  const [row] = await queryRows<SqlRow>(
    db,
    sql`SELECT ${COLUMNS} FROM sync.credentials WHERE integration = ${integration}`,
  );
  return row === undefined ? null : fromSql(row);
}

/** Takes a free or lapsed lease, with the row as it stands then. Never waits for a rival. @returns null when somebody holds it. */
export async function leaseCredentials(
  db: Db,
  integration: string,
  leaseMs: number,
): Promise<{ readonly lease: string; readonly row: CredentialRow } | null> {
  await queryRows(db, sql`INSERT INTO sync.credentials (integration) VALUES (${integration}) ON CONFLICT DO NOTHING`);
  const [row] = await queryRows<SqlRow & { lease: string }>(
    db,
    sql`UPDATE sync.credentials SET lease_token = gen_random_uuid(), lease_expires_at = ${lapsesIn(leaseMs)}
        WHERE integration IN (
          SELECT integration FROM sync.credentials
          WHERE integration = ${integration} AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
          FOR UPDATE SKIP LOCKED)
        RETURNING ${COLUMNS}, lease_token::text AS lease`,
  );
  return row === undefined ? null : { lease: row.lease, row: fromSql(row) };
}

/**
 * Notes that the tokens of this generation are about to be used up, and starts the lease's time anew.
 * @returns false when the lease is another's or the generation is gone.
 */
export async function noteCredentialUse(
  db: Db,
  integration: string,
  use: { readonly lease: string; readonly generation: number; readonly leaseMs: number },
): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`UPDATE sync.credentials SET used_generation = generation, lease_expires_at = ${lapsesIn(use.leaseMs)}
        WHERE integration = ${integration} AND lease_token = ${use.lease}::uuid AND generation = ${use.generation}
        RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/**
 * Saves over `generation` and no other, and ends the note of use. A lease is given back if it is the caller's; another's
 * stays. @returns false when the generation is gone.
 */
export async function saveCredentials(
  db: Db,
  integration: string,
  saved: { readonly lease: string | null; readonly generation: number; readonly sealed: Buffer },
): Promise<boolean> {
  const { lease, generation, sealed } = saved;
  // For the first tokens there may be no row yet.
  if (generation === 0)
    await queryRows(db, sql`INSERT INTO sync.credentials (integration) VALUES (${integration}) ON CONFLICT DO NOTHING`);
  const rows = await queryRows(
    db,
    sql`UPDATE sync.credentials
        SET sealed = ${sealed}, generation = generation + 1, used_generation = NULL, updated_at = clock_timestamp(),
            lease_token = CASE WHEN lease_token = ${lease}::uuid THEN NULL ELSE lease_token END,
            lease_expires_at = CASE WHEN lease_token = ${lease}::uuid THEN NULL ELSE lease_expires_at END
        WHERE integration = ${integration} AND generation = ${generation} RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/** Gives a lease back, if it is still the caller's; `isUnused` ends the note of use. */
export async function releaseCredentials(
  db: Db,
  integration: string,
  lease: string,
  { isUnused }: { readonly isUnused: boolean },
): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.credentials
        SET lease_token = NULL, lease_expires_at = NULL,
            used_generation = CASE WHEN ${isUnused}::boolean THEN NULL ELSE used_generation END
        WHERE integration = ${integration} AND lease_token = ${lease}::uuid`,
  );
}

/** Every integration with tokens. */
export async function listCredentials(
  db: Db,
): Promise<readonly { readonly integration: string; readonly generation: number; readonly sealed: Buffer }[]> {
  const rows = await queryRows<{ integration: string; generation: string; sealed: Buffer }>(
    db,
    sql`SELECT integration, generation::text AS generation, sealed FROM sync.credentials WHERE sealed IS NOT NULL`,
  );
  return rows.map((row) => ({ ...row, generation: Number(row.generation) }));
}

/** Puts another seal on the same tokens: no new generation, and none but these tokens. @returns whether they were still there. */
export async function resealCredentials(
  db: Db,
  integration: string,
  resealed: { readonly generation: number; readonly sealed: Buffer },
): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`UPDATE sync.credentials SET sealed = ${resealed.sealed}
        WHERE integration = ${integration} AND generation = ${resealed.generation} RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

const fromSql = ({ sealed, generation, used_generation, now }: SqlRow): CredentialRow => ({
  sealed,
  generation: Number(generation),
  usedGeneration: used_generation === null ? null : Number(used_generation),
  now: Number(now),
});
