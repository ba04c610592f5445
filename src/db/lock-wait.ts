import { sql } from 'drizzle-orm';
import type { Db } from './connect.ts';
import { queryRows } from './query.ts';

/** Longer than any page takes to be written. */
const MAX_LOCK_WAIT_MS = 10_000;

/**
 * From here to its end this transaction waits up to 10 s for locks, where others give way after 300 ms: for what a person
 * asks for, and what nobody repeats.
 */
export async function waitForLocks(tx: Db): Promise<void> {
  await queryRows(tx, sql`SELECT set_config('lock_timeout', ${String(MAX_LOCK_WAIT_MS)}, true)`);
}
