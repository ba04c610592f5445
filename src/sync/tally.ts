import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';
import type { LeasedRun, RunCounts } from '../model/run.ts';
import type { DeliveryCount, DeliveryFate, StreamCounters } from '../store/status.ts';

/** A difference that the reconciler found: each is a change that no webhook brought. */
export type DriftKind = 'missing' | 'stale' | 'deleted' | 'repaired';

type Running = { -readonly [name in keyof StreamCounters]: StreamCounters[name] };

const DRIFT_FIELDS = {
  missing: 'driftMissing',
  stale: 'driftStale',
  deleted: 'driftDeleted',
  repaired: 'driftRepaired',
} as const;

/**
 * Counts in memory what happened to each stream, until somebody writes it down: one status row a stream would else be
 * the hottest row of the database. What a crash takes with it is a few seconds of counting, never a record.
 */
export function createTally() {
  let running = new Map<string, Running>();
  let deliveries = new Map<string, { integration: string; fate: DeliveryFate; count: number }>();

  const of = ({ integration, entity }: StreamKey): Running => {
    const name = `${integration}/${entity}`;
    const known = running.get(name);
    if (known !== undefined) return known;
    const fresh: Running = {
      integration,
      entity,
      hookApplied: 0,
      lastHookAt: null,
      driftMissing: 0,
      driftStale: 0,
      driftDeleted: 0,
      driftRepaired: 0,
    };
    running.set(name, fresh);
    return fresh;
  };

  const drift = (key: StreamKey, kind: DriftKind, count: number): void => {
    if (count > 0) of(key)[DRIFT_FIELDS[kind]] += count;
  };

  const countDeliveries = (integration: string, fate: DeliveryFate, count: number): void => {
    if (count === 0) return;
    const name = `${integration}/${fate}`;
    const known = deliveries.get(name);
    if (known === undefined) deliveries.set(name, { integration, fate, count });
    else known.count += count;
  };

  return {
    drift,
    /** What became of deliveries, or of events in them. */
    deliveries: countDeliveries,
    /** A delivery spoke of this stream at `at`, and `applied` records changed by it. */
    hook(key: StreamKey, applied: number, at: Instant): void {
      const counters = of(key);
      counters.hookApplied += applied;
      counters.lastHookAt = Math.max(counters.lastHookAt ?? at, at);
    },
    /** A read that a delivery asked for changed a record. */
    hookRead(key: StreamKey): void {
      of(key).hookApplied += 1;
    },
    /** What a page changed. A first load is no drift: nothing had been promised yet. */
    runPage(key: StreamKey, run: LeasedRun, counts: Partial<RunCounts>): void {
      if (run.isDryRun || run.isBackfill) return;
      drift(key, 'missing', counts.inserted ?? 0);
      drift(key, 'stale', counts.updated ?? 0);
      drift(key, 'deleted', counts.deleted ?? 0);
      drift(key, 'repaired', counts.repaired ?? 0);
    },
    /** Counts again what could not be written down. */
    putBack(taken: Taken): void {
      for (const { integration, fate, count } of taken.deliveries) countDeliveries(integration, fate, count);
      for (const lost of taken.streams) {
        const counted = of(lost);
        counted.hookApplied += lost.hookApplied;
        if (lost.lastHookAt !== null)
          counted.lastHookAt = Math.max(counted.lastHookAt ?? lost.lastHookAt, lost.lastHookAt);
        for (const field of Object.values(DRIFT_FIELDS)) counted[field] += lost[field];
      }
    },
    /** Everything counted since the last call. */
    take(): Taken {
      const taken = { streams: [...running.values()], deliveries: [...deliveries.values()] };
      running = new Map();
      deliveries = new Map();
      return taken;
    },
  };
}

type Taken = { readonly streams: readonly StreamCounters[]; readonly deliveries: readonly DeliveryCount[] };
export type Tally = ReturnType<typeof createTally>;
