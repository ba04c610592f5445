import { z } from 'zod';

/** Of urgent, incremental and full, in this order. */
const byLaneSchema = z.tuple([z.number(), z.number(), z.number()]);
const weightsSchema = z.record(z.string(), z.number());

/** An attempt that may leave, or has left and has not ended. `costs`: what it weighs in each limit that counts it. */
const flightSchema = z.object({
  at: z.number(),
  /** When it must be over: what its process never ended is taken for ended then. */
  until: z.number(),
  lane: z.int().min(0).max(2),
  endpoint: z.string(),
  costs: weightsSchema,
});

/** The number of a slice (rolling) or window (fixed), and the weight by lane of the attempts that count in it. */
const sliceSchema = z.tuple([z.number(), z.number(), z.number(), z.number()]);

/** Attempts that have ended. A list, since an object with 60 changing keys takes a hundred times as long to copy. */
const meterSchema = z.object({ perMs: z.number(), sliceMs: z.number(), spent: z.array(sliceSchema) });

/** What one process waits for in one rank: its first request, and all of them. */
const waiterSchema = z.object({ since: z.number(), until: z.number(), head: weightsSchema, all: weightsSchema });

const learnedSchema = z.object({
  limit: z.number().nullable(),
  /** What was left at `at`, less what was under way then. Grows by `perSecond` up to `limit`. */
  level: z.number(),
  at: z.number(),
  perSecond: z.number(),
  resetAt: z.number().nullable(),
  windowMs: z.number().nullable(),
  /** Weight of attempts that ended without telling of this limit, the last one at `lostAt`. */
  lost: z.number(),
  lostAt: z.number(),
  seenAt: z.number(),
  /** Whether it counts only requests whose answers have named it. */
  isScoped: z.boolean(),
});

const stateSchema = z.object({
  version: z.literal(1),
  /** The latest time seen. */
  at: z.number(),
  hold: z.object({ until: z.number(), askedMs: z.number() }).nullable(),
  meters: z.record(z.string(), meterSchema),
  flights: z.record(z.string(), flightSchema),
  /** By process and rank: `1f2e3d4c/0`. */
  waiters: z.record(z.string(), waiterSchema),
  wantedAt: byLaneSchema,
  /** Since when each lane has been refused without being served; 0: it is not. */
  refusedSince: byLaneSchema,
  learned: z.record(z.string(), learnedSchema),
  /** Which learned limits an endpoint's last answer told of. */
  endpoints: z.record(z.string(), z.array(z.string())),
  /** What requests to an endpoint cost by its last answer, where that is told. */
  costs: weightsSchema,
});

/** The use of one source's limits, as kept in the ledger. Times are ms of the ledger's clock. */
export type LimitState = z.infer<typeof stateSchema>;
export type Learned = z.infer<typeof learnedSchema>;
export type Meter = z.infer<typeof meterSchema>;
export type Slice = z.infer<typeof sliceSchema>;
export type Flight = z.infer<typeof flightSchema>;

/** States of this process, which a ledger in memory gives back as they are. Reading takes ten times as long as a copy. */
const own = new WeakSet<object>();

/** A state that may be kept; nobody changes it any more. */
export function keepState(state: LimitState): LimitState {
  own.add(state);
  return state;
}

const isOwn = (kept: unknown): kept is LimitState => typeof kept === 'object' && kept !== null && own.has(kept);

/**
 * The caller's to change; what is kept stays as it is. What cannot be read, such as the state of another version, counts
 * as nothing known.
 */
export function readState(kept: unknown, nowMs: number): LimitState {
  if (isOwn(kept)) return followClock(copyOf(kept), nowMs);
  const read = stateSchema.safeParse(kept);
  if (read.success) return followClock(read.data, nowMs);
  return {
    version: 1,
    at: nowMs,
    hold: null,
    meters: {},
    flights: {},
    waiters: {},
    wantedAt: [0, 0, 0],
    refusedSince: [0, 0, 0],
    learned: {},
    endpoints: {},
    costs: {},
  };
}

/** As deep as states are changed: what slices, flights, waiters and learned limits hold is only ever replaced whole. */
function copyOf(state: LimitState): LimitState {
  const meters: LimitState['meters'] = {};
  for (const [key, meter] of Object.entries(state.meters)) meters[key] = { ...meter, spent: [...meter.spent] };
  return {
    ...state,
    meters,
    flights: { ...state.flights },
    waiters: { ...state.waiters },
    wantedAt: [...state.wantedAt],
    refusedSince: [...state.refusedSince],
    learned: { ...state.learned },
    endpoints: { ...state.endpoints },
    costs: { ...state.costs },
  };
}

/** Clocks of two sessions may differ by this much without one having been set back. */
const CLOCK_NOISE_MS = 1_000;

/**
 * A clock that was set back must neither free anything nor block for as long as it went back: everything kept moves
 * with it, as if no time had passed.
 */
function followClock(state: LimitState, nowMs: number): LimitState {
  const backMs = state.at - nowMs;
  if (backMs <= CLOCK_NOISE_MS) return { ...state, at: Math.max(state.at, nowMs) };
  const back = (at: number) => at - backMs;
  const map = <From, To>(record: Record<string, From>, move: (value: From) => To): Record<string, To> =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [key, move(value)]));
  return {
    ...state,
    at: nowMs,
    hold: state.hold === null ? null : { ...state.hold, until: back(state.hold.until) },
    meters: map(state.meters, (meter) => ({
      ...meter,
      // Rounded to the later slice, which frees later.
      spent: meter.spent.map(([slice, ...used]): Slice => [slice - Math.floor(backMs / meter.sliceMs), ...used]),
    })),
    flights: map(state.flights, (flight) => ({ ...flight, at: back(flight.at), until: back(flight.until) })),
    waiters: map(state.waiters, (one) => ({ ...one, since: back(one.since), until: back(one.until) })),
    wantedAt: [back(state.wantedAt[0]), back(state.wantedAt[1]), back(state.wantedAt[2])],
    refusedSince: [0, 0, 0],
    learned: map(state.learned, (one) => ({
      ...one,
      at: back(one.at),
      lostAt: back(one.lostAt),
      seenAt: back(one.seenAt),
      resetAt: one.resetAt === null ? null : back(one.resetAt),
    })),
  };
}
