import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn, instantValue } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { HintReason, LeasedHint, NewHint } from '../model/hint.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';

/** Reasons whose read is expected to find nothing, as far as anybody knows. */
const ABSENCE_REASONS: readonly HintReason[] = ['delete', 'sweep', 'reconcile_ids'];

/** What a delivery or a person asked for comes before what runs ask for beside their pages. */
const isUrgent = (hint: NewHint): boolean => hint.isUrgent ?? (hint.runId === null || hint.reason === 'reconcile_ids');

export const expectsAbsence = (reason: HintReason): boolean => ABSENCE_REASONS.includes(reason);

/**
 * Adds hints, or strengthens those that are ready already: sooner, urgent where either is, satisfied only by what satisfies
 * both, and expecting an absence where either does.
 */
export async function enqueueHints(tx: Db, key: StreamKey, hints: readonly NewHint[]): Promise<void> {
  if (hints.length === 0) return;
  const rows = mergeSameRecord(hints).map((hint) => ({
    external_id: hint.externalId,
    reason: hint.reason,
    need_lo: Number.isFinite(hint.needLo) ? hint.needLo : null,
    min_version: hint.minVersion?.toString() ?? null,
    run_at: hint.runAt,
    attempt: hint.attempt,
    correlation_id: hint.correlationId,
    run_id: hint.runId,
    is_urgent: isUrgent(hint),
    known_at: hint.knownAt ?? null,
  }));
  await queryRows(
    tx,
    sql`INSERT INTO sync.hints AS h
          (integration, entity, external_id, reason, need_lo, min_version, run_at, attempt, correlation_id, run_id, is_urgent,
           created_at)
        SELECT ${key.integration}, ${key.entity}, n.external_id, n.reason, ${sql.raw(instantValue('n.need_lo'))}, n.min_version,
               to_timestamp(n.run_at / 1e6), n.attempt, n.correlation_id, n.run_id, n.is_urgent,
               coalesce(to_timestamp(n.known_at / 1e6), clock_timestamp())
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS n(external_id text, reason text, need_lo float8, min_version numeric, run_at float8, attempt int,
               correlation_id text, run_id uuid, is_urgent boolean, known_at float8)
        ORDER BY n.external_id COLLATE "C"
        ON CONFLICT (integration, entity, external_id) WHERE state = 'ready' DO UPDATE
        SET run_at = LEAST(h.run_at, excluded.run_at), need_lo = GREATEST(h.need_lo, excluded.need_lo),
            min_version = CASE WHEN h.min_version IS NOT NULL AND excluded.min_version IS NOT NULL
                               THEN GREATEST(h.min_version, excluded.min_version) END,
            reason = CASE WHEN excluded.reason = ANY(${sql.param(ABSENCE_REASONS)}::text[])
                            AND h.reason <> ALL(${sql.param(ABSENCE_REASONS)}::text[]) THEN excluded.reason ELSE h.reason END,
            attempt = LEAST(h.attempt, excluded.attempt), run_id = coalesce(h.run_id, excluded.run_id),
            is_urgent = h.is_urgent OR excluded.is_urgent, created_at = LEAST(h.created_at, excluded.created_at)`,
  );
}

type HintRow = {
  id: string;
  integration: string;
  entity: string;
  external_id: string;
  reason: HintReason;
  need_lo: number | null;
  min_version: string | null;
  attempt: number;
  lease_token: string;
  correlation_id: string | null;
  run_id: string | null;
  is_urgent: boolean;
  created_at: Instant;
};

/** Literals, so that the planner sees that the index of either kind is enough. */
const OF_KIND = { urgent: sql.raw('AND is_urgent'), later: sql.raw('AND NOT is_urgent'), any: sql.raw('') } as const;
export type HintKind = keyof typeof OF_KIND;

/**
 * Leases up to `limit` due hints of the named integrations, and those whose lease has run out, soonest first; none of a
 * paused integration.
 */
export async function claimHints(
  db: Db,
  options: { integrations: readonly string[]; limit: number; leaseMs: number; kind?: HintKind },
): Promise<LeasedHint[]> {
  const kind = OF_KIND[options.kind ?? 'any'];
  const going = await withoutPaused(db, options.integrations);
  if (going.length === 0) return [];
  const known = sql`integration = ANY(${sql.param(going)}::text[]) ${kind}`;
  const rows = await queryRows<HintRow>(
    db,
    sql`WITH ready AS (
          SELECT id FROM sync.hints WHERE state = 'ready' AND run_at <= clock_timestamp() AND ${known}
          ORDER BY run_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED
        ), lapsed AS (
          SELECT id FROM sync.hints WHERE state = 'leased' AND lease_expires_at < clock_timestamp() AND ${known}
          ORDER BY lease_expires_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED
        )
        UPDATE sync.hints SET state = 'leased', attempt = attempt + 1, lease_token = gen_random_uuid(),
               lease_expires_at = clock_timestamp() + ${options.leaseMs}::float8 * interval '1 millisecond'
        WHERE id IN (SELECT id FROM lapsed UNION ALL SELECT id FROM ready LIMIT ${options.limit})
        RETURNING id::text AS id, integration, entity, external_id, reason, ${sql.raw(instantColumn('need_lo'))},
                  min_version::text AS min_version, attempt, lease_token::text AS lease_token, correlation_id,
                  run_id::text AS run_id, is_urgent, ${sql.raw(instantColumn('created_at'))}`,
  );
  return rows.map((row) => ({
    id: Number(row.id),
    integration: row.integration,
    entity: row.entity,
    externalId: row.external_id,
    reason: row.reason,
    needLo: row.need_lo ?? Number.NEGATIVE_INFINITY,
    minVersion: row.min_version === null ? null : BigInt(row.min_version),
    attempt: Number(row.attempt),
    leaseToken: row.lease_token,
    correlationId: row.correlation_id,
    runId: row.run_id,
    isUrgent: row.is_urgent,
    knownAt: row.created_at,
  }));
}

