import { setTimeout as wait } from 'node:timers/promises';
import { ALL_FAULTS } from 'syncline/testing';
import { compare } from './compare.ts';
import { sqlOf } from './database.ts';
import { startDemoServer } from './server.ts';
import { startShopProcess } from './shop-process.ts';
import { showEdit } from './show-edit.ts';

const SUMMARY_MS = 3_000;
const LINES_PER_HEADING = 15;

export type LiveOptions = {
  readonly seed: number;
  readonly port: number;
  readonly dataDir: string;
  readonly token: string;
  readonly webhookSecret: string;
  /** Fires when the demo is to end. */
  readonly signal: AbortSignal;
};

/** Runs shop and server until interrupted, with a line every few seconds on how far the tables are from the shop. */
export async function runLive(options: LiveOptions): Promise<void> {
  const shop = await startShopProcess(options);
  const server = await startDemoServer(shop, { ...options, logLevel: 'error' }).catch(async (error: unknown) => {
    await shop.stop();
    throw error;
  });
  const sql = sqlOf(server);
  print(
    `Syncline listens on ${server.address}; the simulated shop on ${shop.url} loses, doubles, delays and reorders its webhooks.`,
  );
  print(`Look:      curl ${server.address}/status/shop`);
  print(`Explain:   curl ${server.address}/records/shop/customers/ID`);
  print(
    `Reconcile: curl -X POST '${server.address}/sync/reconcile?wait=true' -H 'content-type: application/json' -d '{"integration":"shop"}'`,
  );
  print('A full run comes every ten minutes, an incremental one every minute. Stop with Ctrl-C.\n');
  try {
    await shop.control({ webhookUrl: `${server.address}/webhooks/shop` });
    await showEdit({ shop, server, sql, signal: options.signal });
    await shop.control({ settings: { ...ALL_FAULTS }, generator: 'run' });
    for (let line = 0; !options.signal.aborted; line++) {
      const state = await shop.control({});
      const differences = [await compare(shop, sql, 'customers'), await compare(shop, sql, 'orders')];
      const sum = (name: 'records' | 'rows' | 'missing' | 'surplus' | 'different') =>
        differences.reduce((total, one) => total + one[name], 0);
      const { changes, webhooks, writes } = state.counters;
      if (line % LINES_PER_HEADING === 0)
        print(row(['changes', 'delivered', 'lost', 'writes', 'records', 'rows', 'missing', 'too many', 'different']));
      const made = changes.created + changes.updated + changes.touched + changes.deleted;
      print(
        row([
          made,
          webhooks.delivered,
          webhooks.lost,
          writes.executed,
          sum('records'),
          sum('rows'),
          sum('missing'),
          sum('surplus'),
          sum('different'),
        ]),
      );
      await wait(SUMMARY_MS, undefined, { signal: options.signal }).catch(() => {});
    }
  } finally {
    await server.stop();
    await shop.stop();
  }
}

const row = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(10)).join(' ');

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
