import { uuidv7 } from 'uuidv7';
import type { Db } from './db/connect.ts';
import { readDatabaseNow } from './db/instants.ts';
import type { Log } from './lib/log.ts';
import type { StreamKey } from './model/observation.ts';
import type { Order } from './model/push.ts';
import { hasLocalChanges } from './store/local-changes.ts';
import { applyTwoWay } from './sync/apply-two-way.ts';
import type { CrashPoint } from './sync/deps.ts';
import type { Integration } from './sync/integration.ts';
import { planOnce } from './sync/plan-pushes.ts';
import { pumpPushes } from './sync/pump-pushes.ts';
import { resolveOnce } from './sync/push.ts';
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
/** Requests of one push loop, side by side. */
const PUSH_SLOTS = 8;
const RESOLVE_BATCH = 8;
/** Of each stream: one begins with the oldest pushes, one with the newest. */
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

/** The way out: from captured edits to the sources, for every two-way stream. Starts nothing. */
export function createTwoWayWorkers(options: TwoWayOptions): TwoWayWorkers {
  const deps = new Map<string, PushDeps>();
  const loops: TwoWayLoop[] = [];
  for (const { streams } of options.integrations.values()) {
    for (const stream of streams.values()) {
      const own = pushDepsOf(options, stream);
      if (own === null) continue;
      deps.set(streamName(stream.key), own);
      loops.push(...loopsOf(options, own));
    }
  }
  return { deps, loops };
}

function pushDepsOf(options: TwoWayOptions, stream: Stream): PushDeps | null {
  const { db, log, random, crashPoint, wakeHints } = options;
  const { twoWay } = stream;
  if (twoWay === null) return null;
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
      for (const name of pushLoopsOf(stream.key)) options.wake(name);
    },
    wakeHints,
    crashPoint,
  };
}

/** Each stream has loops of its own: neither a slow answer nor a table that is gone holds up the streams beside it. */
function loopsOf({ db }: TwoWayOptions, deps: PushDeps): TwoWayLoop[] {
  const { key } = deps.stream;
  let passes = 0;
  const plan = async (): Promise<boolean> => {
    passes++;
    if (!(await hasLocalChanges(db, key))) return false;
    return (await planOnce(deps, PLAN_BATCH, orderOf(passes))).taken >= PLAN_BATCH;
  };
  const push =
    (place: number) =>
    async (stopping: AbortSignal): Promise<boolean> => {
      const how = { slots: PUSH_SLOTS, pollMs: PUSH_POLL_MS, order: orderOf(place), stopping };
      await withGrace(stopping, (cutOff) => pumpPushes(deps, { ...how, cutOff }));
      return false;
    };
  const resolve = async (signal: AbortSignal): Promise<boolean> => {
    const { looked, unknown } = await withGrace(signal, (calls) => resolveOnce(deps, RESOLVE_BATCH, calls));
    // All of a full pass asked in vain: they wait for their time, as those behind them can.
    return looked >= RESOLVE_BATCH && unknown < RESOLVE_BATCH;
  };
  return [
    { name: `plan-${streamName(key)}`, pollMs: PLAN_POLL_MS, runOnce: plan },
    ...pushLoopsOf(key).map((name, place) => ({ name, pollMs: PUSH_POLL_MS, runOnce: push(place) })),
    { name: `resolve-${streamName(key)}`, pollMs: RESOLVE_POLL_MS, runOnce: resolve },
  ];
}

/**
 * Every second planning pass, and one of two push loops, begins with the newest: a single edit is soon on its way though a statement before it has touched every
 * row, and those that wait the longest go on all the same.
 */
const orderOf = (place: number): Order => (place % 2 === 0 ? 'oldest' : 'newest');

const pushLoopsOf = (key: StreamKey): string[] =>
  Array.from({ length: PUSH_LOOPS }, (_, place) => `push-${streamName(key)}-${place}`);

/** A pass whose requests are cut off only some time after the server has begun to stop. */
async function withGrace<T>(stopping: AbortSignal, run: (calls: AbortSignal) => Promise<T>): Promise<T> {
  const calls = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onStop = (): void => {
    timer = setTimeout(() => calls.abort(), CALL_GRACE_MS);
  };
  // Nothing is begun any more: there is nothing to wait for.
  if (stopping.aborted) calls.abort();
  else stopping.addEventListener('abort', onStop, { once: true });
  try {
    return await run(calls.signal);
  } finally {
    stopping.removeEventListener('abort', onStop);
    clearTimeout(timer);
  }
}
