import { uuidv7 } from 'uuidv7';
import type { Db } from './db/connect.ts';
import { readDatabaseNow } from './db/instants.ts';
import { allOf } from './lib/all-of.ts';
import type { Log } from './lib/log.ts';
import { findEditedStreams } from './store/local-changes.ts';
import { applyTwoWay } from './sync/apply-two-way.ts';
import type { CrashPoint } from './sync/deps.ts';
import type { Integration } from './sync/integration.ts';
import { planOnce } from './sync/plan-pushes.ts';
import { pushOnce, resolveOnce } from './sync/push.ts';
import type { PushDeps } from './sync/push-deps.ts';
import { createPushSource } from './sync/push-source.ts';
import { createRecordStore } from './sync/record-tx.ts';
import { type Stream, streamName } from './sync/stream.ts';

/** An edit that nobody announces is seen this soon. */
const PLAN_POLL_MS = 200;
const PUSH_POLL_MS = 200;
const RESOLVE_POLL_MS = 1_000;
/** Captured edits that are planned in one transaction. */
const PLAN_BATCH = 500;
/** Requests of one pass, side by side. */
const PUSH_BATCH = 8;
const RESOLVE_BATCH = 8;
/** Passes of one integration at the same time: a slow answer holds up only those of its own pass. */
const PUSH_LOOPS = 2;
/** How long a request under way may still be answered once the server stops. Then its outcome is unknown, and is resolved. */
const CALL_GRACE_MS = 4_000;

export type TwoWayOptions = {
  readonly db: Db;
  readonly log: Log;
  readonly integrations: ReadonlyMap<string, Integration>;
  readonly random: () => number;
  readonly crashPoint: (name: CrashPoint) => Promise<void> | void;
  readonly wakeHints: () => void;
  /** Wakes a loop by its name, where it runs here. */
  readonly wake: (loop: string) => void;
};

export type TwoWayLoop = {
  readonly name: string;
  readonly pollMs: number;
  readonly runOnce: (signal: AbortSignal) => Promise<boolean>;
};

export type TwoWayWorkers = {
  /** What the flows of each two-way stream work with, by `integration/entity`. */
  readonly deps: ReadonlyMap<string, PushDeps>;
  readonly loops: readonly TwoWayLoop[];
};

/** The way out: from captured edits to the sources, for every integration that has a two-way stream. Starts nothing. */
export function createTwoWayWorkers(options: TwoWayOptions): TwoWayWorkers {
  const deps = new Map<string, PushDeps>();
  const loops: TwoWayLoop[] = [];
  for (const [name, { streams }] of options.integrations) {
    const own = [...streams.values()].flatMap((stream) => pushDepsOf(options, stream) ?? []);
    for (const one of own) deps.set(streamName(one.stream.key), one);
    if (own.length > 0) loops.push(...loopsOf(options, name, own));
  }
  return { deps, loops };
}

function pushDepsOf(options: TwoWayOptions, stream: Stream): PushDeps | null {
  const { db, log, random, crashPoint, wakeHints } = options;
  const { twoWay } = stream;
  if (twoWay === null) return null;
  const { integration } = stream.key;
  const twoWayStream = { ...stream, twoWay };
  return {
    stream: twoWayStream,
    store: createRecordStore(db, stream),
    source: createPushSource({ client: stream.client, stream, now: () => readDatabaseNow(db) }),
    apply: (tx, sightings) => applyTwoWay(tx, twoWayStream, sightings, { repairs: false }),
    newId: uuidv7,
    random,
    log,
    wakePushes: () => {
      for (let place = 0; place < PUSH_LOOPS; place++) options.wake(pushLoopOf(integration, place));
    },
    wakeHints,
    crashPoint,
  };
}

function loopsOf({ db }: TwoWayOptions, integration: string, own: readonly PushDeps[]): TwoWayLoop[] {
  const plan = async (): Promise<boolean> => {
    const edited = await findEditedStreams(
      db,
      own.map(({ stream }) => stream.key),
    );
    const names = new Set(edited.map(streamName));
    let hasMore = false;
    for (const deps of own) {
      if (!names.has(streamName(deps.stream.key))) continue;
      hasMore = (await planOnce(deps, PLAN_BATCH)).taken >= PLAN_BATCH || hasMore;
    }
    return hasMore;
  };
  const push = async (signal: AbortSignal): Promise<boolean> => {
    const reports = await withGrace(signal, (calls) => allOf(own.map((deps) => pushOnce(deps, PUSH_BATCH, calls))));
    // Those that could not be sent wait for their time, so only what went on is worth another look at once.
    return reports.some(({ looked, settled }) => settled > 0 || looked >= PUSH_BATCH);
  };
  const resolve = async (signal: AbortSignal): Promise<boolean> => {
    const reports = await withGrace(signal, (calls) =>
      allOf(own.map((deps) => resolveOnce(deps, RESOLVE_BATCH, calls))),
    );
    // All of a full pass asked in vain: they wait for their time, as those behind them can.
    return reports.some(({ looked, unknown }) => looked >= RESOLVE_BATCH && unknown < RESOLVE_BATCH);
  };
  return [
    { name: `plan-${integration}`, pollMs: PLAN_POLL_MS, runOnce: plan },
    ...Array.from({ length: PUSH_LOOPS }, (_, place) => ({
      name: pushLoopOf(integration, place),
      pollMs: PUSH_POLL_MS,
      runOnce: push,
    })),
    { name: `resolve-${integration}`, pollMs: RESOLVE_POLL_MS, runOnce: resolve },
  ];
}

const pushLoopOf = (integration: string, place: number): string => `push-${integration}-${place}`;

/** A pass whose requests are cut off only some time after the server has begun to stop. */
async function withGrace<T>(stopping: AbortSignal, run: (calls: AbortSignal) => Promise<T>): Promise<T> {
  const calls = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onStop = (): void => {
    timer = setTimeout(() => calls.abort(), CALL_GRACE_MS);
  };
  stopping.addEventListener('abort', onStop, { once: true });
  try {
    return await run(calls.signal);
  } finally {
    stopping.removeEventListener('abort', onStop);
    clearTimeout(timer);
  }
}
