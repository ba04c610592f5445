import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Instant } from '../model/instant.ts';
import type { Content, StreamKey } from '../model/observation.ts';
import type {
  HeldPush,
  NamedPush,
  Order,
  ParkedFilter,
  ParkReason,
  Push,
  PushOp,
  PushState,
  SavedRequest,
} from '../model/push.ts';

type PushRow = {
  id: string;
  op: PushOp;
  carries: Push['carries'];
  external_id: string | null;
  target_key: string;
  state: PushState;
  edits: number;
  snapshot: string | null;
  patch: string | null;
  request: string | null;
  if_match: string | null;
  pre_version: string | null;
  token_id: string | null;
  first_call_at: Instant | null;
  deadline: Instant | null;
  run_at: Instant;
  edited_at: Instant | null;
  attempt: number;
  lease_token: string | null;
  park_reason: ParkReason | null;
  error_code: string | null;
  error: string | null;
};

const COLUMNS = sql.raw(`p.id::text AS id, p.op, p.carries, p.external_id, p.target_key, p.state, p.edits,
  p.snapshot::text AS snapshot, p.patch::text AS patch, p.request, p.if_match, p.pre_version::text AS pre_version,
  p.token_id::text AS token_id, ${instantColumn('p.first_call_at')}, ${instantColumn('p.deadline')},
  ${instantColumn('p.run_at')}, ${instantColumn('p.edited_at')}, p.attempt, p.lease_token::text AS lease_token,
  p.park_reason, p.error_code, p.error`);

/** As a sub-select the clock is read once, so that an index can be used. */
const NOW = sql.raw('(SELECT clock_timestamp())');
const ofStream = ({ integration, entity }: StreamKey): SQL =>
  sql`p.integration = ${integration} AND p.entity = ${entity}`;

/** Nothing is sent to a source that is paused or asked for a wait. */
const mayBeAsked = ({ integration }: StreamKey): SQL => sql`
  NOT EXISTS (SELECT 1 FROM sync.source_states s WHERE s.integration = ${integration}
                AND (s.paused IS NOT NULL OR s.blocked_until > clock_timestamp()))`;
/** Nothing can be settled in a table that cannot be written. */
const mayBeWritten = ({ integration, entity }: StreamKey): SQL => sql`
  NOT EXISTS (SELECT 1 FROM sync.streams s
              WHERE s.integration = ${integration} AND s.entity = ${entity} AND s.paused_reason IS NOT NULL)`;

/** Another push of the same row. */
const sibling = (condition: string): SQL =>
  sql.raw(`SELECT 1 FROM sync.outbox_pushes o
           WHERE o.integration = p.integration AND o.entity = p.entity AND o.target_key = p.target_key AND ${condition}`);

/** No other push of the row is in flight or may be at the source, and no conflict of it waits for a person. */
const NOTHING_IN_THE_WAY = sql`
  NOT EXISTS (${sibling(`o.state IN ('calling','unknown')`)})
  AND NOT EXISTS (${sibling(`o.state = 'parked' AND o.op = 'create' AND o.park_reason IN ('create_unknown','cannot_settle') AND o.token_id IS NOT NULL`)})
  AND NOT EXISTS (SELECT 1 FROM sync.conflicts c WHERE c.integration = p.integration AND c.entity = p.entity
                    AND c.target_key = p.target_key AND c.outcome IS NULL)`;

/** Due ready pushes that nothing stands in the way of, not locked. `oldest`: the longest due come first. */
export async function readDuePushes(db: Db, key: StreamKey, limit: number, order: Order): Promise<Push[]> {
  return await select(
    db,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p
        WHERE ${ofStream(key)} AND p.state = 'ready' AND p.run_at <= ${NOW} AND ${mayBeAsked(key)} AND ${mayBeWritten(key)}
          AND ${NOTHING_IN_THE_WAY}
        ORDER BY p.run_at ${order === 'oldest' ? sql`ASC` : sql`DESC`} LIMIT ${limit}`,
  );
}

/** Those of the named pushes that are still ready, with nothing in their way, locked; those locked elsewhere are left out. */
export async function lockReadyPushes(tx: Db, ids: readonly string[]): Promise<Push[]> {
  if (ids.length === 0) return [];
  return await select(
    tx,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p
        WHERE p.id = ANY(${sql.param(ids)}::uuid[]) AND p.state = 'ready' AND ${NOTHING_IN_THE_WAY}
        ORDER BY p.run_at, p.id FOR UPDATE SKIP LOCKED`,
  );
}

/**
 * Takes pushes whose outcome is unknown and that are due, or whose token has caught an echo, and those whose worker has lost
 * its lease: all of them are `unknown` and held from now on. Of a source that must not be asked only those with an echo.
 */
