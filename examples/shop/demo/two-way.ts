import { setTimeout as wait } from 'node:timers/promises';
import type { RunningServer } from '../../../src/server.ts';
import type { CustomerEdit } from '../simulator/control.ts';
import type { Sql } from './database.ts';
import { call } from './server.ts';
import { settle } from './settle.ts';
import type { ShopProcess } from './shop-process.ts';

/** One thing that people do on both sides, and what was wrong with what came of it: nothing, if all is well. */
export type Scenario = { readonly name: string; readonly problems: readonly string[] };

type Parts = { readonly shop: ShopProcess; readonly server: RunningServer; readonly sql: Sql };
type Customer = {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly note: string | null;
  readonly amount_cents: number;
};

const POLL_MS = 100;
const MAX_WAIT_MS = 60_000;

/** Edits on both sides while nothing else goes wrong: each must end as it should, by as many writes as there were edits. */
export async function runScenarios(parts: Parts): Promise<readonly Scenario[]> {
  const { shop, server, sql } = parts;
  const customers = (await shop.truth('customers')) as Customer[];
  const ids = customers.map(({ id }) => id);
  const next = () => ids.pop() ?? '';
  const recordOf = async (id: string) => ((await shop.truth('customers')) as Customer[]).find((one) => one.id === id);
  const rowOf = async (id: string) => (await sql(`SELECT * FROM shop_customers WHERE external_id = ${text(id)}`))[0];
  const edit = (id: string, set: string) => sql(`UPDATE shop_customers SET ${set} WHERE external_id = ${text(id)}`);
  const editShop = (...edits: CustomerEdit[]) => shop.control({ edits });
  const quiet = async () => {
    await shop.control({ drain: true });
    await settle(sql);
  };
  const executed = async (id: string) => (await shop.writes()).byRecord.customers?.[id]?.executed ?? 0;
  const losing = async (id: string): Promise<string> => {
    const answer = (await call(server, 'GET', '/conflicts?integration=shop')) as { conflicts: object[] };
    return JSON.stringify(answer.conflicts.filter((one) => JSON.stringify(one).includes(id)));
  };
  const scenario = async (name: string, act: (check: Check) => Promise<void>): Promise<Scenario> => {
    const problems: string[] = [];
    await act((isTrue, problem) => void (isTrue || problems.push(problem)));
    return { name, problems };
  };

  return [
    await scenario('an edit here, by SQL: at the shop once, and its echo changes nothing', async (check) => {
      const id = next();
      await edit(id, `name = '  Ada Lovelace '`);
      await until(async () => (await recordOf(id))?.name === 'Ada Lovelace');
      await quiet();
      check((await rowOf(id))?.name === 'Ada Lovelace', 'the row has not taken the form that the shop gave the name');
      check((await executed(id)) === 1, `${await executed(id)} writes for one edit`);
      const [token] = await sql(
        `SELECT max(seen_count)::int AS seen FROM sync.change_tokens WHERE external_id = ${text(id)}`,
      );
      check(Number(token?.seen) > 0, 'its echo was not recognised');
    }),
    await scenario('A → B → A here: two writes, and A on both sides', async (check) => {
      const id = next();
      const before = (await recordOf(id))?.note ?? null;
      await edit(id, `note = 'B'`);
      await until(async () => (await recordOf(id))?.note === 'B');
      await quiet();
      await edit(id, `note = ${text(before)}`);
      await until(async () => ((await recordOf(id))?.note ?? null) === before);
      await quiet();
      check((await rowOf(id))?.note === before, 'the row is not back at A');
      check((await executed(id)) === 2, `${await executed(id)} writes for two edits`);
    }),
    await scenario('A → B → A at the shop: A on both sides, and no write', async (check) => {
      const id = next();
      const before = await recordOf(id);
      await editShop(
        { kind: 'update', id, fields: { name: 'B' } },
        { kind: 'update', id, fields: { name: before?.name } },
      );
      await quiet();
      check((await rowOf(id))?.name === before?.name, 'the row is not at A');
      check((await executed(id)) === 0, 'the shop was written to');
    }),
    await scenario('different fields at the same time: both stand, on both sides', async (check) => {
      const id = next();
      await Promise.all([edit(id, `name = 'Ours'`), editShop({ kind: 'update', id, fields: { amount_cents: 4_200 } })]);
      await until(async () => (await recordOf(id))?.name === 'Ours');
      await quiet();
      const [record, row] = [await recordOf(id), await rowOf(id)];
      check(record?.amount_cents === 4_200 && Number(row?.amount) === 42, 'the amount that the shop set was lost');
      check(row?.name === 'Ours', 'the name that was set here was lost');
      check((await executed(id)) === 1, `${await executed(id)} writes for one edit`);
    }),
    await scenario('the same field at the same time: the shop wins, and our value is kept', async (check) => {
      const id = next();
      await Promise.all([edit(id, `name = 'Ours'`), editShop({ kind: 'update', id, fields: { name: 'Theirs' } })]);
      await quiet();
      const [record, row] = [await recordOf(id), await rowOf(id)];
      check(record?.name === row?.name, 'the sides differ');
      const isKept = row?.name === 'Theirs' ? (await losing(id)).includes('Ours') : (await executed(id)) === 1;
      check(isKept, 'the value that lost is nowhere');
      check((await executed(id)) <= 1, `${await executed(id)} writes for one edit`);
    }),
    await scenario(
      'the same field at the same time, where ours wins: it is at the shop, and theirs is kept',
      async (check) => {
        const id = next();
        await Promise.all([edit(id, `note = 'ours'`), editShop({ kind: 'update', id, fields: { note: 'theirs' } })]);
        await quiet();
        const [record, row] = [await recordOf(id), await rowOf(id)];
        check(record?.note === row?.note, 'the sides differ');
        check((await executed(id)) <= 1, `${await executed(id)} writes for one edit`);
        if (row?.note === 'ours') check((await executed(id)) === 1, 'it came there by no write');
      },
    ),
    await scenario('a row made here: one customer at the shop, whose id the row takes', async (check) => {
      await sql(`INSERT INTO shop_customers (name, email, note) VALUES ('Grace', 'grace@navy.example', 'made here')`);
      const made = async () =>
        ((await shop.truth('customers')) as Customer[]).filter(({ email }) => email === 'grace@navy.example');
      await until(async () => (await made()).length > 0);
      await quiet();
      const records = await made();
      const rows = await sql(`SELECT external_id FROM shop_customers WHERE email = 'grace@navy.example'`);
      check(
        records.length === 1 && rows.length === 1,
        `${records.length} customers and ${rows.length} rows for one insert`,
      );
      check(rows[0]?.external_id === records[0]?.id, 'the row has not taken the id');
    }),
    await scenario('a customer made at the shop: one row', async (check) => {
      await editShop({ kind: 'create', fields: { name: 'Edsger', email: 'edsger@tue.example' } });
      await quiet();
      const rows = await sql(`SELECT external_id FROM shop_customers WHERE email = 'edsger@tue.example'`);
      check(rows.length === 1, `${rows.length} rows`);
    }),
    await scenario('a row removed here: the customer is gone, by one write', async (check) => {
      const id = next();
      await sql(`DELETE FROM shop_customers WHERE external_id = ${text(id)}`);
      await until(async () => (await recordOf(id)) === undefined);
      await quiet();
      check((await rowOf(id)) === undefined, 'the row has come back');
      check((await executed(id)) === 1, `${await executed(id)} writes for one removal`);
    }),
    await scenario('a customer removed at the shop: the row is gone', async (check) => {
      const id = next();
      await editShop({ kind: 'delete', id });
      await quiet();
      check((await rowOf(id)) === undefined, 'the row is still there');
      check((await executed(id)) === 0, 'the shop was written to');
    }),
  ];
}

type Check = (isTrue: boolean, problem: string) => void;

/** Bounded: what has not come by then is found by the check that follows. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; waitedMs < MAX_WAIT_MS && !(await isTrue()); waitedMs += POLL_MS) await wait(POLL_MS);
}

/** A text as SQL writes it. */
export const text = (value: string | null): string => (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`);
