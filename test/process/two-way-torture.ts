import { setTimeout as wait } from 'node:timers/promises';
import postgres from 'postgres';
import { createRandom } from '../../src/testing/index.ts';
import { until } from '../app/setup.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { fileOf, type Owner } from './setup.ts';
import {
  checkAcknowledged,
  checkEqual,
  checkKept,
  checkSettled,
  checkWrites,
  type Violations,
} from './torture/check.ts';
import { createEditor } from './torture/edits.ts';
import { startRelay } from './torture/relay.ts';
import { type ReplicaCounts, startReplicas } from './torture/replicas.ts';
import { startSource } from './torture/source-client.ts';
import { CREATE_ITEMS } from './torture.config.ts';

export type TortureOptions = {
  readonly seed: number;
  /** The faults last at least so long, and until each point was met so often … */
  readonly minMs: number;
  readonly hitsPerPoint: number;
  /** … or so long at most. */
  readonly maxMs: number;
  readonly points: readonly string[];
  /** Whether the source knows idempotency keys; without them it finds a record by its marker. */
  readonly keys: boolean;
  /** How long a replica is stopped at most: past its leases where it is longer than these. */
  readonly freezeMs: number;
  /** Beside the crash points: kills at random times, sessions and the database that end, a source that is away. */
  readonly otherFaults: boolean;
  readonly say: (line: string) => void;
};

export type TortureReport = {
  readonly seed: number;
  readonly replicas: ReplicaCounts;
  readonly databaseStops: number;
  readonly sessionsEnded: number;
  readonly sourceAbsences: number;
  readonly edits: Readonly<Record<string, number>>;
  readonly failures: Readonly<Record<string, number>>;
  readonly acknowledged: number;
  readonly records: number;
  readonly sourceWrites: Readonly<Record<string, number>>;
  readonly faultsMs: number;
  readonly drainMs: number;
  readonly violations: Violations;
};

export const CRASH_POINTS = [
  ...['C3', 'C4', 'C5', 'C6', 'C8', 'C9', 'C10', 'C11', 'C12'],
  ...['C13', 'C14', 'C15', 'C16', 'C17', 'C18', 'C19', 'C21'],
];

const REPLICAS = 3;
const RECONNECT_S = 0.2;
const USERS = 3;
const RECORDS_AT_FIRST = 120;
const CANARY = 'canary';
const TOKEN = 'torture-token';
const SECRET = `whsec_${Buffer.from('the torture: a secret of 32 byte').toString('base64')}`;
const MIN_EDIT_PAUSE_MS = 20;
const MAX_EDIT_PAUSE_MS = 120;
const RUN_EVERY_MS = 700;
const RESOLVE_EVERY_MS = 500;
const MIN_FAULT_PAUSE_MS = 2_000;
const MAX_FAULT_PAUSE_MS = 8_000;
const MAX_ABSENCE_MS = 3_000;
const MAX_WORK_MS = 30_000;
const DRAIN_ROUNDS = 12_000;
const HURRY_MS = 200;
const QUIET_MS = 2_000;

const FAULTS = {
  webhookLoss: 0.05,
  webhookDuplicate: 0.05,
  webhookDelay: 0.1,
  webhookReorder: 0.1,
  webhookMaxDelayMs: 1_000,
  apiServerError: 0.02,
  apiRateLimit: 0.01,
  apiTruncated: 0.02,
  apiReset: 0.02,
  writeServerErrorBefore: 0.02,
  writeServerErrorAfter: 0.03,
  writeTimeoutBefore: 0.01,
  writeTimeoutAfter: 0.02,
  writeTruncated: 0.02,
  writeReset: 0.03,
  writeEcho: 0.2,
  writeTouch: 0.1,
};
const AWAY = { apiServerError: 1, writeServerErrorBefore: 1 };
const NO_FAULTS = Object.fromEntries(Object.keys(FAULTS).map((name) => [name, name.endsWith('Ms') ? 1 : 0]));

/**
 * Servers, source and database as real processes, edits on both sides all the time, and everything that kills: then peace,
 * and what must hold is checked. Everything random comes from the seed but for the times at which processes get on.
 */