export async function claimUnknownPushes(
  tx: Db,
  key: StreamKey,
  { limit, leaseMs }: { limit: number; leaseMs: number },
): Promise<HeldPush[]> {
  const pushes = await select(
    tx,
    sql`UPDATE sync.outbox_pushes p
        SET state = 'unknown', attempt = p.attempt + 1, lease_token = gen_random_uuid(),
            lease_expires_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond'
        FROM (SELECT p.id FROM sync.outbox_pushes p
              WHERE ${ofStream(key)} AND p.state IN ('calling','unknown') AND ${mayBeWritten(key)}
                AND (p.lease_token IS NULL OR p.lease_expires_at < ${NOW})
                AND (EXISTS (SELECT 1 FROM sync.change_tokens t WHERE t.id = p.token_id AND t.echo IS NOT NULL)
                     OR ((p.lease_token IS NOT NULL OR p.run_at <= ${NOW}) AND ${mayBeAsked(key)}))
              ORDER BY p.run_at LIMIT ${limit} FOR UPDATE SKIP LOCKED) due
        WHERE p.id = due.id RETURNING ${COLUMNS}`,
  );
  return pushes.flatMap(held);
}

/** Pushes in flight of these records, by id. */
export async function readFlights(db: Db, key: StreamKey, ids: readonly string[]): Promise<Map<string, Push>> {
  if (ids.length === 0) return new Map();
  const pushes = await select(
    db,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p
        WHERE ${ofStream(key)} AND p.state IN ('calling','unknown') AND p.external_id = ANY(${sql.param(ids)}::text[])`,
  );
  return new Map(pushes.flatMap((push) => (push.externalId === null ? [] : [[push.externalId, push] as const])));
}

/** Pushes in flight of these rows, by their keys. */
export async function readFlightsIn(db: Db, key: StreamKey, targetKeys: readonly string[]): Promise<Map<string, Push>> {
  if (targetKeys.length === 0) return new Map();
  const pushes = await select(
    db,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p
        WHERE ${ofStream(key)} AND p.state IN ('calling','unknown') AND p.target_key = ANY(${sql.param(targetKeys)}::text[])`,
  );
  return new Map(pushes.map((push) => [push.targetKey, push]));
}

/** When the first of the creates that are not settled was first sent. */
export async function readOldestCreate(db: Db, key: StreamKey): Promise<Instant | null> {
  const [row] = await queryRows<{ at: Instant | null }>(
    db,
    sql`SELECT ${sql.raw(instantColumn('at'))} FROM (
          SELECT min(p.first_call_at) AS at FROM sync.outbox_pushes p
          WHERE ${ofStream(key)} AND p.state IN ('calling','unknown') AND p.op = 'create') AS oldest`,
  );
  return row?.at ?? null;
}

/** Creates of these rows that are under way, and those of these tokens of which no echo was kept, the parked ones too. */
export async function findOpenCreates(
  db: Db,
  key: StreamKey,
  { targetKeys, tokenIds }: { readonly targetKeys: readonly string[]; readonly tokenIds: readonly string[] },
): Promise<Push[]> {
  // What a record carries as a marker may be anything.
  const ids = tokenIds.filter((id) => UUID.test(id));
  return await select(
    db,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p
        WHERE ${ofStream(key)} AND p.state IN ('calling','unknown') AND p.op = 'create'
          AND p.target_key = ANY(${sql.param([...targetKeys])}::text[])
        UNION ALL
        SELECT ${COLUMNS} FROM sync.change_tokens t
        JOIN sync.outbox_pushes p ON ${ofStream(key)} AND p.target_key = t.target_key AND p.token_id = t.id
        WHERE t.id = ANY(${sql.param(ids)}::uuid[]) AND p.op = 'create'
          AND (p.state IN ('calling','unknown') OR (p.state = 'parked' AND t.state <> 'rejected' AND t.echo IS NULL))`,
  );
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A held push, locked, as it stands; null when the lease is somebody else's by now. */
export async function lockHeldPush(tx: Db, push: HeldPush): Promise<HeldPush | null> {
  const [found] = await select(
    tx,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p
        WHERE p.id = ${push.id}::uuid AND p.lease_token = ${push.leaseToken}::uuid FOR UPDATE`,
  );
  return found === undefined ? null : (held(found)[0] ?? null);
}

/** Any push, locked; null when there is none of this stream. */
export async function lockPush(tx: Db, key: StreamKey, id: string): Promise<Push | null> {
  const pushes = await select(
    tx,
    sql`SELECT ${COLUMNS} FROM sync.outbox_pushes p WHERE ${ofStream(key)} AND p.id = ${id}::uuid FOR UPDATE`,
  );
  return pushes[0] ?? null;
}

