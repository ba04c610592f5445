import { insertDeliveries } from '../src/store/inbox.ts';
import { sendLoad, startChild } from './children.ts';
import type { Place } from './places.ts';
import { INTEGRATION, makeBody, makeRecord } from './records.ts';
import { atLeast, atMost, median } from './report.ts';
import { readNumbers, type Setting, startServerChild, waitUntilApplied } from './setting.ts';

const BODY_BYTES = 1_400;
const INSERT_BATCH = 500;
/** Deliveries of the server's first batch: their time began before the clock. */
const FIRST_BATCH = 250;
const RATES = [500, 2_000] as const;

/**
 * A backlog worked off by the server's own loop: claimed, mapped, decided, record state, target row and history written,
 * finished. First every record is new, then every record changes, then few records change often.
 */
export async function measureApply(setting: Setting, place: Place): Promise<void> {
  const count = setting.isQuick || place.kind === 'embedded' ? 5_000 : 20_000;
  const group = `Apply a backlog of ${count.toLocaleString('en-US')}, ${place.kind}, batches of 250`;
  const rounds = [
    { name: 'new records', records: count, goal: place.kind === 'postgres' ? atLeast(12_000) : undefined },
    { name: 'changed records', records: count, goal: undefined },
    { name: 'a tenth of the records, each changed ten times', records: count / 10, goal: undefined },
  ];
  let revision = 0;
  for (const { name, records, goal } of rounds) {
    const rates: number[] = [];
    for (let repeat = 0; repeat < setting.repeats; repeat++) {
      if (name === 'new records')
        await place.query('TRUNCATE bench_customers, sync.record_states, sync.record_history');
      await place.query('TRUNCATE sync.inbox_deliveries');
      await fillInbox(place, { count, records, revision });
      revision += count / records;
      const server = await startServerChild(setting, place, 'worker');
      try {
        await waitUntilApplied(server, place);
      } finally {
        await server.stop();
      }
      const { applied, seconds } = await readNumbers(
        place,
        `SELECT count(*) AS applied, extract(epoch FROM max(finished_at) - min(finished_at)) AS seconds
         FROM sync.inbox_deliveries WHERE state = 'applied'`,
      );
      if (applied !== count) throw new Error(`only ${applied} of ${count} deliveries were applied`);
      rates.push((count - FIRST_BATCH) / (seconds ?? Number.NaN));
    }
    setting.report.add(group, name, median(rates), 'events/s', goal);
  }
}

type Backlog = { count: number; records: number; revision: number };

async function fillInbox(place: Place, { count, records, revision }: Backlog): Promise<void> {
  await place.withDb(async (db) => {
    for (let start = 0; start < count; start += INSERT_BATCH) {
      const deliveries = Array.from({ length: Math.min(INSERT_BATCH, count - start) }, (_, offset) => {
        const place = start + offset;
        const now = revision + Math.floor(place / records);
        const deliveryId = `${now}-${place}`;
        const record = makeRecord(place % records, now, Date.UTC(2025, 5, 1) + now * 1000);
        return {
          integration: INTEGRATION,
          dedupeKey: deliveryId,
          deliveryId,
          headers: { 'content-type': 'application/json', 'x-github-event': 'customer.updated' },
          correlationId: deliveryId,
          body: makeBody(record, deliveryId, BODY_BYTES),
        };
      });
      await insertDeliveries(db, deliveries);
    }
  });
  if (place.kind === 'postgres') await place.query('ANALYZE sync.inbox_deliveries');
}

/** From a delivery's row in the inbox to the commit that shows its record, at a steady rate on 64 connections. */
export async function measureLatency(setting: Setting, place: Place): Promise<void> {
  await place.query('TRUNCATE bench_customers, sync.record_states, sync.record_history, sync.inbox_deliveries');
  const load = await startChild('load-process.ts');
  const server = await startServerChild(setting, place, 'ingest,worker');
  const seconds = setting.isQuick ? 2 : 6;
  // The exact moment of the commit where the server keeps it; else the last moment before it that is known.
  const visibleAt = place.hasCommitTimes ? 'pg_xact_commit_timestamp(t.xmin)' : 'd.finished_at';
  let firstId = 1_000_000;
  try {
    const order = { address: server.address, connections: 64, bodyBytes: BODY_BYTES, revision: 0 };
    await sendLoad(load, { ...order, count: 5_000, firstId, maxMs: 5_000, rate: null });
    await waitUntilApplied(server, place);
    for (const rate of RATES) {
      firstId += 100_000;
      await place.query('TRUNCATE sync.inbox_deliveries');
      const sent = await sendLoad(load, { ...order, count: rate * seconds, firstId, maxMs: 2_000 * seconds, rate });
      await waitUntilApplied(server, place);
      const { p50, p99, rows } = await readNumbers(
        place,
        `SELECT count(*) AS rows, 1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY wait) AS p50,
                1000 * percentile_cont(0.99) WITHIN GROUP (ORDER BY wait) AS p99
         FROM (SELECT extract(epoch FROM ${visibleAt} - d.received_at) AS wait
               FROM sync.inbox_deliveries d
               JOIN bench_customers t ON t.external_id = 'cus_' || lpad(split_part(d.delivery_id, '-', 2), 10, '0')) AS waits`,
      );
      const group = `Received to visible, ${place.kind}, steady ${rate}/s on 64 connections`;
      const isGoal = rate === 2_000;
      setting.report.add(group, 'sent', sent.sent / sent.seconds, '/s');
      setting.report.add(group, 'rows', rows ?? 0, '');
      setting.report.add(group, 'p50', p50 ?? Number.NaN, 'ms', isGoal ? atMost(15) : undefined);
      setting.report.add(group, 'p99', p99 ?? Number.NaN, 'ms', isGoal ? atMost(75) : undefined);
      setting.report.add(group, "sender's wait, p99", sent.p99Ms, 'ms');
    }
  } finally {
    await Promise.all([server.stop(), load.stop()]);
  }
}
