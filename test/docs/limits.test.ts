import { test } from 'tap';
import { readText } from './documents.ts';

/** A number in a document, and the line of the code that it comes from: who changes one is sent to the other. */
const LIMITS: readonly [document: string, words: string, file: string, code: string][] = [
  ['docs/operating.md', '| 72 hours |', 'src/sync/upkeep.ts', 'KEEP_PAYLOADS_MS = 72 * HOUR_MS'],
  ['docs/operating.md', '| 14 days |', 'src/sync/upkeep.ts', 'KEEP_DELIVERIES_MS = 14 * DAY_MS'],
  ['docs/operating.md', '90 days, and at most 100 entries', 'src/sync/upkeep.ts', 'KEEP_HISTORY_MS = 90 * DAY_MS'],
  ['docs/operating.md', '90 days, and at most 100 entries', 'src/sync/upkeep.ts', 'KEEP_HISTORY_PER_RECORD = 100'],
  ['docs/operating.md', 'tombstones | 90 days', 'src/sync/upkeep.ts', 'KEEP_TOMBSTONES_MS = 90 * DAY_MS'],
  ['docs/operating.md', 'ended runs | 30 days', 'src/sync/upkeep.ts', 'KEEP_RUNS_MS = 30 * DAY_MS'],
  ['docs/operating.md', 'at most 5,000 rows', 'src/sync/upkeep.ts', 'MAX_ROWS = 5_000'],
  ['docs/operating.md', 'tried again every five minutes', 'src/sync/upkeep.ts', 'failedForMs: 5 * 60_000'],
  ['docs/operating.md', 'by a lease of 30 s', 'src/model/run.ts', 'RUN_LEASE_MS = 30_000'],
  ['docs/operating.md', 'extended every 10 s', 'src/sync/run-lease.ts', 'HEARTBEAT_MS = RUN_LEASE_MS / 3'],
  ['docs/operating.md', 'three times at most', 'src/sync/reconcile.ts', 'MAX_LISTING_STARTS = 3'],
  ['docs/operating.md', 'a lease of 60 s each', 'src/sync/reread.ts', 'HINT_LEASE_MS = 60_000'],
  ['docs/operating.md', 'by a lease of 20 s that is renewed every 5 s', 'src/app.ts', 'LEADER_LEASE_MS = 20_000'],
  ['docs/operating.md', 'by a lease of 20 s that is renewed every 5 s', 'src/app.ts', 'LEADER_POLL_MS = 5_000'],
  ['docs/operating.md', 'Cleaned up each minute', 'src/app.ts', 'CLEAN_UP_POLL_MS = 60_000'],
  ['docs/operating.md', 'growing pauses (up to 15 s)', 'src/app.ts', 'MAX_BACKOFF_MS = 15_000'],
  ['docs/operating.md', 'more than 60 s: the workers', 'src/sync/read-status.ts', 'MAX_WAIT_MS = 60_000'],
  ['docs/operating.md', 'or after ten minutes', 'src/http/operator.ts', 'MAX_WAIT_MS = 600_000'],
  ['docs/operating.md', 'up to 1,000 ids', 'src/http/operator.ts', 'MAX_IDS = 1_000'],
  ['docs/operating.md', 'within ten minutes', 'src/sync/absence-brake.ts', 'WINDOW_MS = 10 * 60_000'],
  ['docs/operating.md', '(default 0.1)', 'src/assemble.ts', 'DEFAULT_MAX_SHARE = 0.1'],
  ['docs/operating.md', '(default 20)', 'src/assemble.ts', 'DEFAULT_MINIMUM = 20'],
  ['docs/operating.md', 'up to 10 connections for work', 'src/db/postgres.ts', 'DEFAULT_POOL_SIZE = 10'],
  ['docs/operating.md', '3 for storing deliveries', 'src/db/postgres.ts', 'DEFAULT_INGEST_POOL_SIZE = 3'],
  ['docs/operating.md', 'give up a lock after 0.3 s', 'src/db/postgres.ts', 'LOCK_TIMEOUT_MS = 300'],
  ['docs/operating.md', 'a statement after 30 s', 'src/db/postgres.ts', 'STATEMENT_TIMEOUT_MS = 30_000'],
  ['docs/operating.md', 'for up to two minutes', 'src/db/postgres.ts', 'EXCLUSIVE_WAIT_MS = 120_000'],
  [
    'docs/operating.md',
    'a checkpoint each minute or 64 MB',
    'src/db/embedded-upkeep.ts',
    'CHECKPOINT_EVERY_MS = 60_000',
  ],
  ['docs/operating.md', 'ends within 10 s', 'src/cli/serve.ts', 'GRACE_MS = 10_000'],
  ['docs/architecture.md', 'takes up to 250 deliveries', 'src/app.ts', 'INGEST_BATCH = 250'],
  ['docs/architecture.md', 'failed 8 times', 'src/sync/retry.ts', 'MAX_ATTEMPTS = 8'],
  ['docs/architecture.md', 'at the next poll (0.5 s)', 'src/app.ts', 'POLL_MS = 500'],
  ['docs/decisions.md', 'Beyond 10,000 waiting', 'src/sync/group-commit.ts', 'MAX_WAITING = 10_000'],
  ['docs/decisions.md', 'the page is tried five times', 'src/sync/reconcile.ts', 'MAX_PAGE_ATTEMPTS = 5'],
  [
    'docs/decisions.md',
    '600,000 requests a minute',
    'src/config/environment.ts',
    'DEFAULT_WEBHOOKS_PER_MINUTE = 600_000',
  ],
  ['docs/decisions.md', '1 to 256 printable', 'src/webhook/delivery.ts', 'MAX_DELIVERY_ID_LENGTH = 256'],
  ['docs/decisions.md', 'at most 5,000 events', 'src/webhook/routes.ts', 'MAX_BATCH_EVENTS = 5_000'],
  ['docs/decisions.md', 'at most 64 levels', 'src/webhook/body.ts', 'MAX_BODY_DEPTH = 64'],
  ['docs/decisions.md', 'Waits over 60 s', 'src/source/retry.ts', 'MAX_WAIT_MS = 60_000'],
  ['docs/integrations.md', 'up to 10m | `30s`', 'src/source/definition.ts', 'DEFAULT_TIMEOUT_MS = 30_000'],
  ['docs/integrations.md', 'up to 20 | 5 |', 'src/source/definition.ts', 'DEFAULT_MAX_ATTEMPTS = 5'],
  [
    'docs/integrations.md',
    '| 33,554,432 |',
    'src/source/definition.ts',
    'DEFAULT_MAX_RESPONSE_BYTES = 32 * 1024 * 1024',
  ],
  ['docs/integrations.md', 'up to 64 | 4 |', 'src/source/definition.ts', 'DEFAULT_CONCURRENCY = 4'],
  [
    'docs/integrations.md',
    'up to 26,214,400 | 1,048,576 |',
    'src/webhook/definition.ts',
    'BODY_BYTES_LIMIT = 26_214_400',
  ],
  [
    'docs/integrations.md',
    'up to 26,214,400 | 1,048,576 |',
    'src/webhook/definition.ts',
    'DEFAULT_MAX_BODY_BYTES = 1_048_576',
  ],
  [
    'docs/integrations.md',
    '| `readLag` | a read may miss changes younger than this | `5s` |',
    'src/define/capabilities.ts',
    'DEFAULT_READ_LAG_MS = 5_000',
  ],
  ['docs/integrations.md', '(300 s each)', 'src/webhook/scheme.ts', 'DEFAULT_TOLERANCE_S = 300'],
  ['docs/integrations.md', 'text of 1 to 512 characters', 'src/mapping/identity.ts', 'MAX_ID_LENGTH = 512'],
  ['docs/security.md', '16 or more characters', 'src/config/environment.ts', 'MIN_TOKEN_LENGTH = 16'],
  ['docs/security.md', '30 s to send a request', 'src/http/server.ts', 'REQUEST_TIMEOUT_MS = 30_000'],
  ['docs/integrations.md', '1,000 answers and 16 MiB', 'src/source/bounded-store.ts', 'MAX_STORE_ENTRIES = 1_000'],
  [
    'docs/integrations.md',
    '1,000 answers and 16 MiB',
    'src/source/bounded-store.ts',
    'MAX_STORE_BYTES = 16 * 1024 * 1024',
  ],
  ['docs/integrations.md', '`lookup` (1 h), `profile` (5 min)', 'src/source/endpoint.ts', 'LOOKUP_TTL_MS = 3_600_000'],
  ['docs/integrations.md', '`lookup` (1 h), `profile` (5 min)', 'src/source/endpoint.ts', 'PROFILE_TTL_MS = 300_000'],
  ['docs/integrations.md', 'takes `items` (10,000 at most)', 'src/source/batch.ts', 'MAX_CALL_ITEMS = 10_000'],
  [
    'docs/integrations.md',
    'up to 67,108,864 | 1,048,576 |',
    'src/source/batch.ts',
    'DEFAULT_MAX_BATCH_BYTES = 1024 * 1024',
  ],
  ['docs/integrations.md', '(100,000 entries at most)', 'src/sync/lookups.ts', 'MAX_ENTRIES = 100_000'],
  ['docs/integrations.md', 'at most once per 10 s', 'src/sync/lookups.ts', 'MIN_LOAD_INTERVAL_MS = 10_000'],
  ['docs/integrations.md', 'for more than 10 s', 'src/sync/lookups.ts', 'MAX_WAIT_MS = 10_000'],
  ['docs/integrations.md', 'then 20 s, up to 5 min', 'src/sync/lookups.ts', 'MAX_TRUST_MS = 300_000'],
];

test('every number that a document tells is the one in the code', async (t) => {
  for (const [document, words, file, code] of LIMITS) {
    const told = readText(document).replaceAll(/\s+/g, ' ');
    t.ok(told.includes(words), `${document} says: ${words}`);
    t.ok(new RegExp(`\\b${code.replaceAll(/[.*/]/g, '\\$&')}\\b`).test(readText(file)), `${file} has: ${code}`);
  }
});
