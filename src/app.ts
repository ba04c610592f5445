import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import cron from 'node-cron';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import type { ServerSettings } from './config/environment.ts';
import type { Database } from './db/connect.ts';
import { readDatabaseNow } from './db/instants.ts';
import { migrationState } from './db/migrate.ts';
import { createAccessGuard } from './http/access.ts';
import { healthRoutes, type ReadinessCheck } from './http/health.ts';
import { oauthRoutes } from './http/oauth.ts';
import { operatorRoutes } from './http/operator.ts';
import { createServer } from './http/server.ts';
import { webhookRoutes } from './http/webhooks.ts';
import { withoutMessages } from './lib/log.ts';
import { RUN_LEASE_MS } from './model/run.ts';
import type { Authorization } from './source/auth/oauth2-authorization.ts';
import type { TokenStore } from './source/auth/token-store.ts';
import type { LimitRow } from './source/rate-limit/limiter.ts';
import { insertDeliveries } from './store/inbox.ts';
import { acquireLease, type Lease, releaseLease, renewLease } from './store/leases.ts';
import { claimRun } from './store/runs.ts';
import { addCounters, addDeliveryCounts } from './store/status.ts';
import { createAbsenceBrake } from './sync/absence-brake.ts';
import { createAudit } from './sync/audit.ts';
import { restoreCaptures } from './sync/capture.ts';
import type { CrashPoint } from './sync/deps.ts';
import { createGroupCommit } from './sync/group-commit.ts';
import { type IngestDeps, ingestOnce } from './sync/ingest.ts';
import type { Integration } from './sync/integration.ts';
import { resumeIntegration } from './sync/pause.ts';
import { createTurnedAwayLog } from './sync/receive.ts';
import { runReconcile } from './sync/reconcile.ts';
import { rereadOnce } from './sync/reread.ts';
import { type Stream, streamName } from './sync/stream.ts';
import { createTally } from './sync/tally.ts';
import { cleanUp, oweMissedFullRuns, resumeMended, startOwedRuns, startScheduledRun } from './sync/upkeep.ts';
import { createTwoWayWorkers } from './two-way-workers.ts';
import { type Loop, startLoop } from './worker/loop.ts';
import { type Schedule, type ScheduleEntry, startSchedule } from './worker/schedule.ts';

const INGEST_BATCH = 250;
const HINT_BATCH = 16;
/** Where a source shows several records in one answer. */
const HINT_BATCH_TOGETHER = 64;
const HINT_KINDS = ['urgent', 'later'] as const;
/** Runs worked at the same time in one process: each holds a page in memory. */
const RUN_LOOPS = 2;
const POLL_MS = 500;
const RUN_POLL_MS = 1_000;
const MAX_BACKOFF_MS = 15_000;
const TALLY_FLUSH_MS = 1_000;
const LEADER_POLL_MS = 5_000;
const LEADER_LEASE_MS = 20_000;
const CLEAN_UP_POLL_MS = 60_000;
const AUDIT_POLL_MS = 10_000;
/** How long edits of a table that was made anew may go uncaptured. */
const CAPTURES_POLL_MS = 5_000;
const READINESS_TIMEOUT_MS = 2_000;
/** Longest wait for workers to finish what they hold; past it their claims end by themselves. */
const STOP_TIMEOUT_MS = 6_000;
/** Requests that have not arrived or been answered by then are cut off: their senders come again. */
const MAX_ANSWERING_MS = 2_000;

export type AppOptions = {
  readonly settings: ServerSettings;
  readonly database: Database;
  readonly integrations: ReadonlyMap<string, Integration>;
  /** Cron expressions of each stream. */
  readonly schedules: ReadonlyMap<string, { readonly incremental: string | null; readonly full: string | null }>;
  /** Of the integrations that a person must authorize; they need the token store. */
  readonly authorizations?: ReadonlyMap<string, Authorization>;
  readonly tokens?: TokenStore;
  readonly log: Logger;
  readonly version: string;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** Tests stop the flows at named points; nothing happens there otherwise. */
  readonly crashPoint?: (name: CrashPoint) => Promise<void> | void;
};

