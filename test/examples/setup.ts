import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import type { Test } from 'tap';
import { assembleIntegration } from '../../src/assemble.ts';
import type { Db } from '../../src/db/connect.ts';
import { readDatabaseNow } from '../../src/db/instants.ts';
import { migrateFolder } from '../../src/db/migrate.ts';
import { queryRows } from '../../src/db/query.ts';
import { checkConfig } from '../../src/define/check-config.ts';
import type { IntegrationDefinition } from '../../src/define/definition.ts';
import type { Log } from '../../src/lib/log.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import type { Environment } from '../../src/lib/setting.ts';
import type { RunMode } from '../../src/model/run.ts';
import { RUN_LEASE_MS } from '../../src/model/run.ts';
import { createSourceClient } from '../../src/source/client.ts';
import { createMemoryLedger } from '../../src/source/rate-limit/ledger.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { listDeadLetters } from '../../src/store/dead-letters.ts';
import { insertDeliveries } from '../../src/store/inbox.ts';
import { claimRun, readRun } from '../../src/store/runs.ts';
import type { StreamCounters } from '../../src/store/status.ts';
import { registerStream } from '../../src/store/streams.ts';
import { checkTarget } from '../../src/store/target.ts';
import { createAbsenceBrake } from '../../src/sync/absence-brake.ts';
import { type IngestDeps, ingestOnce } from '../../src/sync/ingest.ts';
import { type Received, receive } from '../../src/sync/receive.ts';
import { runReconcile } from '../../src/sync/reconcile.ts';
import { requestRun } from '../../src/sync/request-run.ts';
import { rereadOnce } from '../../src/sync/reread.ts';
import { streamName } from '../../src/sync/stream.ts';
import { createTally } from '../../src/sync/tally.ts';
import { createTestDatabase, silentLog } from '../helpers/database.ts';

const MAX_ROUNDS = 2_000;
const ROUND_MS = 10;
const BATCH = 250;

export type ExampleOptions = {
  /** Folder under `examples/`. */
  readonly folder: string;
  readonly definition: IntegrationDefinition;
  readonly environment: Environment;
  /** For signatures that carry a time. */
  readonly nowMs?: () => number;
};

export type Delivery = { readonly headers: Readonly<Record<string, string>>; readonly body: string };

/** An example at work on a test database and a fake API, one step at a time: nothing runs by itself. */
export type Example = {
  readonly db: Db;
  /** As the webhook route does: verifies and stores. */
  deliver(delivery: Delivery): Promise<Received>;
  /** Applies what was delivered, and does every read that follows, until nothing waits any more. */
  settle(): Promise<void>;
  /** A whole run with the reads it asks for. @returns how it ended. */
  reconcile(entity: string, mode?: Exclude<RunMode, 'ids'>): Promise<{ state: string; error: string | null }>;
  /** What the runs found that no webhook had brought, since the last call. */
  takeDrift(entity: string): Pick<StreamCounters, 'driftMissing' | 'driftStale' | 'driftDeleted'>;
  rows(table: string): Promise<Record<string, unknown>[]>;
  deadLetters(): Promise<{ readonly errorCode: string; readonly message: string }[]>;
  /** Of each delivery, in the order of arrival. */
  outcomes(): Promise<{ readonly state: string; readonly outcome: string | null }[]>;
  /** Forgets everything: targets, states, deliveries. */
  reset(): Promise<void>;
};

