import { type Child, startChild } from './children.ts';
import type { Place } from './places.ts';
import { ENTITY, INTEGRATION } from './records.ts';
import { atLeast, atMost } from './report.ts';
import { readLoad, readNumbers, type Setting, startServerChild } from './setting.ts';

const CHANGED_SHARE = 0.01;
const RUN_POLL_MS = 100;
const MAX_RUN_POLLS = 12_000;
const MEMORY_RECORDS = [20_000, 200_000] as const;

type Form = { readonly pageSize: number; readonly hasVersions: boolean };
type RunFacts = {
  readonly seconds: number;
  readonly seen: number;
  readonly changed: number;
  readonly walBytes: number;
  readonly rowsWritten: number;
  readonly statesWritten: number;
  readonly deadTuples: number;
  readonly peakRssMb: number | null;
  readonly cpuMs: number;
};

/**
 * Full runs of the real server over a list in another process: everything new, nothing changed (twice), one in a hundred
 * changed. Each run has a server of its own, so that its memory and its statistics are its own.
 */
export async function measureReconcile(setting: Setting, place: Place, form: Form): Promise<void> {
  const { records, report } = setting;
  const api = await startChild('api-process.ts', { arguments: [String(records)] });
  const kind = form.hasVersions ? 'timestamps' : 'no versions';
  const group = `Reconcile ${records.toLocaleString('en-US')} records, ${place.kind}, pages of ${form.pageSize}, ${kind}`;
  const isGoal = place.kind === 'postgres' && form.hasVersions;
  const rateGoal = (hundred: number, thousand: number) =>
    isGoal ? atLeast(form.pageSize >= 1000 ? thousand : hundred) : undefined;
  try {
    const fill = await runFull(setting, place, api, form);
    report.add(group, 'first fill', fill.seen / fill.seconds, 'records/s', rateGoal(8_000, 12_000));
    report.add(group, 'first fill: processor time of the server per record', (1000 * fill.cpuMs) / fill.seen, 'µs');
    report.add(group, 'first fill: log per record', fill.walBytes / fill.seen, 'B');
    if (fill.rowsWritten !== records) throw new Error(`${fill.rowsWritten} of ${records} rows were written`);
    await runFull(setting, place, api, form);
    // What the fill left to autovacuum is done now, or its log would be counted as the next run's.
    await place.query('VACUUM (ANALYZE)');
    const quiet = await runFull(setting, place, api, form);
    report.add(group, 'unchanged', quiet.seen / quiet.seconds, 'records/s', rateGoal(20_000, 30_000));
    report.add(group, 'unchanged: processor time of the server per record', (1000 * quiet.cpuMs) / quiet.seen, 'µs');
    report.add(group, 'unchanged: log per record', quiet.walBytes / quiet.seen, 'B', isGoal ? atMost(1) : undefined);
    report.add(group, 'unchanged: target rows written', quiet.rowsWritten, '', atMost(0));
    report.add(group, 'unchanged: record states written', quiet.statesWritten, '');
    report.add(group, 'unchanged: dead tuples made, all tables', quiet.deadTuples, '');
    const response = await fetch(`${api.address}/change?share=${CHANGED_SHARE}`, { method: 'POST' });
    const changed = Number(await response.text());
    const drift = await runFull(setting, place, api, form);
    if (drift.changed !== changed) throw new Error(`${drift.changed} of ${changed} changes were found`);
    report.add(group, '1 % changed', drift.seen / drift.seconds, 'records/s');
    report.add(
      group,
      '1 % changed: log per record',
      drift.walBytes / drift.seen,
      'B',
      isGoal ? atMost(150) : undefined,
    );
    report.add(group, '1 % changed: target rows written', drift.rowsWritten, '');
    report.add(group, '1 % changed: dead tuples made, all tables', drift.deadTuples, '');
    for (const [name, { peakRssMb }] of Object.entries({ 'first fill': fill, unchanged: quiet, '1 % changed': drift }))
      if (peakRssMb !== null) report.add(group, `${name}: peak memory of the server`, peakRssMb, 'MB');
  } finally {
    await api.stop();
  }
}