export type App = {
  readonly server: FastifyInstance;
  /** Starts the workers of the configured roles and listens. Resolves with the address. */
  start(): Promise<string>;
  /** Stops accepting, finishes what is held, gives leases back. Bounded; safe to repeat. The database stays open. */
  stop(): Promise<void>;
};

/** Puts all parts together. The one place that knows every one of them; nothing runs before `start`. */
export async function createApp(options: AppOptions): Promise<App> {
  const { settings, database, integrations } = options;
  const log = withoutMessages(options.log);
  const { db } = database;
  const stopping = new AbortController();
  const loops = new Map<string, Loop>();
  const wake = (name: string) => () => loops.get(name)?.wake();
  const deps: IngestDeps = {
    db,
    log,
    integrations,
    streams: streamsOf(integrations),
    tally: createTally(),
    absenceBrake: createAbsenceBrake(options.nowMs),
    random: options.random,
    wakeHints: () => {
      for (const name of integrations.keys()) for (const kind of HINT_KINDS) wake(hintsLoopOf(name, kind))();
    },
    crashPoint: options.crashPoint ?? (() => {}),
  };
  const twoWay = createTwoWayWorkers({
    db,
    log,
    integrations,
    random: options.random,
    crashPoint: deps.crashPoint,
    wakeHints: deps.wakeHints,
    wake: (name) => wake(name)(),
  });
  const hasRole = (role: ServerSettings['roles'][number]) => settings.roles.includes(role);
  let schedule: Schedule | null = null;
  let leader: ReturnType<typeof createLeader> | null = null;

  const server = createServer(log);
  await server.register(healthRoutes, { version: options.version, checkReadiness: () => checkReadiness(database) });
  await server.register(operatorRoutes, {
    guard: createAccessGuard(settings.adminToken),
    db,
    deps,
    integrations,
    pushDeps: twoWay.deps,
    nextRunAt: (stream) => nextRunAt(schedule, stream),
    wakeRuns: wakeRuns(loops),
    limitsOf: limitsOf(integrations),
    stopping: stopping.signal,
  });
  const { tokens, authorizations = new Map() } = options;
  if (settings.sealer !== null && tokens !== undefined && authorizations.size > 0) {
    await server.register(oauthRoutes, {
      guard: createAccessGuard(settings.adminToken),
      authorize: {
        db,
        sealer: settings.sealer,
        tokens,
        log,
        authorizations,
        onAuthorized: async (integration) => {
          if (!(await resumeIntegration(db, integration, 'authorized'))) return;
          wakeRuns(loops)();
          deps.wakeHints();
        },
      },
      publicUrl: settings.publicUrl,
      stopping: stopping.signal,
    });
  }
  if (hasRole('ingest')) {
    const { store } = createGroupCommit((deliveries) => insertDeliveries(database.ingestDb, deliveries));
    await server.register(webhookRoutes, {
      integrations,
      receive: {
        nowMs: options.nowMs,
        store,
        onStored: wake('ingest'),
        onTurnedAway: createTurnedAwayLog(log, options.nowMs),
      },
      count: (integration, fate) => deps.tally.deliveries(integration, fate, 1),
      maxRequestsPerMinute: settings.maxWebhooksPerMinute,
    });
  }

  const startWorkers = (): void => {
    const { random } = options;
    const start = (name: string, pollMs: number, runOnce: (signal: AbortSignal) => Promise<boolean>) =>
      loops.set(name, startLoop({ name, pollMs, maxBackoffMs: MAX_BACKOFF_MS, runOnce, random, log }));
    start('tally', TALLY_FLUSH_MS, () => flushTally(deps));
    if (hasRole('worker')) {
      start('ingest', POLL_MS, async () => (await ingestOnce(deps, INGEST_BATCH)).claimed > 0);
      // Two for each: a source that answers slowly holds up no reads from the others, nor a sweep what deliveries ask for.
      for (const [name, integration] of integrations) {
        for (const kind of HINT_KINDS) {
          const choice = { integrations: [name], kind };
          const runOnce = async (signal: AbortSignal) =>
            (await rereadOnce(deps, hintBatchOf(integration), signal, choice)).claimed > 0;
          start(hintsLoopOf(name, kind), POLL_MS, runOnce);
        }
      }
      for (const { name, pollMs, runOnce } of twoWay.loops) start(name, pollMs, runOnce);
      for (let place = 0; place < RUN_LOOPS; place++) {
        start(`runs-${place}`, RUN_POLL_MS, (signal) => workNextRun(deps, signal));
      }
    }
    if (hasRole('scheduler')) {
      const leading = createLeader(deps);
      leader = leading;
      schedule = startSchedule(scheduleEntries(options, deps, leading, wakeRuns(loops)), log);
      start('leader', LEADER_POLL_MS, async () => {
        const wasLeading = leading.isLeading();
        if (!(await leading.renew())) return false;
        if (!wasLeading) await oweMissedFullRuns(deps, (stream) => intervalOf(options.schedules.get(stream)?.full));
        await resumeMended(deps);
        if ((await startOwedRuns(deps)) > 0) wakeRuns(loops)();
        return false;
      });
      start('clean-up', CLEAN_UP_POLL_MS, async () => leading.isLeading() && (await cleanUp(deps)));
      const keepCaptures = createCaptureKeeper(database, deps);
      start('captures', CAPTURES_POLL_MS, async () => {
        if (leading.isLeading()) await keepCaptures();
        return false;
      });
      const audit = createAudit(deps, options.nowMs);
      start('audit', AUDIT_POLL_MS, async () => leading.isLeading() && (await audit.runOnce()));
    }
  };

  let stopped: Promise<void> | null = null;
  return {
    server,
    async start() {
      startWorkers();
      return await server.listen({ host: settings.host, port: settings.port });
    },
    stop() {
      stopped ??= stopAll();
      return stopped;
    },
  };

  async function stopAll(): Promise<void> {
    schedule?.stop();
    // First the callers that wait for a run, else closing would wait for them.
    stopping.abort();
    const cut = setTimeout(() => server.server.closeAllConnections(), MAX_ANSWERING_MS);
    const ended = (async () => {
      await Promise.all([server.close(), ...[...loops.values()].map((loop) => loop.stop())]);
      // After its loop, which might renew it again.
      await Promise.all([leader?.release(), flushTally(deps)]);
    })().finally(() => clearTimeout(cut));
    const timeout = new AbortController();
    await Promise.race([
      ended.catch((error: unknown) => log.warn({ err: error }, 'stop was not clean')),
      wait(STOP_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => {}),
    ]);
    timeout.abort();
  }
}

