import postgres from 'postgres';
import type { Test } from 'tap';
import { until } from '../app/setup.ts';
import { CREATE_CUSTOMERS } from '../app/shop.ts';
import { createOnServer } from '../helpers/database.ts';
import { startPostgres } from '../helpers/postgres.ts';

/** A migrated database with the shop's table, on a server of its own, and a client that outlives its restarts. */
export async function createShopDatabase(t: Test) {
  const server = await startPostgres(t);
  const { url, database } = await createOnServer(t, server.url);
  await database.close(); // only its making was needed: its connections would not survive what follows
  if (url === undefined) throw new Error('No URL');
  const sql = postgres(url, { max: 2, onnotice: () => {}, connect_timeout: 5 });
  t.teardown(() => sql.end({ timeout: 1 }));
  await sql.unsafe(CREATE_CUSTOMERS);
  return { server, url, sql };
}

export type Sql = postgres.Sql;

/** Of these records, those that neither stand as a row nor wait in the inbox: must be none. */
export async function missing(sql: Sql, ids: ReadonlySet<string>): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT external_id AS id FROM e2e_customers
    UNION SELECT convert_from(body, 'UTF8')::jsonb #>> '{data,id}' FROM sync.inbox_deliveries WHERE body IS NOT NULL`;
  const found = new Set(rows.map(({ id }) => id));
  return [...ids].filter((id) => !found.has(id));
}

export const allApplied = (sql: Sql, ids: ReadonlySet<string>) =>
  until('every acknowledged delivery is a row', async () => {
    const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM e2e_customers WHERE external_id = ANY(${[...ids]})`;
    return row?.count === ids.size;
  });
