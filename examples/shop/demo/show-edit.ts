import { setTimeout as wait } from 'node:timers/promises';
import type { RunningServer } from '../../../src/server.ts';
import type { Sql } from './database.ts';
import { call } from './server.ts';
import type { ShopProcess } from './shop-process.ts';
import { text } from './two-way.ts';

type Parts = {
  readonly shop: ShopProcess;
  readonly server: RunningServer;
  readonly sql: Sql;
  readonly signal: AbortSignal;
};

const POLL_MS = 50;
const MAX_WAIT_MS = 30_000;

/** Edits one row, and prints when the edit is at the shop, what comes back of it, and how to do the same by hand. */
export async function showEdit({ shop, server, sql, signal }: Parts): Promise<void> {
  await call(server, 'POST', '/sync/reconcile?wait=true', { integration: 'shop', entity: 'customers', mode: 'full' });
  const [row] = await sql('SELECT external_id, name FROM shop_customers ORDER BY external_id LIMIT 1');
  if (row === undefined) return;
  const id = String(row.external_id);
  const until = async (isTrue: () => Promise<boolean>): Promise<number | null> => {
    const startedAt = performance.now();
    while (performance.now() - startedAt < MAX_WAIT_MS && !signal.aborted) {
      if (await isTrue()) return Math.round(performance.now() - startedAt);
      await wait(POLL_MS);
    }
    return null;
  };
  const at = (ms: number | null) => (ms === null ? 'not within 30 s' : `after ${ms} ms`);
  const name = `${String(row.name).replace(/ \(edited.*/, '')} (edited here)`;

  print(`An edit here: UPDATE shop_customers SET name = ${text(name)} WHERE external_id = ${text(id)}`);
  await sql(`UPDATE shop_customers SET name = ${text(name)} WHERE external_id = ${text(id)}`);
  const arrived = await until(async () => {
    const records = (await shop.truth('customers')) as { id: string; name: string }[];
    return records.some((one) => one.id === id && one.name === name);
  });
  if (signal.aborted) return;
  print(`  It is at the shop:              ${at(arrived)}`);
  const echoed = await until(async () => {
    const [token] = await sql(
      `SELECT max(seen_count)::int AS seen FROM sync.change_tokens WHERE external_id = ${text(id)}`,
    );
    return Number(token?.seen) > 0;
  });
  if (signal.aborted) return;
  const executed = (await shop.writes()).byRecord.customers?.[id]?.executed ?? 0;
  print(
    `  Its webhook, known as our own:   ${at(echoed)}${echoed === null ? '' : ' more'}; the edit came to ${executed} write.`,
  );
  print('By hand, with any id of the table:');
  print(
    `  curl -X PATCH '${server.address}/records/shop/customers/${id}?wait=true' -H 'content-type: application/json' -d '{"note":"by hand"}'`,
  );
  print(`  curl ${server.address}/records/shop/customers/${id}`);
  print(`  curl ${server.address}/conflicts?integration=shop`);
  print(
    'With DATABASE_URL and a server of your own, psql does the same: UPDATE, INSERT INTO shop_customers (name, email), DELETE.\n',
  );
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
