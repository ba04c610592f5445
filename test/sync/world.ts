import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Db } from '../../src/db/connect.ts';
import { readDatabaseNow } from '../../src/db/instants.ts';
import { queryRows } from '../../src/db/query.ts';
import type { Sighted } from '../../src/model/apply.ts';
import type { Capabilities } from '../../src/model/capabilities.ts';
import { BEFORE_ALL, type Instant } from '../../src/model/instant.ts';
import type { Channel } from '../../src/model/observation.ts';
import type { LeasedRun, Run, RunCounts } from '../../src/model/run.ts';
import { RUN_LEASE_MS } from '../../src/model/run.ts';
import { type DeadLetter, listDeadLetters } from '../../src/store/dead-letters.ts';
import { insertDeliveries } from '../../src/store/inbox.ts';
import { readStates } from '../../src/store/record-states.ts';
import { claimRun, readRun } from '../../src/store/runs.ts';
import { registerStream } from '../../src/store/streams.ts';
import { createAbsenceBrake } from '../../src/sync/absence-brake.ts';
import type { CrashPoint } from '../../src/sync/deps.ts';
import { type IngestDeps, type IngestReport, ingestOnce } from '../../src/sync/ingest.ts';
import type { Integration } from '../../src/sync/integration.ts';
import { observe, observeAbsence, type Sight } from '../../src/sync/observe.ts';
import { runReconcile } from '../../src/sync/reconcile.ts';
import { type RunWish, requestRun } from '../../src/sync/request-run.ts';
import { rereadOnce } from '../../src/sync/reread.ts';
import type { RunReport } from '../../src/sync/run-end.ts';
import type { Stream } from '../../src/sync/stream.ts';
import { createTally } from '../../src/sync/tally.ts';
import { prepareRoutes } from '../../src/webhook/routes.ts';
import { signatures } from '../../src/webhook/signatures.ts';
import { type Loop, startLoop } from '../../src/worker/loop.ts';
import { createTestDatabase, silentLog, type TestDatabase } from '../helpers/database.ts';
import { createFakeSource } from './fake-source.ts';
import {
  type Customer,
  type CustomerRow,
  createShopMapper,
  createShopTable,
  readCustomers,
  type TableShape,
} from './shop.ts';

export const KEY = { integration: 'shop', entity: 'customers' };
const log = { ...silentLog, debug() {} };
const DAY_MS = 86_400_000;
const NEVER = new AbortController().signal;

export type WorldOptions = Partial<Capabilities> &
  Partial<TableShape> & {
    readonly keepsBase?: boolean;
    readonly repairs?: boolean;
    readonly deadlineMs?: number;
    readonly getMany?: Stream['getMany'];
    readonly deletions?: Stream['deletions'];
    readonly pagination?: 'cursor' | 'link_header';
    readonly database?: TestDatabase;
    readonly lookups?: Stream['lookups'];
    readonly twoWay?: Stream['twoWay'];
    /** Changes the plain table, or makes it more. */
    readonly table?: (db: Db, plain: Stream['target']) => Promise<Stream['target']>;
    /** Instead of the plain one. */
    readonly mapper?: (target: Stream['target']) => Stream['mapper'];
  };

type Teardown = { teardown(work: () => unknown): unknown };

