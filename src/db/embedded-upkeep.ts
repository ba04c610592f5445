import type { DatabaseLog } from './connect.ts';
import type { EmbeddedClient } from './embedded-client.ts';

const TICK_MS = 2_000;
const CHECKPOINT_EVERY_MS = 60_000;
const CHECKPOINT_LOG_BYTES = 64 * 1024 * 1024;
const VACUUM_CHECK_EVERY_MS = 60_000;
const VACUUM_ALL_EVERY_MS = 3_600_000;
/** A table at a time: a vacuum holds the only session up, and those behind it should come through in between. */
const MAX_VACUUMS_PER_PASS = 1;

export type Upkeep = {
  /** Waits for a pass under way. */
  stop(): Promise<void>;
};

/** Runs the passes below every few seconds, until it is stopped. It does not keep the process alive. */
export function startUpkeep(client: EmbeddedClient, log: DatabaseLog): Upkeep {
  const runOnce = createUpkeepPass(client, Date.now());
  let running: Promise<void> | null = null;
  let isStopped = false;
  const timer = setInterval(() => {
    running ??= runOnce(Date.now())
      .catch((error: unknown) => {
        if (!isStopped) log.warn({ err: error }, 'upkeep of the embedded database failed; it is tried again');
      })
      .finally(() => {
        running = null;
      });
  }, TICK_MS);
  timer.unref();
  return {
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await running;
    },
  };
}

/**
 * Does what a server's checkpointer and autovacuum do, since PGlite has neither: a checkpoint every minute or 64 MB of log
 * while anything is written, and VACUUM (ANALYZE) of tables with many dead or new rows, of every table once an hour.
 * A pass gets the time in milliseconds since 1970 and does what is due by then: passes must not overlap.
 */
export function createUpkeepPass(client: EmbeddedClient, startMs: number): (nowMs: number) => Promise<void> {
  let lastCheckpointMs = startMs;
  let lastCheckMs = startMs;
  let lastVacuumAllMs = startMs;
  let tables: string[] = [];
  return async (nowMs) => {
    const logBytes = Number((await readValues(client, LOG_BYTES))[0] ?? 0);
    const isDue = nowMs - lastCheckpointMs >= CHECKPOINT_EVERY_MS && logBytes > MIN_LOG_BYTES;
    if (isDue || logBytes >= CHECKPOINT_LOG_BYTES) {
      await client.exec('CHECKPOINT');
      lastCheckpointMs = nowMs;
    }
    if (nowMs - lastVacuumAllMs >= VACUUM_ALL_EVERY_MS) {
      tables = await readValues(client, ALL_TABLES);
      lastVacuumAllMs = nowMs;
    } else if (tables.length === 0 && nowMs - lastCheckMs >= VACUUM_CHECK_EVERY_MS) {
      tables = await readValues(client, WORN_TABLES);
      lastCheckMs = nowMs;
    }
    for (const table of tables.splice(0, MAX_VACUUMS_PER_PASS)) await client.exec(`VACUUM (ANALYZE) ${table}`);
  };
}

/** What a checkpoint itself writes is a few hundred bytes: less than this means that nothing happened since. */
const MIN_LOG_BYTES = 8 * 1024;
const LOG_BYTES = `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::text AS value FROM pg_control_checkpoint()`;
const ALL_TABLES = `SELECT format('%I.%I', schemaname, relname) AS value FROM pg_stat_user_tables ORDER BY relid`;
/** The thresholds of autovacuum's defaults. */
const WORN_TABLES = `SELECT format('%I.%I', schemaname, relname) AS value FROM pg_stat_user_tables
  WHERE n_dead_tup > 50 + 0.2 * n_live_tup OR n_mod_since_analyze > 50 + 0.1 * n_live_tup ORDER BY n_dead_tup DESC`;

async function readValues(client: EmbeddedClient, sql: string): Promise<string[]> {
  const { rows } = await client.query(sql);
  return rows.flatMap((row) => (hasValue(row) ? [row.value] : []));
}

const hasValue = (row: unknown): row is { value: string } =>
  typeof row === 'object' && row !== null && 'value' in row && typeof row.value === 'string';