export async function setupExample(t: Test, options: ExampleOptions): Promise<Example> {
  const { definition, environment } = options;
  const { name } = definition;
  const checked = checkConfig({ integrations: [definition] }, environment);
  if (!checked.ok) throw new Error(JSON.stringify(checked.problems));
  const { database, db } = await createTestDatabase(t);
  await migrateFolder(database, join(packageRoot(), 'examples', options.folder, 'drizzle'), 'user_migrations');

  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const log: Log = { ...silentLog, debug() {} };
  const resolved = resolveSource(name, definition.source, environment);
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  const client = createSourceClient(resolved.source, {
    now: () => readDatabaseNow(db),
    nowMs: Date.now,
    random: () => 0,
    sleep: (ms, signal) => wait(ms, undefined, { signal }),
    ledger: createMemoryLedger(Date.now),
    onBreaker: () => {},
    log,
  });
  t.teardown(() => client.close());
  const integration = assembleIntegration(definition, {
    environment,
    publicUrl: null,
    clientOf: () => client,
    lookups: { isPaused: async () => false, nowMs: Date.now, sleep: async () => {}, log },
  });
  const streams = new Map([...integration.streams.values()].map((stream) => [streamName(stream.key), stream]));
  for (const { target } of streams.values()) {
    const problems = await checkTarget(db, target);
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
  }
  const registerAll = async () => {
    for (const { key, mapper } of streams.values()) await registerStream(db, key, mapper.fingerprint);
  };
  await registerAll();

  const tally = createTally();
  const deps: IngestDeps = {
    db,
    log,
    integrations: new Map([[name, integration]]),
    streams,
    tally,
    absenceBrake: createAbsenceBrake(Date.now),
    random: () => 0,
    wakeHints() {},
    crashPoint() {},
  };
  const drift = new Map<string, StreamCounters>();

  const isIdle = async (): Promise<boolean> => {
    const [row] = await queryRows<{ waiting: string }>(
      db,
      sql`SELECT ((SELECT count(*) FROM sync.hints)
                  + (SELECT count(*) FROM sync.inbox_deliveries WHERE state = 'received'))::text AS waiting`,
    );
    return row?.waiting === '0';
  };
  const step = async (): Promise<number> => {
    const { claimed } = await ingestOnce(deps, BATCH);
    return claimed + (await rereadOnce(deps, BATCH, ending.signal)).claimed;
  };

  return {
    db,
    async deliver({ headers, body }) {
      const { webhook } = integration;
      if (webhook === null) throw new Error(`${name} takes no webhooks`);
      const store = async (delivery: Parameters<typeof insertDeliveries>[1][number]) =>
        (await insertDeliveries(db, [delivery])).get(delivery.correlationId);
      return await receive(
        { nowMs: options.nowMs ?? Date.now, store, onStored() {}, onTurnedAway() {} },
        integration,
        webhook,
        {
          method: 'POST',
          path: `/webhooks/${name}`,
          query: new URLSearchParams(),
          headers,
          rawBody: Buffer.from(body),
          correlationId: randomUUID(),
        },
      );
    },
    async settle() {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        if ((await step()) > 0) continue;
        if (await isIdle()) return;
        // What is left is due in a moment: a read that has to be later than something.
        await wait(ROUND_MS);
      }
      throw new Error('The example does not settle');
    },
    async reconcile(entity, mode = 'full') {
      const stream = streams.get(`${name}/${entity}`);
      if (stream === undefined) throw new Error(`No entity ${entity}`);
      const wish = { mode, since: null, ids: null, isDryRun: false, trigger: 'operator' } as const;
      const answer = await requestRun(db, stream, wish);
      if (answer.kind !== 'queued') throw new Error(`Not queued: ${answer.kind}`);
      const run = await claimRun(db, { streams: [stream.key], leaseMs: RUN_LEASE_MS });
      if (run === null) throw new Error('The run cannot be claimed');
      const ended = new AbortController();
      const reading = (async () => {
        while (!ended.signal.aborted) if ((await step()) === 0) await wait(ROUND_MS);
      })();
      const report = await runReconcile(deps, run, ending.signal);
      ended.abort();
      await reading;
      return { state: report.state, error: (await readRun(db, run.id))?.error ?? null };
    },
    takeDrift(entity) {
      for (const counters of tally.take().streams) drift.set(counters.entity, counters);
      const { driftMissing = 0, driftStale = 0, driftDeleted = 0 } = drift.get(entity) ?? {};
      drift.delete(entity);
      return { driftMissing, driftStale, driftDeleted };
    },
    // Copied, because one driver's rows are arrays of a class of their own.
    rows: async (table) => [...(await queryRows(db, sql`SELECT * FROM ${sql.identifier(table)} ORDER BY 1`))],
    async deadLetters() {
      const filter = { integration: name, entity: null, state: 'open', before: null, limit: 1_000 } as const;
      return await listDeadLetters(db, filter);
    },
    outcomes: () => queryRows(db, sql`SELECT state, outcome FROM sync.inbox_deliveries ORDER BY id`),
    async reset() {
      const tables = await queryRows<{ name: string }>(
        db,
        sql`SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
            WHERE schemaname IN ('sync', 'public') AND tablename NOT LIKE '%migrations'`,
      );
      await queryRows(db, sql`TRUNCATE ${sql.raw(tables.map((table) => table.name).join(', '))} RESTART IDENTITY`);
      await registerAll();
      tally.take();
    },
  };
}

/** The same definition for a source that shows every change at once: fake APIs do, and tests need not wait for real ones. */
export const withoutLag = (definition: IntegrationDefinition): IntegrationDefinition => ({
  ...definition,
  entities: Object.fromEntries(
    Object.entries(definition.entities).map(([name, entity]) => [name, { ...entity, readLag: '0s' }] as const),
  ),
});
