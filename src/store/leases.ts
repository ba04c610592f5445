import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';

/** Exclusive claims among replicas. A row lock, not an advisory lock: it survives a pooler and ends by itself. */
export type Lease = { readonly name: string; readonly fence: number };

/** Takes a free or lapsed lease. Never waits for a rival. @returns null when somebody else holds it. */
export async function acquireLease(
  db: Db,
  options: { name: string; holder: string; leaseMs: number },
): Promise<Lease | null> {
  await queryRows(db, sql`INSERT INTO sync.leases (name) VALUES (${options.name}) ON CONFLICT DO NOTHING`);
  const [row] = await queryRows<{ fence: string }>(
    db,
    sql`UPDATE sync.leases SET holder = ${options.holder}, fence = fence + 1,
               expires_at = clock_timestamp() + ${options.leaseMs}::float8 * interval '1 millisecond'
        WHERE name IN (SELECT name FROM sync.leases
                       WHERE name = ${options.name} AND expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED)
        RETURNING fence::text AS fence`,
  );
  return row === undefined ? null : { name: options.name, fence: Number(row.fence) };
}

/** Extends a lease. @returns false when it was lost: its holder must stop what the lease covers. */
export async function renewLease(db: Db, lease: Lease, leaseMs: number): Promise<boolean> {
  const rows = await queryRows(
    db,
    sql`UPDATE sync.leases SET expires_at = clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond'
        WHERE name = ${lease.name} AND fence = ${lease.fence} AND expires_at > clock_timestamp() RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

/** Gives a lease back early, so that a successor need not wait for it to lapse. */
export async function releaseLease(db: Db, lease: Lease): Promise<void> {
  await queryRows(
    db,
    sql`UPDATE sync.leases SET expires_at = '-infinity' WHERE name = ${lease.name} AND fence = ${lease.fence}`,
  );
}
