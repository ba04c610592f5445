import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { TokenState } from '../model/change-token.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';
import type { ParkReason, Push, PushOp, PushState } from '../model/push.ts';

/** A push as people see it: no value of its record, but the names of the properties that it brings. */
export type ListedPush = StreamKey & {
  readonly id: string;
  readonly op: PushOp;
  readonly carries: Push['carries'];
  readonly state: PushState;
  readonly externalId: string | null;
  readonly targetKey: string;
  readonly edits: number;
  readonly attempt: number;
  /** Null before it was claimed. */
  readonly properties: readonly string[] | null;
  readonly createdAt: Instant;
  readonly editedAt: Instant | null;
  readonly runAt: Instant;
  readonly firstCallAt: Instant | null;
  readonly finishedAt: Instant | null;
  readonly parkReason: ParkReason | null;
  readonly errorCode: string | null;
  readonly error: string | null;
  readonly token: { readonly id: string; readonly state: TokenState } | null;
};

type PushRow = {
  id: string;
  integration: string;
  entity: string;
  op: PushOp;
  carries: Push['carries'];
  state: PushState;
  external_id: string | null;
  target_key: string;
  edits: number;
  attempt: number;
  properties: string[] | null;
  created_at: number;
  edited_at: number | null;
  run_at: number;
  first_call_at: number | null;
  finished_at: number | null;
  park_reason: ParkReason | null;
  error_code: string | null;
  error: string | null;
  token_id: string | null;
  token_state: TokenState | null;
};

const INSTANTS = ['created_at', 'edited_at', 'run_at', 'first_call_at', 'finished_at'];
const COLUMNS =
  sql.raw(`p.id::text AS id, p.integration, p.entity, p.op, p.carries, p.state, coalesce(p.external_id, t.external_id) AS external_id, p.target_key, p.edits,
  p.attempt, p.park_reason, p.error_code, p.error, p.token_id::text AS token_id, t.state AS token_state,
  CASE WHEN p.patch IS NOT NULL THEN ARRAY(SELECT jsonb_object_keys(p.patch) ORDER BY 1) END AS properties,
  ${INSTANTS.map((name) => instantColumn(`p.${name}`)).join(', ')}`);

const select = (condition: SQL, tail: SQL): SQL =>
  sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p LEFT JOIN sync.change_tokens t ON t.id = p.token_id
      WHERE ${condition} ORDER BY p.created_at DESC, p.id DESC ${tail}`;

export type PushFilter = {
  readonly integration: string | null;
  readonly entity: string | null;
  readonly states: readonly PushState[];
  readonly parkReason: ParkReason | null;
  /** Only those before this one in the list. */
  readonly before: string | null;
  readonly limit: number;
};

/** Pushes, newest first. */
export async function listPushes(db: Db, filter: PushFilter): Promise<ListedPush[]> {
  const { integration, entity, states, parkReason, before, limit } = filter;
  const rows = await queryRows<PushRow>(
    db,
    select(
      sql`(${integration}::text IS NULL OR p.integration = ${integration}) AND (${entity}::text IS NULL OR p.entity = ${entity})
          AND p.state = ANY(${sql.param(states)}::text[]) AND (${parkReason}::text IS NULL OR p.park_reason = ${parkReason})
          AND (${before}::uuid IS NULL OR (p.created_at, p.id) < (SELECT b.created_at, b.id FROM sync.outbox_pushes b WHERE b.id = ${before}::uuid))`,
      sql`LIMIT ${limit}`,
    ),
  );
  return rows.map(toListed);
}

/** Null when there is none, or none any more. */
export async function readPush(db: Db, id: string): Promise<ListedPush | null> {
  const [row] = await queryRows<PushRow>(db, select(sql`p.id = ${id}::uuid`, sql`LIMIT 1`));
  return row === undefined ? null : toListed(row);
}

/** The newest pushes of one row, or of its record under any key that the row had, newest first. */
export async function readPushesOf(
  db: Db,
  key: StreamKey,
  of: { readonly externalId: string | null; readonly targetKey: string },
  limit: number,
): Promise<ListedPush[]> {
  const rows = await queryRows<PushRow>(
    db,
    select(
      sql`p.integration = ${key.integration} AND p.entity = ${key.entity}
          AND p.target_key IN (
            SELECT ${of.targetKey} UNION SELECT t.target_key FROM sync.change_tokens t
            WHERE t.integration = ${key.integration} AND t.entity = ${key.entity} AND t.external_id = ${of.externalId})`,
      sql`LIMIT ${limit}`,
    ),
  );
  return rows.map(toListed);
}

/** What one push sends or would send, for a person who asks for just this one; null when there is none. */
export async function readPushValues(db: Db, id: string): Promise<{ patch: unknown; snapshot: unknown } | null> {
  const [row] = await queryRows<{ patch: string | null; snapshot: string | null }>(
    db,
    sql`SELECT patch::text AS patch, snapshot::text AS snapshot FROM sync.outbox_pushes WHERE id = ${id}::uuid`,
  );
  if (row === undefined) return null;
  const parse = (text: string | null): unknown => (text === null ? null : JSON.parse(text));
  return { patch: parse(row.patch), snapshot: parse(row.snapshot) };
}

const toListed = (row: PushRow): ListedPush => ({
  id: row.id,
  integration: row.integration,
  entity: row.entity,
  op: row.op,
  carries: row.carries,
  state: row.state,
  externalId: row.external_id,
  targetKey: row.target_key,
  edits: row.edits,
  attempt: row.attempt,
  properties: row.properties,
  createdAt: row.created_at,
  editedAt: row.edited_at,
  runAt: row.run_at,
  firstCallAt: row.first_call_at,
  finishedAt: row.finished_at,
  parkReason: row.park_reason,
  errorCode: row.error_code,
  error: row.error,
  token: row.token_id === null || row.token_state === null ? null : { id: row.token_id, state: row.token_state },
});