/** Puts captures back that were lost. A problem is logged once, and tried again at each pass. */
function createCaptureKeeper(database: Database, { streams, log }: IngestDeps): () => Promise<void> {
  const wanted = [...streams.values()].flatMap(({ key, target, twoWay }) =>
    twoWay === null ? [] : [{ key, target, localDeletes: twoWay.localDeletes }],
  );
  let told: ReadonlySet<string> = new Set();
  return async () => {
    const problems = await restoreCaptures({ database, log }, wanted);
    for (const { capture, problem } of problems) {
      if (!told.has(problem)) log.warn({ ...capture.key, problem }, 'edits of the table are not captured');
    }
    told = new Set(problems.map(({ problem }) => problem));
  };
}

const streamsOf = (integrations: ReadonlyMap<string, Integration>): ReadonlyMap<string, Stream> =>
  new Map(
    [...integrations.values()].flatMap(({ streams }) =>
      [...streams.values()].map((stream) => [streamName(stream.key), stream]),
    ),
  );

const hintsLoopOf = (integration: string, kind: (typeof HINT_KINDS)[number]): string => `hints-${kind}-${integration}`;

/** Reads of many at once are worth waiting for more of them. */
const hintBatchOf = ({ streams }: Integration): number =>
  [...streams.values()].some(({ getMany }) => getMany !== null) ? HINT_BATCH_TOGETHER : HINT_BATCH;

