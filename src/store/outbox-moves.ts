import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn, instantValue } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import { assertNever } from '../lib/assert-never.ts';
import { TOKEN_TTL_MS } from '../model/change-token.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';
import { type HeldPush, LOOP_RETRIED, type ParkReason, type Push, type PushWish, SENT_AGAIN } from '../model/push.ts';

/**
 * Makes sure that a ready push of each row exists: edits add up, the earliest `runAt` and the latest `editedAt` stay.
 * @returns their ids by target key.
 */
export async function ensurePushes(
  tx: Db,
  key: StreamKey,
  wishes: readonly (PushWish & { readonly attempt?: number })[],
): Promise<Map<string, string>> {
  if (wishes.length === 0) return new Map();
  const rows = wishes.map((wish) => ({
    target_key: wish.targetKey,
    external_id: wish.externalId,
    edits: wish.edits,
    run_at: wish.runAt,
    edited_at: wish.editedAt,
    is_removal: wish.isRemoval ?? false,
    attempt: wish.attempt ?? 0,
  }));
  const ensured = await queryRows<{ id: string; target_key: string }>(
    tx,
    sql`INSERT INTO sync.outbox_pushes AS p
          (integration, entity, op, target_key, external_id, edits, run_at, edited_at, attempt)
        SELECT ${key.integration}, ${key.entity}, CASE WHEN bool_or(w.is_removal) THEN 'delete' ELSE 'update' END,
               w.target_key, max(w.external_id), sum(w.edits), to_timestamp(min(w.run_at) / 1e6),
               ${sql.raw(instantValue('max(w.edited_at)'))}, max(w.attempt)
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS w(target_key text, external_id text, edits int, run_at float8, edited_at float8, is_removal boolean, attempt int)
        GROUP BY w.target_key ORDER BY w.target_key COLLATE "C"
        ON CONFLICT (integration, entity, target_key) WHERE state = 'ready' DO UPDATE
        SET edits = p.edits + excluded.edits, run_at = least(p.run_at, excluded.run_at),
            edited_at = greatest(p.edited_at, excluded.edited_at),
            external_id = coalesce(excluded.external_id, p.external_id),
            op = CASE WHEN excluded.edits = 0 THEN p.op ELSE excluded.op END
        RETURNING p.id::text AS id, p.target_key`,
  );
  return new Map(ensured.map((row) => [row.target_key, row.id]));
}

/** Gives the ready push of a row its record and the row's new key; where that key has one, it ends and its edits join that. */
export async function rekeyPush(
  tx: Db,
  key: StreamKey,
  { from, to, externalId }: { readonly from: string; readonly to: string; readonly externalId: string },
): Promise<void> {
  const ofStream = sql`p.integration = ${key.integration} AND p.entity = ${key.entity} AND p.state = 'ready'`;
  const moved = await queryRows(
    tx,
    sql`UPDATE sync.outbox_pushes p SET target_key = ${to}, external_id = ${externalId}
        WHERE ${ofStream} AND p.target_key = ${from}
          AND (${from} = ${to} OR NOT EXISTS (SELECT 1 FROM sync.outbox_pushes o
                 WHERE o.integration = p.integration AND o.entity = p.entity AND o.state = 'ready' AND o.target_key = ${to}))
        RETURNING 1 AS one`,
  );
  if (moved.length > 0) return;
  const ended = await queryRows<{ edits: number; edited_at: Instant; run_at: Instant }>(
    tx,
    sql`UPDATE sync.outbox_pushes p SET state = 'done', finished_at = clock_timestamp()
        WHERE ${ofStream} AND p.target_key = ${from}
        RETURNING p.edits, ${sql.raw(instantColumn('p.edited_at'))}, ${sql.raw(instantColumn('p.run_at'))}`,
  );
  await ensurePushes(
    tx,
    key,
    ended.map((push) => ({
      targetKey: to,
      externalId,
      edits: push.edits,
      editedAt: push.edited_at,
      runAt: push.run_at,
    })),
  );
}

/** Ends pushes of these rows that are in this state. */
export async function endPushes(
  tx: Db,
  key: StreamKey,
  state: 'ready' | 'parked',
  targetKeys: readonly string[],
): Promise<void> {
  if (targetKeys.length === 0) return;
  await queryRows(
    tx,
    sql`WITH moved AS (
          UPDATE sync.outbox_pushes SET state = 'done', finished_at = clock_timestamp(), park_reason = NULL
          WHERE integration = ${key.integration} AND entity = ${key.entity} AND state = ${state}
            AND target_key = ANY(${sql.param(targetKeys)}::text[])
          RETURNING state, token_id)
        ${GIVE_UP}`,
  );
}

/** Nobody looks any more for the writes of pushes that are over: their tokens are kept for a while, and not for ever. */
const GIVE_UP = sql`UPDATE sync.change_tokens
  SET state = 'rejected', expires_at = clock_timestamp() + ${TOKEN_TTL_MS} * interval '1 millisecond'
  WHERE state = 'pending' AND id IN (SELECT token_id FROM moved WHERE moved.state = 'done')`;

type Failure = { readonly errorCode: string | null; readonly error: string | null };

/** Where a push goes. */
export type PushStep =
  | ({ readonly to: 'done' } & Partial<Failure>)
  | ({ readonly to: 'unknown'; readonly runAt: Instant } & Failure)
  | ({ readonly to: 'parked'; readonly reason: ParkReason } & Failure);

