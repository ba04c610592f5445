import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { ChangeToken, TokenState } from '../model/change-token.ts';
import { BEFORE_ALL, type Instant } from '../model/instant.ts';
import type { Observation, StreamKey } from '../model/observation.ts';

type TokenRow = {
  id: string;
  state: TokenState;
  external_id: string | null;
  target_key: string;
  pre_hash: string | null;
  field_hashes: string;
  result_hash: string | null;
  result_version: string | null;
  result_etag: string | null;
  echo: string | null;
  seen_count: number;
  created_at: Instant;
  expires_at: Instant | null;
};

const COLUMNS = sql.raw(`id::text AS id, state, external_id, target_key, encode(pre_hash, 'hex') AS pre_hash,
  field_hashes::text AS field_hashes, encode(result_hash, 'hex') AS result_hash, result_version::text AS result_version,
  result_etag, echo::text AS echo, seen_count, ${instantColumn('created_at')}, ${instantColumn('expires_at')}`);

/** Newest tokens of one record that are looked at: an older write has been followed by so many others. */
const MAX_TOKENS_PER_RECORD = 20;

export async function insertToken(tx: Db, key: StreamKey, token: ChangeToken): Promise<void> {
  await queryRows(
    tx,
    sql`INSERT INTO sync.change_tokens (id, integration, entity, external_id, target_key, state, pre_hash, field_hashes, created_at)
        VALUES (${token.id}::uuid, ${key.integration}, ${key.entity}, ${token.externalId}, ${token.targetKey}, ${token.state},
                decode(${token.preHash}, 'hex'), ${JSON.stringify(token.fieldHashes)}::text::jsonb,
                to_timestamp(${token.createdAt}::float8 / 1e6))`,
  );
}

/** Stores how a write ended. An echo that was caught meanwhile, and the count of echoes, stay. */
export async function saveToken(tx: Db, token: ChangeToken): Promise<void> {
  await queryRows(
    tx,
    sql`UPDATE sync.change_tokens
        SET state = ${token.state}, external_id = ${token.externalId}, result_hash = decode(${token.resultHash}, 'hex'),
            result_version = ${token.resultVersion?.toString() ?? null}::numeric, result_etag = ${token.resultEtag},
            echo = coalesce(echo, ${token.echo === null ? null : echoText(token.echo)}::text::jsonb),
            expires_at = to_timestamp(${token.expiresAt}::float8 / 1e6)
        WHERE id = ${token.id}::uuid`,
  );
}

export async function readToken(db: Db, id: string): Promise<ChangeToken | null> {
  const [row] = await queryRows<TokenRow>(db, sql`SELECT ${COLUMNS} FROM sync.change_tokens WHERE id = ${id}::uuid`);
  return row === undefined ? null : toToken(row);
}

/** Tokens of these records that have not expired, newest first, by id of the record. */
export async function readTokensOf(
  db: Db,
  key: StreamKey,
  ids: readonly string[],
): Promise<Map<string, ChangeToken[]>> {
  const found = new Map<string, ChangeToken[]>();
  if (ids.length === 0) return found;
  const rows = await queryRows<TokenRow>(
    db,
    sql`SELECT t.* FROM unnest(${sql.param(ids)}::text[]) AS wanted(id) CROSS JOIN LATERAL (
          SELECT ${COLUMNS} FROM sync.change_tokens
          WHERE integration = ${key.integration} AND entity = ${key.entity} AND external_id = wanted.id
            AND (expires_at IS NULL OR expires_at > clock_timestamp())
          ORDER BY change_tokens.created_at DESC LIMIT ${MAX_TOKENS_PER_RECORD}) AS t`,
  );
  for (const row of rows) {
    const id = row.external_id ?? '';
    found.set(id, [...(found.get(id) ?? []), toToken(row)]);
  }
  return found;
}

/** Keeps the first sighting that matched a write which is not settled; a create that is parked is to be settled by it. */
export async function keepEcho(tx: Db, id: string, seen: Observation): Promise<void> {
  // The push before its token, as everywhere.
  await queryRows(
    tx,
    sql`UPDATE sync.outbox_pushes p SET state = 'unknown', park_reason = NULL, run_at = clock_timestamp()
        FROM sync.change_tokens t
        WHERE t.id = ${id}::uuid AND t.state <> 'rejected' AND t.echo IS NULL AND p.integration = t.integration
          AND p.entity = t.entity AND p.target_key = t.target_key AND p.token_id = t.id AND p.state = 'parked'
          AND p.op = 'create'`,
  );
  await queryRows(
    tx,
    sql`UPDATE sync.change_tokens SET echo = ${echoText(seen)}::text::jsonb
        WHERE id = ${id}::uuid AND state <> 'rejected' AND echo IS NULL`,
  );
}

/** Waits for nobody: tokens that are locked are not counted. */
export async function countEchoes(tx: Db, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await queryRows(
    tx,
    sql`UPDATE sync.change_tokens SET seen_count = seen_count + 1
        WHERE id IN (SELECT id FROM sync.change_tokens WHERE id = ANY(${sql.param(ids)}::uuid[])
                     ORDER BY id FOR UPDATE SKIP LOCKED)`,
  );
}

/** Removes tokens past their time. @returns how many. */
export async function expireTokens(db: Db, limit: number): Promise<number> {
  const rows = await queryRows(
    db,
    sql`DELETE FROM sync.change_tokens WHERE id IN (
          SELECT id FROM sync.change_tokens WHERE state <> 'pending' AND expires_at < clock_timestamp()
          ORDER BY expires_at LIMIT ${limit} FOR UPDATE SKIP LOCKED) RETURNING 1 AS one`,
  );
  return rows.length;
}

/** JSON knows neither big integers nor "before every moment". */
const echoText = (seen: Observation): string =>
  JSON.stringify({
    ...seen,
    version: seen.version?.toString() ?? null,
    previousVersion: seen.previousVersion?.toString() ?? null,
    lo: Number.isFinite(seen.lo) ? seen.lo : null,
  });

function toEcho(text: string): Observation {
  const kept = JSON.parse(text);
  return {
    ...kept,
    version: toVersion(kept.version),
    previousVersion: toVersion(kept.previousVersion),
    lo: kept.lo ?? BEFORE_ALL,
  };
}

const toVersion = (text: string | null): bigint | null => (text === null ? null : BigInt(text));

const toToken = (row: TokenRow): ChangeToken => ({
  id: row.id,
  state: row.state,
  externalId: row.external_id,
  targetKey: row.target_key,
  preHash: row.pre_hash,
  fieldHashes: JSON.parse(row.field_hashes),
  resultHash: row.result_hash,
  resultVersion: toVersion(row.result_version),
  resultEtag: row.result_etag,
  echo: row.echo === null ? null : toEcho(row.echo),
  seenCount: row.seen_count,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
});