/** All streams of an integration share one client. */
const limitsOf =
  (integrations: ReadonlyMap<string, Integration>) =>
  async (name: string): Promise<readonly LimitRow[]> => {
    const [stream] = integrations.get(name)?.streams.values() ?? [];
    return (await stream?.client.limits()) ?? [];
  };

const wakeRuns = (loops: ReadonlyMap<string, Loop>) => () => {
  for (let place = 0; place < RUN_LOOPS; place++) loops.get(`runs-${place}`)?.wake();
};

async function workNextRun(deps: IngestDeps, signal: AbortSignal): Promise<boolean> {
  const run = await claimRun(deps.db, {
    streams: [...deps.streams.values()].map(({ key }) => key),
    leaseMs: RUN_LEASE_MS,
  });
  if (run === null) return false;
  await runReconcile(deps, run, signal);
  return true;
}

/** What a failed write had counted is counted again at the next. */
async function flushTally(deps: IngestDeps): Promise<boolean> {
  const taken = deps.tally.take();
  if (taken.streams.length + taken.deliveries.length === 0) return false;
  try {
    await deps.db.transaction(async (tx) => {
      await addCounters(tx, taken.streams);
      await addDeliveryCounts(tx, taken.deliveries);
    });
  } catch (error) {
    deps.tally.putBack(taken);
    throw error;
  }
  return false;
}

/** One replica's claim to be the one that schedules. */
function createLeader({ db }: IngestDeps) {
  const holder = uuidv7();
  let lease: Lease | null = null;
  return {
    isLeading: () => lease !== null,
    async renew(): Promise<boolean> {
      if (lease !== null && !(await renewLease(db, lease, LEADER_LEASE_MS))) lease = null;
      lease ??= await acquireLease(db, { name: 'scheduler', holder, leaseMs: LEADER_LEASE_MS });
      return lease !== null;
    },
    async release(): Promise<void> {
      if (lease !== null) await releaseLease(db, lease).catch(() => {}); // it lapses by itself
    },
  };
}

function scheduleEntries(
  { schedules }: AppOptions,
  deps: IngestDeps,
  leader: ReturnType<typeof createLeader>,
  wakeRunLoops: () => void,
): ScheduleEntry[] {
  return [...schedules].flatMap(([name, crons]) => {
    const stream = deps.streams.get(name);
    if (stream === undefined) return [];
    return (['incremental', 'full'] as const).flatMap((mode): ScheduleEntry[] => {
      const cron = crons[mode];
      if (cron === null) return [];
      const onTick = async () => {
        if (!leader.isLeading()) return;
        await startScheduledRun(deps, stream, mode);
        wakeRunLoops();
      };
      return [{ name: `${name} ${mode}`, cron, onTick }];
    });
  });
}

/** How far apart the next two times of a cron expression are, in ms. */
function intervalOf(expression: string | null | undefined): number | null {
  if (expression == null) return null;
  const task = cron.createTask(expression, () => {}, { timezone: 'Etc/UTC' });
  const [first, second] = task.getNextRuns(2);
  void task.destroy();
  return first === undefined || second === undefined ? null : second.getTime() - first.getTime();
}

function nextRunAt(schedule: Schedule | null, stream: string): Date | null {
  const times = ['incremental', 'full'].flatMap((mode) => schedule?.nextAt(`${stream} ${mode}`) ?? []);
  return times.sort((left, right) => left.getTime() - right.getTime())[0] ?? null;
}

async function checkReadiness(database: Database): Promise<ReadinessCheck[]> {
  const probe = async (name: string, ask: () => Promise<string | null>): Promise<ReadinessCheck> => {
    try {
      const late = wait(READINESS_TIMEOUT_MS, 'no answer in time', { ref: false });
      const problem = await Promise.race([ask(), late]);
      return { name, ok: problem === null, detail: problem ?? 'ok' };
    } catch {
      return { name, ok: false, detail: 'no answer' };
    }
  };
  return await Promise.all([
    probe('database', async () => (Number.isFinite(await readDatabaseNow(database.db)) ? null : 'no clock')),
    probe('migrations', async () => {
      const state = await migrationState(database.db);
      return state === 'current' ? null : `schema is ${state}`;
    }),
  ]);
}
