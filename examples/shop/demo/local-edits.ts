import { setTimeout as wait } from 'node:timers/promises';
import { createRandom, type Random } from 'syncline/testing';
import type { RunningServer } from '../../../src/server.ts';
import type { Sql } from './database.ts';
import { text } from './two-way.ts';

/** What was edited here, by whom it concerns. */
export type LocalEdits = {
  readonly counts: { byStatement: number; byRoute: number; thereAndBack: number; inserted: number; removed: number };
  /** How often each row was edited, by the shop's id. Rows that were made here are under their address of mail. */
  readonly byRecord: ReadonlyMap<string, number>;
  /** Makes no further edit; ends when the last one is committed. */
  stop(): Promise<void>;
};

const GAP_MS = 30;
/** Of one row: far from what is taken for a loop. */
const MAX_EDITS_OF_A_ROW = 4;
/** In all: far from what is taken for a mistake. */
const MAX_REMOVED = 12;
const MAX_INSERTED = 40;

type Action = 'statement' | 'route' | 'there_and_back' | 'insert' | 'remove';
const ACTIONS: readonly [Action, ...Action[]] = [
  'statement',
  ...Array<Action>(9).fill('statement'),
  ...Array<Action>(5).fill('route'),
  ...Array<Action>(3).fill('there_and_back'),
  'insert',
  'remove',
];

/** Edits rows of customers as people and programs do, one edit after the other, until it is stopped. */
export function startLocalEdits(options: { server: RunningServer; sql: Sql; seed: number }): LocalEdits {
  const { server, sql } = options;
  const random = createRandom(options.seed, 'local edits');
  const counts = { byStatement: 0, byRoute: 0, thereAndBack: 0, inserted: 0, removed: 0 };
  const byRecord = new Map<string, number>();
  const stopping = new AbortController();
  const count = (id: string, edits: number) => byRecord.set(id, (byRecord.get(id) ?? 0) + edits);

  const update = async (id: string, set: string): Promise<boolean> => {
    const rows = await sql(`UPDATE shop_customers SET ${set} WHERE external_id = ${text(id)} RETURNING 1 AS one`);
    if (rows.length > 0) count(id, 1);
    return rows.length > 0;
  };
  const act = async (): Promise<void> => {
    const action = random.pick(ACTIONS);
    if (action === 'insert') {
      if (counts.inserted >= MAX_INSERTED) return;
      counts.inserted += 1;
      const email = `made-here-${counts.inserted}@example.com`;
      await sql(`INSERT INTO shop_customers (name, email, amount) VALUES ('Made here', ${text(email)}, 10.5)`);
      return void count(email, 1);
    }
    const row = await pickRow(sql, random);
    if (row === null || (byRecord.get(row.id) ?? 0) >= MAX_EDITS_OF_A_ROW) return;
    switch (action) {
      case 'statement':
        if (await update(row.id, draw(random))) counts.byStatement += 1;
        return;
      case 'there_and_back': {
        if (!(await update(row.id, `note = 'for a moment'`))) return;
        if (random.chance(0.5)) await wait(random.whole(0, 1_000));
        await update(row.id, `note = ${text(row.note)}`);
        counts.thereAndBack += 1;
        return;
      }
      case 'route': {
        const path = `/records/shop/customers/${row.id}`;
        const body = JSON.stringify({ note: `by the route, ${random.text(4)}` });
        const headers = { 'content-type': 'application/json' };
        const { ok } = await fetch(`${server.address}${path}`, { method: 'PATCH', headers, body });
        // Refused where the record has gone, or somebody holds its row: then nothing was edited.
        if (!ok) return;
        counts.byRoute += 1;
        return void count(row.id, 1);
      }
      case 'remove': {
        if (counts.removed >= MAX_REMOVED) return;
        const gone = await sql(`DELETE FROM shop_customers WHERE external_id = ${text(row.id)} RETURNING 1 AS one`);
        if (gone.length === 0) return;
        counts.removed += 1;
        return void count(row.id, 1);
      }
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await act();
      await wait(GAP_MS);
    }
  };
  const ended = loop();
  return {
    counts,
    byRecord,
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}

/** A row that the shop knows. */
async function pickRow(sql: Sql, random: Random): Promise<{ id: string; note: string | null } | null> {
  const [row] =
    await sql(`SELECT external_id, note FROM shop_customers WHERE external_id >= ${text(`cus_${random.text(2)}`)}
    AND external_id LIKE 'cus\\_%' ORDER BY external_id LIMIT 1`);
  if (row === undefined) return null;
  return { id: String(row.external_id), note: row.note === null ? null : String(row.note) };
}

/** What somebody might change: at times to something that the shop will trim, or a field that the shop changes as well. */
const draw = (random: Random): string =>
  random.pick([
    `name = '  Renamed ${random.text(4)} '`,
    `note = 'noted ${random.text(4)}'`,
    `amount = ${random.whole(1, 99_999)}.${random.whole(10, 99)}`,
    `email = 'changed-${random.text(5)}@example.com'`,
    `status = 'disabled'`,
    `name = 'Both ${random.text(3)}', note = 'both ${random.text(3)}'`,
  ]);