/** Moves a locked push on, and ends the hold. Throws when it is not as it was when it was locked. */
export async function movePush(tx: Db, push: Push, step: PushStep): Promise<void> {
  const moved = await queryRows(
    tx,
    sql`WITH moved AS (
          UPDATE sync.outbox_pushes
          SET lease_token = NULL, lease_expires_at = NULL, error_code = ${step.errorCode ?? null}, error = ${step.error ?? null},
              ${changesOf(step)}
          WHERE id = ${push.id}::uuid AND state = ${push.state}
            AND lease_token IS NOT DISTINCT FROM ${push.leaseToken}::uuid RETURNING state, token_id),
        given_up AS (${GIVE_UP})
        SELECT 1 AS one FROM moved`,
  );
  if (moved.length === 0) throw new TypeError(`A push that is ${push.state} and locked is moved on`);
}

function changesOf(step: PushStep) {
  switch (step.to) {
    case 'done':
      return sql`state = 'done', finished_at = clock_timestamp(), park_reason = NULL`;
    case 'unknown':
      return sql`state = 'unknown', park_reason = NULL, run_at = to_timestamp(${step.runAt}::float8 / 1e6)`;
    case 'parked':
      return sql`state = 'parked', park_reason = ${step.reason}`;
    default:
      return assertNever(step);
  }
}

/** Until when its request may be sent once more. @returns false when the lease was lost. */
export async function moveDeadline(tx: Db, push: HeldPush, deadline: Instant): Promise<boolean> {
  const moved = await queryRows(
    tx,
    sql`UPDATE sync.outbox_pushes SET deadline = to_timestamp(${deadline}::float8 / 1e6)
        WHERE id = ${push.id}::uuid AND lease_token = ${push.leaseToken}::uuid AND lease_expires_at > clock_timestamp()
        RETURNING 1 AS one`,
  );
  return moved.length > 0;
}

/**
 * Calls by row since a moment, or since a person let a loop go on, without those whose token says that the source has not
 * carried them out. Of one that was sent again in the dark the token says so too, and nobody knows. Rows without any are not
 * in the map.
 */
export async function countCalls(
  db: Db,
  key: StreamKey,
  targetKeys: readonly string[],
  since: Instant,
): Promise<Map<string, number>> {
  const rows = await queryRows<{ target_key: string; n: number }>(
    db,
    sql`SELECT p.target_key, count(*)::int AS n FROM sync.outbox_pushes p
        WHERE p.integration = ${key.integration} AND p.entity = ${key.entity}
          AND p.target_key = ANY(${sql.param(targetKeys)}::text[])
          AND p.first_call_at >= to_timestamp(${since}::float8 / 1e6)
          AND p.first_call_at > coalesce((SELECT max(o.finished_at) FROM sync.outbox_pushes o
                                          WHERE o.integration = p.integration AND o.entity = p.entity
                                            AND o.target_key = p.target_key AND o.error_code = ${LOOP_RETRIED}), '-infinity')
          AND (p.error_code = ${SENT_AGAIN}
               OR NOT EXISTS (SELECT 1 FROM sync.change_tokens t WHERE t.id = p.token_id AND t.state = 'rejected'))
        GROUP BY p.target_key`,
  );
  return new Map(rows.map((row) => [row.target_key, row.n]));
}

/** Creates of a row that were sent again though nobody knew what had become of them, as far back as pushes are kept. */
export async function countSentAgain(db: Db, key: StreamKey, targetKey: string): Promise<number> {
  const [row] = await queryRows<{ n: number }>(
    db,
    sql`SELECT count(*)::int AS n FROM sync.outbox_pushes p
        WHERE p.integration = ${key.integration} AND p.entity = ${key.entity} AND p.target_key = ${targetKey}
          AND p.op = 'create' AND p.error_code = ${SENT_AGAIN}`,
  );
  return row?.n ?? 0;
}

/** Rows that were removed after a moment, of which pushes were planned; not by requests that the source surely did not carry out. */
export async function countRemovals(db: Db, key: StreamKey, since: Instant): Promise<number> {
  const [row] = await queryRows<{ n: number }>(
    db,
    sql`SELECT count(DISTINCT p.target_key)::int AS n FROM sync.outbox_pushes p
        WHERE p.integration = ${key.integration} AND p.entity = ${key.entity} AND p.op = 'delete'
          AND (p.edited_at > to_timestamp(${since}::float8 / 1e6)
            OR p.edited_at = '-infinity' AND p.created_at > to_timestamp(${since}::float8 / 1e6))
          AND NOT (p.carries = 'request' AND EXISTS (SELECT 1 FROM sync.change_tokens t
                                                     WHERE t.id = p.token_id AND t.state = 'rejected'))`,
  );
  return row?.n ?? 0;
}

/** When rows were last edited, as far as captured or planned, not yet sent, and known. */
export async function readLastEdits(
  db: Db,
  key: StreamKey,
  targetKeys: readonly string[],
): Promise<Map<string, Instant>> {
  if (targetKeys.length === 0) return new Map();
  const rows = await queryRows<{ target_key: string; at: Instant }>(
    db,
    sql`SELECT target_key, ${sql.raw(instantColumn('at'))} FROM (
          SELECT target_key, max(at) AS at FROM (
            SELECT k.target_key, c.at FROM sync.local_changes AS c CROSS JOIN LATERAL unnest(c.target_keys) AS k(target_key)
            WHERE c.integration = ${key.integration} AND c.entity = ${key.entity}
              AND c.target_keys && ${sql.param(targetKeys)}::text[] AND k.target_key = ANY(${sql.param(targetKeys)}::text[])
            UNION ALL
            SELECT target_key, edited_at FROM sync.outbox_pushes
            WHERE integration = ${key.integration} AND entity = ${key.entity}
              AND target_key = ANY(${sql.param(targetKeys)}::text[]) AND state IN ('ready','calling','unknown','parked')
              AND edited_at > '-infinity'
          ) AS edits GROUP BY target_key) AS latest`,
  );
  return new Map(rows.map((row) => [row.target_key, row.at]));
}
