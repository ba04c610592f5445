import fc from 'fast-check';
import { test } from 'tap';
import { addMs, type Instant, instantFromMs } from '../../src/model/instant.ts';
import type { LeasedRun } from '../../src/model/run.ts';
import { NO_COUNTS } from '../../src/model/run.ts';
import type { Mark, StreamProgress } from '../../src/store/streams.ts';
import { settleCursor } from '../../src/sync/settle-cursor.ts';
import type { Stream } from '../../src/sync/stream.ts';

const START_MS = 1_000_000_000;
const LAG_MS = 500;
const YEAR_MS = 365 * 86_400_000;
const KEY = { integration: 'shop', entity: 'customers' };
const IDLE: StreamProgress = {
  ...KEY,
  cursor: null,
  marks: [],
  needsFullAt: null,
  lastFullStartedAt: null,
  pausedReason: null,
};

type Source = { readonly versionKind: 'counter' | 'timestamp'; readonly tickMs: number };
/** A record got `key` at `at`; lists show it from `visibleAt` on. */
type Change = { readonly record: number; readonly key: bigint; readonly visibleAt: Instant };
type Plan = {
  readonly changes: readonly {
    readonly gapMs: number;
    readonly record: number;
    readonly hiddenMs: number;
    /** How far ahead of the clock a stamp lies; such a stamp may be any. */
    readonly aheadMs: number;
  }[];
  /** When the runs start, and how long each of their pages takes. */
  readonly runs: readonly { readonly gapMs: number; readonly pageMs: number }[];
};

const planArbitrary: fc.Arbitrary<Plan> = fc.record({
  changes: fc.array(
    fc.record({
      gapMs: fc.integer({ min: 1, max: 700 }),
      record: fc.integer({ min: 0, max: 4 }),
      hiddenMs: fc.integer({ min: 0, max: LAG_MS - 1 }),
      aheadMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 10 * YEAR_MS })),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  runs: fc.array(fc.record({ gapMs: fc.integer({ min: 1, max: 1500 }), pageMs: fc.integer({ min: 1, max: 400 }) }), {
    minLength: 1,
    maxLength: 8,
  }),
});

function makeChanges({ versionKind, tickMs }: Source, plan: Plan): Change[] {
  let atMs = START_MS;
  return plan.changes.map(({ gapMs, record, hiddenMs, aheadMs }, place) => {
    atMs += gapMs;
    const stampMs = Math.floor((atMs + aheadMs) / tickMs) * tickMs;
    const key = versionKind === 'counter' ? BigInt(place + 1) : BigInt(stampMs * 1000);
    return { record, key, visibleAt: instantFromMs(atMs + hiddenMs) };
  });
}

/** What a list shows at `at`: each record with its newest visible change, in pages of two. */
function pageAt(changes: readonly Change[], at: Instant, since: bigint | null, page: number): Change[] {
  const rows = new Map<number, Change>();
  for (const change of changes) {
    const known = rows.get(change.record);
    if (change.visibleAt <= at && (known === undefined || changes.indexOf(known) < changes.indexOf(change))) {
      rows.set(change.record, change);
    }
  }
  return [...rows.values()]
    .filter(({ key }) => since === null || key >= since)
    .sort((left, right) => left.record - right.record)
    .filter((_, place) => Math.floor(place / 2) === page);
}

const streamOf = ({ versionKind }: Source): Stream =>
  ({
    key: KEY,
    caps: {
      versionKind,
      versionSkew: 0n,
      canGet: true,
      readLagMs: LAG_MS,
      deleteEvents: 'unversioned',
      canUndelete: true,
    },
    changedSince: { param: 'since', format: String, query: {}, overlap: 0n },
  }) as unknown as Stream;

const runOf = (mode: 'full' | 'incremental', startedAt: Instant): LeasedRun => ({
  ...KEY,
  id: 'run',
  mode,
  trigger: 'schedule',
  isDryRun: false,
  isBackfill: false,
  since: null,
  onlyIds: null,
  state: 'running',
  isCancelRequested: false,
  createdAt: startedAt,
  startedAt,
  finishedAt: null,
  startCursor: null,
  pageCursor: null,
  isListed: true,
  isIdsComplete: true,
  maxKey: null,
  pages: 1,
  resumeAt: null,
  stalls: 0,
  counts: NO_COUNTS,
  candidates: null,
  liveBefore: null,
  approvedBy: null,
  errorCode: null,
  error: null,
  leaseToken: 'token',
});

/** True when each record's last change was shown by some run: a full one first, then incremental ones, the last in quiet. */
function seesEverything(source: Source, plan: Plan, settle: typeof settleCursor): boolean {
  const changes = makeChanges(source, plan);
  const stream = streamOf(source);
  const seen = new Map<number, number>();
  let cursor: bigint | null = null;
  let marks: readonly Mark[] = [];
  let now = instantFromMs(START_MS);
  const quiet = addMs(Math.max(...changes.map(({ visibleAt }) => visibleAt)), 10);
  const starts = [...plan.runs, { gapMs: 0, pageMs: 1 }];
  for (const [place, { gapMs, pageMs }] of starts.entries()) {
    now = place === starts.length - 1 ? Math.max(now, quiet) : addMs(now, gapMs);
    const mode = place === 0 ? 'full' : 'incremental';
    const startedAt = now;
    let maxKey: bigint | null = null;
    for (let page = 0; page < 3; page++) {
      now = addMs(now, pageMs);
      for (const change of pageAt(changes, now, mode === 'full' ? null : cursor, page)) {
        seen.set(change.record, Math.max(seen.get(change.record) ?? -1, changes.indexOf(change)));
        // As the reconciler's checkpoint counts it.
        if ((mode === 'incremental' || page === 0) && (maxKey === null || change.key > maxKey)) maxKey = change.key;
      }
    }
    const progress: StreamProgress = {
      ...KEY,
      cursor,
      marks,
      needsFullAt: null,
      lastFullStartedAt: null,
      pausedReason: null,
    };
    ({ cursor, marks } = settle(stream, { run: runOf(mode, startedAt), maxKey, progress, now }));
  }
  return changes.every((change, place) => {
    const isLast = !changes.some((later, laterPlace) => laterPlace > place && later.record === change.record);
    return !isLast || seen.get(change.record) === place;
  });
}