/** The same two runs at two sizes: memory must not know how many records there are. */
export async function measureMemory(setting: Setting, create: () => Promise<Place>): Promise<void> {
  const group = 'Peak memory of the server, first fill then unchanged, pages of 1000';
  const peaks: number[] = [];
  const idle = await measureStart(setting, await create());
  setting.report.add(group, 'just started, nothing done yet', idle.peakRssMb ?? Number.NaN, 'MB');
  setting.report.add(group, 'start to ready, database migrated', idle.startMs, 'ms', atMost(1_000));
  for (const count of MEMORY_RECORDS) {
    const place = await create();
    const api = await startChild('api-process.ts', { arguments: [String(count)] });
    try {
      const form = { pageSize: 1000, hasVersions: true };
      const fill = await runFull(setting, place, api, form);
      const quiet = await runFull(setting, place, api, form);
      const peak = Math.max(fill.peakRssMb ?? Number.NaN, quiet.peakRssMb ?? Number.NaN);
      peaks.push(peak);
      setting.report.add(group, `${count.toLocaleString('en-US')} records`, peak, 'MB', atMost(256));
    } finally {
      await api.stop();
      await place.remove();
    }
  }
  const [small = Number.NaN, large = Number.NaN] = peaks;
  setting.report.add(group, 'the larger over the smaller', large / small, '', atMost(1.15));
}

/** A server that starts on a database that knows it, and does nothing. Removes the place. */
export async function measureStart(setting: Setting, place: Place) {
  try {
    const server = await startServerChild(setting, place, 'all');
    const { startMs } = server;
    const peakRssMb = server.peakRssMb();
    await server.stop();
    return { startMs, peakRssMb };
  } finally {
    await place.remove();
  }
}

async function runFull(setting: Setting, place: Place, api: Child, form: Form): Promise<RunFacts> {
  const before = await readCosts(place);
  const server = await startServerChild(setting, place, 'worker', {
    BENCH_API_URL: api.address,
    BENCH_PAGE_SIZE: String(form.pageSize),
    BENCH_VERSION: form.hasVersions ? 'timestamp' : 'none',
  });
  let run: Run;
  let peakRssMb: number | null;
  let cpuMs: number;
  try {
    const before = await readLoad(server);
    run = await runToEnd(server);
    cpuMs = (await readLoad(server)).cpuMs - before.cpuMs;
    peakRssMb = server.peakRssMb();
  } finally {
    await server.stop();
  }
  const after = await readCosts(place, before.xid);
  const { seen = 0, inserted = 0, updated = 0 } = run.counts;
  return {
    seconds: (Date.parse(run.finishedAt) - Date.parse(run.startedAt)) / 1000,
    seen,
    changed: inserted + updated,
    walBytes: (after.wal ?? 0) - (before.wal ?? 0),
    rowsWritten: after.rows ?? Number.NaN,
    statesWritten: after.states ?? Number.NaN,
    deadTuples: (after.dead ?? 0) - (before.dead ?? 0),
    peakRssMb,
    cpuMs,
  };
}

/** Exact counts: rows whose `xmin` is of the run, and the log's position. Statistics are complete once the server has ended. */
async function readCosts(place: Place, sinceXid = 0) {
  return await readNumbers(
    place,
    `SELECT txid_current() AS xid, pg_current_wal_lsn() - '0/0' AS wal,
            (SELECT count(*) FROM bench_customers WHERE xmin::text::bigint > ${sinceXid}) AS rows,
            (SELECT count(*) FROM sync.record_states WHERE xmin::text::bigint > ${sinceXid}) AS states,
            (SELECT coalesce(sum(n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables) AS dead`,
  );
}

type Run = {
  readonly state: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly counts: { readonly [name: string]: number };
};

async function runToEnd(server: Child): Promise<Run> {
  const response = await fetch(`${server.address}/sync/reconcile`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ integration: INTEGRATION, entity: ENTITY, mode: 'full' }),
  });
  const answer = Object(await response.json());
  const id = answer.runs?.[0]?.id;
  if (typeof id !== 'string') throw new Error(`no run was queued: ${JSON.stringify(answer)}`);
  for (let poll = 0; poll < MAX_RUN_POLLS; poll++) {
    const run = Object(await (await fetch(`${server.address}/sync/runs/${id}`)).json());
    if (run.finishedAt !== null) {
      if (run.state !== 'succeeded') throw new Error(`the run ended ${run.state}: ${JSON.stringify(run.error)}`);
      return run;
    }
    await new Promise((resolve) => setTimeout(resolve, RUN_POLL_MS));
  }
  throw new Error('the run did not end in time');
}
