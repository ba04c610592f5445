import { performance } from 'node:perf_hooks';
import { describeTarget } from '../src/define/target.ts';
import { type CaptureTarget, installCapture } from '../src/store/capture.ts';
import { hasLocalChanges, takeLocalChanges } from '../src/store/local-changes.ts';
import { alignCaptures } from '../src/sync/capture.ts';
import type { Place } from './places.ts';
import { ENTITY, INTEGRATION } from './records.ts';
import { atMost, median } from './report.ts';
import type { Setting } from './setting.ts';
import config from './syncline.config.ts';

const ROWS = 100_000;
/** A round is short and what else the machine does is not: more rounds than elsewhere, alternating. */
const ROUNDS_PER_REPEAT = 3;
const SINGLE_EDITS = 500;
const TAKE_BATCH = 500;
const LOOKS = 500;
const LOCK_TIMEOUT_MS = 10_000;

const FILL = `INSERT INTO bench_customers
  SELECT 'cus_' || lpad(n::text, 10, '0'), 'customer.' || n || '@example.com', 'Customer ' || n, '+49 30 ' || n,
         repeat('account order invoice ', 5), n * 0.5, n % 10, 'active', true, 'City ' || n % 500, '["a", "b"]', now(), now(), now()
  FROM generate_series(1, ${ROWS}) AS n`;
const EDIT_ALL = 'UPDATE bench_customers SET amount = amount + 1, updated_at = now()';
const editOne = (n: number) =>
  `UPDATE bench_customers SET amount = amount + 1 WHERE external_id = 'cus_${String(n).padStart(10, '0')}'`;

/** What the capture trigger adds to a user's statements, and what it costs to see and take what it captured. */
export async function measureCapture(setting: Setting, place: Place): Promise<void> {
  const { report } = setting;
  const capture = benchCapture();
  await place.query(FILL);
  const rounds = setting.repeats * ROUNDS_PER_REPEAT;
  const bulk = { plain: [] as number[], captured: [] as number[] };
  const cpu = { plain: [] as number[], captured: [] as number[] };
  const single = { plain: [] as number[], captured: [] as number[] };
  await place.withDb(async (db) => {
    const database = { db, exclusively: <T>(_name: string, work: (own: typeof db) => Promise<T>) => work(db) };
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    for (let round = 0; round < rounds; round++) {
      for (const kind of ['plain', 'captured'] as const) {
        await alignCaptures({ database, log, sleep: async () => {} }, []);
        if (kind === 'captured')
          await db.transaction((tx) => installCapture(tx, { capture, isAnew: false }, LOCK_TIMEOUT_MS));
        await tidy(place);
        const cpuBefore = await sessionCpuMs(place);
        bulk[kind].push(await msOf(() => place.query(EDIT_ALL)));
        cpu[kind].push((await sessionCpuMs(place)) - cpuBefore);
        single[kind].push(
          (await msOf(async () => {
            for (let n = 1; n <= SINGLE_EDITS; n++) await place.query(editOne(n));
          })) / SINGLE_EDITS,
        );
      }
    }
  });
  const ratio = (of: typeof bulk) => median(of.captured) / median(of.plain);
  const group = `Capture of edits, ${place.kind}, a table of ${ROWS.toLocaleString('en-US')} rows and 14 columns`;
  report.add(group, 'UPDATE of all rows, not captured', median(bulk.plain), 'ms');
  report.add(group, 'UPDATE of all rows, captured', median(bulk.captured), 'ms');
  report.add(group, 'captured ÷ not captured, all rows', ratio(bulk), '', atMost(1.25));
  if (!Number.isNaN(ratio(cpu)))
    report.add(group, 'the same of processor time, which other programs do not lengthen', ratio(cpu), '');
  report.add(group, 'UPDATE of one row and its commit, captured', median(single.captured), 'ms');
  report.add(group, 'captured ÷ not captured, one row', ratio(single), '', atMost(1.25));

  await tidy(place);
  await place.query(EDIT_ALL);
  await place.withDb(async (db) => {
    let taken = 0;
    const ms = await msOf(async () => {
      for (;;) {
        const edits = await db.transaction((tx) => takeLocalChanges(tx, capture.key, TAKE_BATCH));
        if (edits.length === 0) return;
        taken += edits.length;
      }
    });
    if (taken !== ROWS) throw new Error(`${taken} of ${ROWS} edits were captured`);
    report.add(group, `edits taken, ${TAKE_BATCH} a transaction`, (taken / ms) * 1_000, 'edits/s');
    await place.query('VACUUM sync.local_changes');
    const looks: number[] = [];
    for (let count = 0; count < LOOKS; count++) looks.push(await msOf(() => hasLocalChanges(db, capture.key)));
    report.add(group, 'a look for edits where there are none', median(looks), 'ms');
  });
}

/** What earlier rounds left behind must not be counted. */
async function tidy(place: Place): Promise<void> {
  await place.query('TRUNCATE sync.local_changes');
  await place.query('VACUUM bench_customers');
  await place.query('CHECKPOINT');
}

/** Of the place's own session with its server; NaN where the server does not show it. */
async function sessionCpuMs(place: Place): Promise<number> {
  try {
    const [row] = await place.query(`SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1) AS ns`);
    return Number(row?.ns) / 1e6;
  } catch {
    return Number.NaN;
  }
}

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function benchCapture(): CaptureTarget {
  const form = config.integrations[0]?.entities[ENTITY];
  if (form === undefined) throw new Error(`The configuration has no entity ${ENTITY}`);
  return { key: { integration: INTEGRATION, entity: ENTITY }, target: describeTarget(form) };
}