/** Parked pushes that were there at a moment, by their ids, after one (null: from the first), not locked. */
export async function findParked(
  db: Db,
  key: StreamKey,
  { reason, errorCode }: ParkedFilter,
  { until, after, limit }: { readonly until: Instant; readonly after: string | null; readonly limit: number },
): Promise<NamedPush[]> {
  const rows = await queryRows<{ id: string; target_key: string }>(
    db,
    sql`SELECT p.id::text AS id, p.target_key FROM sync.outbox_pushes p
        WHERE ${ofStream(key)} AND p.state = 'parked' AND p.created_at <= to_timestamp(${until}::float8 / 1e6)
          AND (${reason}::text IS NULL OR p.park_reason = ${reason})
          AND (${errorCode}::text IS NULL OR p.error_code = ${errorCode})
          AND (${after}::uuid IS NULL OR p.id > ${after}::uuid)
        ORDER BY p.id LIMIT ${limit}`,
  );
  return rows.map((row) => ({ id: row.id, targetKey: row.target_key }));
}

/** A request's push begins as `calling`; null when another push of its row is in flight. */
export async function insertRequestPush(
  tx: Db,
  key: StreamKey,
  targetKey: string,
  { call, leaseMs }: { call: CallColumns; leaseMs: number },
): Promise<HeldPush | null> {
  const pushes = await select(
    tx,
    sql`INSERT INTO sync.outbox_pushes AS p
          (integration, entity, carries, op, external_id, target_key, state, snapshot, patch, request, if_match, pre_version,
           token_id, first_call_at, deadline, attempt, lease_token, lease_expires_at)
        VALUES (${key.integration}, ${key.entity}, 'request', ${call.op}, ${call.externalId}, ${targetKey}, 'calling',
                ${json(call.snapshot)}::text::jsonb, ${json(call.patch)}::text::jsonb, ${JSON.stringify(call.request)},
                ${call.ifMatch}, ${call.preVersion?.toString() ?? null}::numeric, ${call.tokenId}::uuid, clock_timestamp(),
                to_timestamp(${call.deadline}::float8 / 1e6), 1, gen_random_uuid(),
                clock_timestamp() + ${leaseMs} * interval '1 millisecond')
        ON CONFLICT (integration, entity, target_key) WHERE state IN ('calling','unknown') DO NOTHING
        RETURNING ${COLUMNS}`,
  );
  return pushes.flatMap(held)[0] ?? null;
}

/** What a call writes into its push. */
export type CallColumns = Pick<
  Push,
  'op' | 'externalId' | 'snapshot' | 'patch' | 'request' | 'ifMatch' | 'preVersion' | 'tokenId' | 'deadline'
>;

/** A locked ready push becomes `calling`, and is held. */
export async function startCall(
  tx: Db,
  push: Push,
  { call, leaseMs }: { call: CallColumns; leaseMs: number },
): Promise<HeldPush> {
  const [started] = await select(
    tx,
    sql`UPDATE sync.outbox_pushes AS p
        SET state = 'calling', op = ${call.op}, external_id = ${call.externalId},
            snapshot = ${json(call.snapshot)}::text::jsonb, patch = ${json(call.patch)}::text::jsonb,
            request = ${JSON.stringify(call.request)}, if_match = ${call.ifMatch},
            pre_version = ${call.preVersion?.toString() ?? null}::numeric, token_id = ${call.tokenId}::uuid,
            first_call_at = clock_timestamp(), deadline = to_timestamp(${call.deadline}::float8 / 1e6),
            attempt = p.attempt + 1, lease_token = gen_random_uuid(),
            lease_expires_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond', error_code = NULL, error = NULL
        WHERE p.id = ${push.id}::uuid AND p.state = 'ready' RETURNING ${COLUMNS}`,
  );
  const [holding] = started === undefined ? [] : held(started);
  if (holding === undefined) throw new TypeError('Only a ready push that is locked is called');
  return holding;
}

const json = (content: Content | null): string | null => (content === null ? null : JSON.stringify(content));

const held = (push: Push): HeldPush[] => (push.leaseToken === null ? [] : [{ ...push, leaseToken: push.leaseToken }]);

async function select(db: Db, query: SQL): Promise<Push[]> {
  return (await queryRows<PushRow>(db, query)).map(toPush);
}

const parse = <T>(text: string | null): T | null => (text === null ? null : (JSON.parse(text) as T));

const toPush = (row: PushRow): Push => ({
  id: row.id,
  op: row.op,
  carries: row.carries,
  externalId: row.external_id,
  targetKey: row.target_key,
  state: row.state,
  edits: row.edits,
  snapshot: parse<Content>(row.snapshot),
  patch: parse<Content>(row.patch),
  request: parse<SavedRequest>(row.request),
  ifMatch: row.if_match,
  preVersion: row.pre_version === null ? null : BigInt(row.pre_version),
  tokenId: row.token_id,
  firstCallAt: row.first_call_at,
  deadline: row.deadline,
  runAt: row.run_at,
  editedAt: row.edited_at,
  attempt: row.attempt,
  leaseToken: row.lease_token,
  parkReason: row.park_reason,
  errorCode: row.error_code,
  error: row.error,
});
