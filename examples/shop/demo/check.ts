import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ALL_FAULTS } from 'syncline/testing';
import type { RunningServer } from '../../../src/server.ts';
import type { ControlState } from '../simulator/control.ts';
import { compare, type Difference, isEqual } from './compare.ts';
import { type Sql, sqlOf } from './database.ts';
import { call, startDemoServer } from './server.ts';
import { settle } from './settle.ts';
import { type ShopProcess, startShopProcess } from './shop-process.ts';

const KINDS = ['customers', 'orders'] as const;
const ROUND = 500;
const CHANGES_PER_SECOND = 200;
/** Rare faults may need more changes than asked for until each has happened. */
const MAX_EXTRA_ROUNDS = 20;
const POLL_MS = 250;

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
  await shop.control({
    settings: { ...ALL_FAULTS, changesPerSecond: CHANGES_PER_SECOND },
    webhookUrl: `${server.address}/webhooks/shop`,
  });
  await reconcile(server, 'full');
  print('First load done. Every fault is on; the shop changes while its webhooks and its API misbehave.');
  await driveChanges(shop, server, changes);

  await shop.control({ faults: 'off' });
  const state = await shop.control({ drain: true });
  await settle(sql);
  const before = await compareAll(shop, sql);
  print('\nThe faults are off and every delivery that was still under way has come. Without reconciling:');
  printDifferences(before);

  await reconcile(server, 'full');
  await settle(sql);
  const after = await compareAll(shop, sql);
  print('\nAfter reconciling:');
  printDifferences(after);
  const drift = await readDrift(server);
  printInjected(state);
  print(
    `\nHealed by reconciling: ${drift.missing} missing, ${drift.stale} stale and ${drift.deleted} deleted records that no webhook had told of.`,
  );

  const writes = await countWrites(sql, () => reconcile(server, 'full'));
  print(`One more full run over unchanged records wrote ${writes} rows.`);
  return verdict(state, after, writes);
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
async function countWrites(sql: Sql, act: () => Promise<void>): Promise<number> {
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

const FAULT_COUNTS = (state: ControlState): [string, number][] => {
  const { webhooks, api, changes } = state.counters;
  return [
    ['webhooks lost', webhooks.lost],
    ['webhooks duplicated', webhooks.duplicated],
    ['webhooks delayed', webhooks.delayed],
    ['webhooks reordered', webhooks.reordered],
    ['webhooks forged', webhooks.forged],
    ['webhooks with a stale signature', webhooks.stale],
    ['API answers with 500', api.serverErrors],
    ['API answers with 429', api.rateLimited],
    ['API answers cut off', api.truncated],
    ['API answers slow', api.slow],
    ['API connections reset', api.reset],
    ['changes committed late', changes.committedLate],
    ['changes within one tick', changes.sameTick],
    ['deletions', changes.deleted],
  ];
};

const missingFaults = (state: ControlState): string[] =>
  FAULT_COUNTS(state).flatMap(([name, count]) => (count === 0 ? [name] : []));

function printInjected(state: ControlState): void {
  print('\nInjected:');
  for (const [name, count] of FAULT_COUNTS(state)) print(`  ${String(count).padStart(6)}  ${name}`);
}

function printDifferences(differences: Readonly<Record<(typeof KINDS)[number], Difference>>): void {
  for (const kind of KINDS) {
    const { records, rows, missing, surplus, different, examples } = differences[kind];
    print(
      `  ${kind}: ${records} in the shop, ${rows} rows; ${missing} missing, ${surplus} too many, ${different} different`,
    );
    for (const example of examples) print(`    ${example}`);
  }
}

function verdict(
  state: ControlState,
  after: Readonly<Record<(typeof KINDS)[number], Difference>>,
  writes: number,
): number {
  const faults = [
    ...KINDS.flatMap((kind) => (isEqual(after[kind]) ? [] : [`${kind} differ from the shop`])),
    ...missingFaults(state).map((name) => `never happened: ${name}`),
    ...(state.counters.webhooks.wronglyAccepted > 0 ? ['a forged or stale delivery was accepted'] : []),
    ...(writes > 0 ? ['a run over unchanged records wrote rows'] : []),
  ];
  print(
    faults.length === 0 ? '\nEqual: every record is its row, column by column.' : `\nNOT EQUAL: ${faults.join('; ')}`,
  );
  return faults.length === 0 ? 0 : 1;
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
