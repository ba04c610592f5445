import { type Child, sendLoad, startChild } from './children.ts';
import type { LoadReport } from './load-process.ts';
import type { Place } from './places.ts';
import { atLeast, atMost, median } from './report.ts';
import { readLoad, readNumbers, type Setting, startServerChild, waitUntilApplied } from './setting.ts';

const CONNECTIONS = [1, 16, 64, 256] as const;
/** Goals are set for this many. */
const GOAL_CONNECTIONS = 64;
const SMALL_BYTES = 1_400;
const LARGE_BYTES = 10_240;
const MAX_RUN_MS = 4_000;
const WARM_UP = { connections: GOAL_CONNECTIONS, count: 5_000, bodyBytes: SMALL_BYTES, maxMs: 3_000, rate: null };

type Ingest = { setting: Setting; place: Place; load: Child; nextId: () => number };

/**
 * Durable ingest against a route that only checks the signature: the same requests, the same load generator, the same
 * process layout, one after the other in the same minute. The worker role is off, then on.
 * @returns deliveries a second at 64 connections with small bodies, worker off.
 */
export async function measureIngest(setting: Setting, place: Place): Promise<number> {
  let id = 0;
  const load = await startChild('load-process.ts');
  const ingest: Ingest = { setting, place, load, nextId: () => (id += 100_000) };
  const bare = await startChild('bare-process.ts');
  const server = await startServerChild(setting, place, 'ingest');
  let reference = 0;
  try {
    for (const { address } of [bare, server])
      await sendLoad(load, { ...WARM_UP, address, firstId: ingest.nextId(), revision: 0 });
    const sizes = place.kind === 'embedded' ? [SMALL_BYTES] : [SMALL_BYTES, LARGE_BYTES];
    for (const bodyBytes of sizes) {
      for (const connections of CONNECTIONS) {
        const rate = await compare(ingest, { bare, server, bodyBytes, connections });
        if (connections === GOAL_CONNECTIONS && bodyBytes === SMALL_BYTES) reference = rate;
      }
    }
  } finally {
    await Promise.all([bare.stop(), server.stop()]);
  }
  await measureWhole(ingest);
  await load.stop();
  return reference;
}

type Comparison = { bare: Child; server: Child; bodyBytes: number; connections: number };

async function compare(ingest: Ingest, { bare, server, bodyBytes, connections }: Comparison): Promise<number> {
  const { setting, place, load, nextId } = ingest;
  const budget = bodyBytes > SMALL_BYTES ? 8_000 : 24_000;
  const count = Math.ceil((budget * (connections === 1 ? 0.25 : 1)) / (setting.isQuick ? 4 : 1));
  const runs: { bare: LoadReport; own: LoadReport }[] = [];
  const delays: number[] = [];
  let cpuMs = 0;
  let sent = 0;
  for (let repeat = 0; repeat < setting.repeats; repeat++) {
    const order = { connections, count, bodyBytes, firstId: nextId(), revision: 0, maxMs: MAX_RUN_MS, rate: null };
    const ofBare = await sendLoad(load, { ...order, address: bare.address });
    const before = await readLoad(server);
    const own = await sendLoad(load, { ...order, address: server.address });
    const after = await readLoad(server);
    cpuMs += after.cpuMs - before.cpuMs;
    delays.push(after.loopDelayP99Ms);
    sent += own.sent;
    assertAccepted(own);
    runs.push({ bare: ofBare, own });
    if (place.kind === 'postgres') await place.query('TRUNCATE sync.inbox_deliveries');
  }
  const rate = median(runs.map(({ own }) => own.sent / own.seconds));
  const ratio = median(runs.map(({ own, bare: base }) => own.sent / own.seconds / (base.sent / base.seconds)));
  const size = bodyBytes > SMALL_BYTES ? '10 KB' : '1.4 KB';
  const group = `Durable ingest, ${place.kind}, ${size}, ${connections} connections`;
  const isGoal = connections === GOAL_CONNECTIONS;
  const isPostgres = place.kind === 'postgres';
  const { report } = setting;
  report.add(group, 'deliveries', rate, '/s');
  const ratioGoal = isGoal && isPostgres ? atLeast(bodyBytes > SMALL_BYTES ? 0.4 : 0.7) : undefined;
  report.add(group, 'share of the bare route', ratio, '', ratioGoal);
  report.add(group, 'bare route', median(runs.map(({ bare: base }) => base.sent / base.seconds)), '/s');
  report.add(group, 'processor time of the server per delivery', (1000 * cpuMs) / sent, 'µs');
  report.add(group, 'latency p50', median(runs.map(({ own }) => own.p50Ms)), 'ms');
  const isLatencyGoal = isGoal && isPostgres && bodyBytes === SMALL_BYTES;
  report.add(
    group,
    'latency p99',
    median(runs.map(({ own }) => own.p99Ms)),
    'ms',
    isLatencyGoal ? atMost(20) : undefined,
  );
  if (isGoal) {
    const loopGoal = isPostgres ? undefined : atMost(20);
    report.add(group, 'event-loop delay p99 of the server', median(delays), 'ms', loopGoal);
  }
  return rate;
}