/** The core around a simulated shop and a real database: everything but HTTP. Reads by id happen when a test says so. */
export async function createWorld(t: Teardown, options: WorldOptions = {}) {
  const database = options.database ?? (await createTestDatabase(t));
  const { db } = database;
  if (options.database !== undefined) await empty(db);
  const caps: Capabilities = {
    versionKind: options.versionKind ?? 'counter',
    versionSkew: options.versionSkew ?? 0n,
    canGet: options.canGet ?? true,
    readLagMs: options.readLagMs ?? 0,
    deleteEvents: options.deleteEvents ?? 'unversioned',
    canUndelete: options.canUndelete ?? true,
  };
  const plain = await createShopTable(db, {
    softDelete: options.softDelete ?? false,
    keyProperty: options.keyProperty ?? 'id',
  });
  const target = (await options.table?.(db, plain)) ?? plain;
  const source = createFakeSource(db);
  const pagination =
    options.pagination === 'link_header'
      ? { kind: 'link_header' as const }
      : { kind: 'cursor' as const, param: 'after', next: 'next' };
  const stream: Stream = {
    key: KEY,
    caps,
    target,
    mapper: options.mapper?.(target) ?? createShopMapper(caps.versionKind),
    keepsBase: options.keepsBase ?? false,
    client: source,
    list: { path: '/customers', items: 'data', pagination },
    changedSince: caps.versionKind === 'none' ? null : { param: 'since', format: String, query: {}, overlap: 0n },
    get: caps.canGet ? { path: '/customers/{id}' } : null,
    getMany: options.getMany ?? null,
    deletions: options.deletions ?? { maxShare: 0.1, minimum: 20 },
    repairs: options.repairs ?? false,
    lookups: options.lookups ?? null,
    twoWay: options.twoWay ?? null,
    deadlineMs: options.deadlineMs ?? DAY_MS,
  };
  await registerStream(db, KEY, stream.mapper.fingerprint);
  return { ...actOn(db, stream), ...database, stream, source, t };
}

/** Worlds of one test file, one after the other on one database: making a new one each time takes longer than most tests. */
export function shareDatabase(file: Teardown) {
  let shared: Promise<TestDatabase> | null = null;
  return async (t: Teardown, options: Omit<WorldOptions, 'database'> = {}): Promise<World> => {
    shared ??= createTestDatabase(file);
    return await createWorld(t, { ...options, database: await shared });
  };
}

async function empty(db: Db): Promise<void> {
  await queryRows(db, sql`DROP SCHEMA IF EXISTS shop CASCADE`);
  const tables = await queryRows<{ name: string }>(
    db,
    sql`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'sync'`,
  );
  await queryRows(db, sql.raw(`TRUNCATE ${tables.map(({ name }) => `sync.${name}`).join(', ')} RESTART IDENTITY`));
}

export type World = Awaited<ReturnType<typeof createWorld>>;

/**
 * One worker on the world's database. `crashAt` kills it, after passing that point `afterPasses` times: from then on nothing
 * of it reaches the database.
 */
