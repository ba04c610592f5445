import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ALL_FAULTS } from 'syncline/testing';
import type { RunningServer } from '../../../src/server.ts';
import type { ControlState } from '../simulator/control.ts';
import { compare } from './compare.ts';
import { type Sql, sqlOf } from './database.ts';
import { startLocalEdits } from './local-edits.ts';
import { missingFaults, print, printDifferences, printInjected, printScenarios, verdict } from './report.ts';
import { call, startDemoServer } from './server.ts';
import { settle } from './settle.ts';
import { type ShopProcess, startShopProcess } from './shop-process.ts';
import { runScenarios } from './two-way.ts';
import { countWrites, openQuestions, writesSoFar } from './writes.ts';

const ROUND = 500;
const CHANGES_PER_SECOND = 200;
/** Rare faults may need more changes than asked for until each has happened. */
const MAX_EXTRA_ROUNDS = 20;
const POLL_MS = 250;
/** Answers that never come: shorter than the client would wait, so that the check takes minutes and not hours. */
const QUICK = { writeMaxHoldMs: 1_500, writeZombieAfterMs: 1_000 };

export type CheckOptions = {
  readonly seed: number;
  readonly changes: number;
  readonly token: string;
  readonly webhookSecret: string;
};

/**
 * Drives the shop through some thousand changes with every fault switched on, lets it heal, and compares every record with
 * its row. Prints what was injected and what was healed. @returns the exit code: 0 only when all is equal.
 */
export async function runCheck(options: CheckOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'syncline-demo-'));
  const shop = await startShopProcess(options);
  let server: RunningServer | null = null;
  try {
    server = await startDemoServer(shop, {
      ...options,
      port: 0,
      dataDir: join(folder, 'database'),
      logLevel: 'silent',
    });
    return await check(shop, server, options);
  } finally {
    await server?.stop();
    await shop.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function check(shop: ShopProcess, server: RunningServer, { seed, changes }: CheckOptions): Promise<number> {
  const sql = sqlOf(server);
  print(`Seed ${seed}. The shop runs at ${shop.url}, Syncline at ${server.address}, both on this machine.`);
  await shop.control({ webhookUrl: `${server.address}/webhooks/shop` });
  await reconcile(server, 'full');
  print('First load done. Edits on both sides, while nothing else goes wrong:');
  const scenarios = await runScenarios({ shop, server, sql });
  printScenarios(scenarios);

  await shop.control({ settings: { ...ALL_FAULTS, ...QUICK, changesPerSecond: CHANGES_PER_SECOND } });
  print('\nEvery fault is on; the shop changes while its webhooks and its API misbehave, and rows are edited here.');
  const earlier = await writesSoFar(shop);
  const edits = startLocalEdits({ server, sql, seed });
  await driveChanges(shop, server, changes).finally(edits.stop);
  const { byStatement, byRoute, thereAndBack, inserted, removed } = edits.counts;
  print(
    `  Edited here: ${byStatement} by SQL, ${byRoute} by the route, ${thereAndBack} there and back; ${inserted} inserted, ${removed} removed.`,
  );

  await shop.control({ faults: 'off' });
  await shop.control({ drain: true });
  await settle(sql);
  // The last pushes are told of by webhooks, too.
  const state = await shop.control({ drain: true });
  await settle(sql);
  const before = await compareAll(shop, sql);
  print(
    '\nThe faults are off and every delivery that was still under way has come. Before the last full run (runs went on during the changes):',
  );
  printDifferences(before);

  await reconcile(server, 'full');
  await settle(sql);
  const after = await compareAll(shop, sql);
  print('\nAfter it:');
  printDifferences(after);
  const drift = await readDrift(server);
  printInjected(state);
  print(
    `\nRuns healed ${drift.missing} missing, ${drift.stale} stale and ${drift.deleted} deleted records of which no webhook had told yet: lost ones, and late ones.`,
  );

  const rowWrites = await countRowWrites(sql, () => reconcile(server, 'full'));
  print(`One more full run over unchanged records wrote ${rowWrites} rows.`);
  const writes = await countWrites(shop, edits, earlier);
  print(
    `${writes.edits} edits came to ${writes.executed} writes that the shop carried out. Refused ones and repeats under a key included, it was asked ${writes.received} times.`,
  );
  return verdict({ state, scenarios, after, rowWrites, writes, open: await openQuestions(sql) });
}

async function driveChanges(shop: ShopProcess, server: RunningServer, changes: number): Promise<ControlState> {
  let state = await shop.control({});
  let extra = 0;
  for (let driven = ROUND; ; driven += ROUND) {
    state = await shop.control({ drive: ROUND });
    const { delivered, lost } = state.counters.webhooks;
    print(
      `  ${driven} changes, ${delivered} deliveries answered, ${lost} lost, ${state.pendingDeliveries} on their way`,
    );
    const isEnough = driven >= changes && (missingFaults(state).length === 0 || ++extra > MAX_EXTRA_ROUNDS);
    // After the last round nothing is reconciled, so that the gaps can be seen.
    if (isEnough) return state;
    // Runs cross the live webhooks, as they do in a real shop; the API may well refuse them.
    await reconcile(server, driven % (2 * ROUND) === 0 ? 'incremental' : 'full');
  }
}

async function reconcile(server: RunningServer, mode: 'full' | 'incremental'): Promise<void> {
  for (;;) {
    const answer = (await call(server, 'POST', '/sync/reconcile?wait=true', { integration: 'shop', mode })) as {
      runs: { id: string; state?: string }[] | string[];
      status?: number;
      underWay?: string[];
    };
    // A scheduled run may stand in the way: ours comes after it.
    if (answer.status !== 409 && (answer.underWay ?? []).length === 0) return;
    await wait(POLL_MS);
  }
}

async function compareAll(shop: ShopProcess, sql: Sql) {
  return { customers: await compare(shop, sql, 'customers'), orders: await compare(shop, sql, 'orders') };
}

async function readDrift(server: RunningServer): Promise<{ missing: number; stale: number; deleted: number }> {
  await wait(2_000); // the counters are written down every second
  const status = (await call(server, 'GET', '/status/shop')) as {
    entities: { drift: { missing: number; stale: number; deleted: number } }[];
  };
  const sum = { missing: 0, stale: 0, deleted: 0 };
  for (const { drift } of status.entities) {
    sum.missing += drift.missing;
    sum.stale += drift.stale;
    sum.deleted += drift.deleted;
  }
  return sum;
}

/** A row's place changes with every write to it. */
async function countRowWrites(sql: Sql, act: () => Promise<void>): Promise<number> {
  const places = async () =>
    new Set(
      (
        await sql(`SELECT external_id || ' ' || ctid::text AS place FROM shop_customers
        UNION ALL SELECT external_id || ' ' || ctid::text FROM shop_orders`)
      ).map((row) => String(row.place)),
    );
  const before = await places();
  await act();
  return [...(await places())].filter((place) => !before.has(place)).length;
}
