import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { ClaimedDelivery, DeliveryOutcome, NewDelivery } from '../model/inbox.ts';
import type { Instant } from '../model/instant.ts';

/** What the database made of a new delivery; null when its dedupe key was there already. */
export type StoredDelivery = { readonly id: number; readonly receivedAt: Instant };

type StoredRow = { id: string; correlation_id: string; received_at: number };

/**
 * Stores deliveries in one statement and so in one commit. Bodies travel as one buffer with offsets, because escaping
 * them one by one costs more than the insert. Keys must be unique within the batch. A delivery whose key is known is
 * stored no second time, but for one that is dead: sent again by the provider, it is worked on again, as it now came.
 * @returns by correlation id, the deliveries that were new or are worked on again.
 */
export async function insertDeliveries(
  db: Db,
  deliveries: readonly NewDelivery[],
): Promise<Map<string, StoredDelivery>> {
  const rows = await queryRows<StoredRow>(
    db,
    sql`INSERT INTO sync.inbox_deliveries (integration, dedupe_key, delivery_id, headers, correlation_id, body)
        SELECT d.integration, d.dedupe_key, d.delivery_id, d.headers, d.correlation_id, d.body FROM ${asRows(deliveries)}
        ON CONFLICT (integration, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
        RETURNING id::text AS id, correlation_id, ${sql.raw(instantColumn('received_at'))}`,
  );
  if (rows.length < deliveries.length) {
    const stored = new Set(rows.map((row) => row.correlation_id));
    rows.push(
      ...(await reviveDeliveries(
        db,
        deliveries.filter(({ correlationId }) => !stored.has(correlationId)),
      )),
    );
  }
  return new Map(rows.map((row) => [row.correlation_id, { id: Number(row.id), receivedAt: Number(row.received_at) }]));
}

/**
 * Puts those back to work that are dead. A statement of its own: `ON CONFLICT DO UPDATE` would wait for the worker that
 * holds a delivery, and with it every sender whose delivery shares the commit.
 */
async function reviveDeliveries(db: Db, deliveries: readonly NewDelivery[]): Promise<StoredRow[]> {
  const rows = await queryRows<StoredRow>(
    db,
    sql`UPDATE sync.inbox_deliveries AS i
        SET state = 'received', body = d.body, headers = d.headers, delivery_id = d.delivery_id,
            correlation_id = d.correlation_id, received_at = clock_timestamp(), next_attempt_at = clock_timestamp(),
            attempt = 0, outcome = NULL, finished_at = NULL
        FROM ${asRows(deliveries)}
        WHERE i.integration = d.integration AND i.dedupe_key = d.dedupe_key AND i.state = 'dead'
        RETURNING i.id::text AS id, i.correlation_id, ${sql.raw(instantColumn('i.received_at'))}`,
  );
  if (rows.length === 0) return rows;
  // If it fails again that is a dead letter of its own.
  await queryRows(
    db,
    sql`UPDATE sync.dead_letters SET state = 'replayed', last_at = clock_timestamp()
        WHERE state = 'open' AND external_id IS NULL
          AND inbox_id = ANY(${sql.param(rows.map((row) => row.id))}::bigint[])`,
  );
  return rows;
}

function asRows(deliveries: readonly NewDelivery[]): SQL {
  const offsets: number[] = [];
  let offset = 1;
  for (const { body } of deliveries) {
    offsets.push(offset);
    offset += body.length;
  }
  const column = (pick: (delivery: NewDelivery) => string | number | null) => sql.param(deliveries.map(pick));
  return sql`(
    SELECT integration, dedupe_key, delivery_id, headers, correlation_id,
           substring(${Buffer.concat(deliveries.map((delivery) => delivery.body))}::bytea FROM start FOR size) AS body
    FROM unnest(${column((d) => d.integration)}::text[], ${column((d) => d.dedupeKey)}::text[],
                ${column((d) => d.deliveryId)}::text[], ${column((d) => JSON.stringify(d.headers))}::text[],
                ${column((d) => d.correlationId)}::text[], ${sql.param(offsets)}::int[],
                ${column((d) => d.body.length)}::int[])
      AS u(integration, dedupe_key, delivery_id, headers, correlation_id, start, size)) AS d`;
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
      ? { id: o.id, state: o.to, outcome: o.outcome, event_type: null, wait_ms: o.waitMs, is_failure: o.isFailure }
      : { id: o.id, state: o.to, outcome: o.outcome, event_type: o.eventType, wait_ms: null, is_failure: true },
  );
  await queryRows(
    tx,
    sql`UPDATE sync.inbox_deliveries AS d
        SET state = o.state, outcome = o.outcome, event_type = coalesce(d.event_type, o.event_type),
            attempt = LEAST(d.attempt + CASE WHEN o.is_failure THEN 1 ELSE 0 END, 32000),
            next_attempt_at = CASE WHEN o.wait_ms IS NULL THEN d.next_attempt_at
                                   ELSE clock_timestamp() + o.wait_ms * interval '1 millisecond' END,
            finished_at = CASE WHEN o.state = 'received' THEN NULL ELSE clock_timestamp() END
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS o(id bigint, state text, outcome text, event_type text, wait_ms float8, is_failure boolean)
        WHERE d.id = o.id AND d.state = 'received'`,
  );
}

/**
 * Puts a delivery back, to be worked on again: a dead one, or an applied one of which a record was set aside.
 * @returns false when it waits already, or its payload has expired.
 */
export async function replayDelivery(tx: Db, id: number): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`UPDATE sync.inbox_deliveries
        SET state = 'received', finished_at = NULL, outcome = NULL, attempt = 0, next_attempt_at = clock_timestamp()
        WHERE id = ${id} AND state IN ('dead', 'applied') AND body IS NOT NULL RETURNING 1 AS one`,
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
    sql`UPDATE sync.inbox_deliveries SET body = NULL WHERE id = ANY(ARRAY(
          SELECT id FROM sync.inbox_deliveries
          WHERE state IN ('applied', 'skipped') AND body IS NOT NULL
            AND received_at < clock_timestamp() - ${options.payloadForMs}::float8 * interval '1 millisecond'
          ORDER BY received_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS one`,
  );
  const removed = await queryRows(
    db,
    sql`DELETE FROM sync.inbox_deliveries WHERE id = ANY(ARRAY(
          SELECT id FROM sync.inbox_deliveries
          WHERE received_at < clock_timestamp() - ${options.keepForMs}::float8 * interval '1 millisecond'
            AND (state IN ('applied', 'skipped') OR (state = 'dead' AND NOT EXISTS (
                   SELECT 1 FROM sync.dead_letters l WHERE l.inbox_id = inbox_deliveries.id AND l.state = 'open')))
          ORDER BY received_at LIMIT ${options.limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS one`,
  );
  return emptied.length + removed.length;
}
