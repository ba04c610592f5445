import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { ClaimedDelivery, DeliveryOutcome, NewDelivery } from '../model/inbox.ts';
import type { Instant } from '../model/instant.ts';

/** What the database made of a new delivery; null when its dedupe key was there already. */
export type StoredDelivery = { readonly id: number; readonly receivedAt: Instant };

/**
 * Stores deliveries in one statement and so in one commit. Bodies travel as one buffer with offsets, because escaping
 * them one by one costs more than the insert. Keys must be unique within the batch.
 * @returns by correlation id, the deliveries that were new.
 */
export async function insertDeliveries(
  db: Db,
  deliveries: readonly NewDelivery[],
): Promise<Map<string, StoredDelivery>> {
  const offsets: number[] = [];
  let offset = 1;
  for (const { body } of deliveries) {
    offsets.push(offset);
    offset += body.length;
  }
  const column = (pick: (delivery: NewDelivery) => string | number | null) => sql.param(deliveries.map(pick));
  const rows = await queryRows<{ id: string; correlation_id: string; received_at: number }>(
    db,
    sql`INSERT INTO sync.inbox_deliveries (integration, dedupe_key, delivery_id, headers, correlation_id, body)
        SELECT d.integration, d.dedupe_key, d.delivery_id, d.headers, d.correlation_id,
               substring(${Buffer.concat(deliveries.map((delivery) => delivery.body))}::bytea FROM d.start FOR d.size)
        FROM unnest(${column((d) => d.integration)}::text[], ${column((d) => d.dedupeKey)}::text[],
                    ${column((d) => d.deliveryId)}::text[], ${column((d) => JSON.stringify(d.headers))}::text[],
                    ${column((d) => d.correlationId)}::text[], ${sql.param(offsets)}::int[],
                    ${column((d) => d.body.length)}::int[])
          AS d(integration, dedupe_key, delivery_id, headers, correlation_id, start, size)
        ON CONFLICT (integration, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
        RETURNING id::text AS id, correlation_id, ${sql.raw(instantColumn('received_at'))}`,
  );
  return new Map(rows.map((row) => [row.correlation_id, { id: Number(row.id), receivedAt: Number(row.received_at) }]));
}

type DeliveryRow = {
  id: string;
  integration: string;
  delivery_id: string | null;
  headers: string;
  correlation_id: string;
  body: Buffer | null;
  attempt: number;
  received_at: number;
};

/** Payloads that one claim brings into memory; a single larger one comes alone. */
export const MAX_CLAIMED_BYTES = 16 * 1024 * 1024;

/**
 * Takes up to `limit` due deliveries of the named integrations for this transaction, oldest first, fewer when their payloads
 * exceed `MAX_CLAIMED_BYTES` together. Rows that another
 * worker holds are skipped, not waited for (`only` asks for one delivery alone); they are released when the transaction ends, however it ends.
 */
export async function claimDeliveries(
  tx: Db,
  options: { integrations: readonly string[]; limit: number; only: number | null },
): Promise<ClaimedDelivery[]> {
  // In the order of the index that holds what waits. Before the table is analysed the planner takes the backlog for a few
  // rows, and would read and sort all of it, bodies included, for every batch.
  await queryRows(tx, sql`SELECT set_config('enable_sort', 'off', true)`);
  const rows = await queryRows<DeliveryRow>(
    tx,
    sql`WITH due AS MATERIALIZED (
          SELECT d.id, integration, delivery_id, headers, correlation_id, body, attempt, received_at, next_attempt_at,
                 coalesce(octet_length(body), 0) AS size
          FROM sync.inbox_deliveries AS d
          WHERE state = 'received' AND next_attempt_at <= clock_timestamp()
            AND integration = ANY(${sql.param(options.integrations)}::text[])
            ${options.only === null ? sql`` : sql`AND d.id = ${options.only}`}
          ORDER BY d.next_attempt_at, d.id LIMIT ${options.limit} FOR UPDATE SKIP LOCKED
        ), summed AS (
          SELECT *, sum(size) OVER (ORDER BY next_attempt_at, id) AS bytes, row_number() OVER (ORDER BY next_attempt_at, id) AS place
          FROM due
        )
        SELECT id::text AS id, integration, delivery_id, headers, correlation_id, body, attempt,
               ${sql.raw(instantColumn('received_at'))}
        FROM summed WHERE place = 1 OR bytes <= ${MAX_CLAIMED_BYTES}::bigint ORDER BY place`,
  );
  await queryRows(tx, sql`SELECT set_config('enable_sort', 'on', true)`);
  return rows.map((row) => ({
    id: Number(row.id),
    integration: row.integration,
    deliveryId: row.delivery_id,
    headers: JSON.parse(row.headers),
    correlationId: row.correlation_id,
    body: row.body === null ? null : Buffer.from(row.body),
    attempt: Number(row.attempt),
    receivedAt: Number(row.received_at),
  }));
}