export function createWorker(
  db: Db,
  stream: Stream,
  hooks: {
    readonly crashAt?: CrashPoint;
    readonly afterPasses?: number;
    readonly at?: (point: CrashPoint) => Promise<void> | void;
  } = {},
) {
  let passes = 0;
  let isDead = false;
  const dying = new Proxy(db, {
    get(target, name) {
      if (isDead && (name === 'transaction' || name === 'execute')) return () => Promise.reject(new CrashError());
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const tally = createTally();
  const deps: IngestDeps = {
    db: dying,
    log,
    streams: new Map([['shop/customers', stream]]),
    integrations: new Map([['shop', integrationOf(stream)]]),
    tally,
    absenceBrake: createAbsenceBrake(() => 0),
    random: () => 0,
    wakeHints: () => wake(),
    async crashPoint(point) {
      if (point === hooks.crashAt && passes++ >= (hooks.afterPasses ?? 0)) {
        isDead = true;
        throw new CrashError();
      }
      await hooks.at?.(point);
    },
  };
  let wake = (): void => {};
  return {
    deps,
    tally,
    onWake(woken: () => void) {
      wake = woken;
    },
  };
}

export class CrashError extends Error {
  override readonly name = 'CrashError';
}

function actOn(db: Db, stream: Stream) {
  const worker = createWorker(db, stream);
  const { deps, tally } = worker;

  /** Lets time pass, by moving everything that the database remembers into the past. */
  async function pass(ms: number): Promise<void> {
    const by = sql.raw(`interval '${ms} milliseconds'`);
    await queryRows(
      db,
      sql`UPDATE sync.record_states SET lo = lo - ${by}, hi = hi - ${by}, alive_at = alive_at - ${by}, regress_seen_at = regress_seen_at - ${by}`,
    );
    await queryRows(
      db,
      sql`UPDATE sync.hints SET run_at = run_at - ${by}, need_lo = need_lo - ${by}, lease_expires_at = lease_expires_at - ${by}`,
    );
    await queryRows(
      db,
      sql`UPDATE sync.inbox_deliveries SET received_at = received_at - ${by}, next_attempt_at = next_attempt_at - ${by}`,
    );
    await queryRows(
      db,
      sql`UPDATE sync.sync_runs SET started_at = started_at - ${by}, lease_expires_at = lease_expires_at - ${by},
            resume_at = resume_at - ${by}, deadline_at = deadline_at - ${by}`,
    );
    await queryRows(
      db,
      sql`UPDATE sync.streams SET needs_full_at = needs_full_at - ${by}, last_full_started_at = last_full_started_at - ${by},
            marks = coalesce((SELECT jsonb_agg(jsonb_build_array((m->>0)::numeric - ${ms * 1000}, m->>1)) FROM jsonb_array_elements(marks) m), '[]')`,
    );
  }

  /** Stores a delivery as the edge would. @returns its id. */
  async function deliver(body: unknown, over: { dedupeKey?: string } = {}): Promise<number> {
    const correlationId = randomUUID();
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const stored = await insertDeliveries(db, [
      {
        integration: 'shop',
        dedupeKey: over.dedupeKey ?? null,
        deliveryId: null,
        headers: {},
        correlationId,
        body: bytes,
      },
    ]);
    return stored.get(correlationId)?.id ?? -1;
  }

  const ingest = async (limit = 100): Promise<IngestReport> => await ingestOnce(deps, limit);
  const reread = async (limit = 100) => await rereadOnce(deps, limit, NEVER);

  /** Works until no read is wanted; waits are passed over. */
  async function settle(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      await ingest();
      if ((await hints()).length === 0) return;
      await pass(3_600_000);
      await reread();
    }
    throw new Error('Reads are wanted without end');
  }

  type HintRow = {
    external_id: string;
    reason: string;
    state: string;
    attempt: number;
    min_version: string | null;
    run_id: string | null;
  };
  const hints = async (): Promise<HintRow[]> =>
    await queryRows<HintRow>(
      db,
      sql`SELECT external_id, reason, state, attempt, min_version::text AS min_version, run_id::text AS run_id FROM sync.hints ORDER BY id`,
    );

  async function queue(wish: Partial<RunWish> = {}): Promise<Run> {
    const answer = await requestRun(db, stream, {
      mode: 'full',
      since: null,
      ids: null,
      isDryRun: false,
      trigger: 'operator',
      ...wish,
    });
    if (answer.kind !== 'queued') throw new Error(`No run was queued: ${answer.kind}`);
    return answer.run;
  }

  async function claim(): Promise<LeasedRun> {
    const run = await claimRun(db, { streams: [KEY], leaseMs: RUN_LEASE_MS });
    if (run === null) throw new Error('No run to claim');
    return run;
  }

  /** A worker for reads stands beside the run, as in the server: runs wait for the reads they ask for. */
  async function work(run: LeasedRun, on = worker, signal: AbortSignal = NEVER): Promise<RunReport> {
    const loop: Loop = startLoop({
      name: 'reads',
      pollMs: 20,
      maxBackoffMs: 100,
      runOnce: async () => (await rereadOnce(deps, 100, NEVER)).claimed > 0,
      random: () => 0,
      log,
    });
    on.onWake(() => loop.wake());
    try {
      return await runReconcile(on.deps, run, signal);
    } finally {
      on.onWake(() => {});
      await loop.stop();
    }
  }

  /** Queues a run and works it to its end. */
  async function reconcile(wish: Partial<RunWish> = {}): Promise<Run & { readonly report: RunReport }> {
    const { id } = await queue(wish);
    const report = await work(await claim());
    const run = await readRun(db, id);
    if (run === null) throw new Error('The run is gone');
    return { ...run, report };
  }

  return {
    worker,
    deps,
    tally,
    pass,
    deliver,
    ingest,
    reread,
    settle,
    hints,
    queue,
    claim,
    work,
    reconcile,
    rows: (): Promise<CustomerRow[]> => readCustomers(db),
    async row(id: string): Promise<CustomerRow | undefined> {
      return (await readCustomers(db)).find((row) => row.id === id);
    },
    async stateOf(id: string) {
      return (await readStates(db, KEY, [id])).get(id);
    },
    deadLetters: (state: DeadLetter['state'] | null = 'open'): Promise<DeadLetter[]> =>
      listDeadLetters(db, { integration: null, entity: null, state, before: null, limit: 100 }),
    async deliveryOf(id: number) {
      const [row] = await queryRows<{ state: string; outcome: string | null; attempt: number }>(
        db,
        sql`SELECT state, outcome, attempt FROM sync.inbox_deliveries WHERE id = ${id}`,
      );
      return row;
    },
    now: (): Promise<Instant> => readDatabaseNow(db),
    run: (statement: ReturnType<typeof sql>) => queryRows(db, statement),
    /** What counted as drift or as brought by deliveries, since the last call. */
    counted: () => tally.take().streams[0],
  };
}

/** Deliveries hold `{type, record, …}`, or a list of those under `events`. */
function integrationOf(stream: Stream): Integration {
  const record = { entity: 'customers', record: 'record', version: 'version' } as const;
  return {
    name: 'shop',
    newCredentials: { kind: 'settings', variables: ['SHOP_TOKEN'] },
    webhook: {
      routes: prepareRoutes({
        signature: signatures.standardWebhooks({ secrets: ['whsec_AAAA'] }),
        batch: 'events',
        events: {
          upsert: record,
          delete: { ...record, deletes: true },
          patch: { ...record, payload: 'partial', previousVersion: 'previousVersion' },
          changed: { ...record, record: 'id', payload: 'id' },
          gone: { ...record, record: 'id', payload: 'id', deletes: true },
        },
      }),
    } as unknown as NonNullable<Integration['webhook']>,
    streams: new Map([['customers', stream]]),
  };
}

export const upsert = (...records: readonly Customer[]) => ({
  events: records.map((record) => ({ type: 'upsert', record })),
});

/** A customer that fits the table. */
export const customer = (id: string, over: Customer = {}): Customer => ({
  id,
  name: `Name ${id}`,
  amount: 1,
  parent: null,
  code: null,
  ...over,
});

/** Sightings made by hand, for tests of `applyBatch` alone. */
export function sightingOf(
  stream: Stream,
  record: Customer,
  over: Partial<Sight> & { readonly channel?: Channel } = {},
): Sighted {
  const observed = observe(stream, record, sightOf(over));
  if (observed.kind !== 'sighted') throw new Error(`The record does not map: ${observed.kind}`);
  return observed.sighted;
}

export const absenceOf = (
  id: string,
  over: Partial<Sight> = {},
  said = { isPositiveDelete: false, version: null as bigint | null },
): Sighted => observeAbsence(id, sightOf(over), said);

const sightOf = (over: Partial<Sight>): Sight => ({
  channel: 'hook',
  origin: { kind: 'delivery', id: '1' },
  lo: BEFORE_ALL,
  hi: 1,
  isFullRun: false,
  isPartial: false,
  previousVersion: null,
  etag: null,
  inboxId: null,
  correlationId: null,
  isLastAttempt: false,
  ...over,
});

export const countsOf = (counts: RunCounts): Partial<RunCounts> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