const sources: readonly (readonly [name: string, source: Source])[] = [
  ['counter', { versionKind: 'counter', tickMs: 1 }],
  ['millisecond stamps', { versionKind: 'timestamp', tickMs: 1 }],
  ['second stamps', { versionKind: 'timestamp', tickMs: 1000 }],
  ['two-second stamps', { versionKind: 'timestamp', tickMs: 2000 }],
];

for (const [name, source] of sources) {
  test(`incremental runs miss no change, however late it shows (${name})`, async () => {
    fc.assert(
      fc.property(planArbitrary, (plan) => seesEverything(source, plan, settleCursor)),
      { numRuns: 2000 },
    );
  });
}

const mutants: readonly (readonly [name: string, settle: typeof settleCursor])[] = [
  [
    'to the greatest key seen',
    (_stream, { maxKey, progress }) => ({ cursor: maxKey ?? progress?.cursor ?? null, marks: [] }),
  ],
  ['to the present time', (_stream, { now }) => ({ cursor: BigInt(Math.trunc(now)), marks: [] })],
];
for (const [name, settle] of mutants) {
  test(`changes are missed when the cursor moves ${name}`, async (t) => {
    const source: Source = { versionKind: 'timestamp', tickMs: 1 };
    const property = fc.property(planArbitrary, (plan) => seesEverything(source, plan, settle));
    t.ok(fc.check(property, { numRuns: 2000, seed: 7 }).failed);
  });
}

test('the cursor moves on when runs follow each other and nothing changes', async (t) => {
  const stream = streamOf({ versionKind: 'timestamp', tickMs: 1 });
  const first = instantFromMs(START_MS);
  const progress = {
    ...KEY,
    cursor: 5n,
    marks: [{ at: first, key: 9n }],
    needsFullAt: null,
    lastFullStartedAt: null,
    pausedReason: null,
  };
  const early = settleCursor(stream, {
    run: runOf('incremental', addMs(first, LAG_MS - 1)),
    maxKey: 9n,
    progress,
    now: addMs(first, LAG_MS),
  });
  t.equal(early.cursor, 5n, 'not before a read lag has passed since the key was seen');
  const late = settleCursor(stream, {
    run: runOf('incremental', addMs(first, LAG_MS)),
    maxKey: 9n,
    progress,
    now: addMs(first, LAG_MS + 1),
  });
  t.same(late, { cursor: 9n, marks: [] });
});

test('a stamp far ahead of the clock does not carry the cursor past what comes next', async (t) => {
  const stream = streamOf({ versionKind: 'timestamp', tickMs: 1 });
  let now = instantFromMs(START_MS);
  const far = BigInt(addMs(now, YEAR_MS));
  let progress: StreamProgress = { ...IDLE, cursor: 5n, marks: [{ at: addMs(now, -LAG_MS), key: far }] };
  for (let turn = 0; turn < 3; turn++) {
    const settled = settleCursor(stream, { run: runOf('incremental', now), maxKey: far, progress, now: addMs(now, 1) });
    t.ok(settled.cursor !== null && settled.cursor < BigInt(now), 'it stays behind the clock');
    t.ok((settled.cursor ?? 0n) > (progress.cursor ?? 0n), 'and follows it');
    progress = { ...progress, ...settled };
    now = addMs(now, 60_000);
  }
});

test('a full run takes back a cursor that lies ahead of its start, other runs do not', async (t) => {
  const stream = streamOf({ versionKind: 'timestamp', tickMs: 1 });
  const now = instantFromMs(START_MS);
  const far = BigInt(addMs(now, YEAR_MS));
  const progress: StreamProgress = { ...IDLE, cursor: far };
  const settle = (mode: 'full' | 'incremental') =>
    settleCursor(stream, { run: runOf(mode, now), maxKey: null, progress, now }).cursor;
  t.ok((settle('full') ?? far) < BigInt(now));
  t.equal(settle('incremental'), far, 'it has not read what lies between');
});

test('a run that began before the definition changed leaves the cursor alone', async (t) => {
  const stream = streamOf({ versionKind: 'timestamp', tickMs: 1 });
  const now = instantFromMs(START_MS);
  const progress: StreamProgress = { ...IDLE, needsFullAt: addMs(now, 1) };
  const settled = settleCursor(stream, { run: runOf('full', now), maxKey: BigInt(now), progress, now: addMs(now, 2) });
  t.same(settled, { cursor: null, marks: [] });
});

test('a run from a moment of the operator’s own leaves the cursor where it is', async (t) => {
  const stream = streamOf({ versionKind: 'timestamp', tickMs: 1 });
  const progress = {
    ...KEY,
    cursor: 5n,
    marks: [{ at: 0, key: 9n }],
    needsFullAt: null,
    lastFullStartedAt: null,
    pausedReason: null,
  };
  const run = { ...runOf('incremental', instantFromMs(START_MS)), since: 1 };
  t.same(settleCursor(stream, { run, maxKey: 20n, progress, now: run.startedAt }), {
    cursor: 5n,
    marks: progress.marks,
  });
});