/** Records what became of deliveries that this transaction holds. */
export async function finishDeliveries(tx: Db, outcomes: readonly DeliveryOutcome[]): Promise<void> {
  if (outcomes.length === 0) return;
  const rows = outcomes.map((o) =>
    o.to === 'received'
      ? { id: o.id, state: o.to, outcome: o.outcome, event_type: null, wait_ms: o.waitMs }
      : { id: o.id, state: o.to, outcome: o.outcome, event_type: o.eventType, wait_ms: null },
  );
  await queryRows(
    tx,
    sql`UPDATE sync.inbox_deliveries AS d
        SET state = o.state, outcome = o.outcome, event_type = coalesce(d.event_type, o.event_type),
            attempt = LEAST(d.attempt + 1, 32000),
            next_attempt_at = CASE WHEN o.wait_ms IS NULL THEN d.next_attempt_at
                                   ELSE clock_timestamp() + o.wait_ms * interval '1 millisecond' END,
            finished_at = CASE WHEN o.state = 'received' THEN NULL ELSE clock_timestamp() END
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS o(id bigint, state text, outcome text, event_type text, wait_ms float8)
        WHERE d.id = o.id AND d.state = 'received'`,
  );
}

/** Puts a dead delivery back, to be worked on again. @returns false when it is not dead, or its payload has expired. */
export async function replayDelivery(tx: Db, id: number): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`UPDATE sync.inbox_deliveries
        SET state = 'received', finished_at = NULL, outcome = NULL, attempt = 0, next_attempt_at = clock_timestamp()
        WHERE id = ${id} AND state = 'dead' AND body IS NOT NULL RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

export type Backlog = { readonly integration: string; readonly waiting: number; readonly oldestAt: Instant };

/** How many deliveries wait, per integration, and since when. */
export async function readBacklog(db: Db): Promise<Backlog[]> {
  const rows = await queryRows<{ integration: string; waiting: string; oldest: number }>(
    db,
    sql`SELECT integration, count(*)::text AS waiting, ${sql.raw(instantColumn('min(received_at)').replace(/ AS .*$/, ' AS oldest'))}
        FROM sync.inbox_deliveries WHERE state = 'received' GROUP BY integration`,
  );
  return rows.map((row) => ({
    integration: row.integration,
    waiting: Number(row.waiting),
    oldestAt: Number(row.oldest),
  }));
}

/** True while a delivery received up to `before` still waits: what it says about a record is not known yet. */
export async function hasWaitingDeliveries(db: Db, integration: string, before: Instant): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`SELECT 1 AS one FROM sync.inbox_deliveries
        WHERE state = 'received' AND integration = ${integration}
          AND received_at <= to_timestamp(${before}::float8 / 1e6) LIMIT 1`,
  );
  return rows.length > 0;
}

/** Drops payloads, then whole rows, that are past their time; at most `limit` of each. @returns how many changed. */
export async function expireDeliveries(
  db: Db,
  options: { payloadForMs: number; keepForMs: number; limit: number },
): Promise<number> {
  const emptied = await queryRows(
    db,
    sql`UPDATE sync.inbox_deliveries SET body = NULL WHERE id IN (
          SELECT id FROM sync.inbox_deliveries
          WHERE state IN ('applied', 'skipped') AND body IS NOT NULL
            AND received_at < clock_timestamp() - ${options.payloadForMs}::float8 * interval '1 millisecond'
          ORDER BY received_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED) RETURNING 1 AS one`,
  );
  const removed = await queryRows(
    db,
    sql`DELETE FROM sync.inbox_deliveries WHERE id IN (
          SELECT id FROM sync.inbox_deliveries
          WHERE received_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
            AND (state IN ('applied', 'skipped') OR (state = 'dead' AND NOT EXISTS (
                   SELECT 1 FROM sync.dead_letters l WHERE l.inbox_id = inbox_deliveries.id AND l.state = 'open')))
          ORDER BY received_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED) RETURNING 1 AS one`,
  );
  return emptied.length + removed.length;
}