/** The same load while the worker applies in the same process, and how long the whole takes until every row is there. */
async function measureWhole({ setting, place, load, nextId }: Ingest): Promise<void> {
  const count = setting.isQuick ? 6_000 : 24_000;
  const server = await startServerChild(setting, place, 'ingest,worker');
  const group = `Ingest and apply together, ${place.kind}, 1.4 KB, ${GOAL_CONNECTIONS} connections`;
  const runs: { accepted: number; applied: number; p99Ms: number }[] = [];
  try {
    await sendLoad(load, { ...WARM_UP, address: server.address, firstId: nextId(), revision: 0 });
    await waitUntilApplied(server, place);
    for (let repeat = 0; repeat < setting.repeats; repeat++) {
      const startedAt = performance.now();
      const own = await sendLoad(load, {
        address: server.address,
        connections: GOAL_CONNECTIONS,
        count,
        bodyBytes: SMALL_BYTES,
        firstId: nextId(),
        revision: 0,
        maxMs: 2 * MAX_RUN_MS,
        rate: null,
      });
      assertAccepted(own);
      const preparedMs = performance.now() - startedAt - own.seconds * 1000;
      await waitUntilApplied(server, place);
      const seconds = (performance.now() - startedAt - preparedMs) / 1000;
      runs.push({ accepted: own.sent / own.seconds, applied: own.sent / seconds, p99Ms: own.p99Ms });
    }
  } finally {
    await server.stop();
  }
  const { report } = setting;
  report.add(group, 'accepted while applying', median(runs.map(({ accepted }) => accepted)), '/s');
  report.add(group, 'first request to last row written', median(runs.map(({ applied }) => applied)), '/s');
  report.add(group, 'latency p99', median(runs.map(({ p99Ms }) => p99Ms)), 'ms');
  await assertRows(place);
}

/** Every delivery spoke of a record of its own: so many rows there must be. */
async function assertRows(place: Place): Promise<void> {
  const counts = await readNumbers(
    place,
    `SELECT (SELECT count(*) FROM bench_customers) AS rows,
            (SELECT count(*) FROM sync.record_states WHERE status = 'live') AS states,
            (SELECT count(*) FROM sync.inbox_deliveries WHERE state = 'applied') AS applied`,
  );
  if (counts.rows !== counts.states || (counts.rows ?? 0) < (counts.applied ?? 0))
    throw new Error(`rows are missing: ${JSON.stringify(counts)}`);
}

function assertAccepted({ statuses, sent }: LoadReport): void {
  if (statuses['202'] !== sent)
    throw new Error(`not every delivery was accepted: ${JSON.stringify({ sent, statuses })}`);
}
