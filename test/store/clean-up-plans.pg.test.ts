import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import { expireDeliveries } from '../../src/store/inbox.ts';
import { pruneHistory } from '../../src/store/record-history.ts';
import { createOnServer } from '../helpers/database.ts';
import { skipWithoutPostgres, startPostgres } from '../helpers/postgres.ts';

const DAY_MS = 86_400_000;

test('clean-up reads no big table whole, and leaves what is not past its time or number', {
  skip: skipWithoutPostgres(),
}, async (t) => {
  const server = await startPostgres(t);
  const { db } = await createOnServer(t, server.url);
  await queryRows(
    db,
    sql`INSERT INTO sync.record_history (integration, entity, external_id, channel, origin_kind, origin_id, decision, at)
        SELECT 'shop', 'customers', CASE WHEN n <= 130 THEN 'busy' ELSE 'c' || n % 5000 END, 'webhook', 'delivery', '1', 'update',
               now() - CASE WHEN n <= 130 THEN interval '1 minute' WHEN n <= 150 THEN interval '100 days' ELSE interval '10 days' END
        FROM generate_series(1, 20000) AS n`,
  );
  await queryRows(
    db,
    sql`INSERT INTO sync.inbox_deliveries (integration, headers, correlation_id, body, state, received_at, finished_at)
        SELECT 'shop', '{}', n::text, CASE WHEN n > 100 THEN NULL ELSE '\\x61'::bytea END, 'applied',
               now() - CASE WHEN n <= 10 THEN interval '4 days' ELSE interval '1 day' END, now()
        FROM generate_series(1, 20000) AS n`,
  );
  await queryRows(db, sql`ANALYZE sync.record_history, sync.inbox_deliveries`);
  // What this very transaction has scanned in sequence, as the server counts it.
  const counted = await db.transaction(async (tx) => {
    const pruned = await pruneHistory(tx, { keepForMs: 90 * DAY_MS, keepPerRecord: 100, limit: 5_000 });
    const expired = await expireDeliveries(tx, { payloadForMs: 3 * DAY_MS, keepForMs: 14 * DAY_MS, limit: 5_000 });
    const whole = await queryRows<{ relname: string; seq_scan: string }>(
      tx,
      sql`SELECT relname, seq_scan::text AS seq_scan FROM pg_stat_xact_user_tables
          WHERE relname IN ('record_history', 'inbox_deliveries') ORDER BY 1`,
    );
    return { pruned, expired, whole: [...whole] };
  });
  t.same(counted, {
    pruned: 50,
    expired: 10,
    whole: [
      { relname: 'inbox_deliveries', seq_scan: '0' },
      { relname: 'record_history', seq_scan: '0' },
    ],
  });
});