/**
 * In a statement of its own: joined with it, the planner reads every due hint of a paused integration for nothing, twice a
 * second (22 ms with 100,000 of them, 0.1 ms so), and those of the others after them.
 */
async function withoutPaused(db: Db, integrations: readonly string[]): Promise<string[]> {
  const rows = await queryRows<{ name: string }>(
    db,
    sql`SELECT i AS name FROM unnest(${sql.param(integrations)}::text[]) AS i
        WHERE NOT EXISTS (SELECT 1 FROM sync.source_states p WHERE p.integration = i AND p.paused IS NOT NULL)`,
  );
  return rows.map(({ name }) => name);
}

/** Removes a leased hint. @returns false when the lease was lost: the caller must roll back and forget its answer. */
export async function finishHint(tx: Db, hint: LeasedHint): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`DELETE FROM sync.hints WHERE id = ${hint.id} AND lease_token = ${hint.leaseToken}::uuid RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/** Which of these records have a hint, waiting or being worked on: a read of them may be under way. */
export async function findHinted(db: Db, key: StreamKey, ids: readonly string[]): Promise<Set<string>> {
  const rows = await queryRows<{ external_id: string }>(
    db,
    sql`SELECT external_id FROM sync.hints
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND external_id = ANY(${sql.param(ids)}::text[])`,
  );
  return new Set(rows.map((row) => row.external_id));
}

export type HintQueue = StreamKey & { readonly waiting: number; readonly oldestAt: number | null };

/** How many hints wait or are being worked on, per stream. */
export async function readHintQueue(db: Db): Promise<HintQueue[]> {
  const rows = await queryRows<{ integration: string; entity: string; waiting: string; oldest: number | null }>(
    db,
    sql`SELECT integration, entity, count(*)::text AS waiting,
               (extract(epoch FROM min(created_at)) * 1000000)::float8 AS oldest
        FROM sync.hints GROUP BY integration, entity`,
  );
  return rows.map((row) => ({
    integration: row.integration,
    entity: row.entity,
    waiting: Number(row.waiting),
    oldestAt: row.oldest,
  }));
}

/** How many hints of a run are still to be worked off. */
export async function countRunHints(db: Db, runId: string): Promise<number> {
  const rows = await queryRows<{ n: string }>(
    db,
    sql`SELECT count(*)::text AS n FROM sync.hints WHERE run_id = ${runId}::uuid`,
  );
  return Number(rows[0]?.n ?? 0);
}

/** One statement may not touch a row twice, so hints for one record are merged before they are sent. */
function mergeSameRecord(hints: readonly NewHint[]): NewHint[] {
  const merged = new Map<string, NewHint>();
  for (const hint of hints) {
    const other = merged.get(hint.externalId);
    merged.set(hint.externalId, other === undefined ? hint : strengthen(other, hint));
  }
  return [...merged.values()];
}

const strengthen = (left: NewHint, right: NewHint): NewHint => ({
  ...left,
  reason: expectsAbsence(right.reason) && !expectsAbsence(left.reason) ? right.reason : left.reason,
  attempt: Math.min(left.attempt, right.attempt),
  needLo: Math.max(left.needLo, right.needLo),
  runAt: Math.min(left.runAt, right.runAt),
  minVersion: bothVersions(left.minVersion, right.minVersion),
  runId: left.runId ?? right.runId,
  isUrgent: isUrgent(left) || isUrgent(right),
  ...knownSince(left, right),
});

const knownSince = ({ knownAt: left }: NewHint, { knownAt: right }: NewHint): Pick<NewHint, 'knownAt'> =>
  left === undefined && right === undefined ? {} : { knownAt: Math.min(left ?? Infinity, right ?? Infinity) };

/** A version settles both only where it settles each: a hint without one asks for a moment, which no version shows. */
function bothVersions(left: bigint | null, right: bigint | null): bigint | null {
  if (left === null || right === null) return null;
  return left > right ? left : right;
}
