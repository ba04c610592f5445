import postgres from 'postgres';
import type { Test } from 'tap';
import { until } from '../../app/setup.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { fileOf, type ServerProcess, startServerProcess } from '../setup.ts';
import { CREATE_ITEMS } from '../torture.config.ts';
import { type Item, startSource } from './source-client.ts';

const TOKEN = 'by-hand-token';
const SECRET = `whsec_${Buffer.from('by hand: a secret of 32 bytes !!').toString('base64')}`;
export const ROUNDS = 9_000;

/** A source with some records, a database with their table, and whoever else works in it; servers are started by the test. */
export async function startTwoWay(t: Test, refs: readonly string[]) {
  const database = await startPostgres(t);
  const connect = (user: string) => {
    const sql = postgres(database.url.replace('postgres@', `${user}@`), { max: 4, onnotice: () => {} });
    t.teardown(() => sql.end({ timeout: 1 }));
    return sql;
  };
  const sql = connect('postgres');
  await sql.unsafe(`${CREATE_ITEMS}; CREATE ROLE clerk LOGIN; GRANT ALL ON torture_items TO clerk`);
  const source = await startSource(t, { seed: 1, token: TOKEN, secret: SECRET });
  for (const [amount, ref] of refs.entries()) {
    await source.edit({ op: 'create', fields: { ref, name: `${ref} at first`, amount, note: null, label: null } });
  }
  const serve = async (roles = 'ingest,worker,scheduler'): Promise<ServerProcess> => {
    const server = await startServerProcess(t, {
      databaseUrl: database.url,
      environment: {
        SYNCLINE_CONFIG: fileOf('torture.config'),
        SYNCLINE_ROLE: roles,
        TORTURE_API_URL: source.origin,
        TORTURE_TOKEN: TOKEN,
        TORTURE_SECRET: SECRET,
      },
    });
    await source.sendWebhooksTo(`${server.address}/webhooks/torture`);
    return server;
  };
  const row = async (ref: string) =>
    (
      await sql<Item[]>`SELECT external_id AS id, ref, name, amount, note, label FROM torture_items WHERE ref = ${ref}`
    )[0];
  const record = async (ref: string) => (await source.truth()).find((one) => one.ref === ref);
  const filled = () =>
    until('the table is filled', async () => (await sql`SELECT 1 FROM torture_items`).length === refs.length, ROUNDS);
  /** Nothing is on its way, in either direction. */
  const still = () =>
    until(
      'nothing is on its way',
      async () => {
        await source.drain();
        const [left] = await sql<{ count: number }[]>`
          SELECT (SELECT count(*) FROM sync.local_changes)::int + (SELECT count(*) FROM sync.hints)::int
               + (SELECT count(*) FROM sync.inbox_deliveries WHERE state = 'received')::int
               + (SELECT count(*) FROM sync.outbox_pushes WHERE state NOT IN ('done', 'parked')
                  AND target_key NOT IN (SELECT target_key FROM sync.conflicts WHERE outcome IS NULL))::int AS count`;
        return left?.count === 0;
      },
      ROUNDS,
    );
  return { sql, clerk: connect('clerk'), source, serve, row, record, filled, still };
}