export async function torture(owner: Owner, options: TortureOptions): Promise<TortureReport> {
  const { say } = options;
  const random = (use: string) => createRandom(options.seed, use);
  const database = await startPostgres(owner);
  const sql = postgres(database.url, { max: 4, onnotice: () => {}, connect_timeout: 5, backoff: () => RECONNECT_S });
  owner.teardown(() => sql.end({ timeout: 1 }));
  await sql.unsafe(`${CREATE_ITEMS}; CREATE ROLE clerk LOGIN; GRANT ALL ON torture_items TO clerk`);
  const clerk = postgres(database.url.replace('postgres@', 'clerk@'), {
    max: USERS,
    onnotice: () => {},
    backoff: () => RECONNECT_S,
  });
  owner.teardown(() => clerk.end({ timeout: 1 }));
  const source = await startSource(owner, { seed: options.seed, token: TOKEN, secret: SECRET });
  for (let made = 0; made < RECORDS_AT_FIRST; made++) {
    await source.edit({ op: 'create', fields: { ref: `f${made}`, name: `${CANARY}-f${made}`, amount: made } });
  }
  const replicas = startReplicas(owner, {
    count: REPLICAS,
    environment: {
      DATABASE_URL: database.url,
      SYNCLINE_CONFIG: fileOf('torture.config'),
      TORTURE_API_URL: source.origin,
      TORTURE_TOKEN: TOKEN,
      TORTURE_SECRET: SECRET,
      TORTURE_KEYS: options.keys ? 'sent' : 'none',
      PORT: '0',
    },
    random: random('replicas'),
    canary: CANARY,
    kills: options.otherFaults,
    nextPoint: (hits) => leastHit(options.points, hits),
    // Nobody has to wait out the leases of the dead: what they protect is safe to do twice.
    onEnd: () => expireReads(sql),
  });
  owner.teardown(() => replicas.end());
  const relay = await startRelay(owner, replicas.addresses, random('relay'));
  const { addresses } = replicas;
  const editor = createEditor({ sql: clerk, source, addresses, random: random('edits'), canary: CANARY });
  const admin = createEditor({ sql, source, addresses, random: random('conflicts'), canary: CANARY });
  await until('a server is ready', () => addresses().length > 0, DRAIN_ROUNDS);
  await source.sendWebhooksTo(relay.url);
  await source.set(FAULTS);

  const began = performance.now();
  const passed = () => performance.now() - began;
  const isMet = () => options.points.every((point) => (replicas.counts.hits[point] ?? 0) >= options.hitsPerPoint);
  const goesOn = () => passed() < options.maxMs && (passed() < options.minMs || !isMet());
  const faults = { databaseStops: 0, sessionsEnded: 0, sourceAbsences: 0 };
  const chance = random('faults');
  const repeat = async (pauseMs: () => number, work: () => Promise<unknown>) => {
    while (goesOn()) {
      // A server or the database may be away just now, and its client may wait for an answer for ever.
      await Promise.race([work().catch(() => {}), wait(MAX_WORK_MS, null, { ref: false })]);
      await wait(pauseMs());
    }
  };
  const oneFault = async () => {
    if (!options.otherFaults || addresses().length === 0) return; // first those that start must get somewhere
    switch (chance.whole(1, 8)) {
      case 1:
      case 2: {
        const ended =
          await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'syncline'`;
        faults.sessionsEnded += ended.length;
        return;
      }
      case 3:
        faults.sourceAbsences += 1;
        await source.set(AWAY);
        await wait(chance.whole(1, MAX_ABSENCE_MS));
        return await source.set(FAULTS);
      case 4:
        source.process.child.kill('SIGSTOP');
        await wait(chance.whole(1, MAX_ABSENCE_MS));
        source.process.child.kill('SIGCONT');
        faults.sourceAbsences += 1;
        return;
      case 5:
        void replicas.freeze(chance.whole(1, options.freezeMs)); // others go on meanwhile
        return;
      case 6:
        await database.stopImmediate();
        faults.databaseStops += 1;
        await wait(chance.whole(1, 1_000));
        return await database.start();
      default:
        if (addresses().length < REPLICAS) return; // a slow machine would see nothing but starts
        return await replicas.cut(async () => {
          if (chance.chance(0.5)) {
            await database.stopImmediate();
            faults.databaseStops += 1;
            await database.start();
          }
          await expireAll(sql);
        });
    }
  };
  const tell = setInterval(() => {
    const { hits, starts } = replicas.counts;
    say(`${Math.round(passed() / 1000)} s: ${starts} starts, ${JSON.stringify(hits)}, ${editor.writes.length} values`);
  }, 10_000);
  await Promise.all([
    ...Array.from({ length: USERS }, () =>
      repeat(() => chance.whole(MIN_EDIT_PAUSE_MS, MAX_EDIT_PAUSE_MS), editor.editOnce),
    ),
    repeat(() => chance.whole(MIN_FAULT_PAUSE_MS, MAX_FAULT_PAUSE_MS), oneFault),
    repeat(
      () => RUN_EVERY_MS,
      () => startRun(addresses(), chance.chance(0.5) ? 'full' : 'incremental'),
    ),
    repeat(() => RESOLVE_EVERY_MS, admin.resolveOne),
  ]);
  const faultsMs = Math.round(passed());
  clearInterval(tell);

  say('peace');
  const peace = performance.now();
  await source.set(NO_FAULTS);
  await database.start();
  replicas.calm();
  await replicas.cut(() => expireAll(sql));
  await until('the servers are back', () => addresses().length === REPLICAS, DRAIN_ROUNDS);
  const quiet = async () => {
    await source.drain();
    await drain(sql, () => admin.resolveOne());
  };
  await quiet();
  await runWhole(sql, addresses(), 'incremental');
  await quiet();
  const afterIncremental = await checkEqual(sql, source, { living: true });
  for (let run = 0; run < 2; run++) {
    await runWhole(sql, addresses(), 'full');
    await quiet();
  }
  const drainMs = Math.round(performance.now() - peace);
  const before = await source.writes();
  await runWhole(sql, addresses(), 'full');
  await wait(QUIET_MS); // some passes of every loop: were there anything to write, it would be written
  const writes = await source.writes();
  const history = await source.history();
  const allowed = new Map(editor.allowed);
  for (const [ref, count] of admin.allowed) allowed.set(ref, (allowed.get(ref) ?? 0) + count);
  const deadlocks = ['40P01', '55P03', '57014'].filter((code) => (editor.failures[code] ?? 0) > 0);
  const violations = [
    ...(await checkEqual(sql, source, { living: false })),
    ...afterIncremental.map((one) => `I11, after an incremental run: ${one}`),
    ...(await checkSettled(sql)),
    ...(await checkAcknowledged(sql, relay.acknowledged)),
    ...checkWrites(writes, history, allowed),
    ...(await checkKept(sql, history, editor.writes)),
    ...(JSON.stringify(before.byRecord) === JSON.stringify(writes.byRecord) ? [] : ['I7: it went on writing in peace']),
    ...deadlocks.map((code) => `I15: a user's statement failed with ${code}`),
    ...(isMet()
      ? []
      : [`crash points that were not met ${options.hitsPerPoint} times: ${JSON.stringify(replicas.counts.hits)}`]),
  ];
  await replicas.end();
  return {
    seed: options.seed,
    replicas: replicas.counts,
    ...faults,
    edits: { ...editor.counts, ...admin.counts },
    failures: editor.failures,
    acknowledged: relay.acknowledged.size,
    records: (await source.truth()).length,
    sourceWrites: writes.counters.writes,
    faultsMs,
    drainMs,
    violations: [...violations, ...replicas.complaints],
  };
}

function leastHit(points: readonly string[], hits: Readonly<Record<string, number>>): string | null {
  const [first = null] = [...points].sort(
    (left, right) => (hits[left] ?? 0) - (hits[right] ?? 0) || Math.random() - 0.5,
  );
  return first;
}

async function startRun([address]: readonly string[], mode: string): Promise<void> {
  if (address === undefined) return;
  const body = JSON.stringify({ integration: 'torture', mode });
  const headers = { 'content-type': 'application/json' };
  await (await fetch(`${address}/sync/reconcile`, { method: 'POST', headers, body })).text();
}

async function runWhole(sql: postgres.Sql, addresses: readonly string[], mode: string): Promise<void> {
  for (let attempt = 0; attempt < 10; attempt++) {
    await until('no run is under way', () => noRun(sql), DRAIN_ROUNDS);
    await startRun(addresses, mode);
    await until('the run ends', () => noRun(sql), DRAIN_ROUNDS);
    const [last] = await sql`SELECT state, mode FROM sync.sync_runs ORDER BY created_at DESC LIMIT 1`;
    if (last?.state === 'succeeded' && last.mode === mode) return;
  }
  throw new Error(`No ${mode} run succeeded`);
}

async function noRun(sql: postgres.Sql): Promise<boolean> {
  await sql`UPDATE sync.sync_runs SET resume_at = clock_timestamp() WHERE resume_at > clock_timestamp()`;
  return (await sql`SELECT 1 FROM sync.sync_runs WHERE state IN ('queued', 'running')`).length === 0;
}

/** Until nothing waits any more; what waits for its time does not wait here. */
async function drain(sql: postgres.Sql, resolve: () => Promise<boolean>): Promise<void> {
  const left = async () => {
    await sql`UPDATE sync.hints SET run_at = clock_timestamp() WHERE run_at > clock_timestamp()`;
    await sql`UPDATE sync.outbox_pushes SET run_at = clock_timestamp() WHERE state IN ('ready', 'unknown') AND run_at > clock_timestamp()`;
    await sql`UPDATE sync.inbox_deliveries SET next_attempt_at = clock_timestamp() WHERE state = 'received' AND next_attempt_at > clock_timestamp()`;
    const [row] = await sql<{ hints: number; pushes: number; changes: number; inbox: number }[]>`
      SELECT (SELECT count(*)::int FROM sync.hints) AS hints, (SELECT count(*)::int FROM sync.local_changes) AS changes,
             (SELECT count(*)::int FROM sync.outbox_pushes AS p WHERE state IN ('calling', 'unknown') OR (state = 'ready'
                AND NOT EXISTS (SELECT FROM sync.conflicts AS c WHERE c.target_key = p.target_key AND c.outcome IS NULL))) AS pushes,
             (SELECT count(*)::int FROM sync.inbox_deliveries WHERE state = 'received') AS inbox`;
    return row ?? { hints: 1, pushes: 1, changes: 1, inbox: 1 };
  };
  let last: unknown;
  for (let round = 0; round < DRAIN_ROUNDS / 20; round++) {
    const now = await left();
    last = now;
    if (now.hints + now.pushes + now.changes + now.inbox === 0 && !(await resolve())) return;
    await wait(HURRY_MS);
  }
  throw new Error(`It did not drain: ${JSON.stringify(last)}`);
}

/** Leases of work that only reads, or that a fence protects. */
async function expireReads(sql: postgres.Sql): Promise<void> {
  await sql`UPDATE sync.sync_runs SET lease_expires_at = clock_timestamp() WHERE lease_expires_at > clock_timestamp()`;
  await sql`UPDATE sync.hints SET lease_expires_at = clock_timestamp() WHERE lease_expires_at > clock_timestamp()`;
}

/** Every lease and deadline. Only while no server lives and nothing is under way to the source. */
async function expireAll(sql: postgres.Sql): Promise<void> {
  const isOpen = async () =>
    (await sql`SELECT to_regclass('sync.outbox_pushes') IS NOT NULL AS is_there`)[0]?.is_there === true;
  if (!(await isOpen())) return;
  await expireReads(sql);
  await sql`UPDATE sync.outbox_pushes SET lease_expires_at = clock_timestamp() WHERE lease_expires_at > clock_timestamp()`;
  await sql`UPDATE sync.outbox_pushes SET deadline = clock_timestamp()
            WHERE state IN ('calling', 'unknown') AND deadline > clock_timestamp()`;
  await sql`UPDATE sync.leases SET expires_at = clock_timestamp() WHERE expires_at > clock_timestamp()`;
}
