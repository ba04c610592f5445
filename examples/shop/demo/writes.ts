import type { Sql } from './database.ts';
import type { LocalEdits } from './local-edits.ts';
import type { ShopProcess } from './shop-process.ts';

/** How many writes the edits made here came to at the shop. */
export type WriteReport = {
  readonly edits: number;
  readonly received: number;
  readonly executed: number;
  /** In words; empty when no edit was written twice. */
  readonly problems: readonly string[];
};

const MAX_NAMED = 5;

/** Compares what the shop executed, record by record and key by key, with what was edited here since `before`. */
export async function countWrites(shop: ShopProcess, edits: LocalEdits, before: WritesSoFar): Promise<WriteReport> {
  const { byRecord, byKey } = await shop.writes();
  const received = receivedOf(byKey) - before.received;
  const emails = new Map(
    ((await shop.truth('customers')) as { id: string; email: string }[]).map(({ id, email }) => [id, email]),
  );
  let executed = 0;
  const twice: string[] = [];
  const addresses = new Set(emails.values());
  // Rows made here are known by their address of mail, which the shop may have changed since: of those, one write each.
  let unplaced = [...edits.byRecord.keys()].filter((key) => key.includes('@') && !addresses.has(key)).length;
  for (const [id, count] of Object.entries(byRecord.customers ?? {})) {
    const now = count.executed - (before.executed[id] ?? 0);
    const allowed = (edits.byRecord.get(id) ?? 0) + (edits.byRecord.get(emails.get(id) ?? '') ?? 0);
    executed += now;
    // A record that was made here and is gone again cannot be told by its address any more: the total counts it.
    if (now === allowed + 1 && emails.has(id) && unplaced > 0) unplaced--;
    else if (now > allowed && emails.has(id)) twice.push(`${id}: ${now} writes for ${allowed} edits`);
  }
  const total = [...edits.byRecord.values()].reduce((sum, one) => sum + one, 0);
  const keys = Object.entries(byKey).flatMap(([key, count]) =>
    count.executed > 1 ? [`${key}: executed ${count.executed} times`] : [],
  );
  return {
    edits: total,
    received,
    executed,
    problems: [
      ...(executed > total ? [`${executed} writes for ${total} edits`] : []),
      ...twice.slice(0, MAX_NAMED),
      ...keys.slice(0, MAX_NAMED),
    ],
  };
}

export type WritesSoFar = {
  /** By record. */
  readonly executed: Readonly<Record<string, number>>;
  readonly received: number;
};

export async function writesSoFar(shop: ShopProcess): Promise<WritesSoFar> {
  const { byRecord, byKey } = await shop.writes();
  const counts = Object.entries(byRecord.customers ?? {}).map(([id, { executed }]) => [id, executed]);
  return { executed: Object.fromEntries(counts), received: receivedOf(byKey) };
}

const receivedOf = (byKey: Readonly<Record<string, { readonly received: number }>>): number =>
  Object.values(byKey).reduce((sum, { received }) => sum + received, 0);

/** Pushes and conflicts that wait for a person, in words. */
export async function openQuestions(sql: Sql): Promise<readonly string[]> {
  const rows = await sql(`
    SELECT 'push ' || op || ' parked: ' || park_reason AS what, count(*)::int AS count FROM sync.outbox_pushes WHERE state = 'parked' GROUP BY 1
    UNION ALL SELECT 'conflict open: ' || kind, count(*)::int FROM sync.conflicts WHERE outcome IS NULL GROUP BY 1`);
  return rows.map(({ what, count }) => `${count} × ${what}`);
}
