import { LANES, type Lane } from '../lane.ts';
import { MAX_WAIT_MS } from '../retry.ts';
import type { RateLimit } from './definition.ts';
import { MAX_RESET_MS } from './header-value.ts';
import { learn, learnedFor, leftOf, lose, type Observation, rememberCost, renewLearned, weightOf } from './learned.ts';
import { createMeter, dropSpent, freeInMs, spend, spentOf, total } from './meter.ts';
import type { Flight, LimitState } from './state.ts';

/** What a lower lane leaves to each lane above it of every limit, while that one has asked within the last minute. */
const LANE_SHARE = 0.2;
const LANE_DEMAND_MS = 60_000;
/** A lane refused for this long is owed one request, which then goes before all others: so often each lane is served. */
export const OWED_AFTER_MS = 10_000;
/** How often a process that waits looks again; what it waits for is kept free for it a little longer. */
export const POLL_MS = 2_000;
const WAITER_MS = 3_000;
/** The same where only the end of something under way is waited for. */
const SHORT_POLL_MS = 250;
/** Between leave and the attempt's own deadline: reading the clock, a stalled process. */
const GRACE_MS = 30_000;

export type Ask = { readonly id: string; readonly endpoint: string; readonly lane: Lane };

/** An attempt that is over, or was never sent although it had leave. */
export type Ended = {
  readonly id: string;
  readonly flight: Flight;
  readonly wasSent: boolean;
  readonly observations: readonly Observation[];
  readonly cost: number | null;
};

/** Everything that one process has to say at once. */
export type Batch = {
  readonly process: string;
  /** The source asked to be left alone for this long from now. */
  readonly holdMs: number | null;
  readonly ended: readonly Ended[];
  /** In the order in which they are to be served. */
  readonly asks: readonly Ask[];
};

export type Decision =
  | { readonly kind: 'granted'; readonly flight: Flight }
  /** `waitMs`: when there can be room at the earliest. */
  | { readonly kind: 'refused'; readonly waitMs: number; readonly name: string };

type Rules = { readonly limits: readonly RateLimit[]; readonly attemptMs: number };

/** One limit as one request meets it. */
type Constraint = {
  readonly key: string;
  readonly name: string;
  readonly weight: number;
  readonly cap: number;
  readonly room: number;
  readonly usedByLane: readonly number[];
  readonly demandMs: number;
  readonly freeInMs: (missing: number) => number;
};

/**
 * Books what has ended and gives leave to what has room, in the order of asking; changes `state`. A request counts from
 * its leave until a whole window after its end, since it may have arrived at any moment in between.
 */
export function decideBatch(state: LimitState, batch: Batch, rules: Rules): ReadonlyMap<string, Decision> {
  const nowMs = state.at;
  settle(state, batch, rules, nowMs);
  const decisions = new Map<string, Decision>();
  const full = new Set<string>();
  for (const key of Object.keys(state.waiters)) if (key.startsWith(`${batch.process}/`)) delete state.waiters[key];
  for (const ask of batch.asks) state.wantedAt[LANES.indexOf(ask.lane)] = nowMs;
  for (const ask of orderAsks(state, batch.asks, nowMs)) {
    const decision = decideAsk(state, ask, { rules, process: batch.process, nowMs, full });
    decisions.set(ask.id, decision);
    if (decision.kind === 'granted') state.flights[ask.id] = decision.flight;
  }
  return decisions;
}

/** Brings the state up to `nowMs`: ends, deaths, windows that are over. */
export function settle(state: LimitState, batch: Batch, rules: Rules, nowMs: number): void {
  if (batch.holdMs !== null && nowMs + batch.holdMs > (state.hold?.until ?? 0)) {
    state.hold = { until: nowMs + batch.holdMs, askedMs: batch.holdMs };
  }
  if (state.hold !== null && state.hold.until <= nowMs) state.hold = null;
  renewLearned(state, nowMs);
  for (const ended of batch.ended) endFlight(state, ended, rules, nowMs);
  // What an answer tells may be over by the time that it is told here.
  renewLearned(state, nowMs);
  for (const [id, flight] of Object.entries(state.flights)) {
    if (flight.until > nowMs) continue;
    delete state.flights[id];
    book(state, flight, rules, flight.until);
    lose(state, flight, nowMs);
  }
  for (const [key, waiter] of Object.entries(state.waiters)) if (waiter.until <= nowMs) delete state.waiters[key];
  dropSpent(state, nowMs);
}

function endFlight(state: LimitState, ended: Ended, rules: Rules, nowMs: number): void {
  // One that was taken for dead is booked again, since it was not: it ends only now.
  const flight = state.flights[ended.id] ?? ended.flight;
  delete state.flights[ended.id];
  if (!ended.wasSent) return;
  book(state, flight, rules, nowMs);
  if (ended.cost !== null) rememberCost(state, flight.endpoint, ended.cost);
  if (ended.observations.length === 0) lose(state, flight, nowMs);
  else learn(state, flight, ended.observations, nowMs);
}

function book(state: LimitState, flight: Flight, { limits }: Rules, endMs: number): void {
  for (const { key, budget } of limits) {
    const weight = flight.costs[key];
    if (budget === null || weight === undefined) continue;
    const meter = state.meters[key] ?? createMeter(budget);
    spend(meter, flight, weight, endMs);
    state.meters[key] = meter;
  }
}

/** 0: owed; then the lanes. */
const rankOf = (state: LimitState, lane: number, nowMs: number): number => {
  const since = state.refusedSince[lane] ?? 0;
  return since > 0 && nowMs - since >= OWED_AFTER_MS ? 0 : lane + 1;
};

type RankedAsk = Ask & { readonly rank: number; readonly laneIndex: number };

/** The first request of a lane that is owed one goes first. */
function orderAsks(state: LimitState, asks: readonly Ask[], nowMs: number): RankedAsk[] {
  const owed = new Set<number>();
  return asks
    .map((ask) => {
      const laneIndex = LANES.indexOf(ask.lane);
      const isFirst = !owed.has(laneIndex);
      owed.add(laneIndex);
      return { ...ask, laneIndex, rank: isFirst ? rankOf(state, laneIndex, nowMs) : laneIndex + 1 };
    })
    .sort((left, right) => left.rank - right.rank);
}

type Asking = { rules: Rules; process: string; nowMs: number; full: Set<string> };

function decideAsk(state: LimitState, ask: RankedAsk, asking: Asking): Decision {
  const { rules, process, nowMs, full } = asking;
  const { laneIndex, rank } = ask;
  const constraints = constraintsOf(state, ask.endpoint, rules, nowMs);
  const refusals = constraints.flatMap((one) => {
    // What weighs nothing is not held up by those who wait for room.
    if (one.weight === 0) return [];
    const kept = keptFree(state, one, ask, process, nowMs);
    const missing = one.weight + kept - one.room;
    if (missing <= 0 && !full.has(one.key)) return [];
    full.add(one.key);
    const waitMs = one.weight <= one.room ? POLL_MS : Math.max(1, Math.ceil(one.freeInMs(one.weight - one.room)));
    return [{ waitMs, name: one.name }];
  });
  const [first] = refusals.sort((left, right) => right.waitMs - left.waitMs);
  const costs: Record<string, number> = {};
  for (const { key, weight } of constraints) costs[baseKey(key)] = weight;
  if (first === undefined) {
    state.refusedSince[laneIndex] = 0;
    const until = nowMs + rules.attemptMs + GRACE_MS;
    return { kind: 'granted', flight: { at: nowMs, until, lane: laneIndex, endpoint: ask.endpoint, costs } };
  }
  if (!state.refusedSince[laneIndex]) state.refusedSince[laneIndex] = nowMs;
  // Who is sent away waits for nothing here.
  if (first.waitMs <= MAX_WAIT_MS) noteWaiter(state, `${process}/${rank}`, costs, first.waitMs, nowMs);
  return { kind: 'refused', ...first };
}

function noteWaiter(state: LimitState, key: string, costs: Record<string, number>, waitMs: number, nowMs: number) {
  const known = state.waiters[key];
  const all = { ...known?.all };
  for (const [limit, weight] of Object.entries(costs)) all[limit] = (all[limit] ?? 0) + weight;
  const until = Math.max(known?.until ?? 0, nowMs + Math.min(waitMs, POLL_MS) + WAITER_MS - POLL_MS);
  state.waiters[key] = { since: known?.since ?? nowMs, until, head: known?.head ?? costs, all };
}

/** What of a limit is not for this request: others' shares, and what others wait for that come before it. */
function keptFree(
  state: LimitState,
  one: Constraint,
  { rank, laneIndex }: RankedAsk,
  process: string,
  nowMs: number,
): number {
  if (rank === 0) return 0;
  let kept = 0;
  for (let higher = 0; higher < laneIndex; higher++) {
    if (nowMs - (state.wantedAt[higher] ?? 0) >= one.demandMs) continue;
    kept += Math.max(0, Math.floor(one.cap * LANE_SHARE) - (one.usedByLane[higher] ?? 0));
  }
  let waiting = 0;
  for (const [key, waiter] of Object.entries(state.waiters)) {
    const other = Number(key.split('/')[1]);
    if (key.startsWith(`${process}/`) || other >= rank) continue;
    waiting += (other === 0 ? waiter.head : waiter.all)[baseKey(one.key)] ?? 0;
  }
  return Math.max(kept, waiting);
}

const CONCURRENT = '#concurrent';
const baseKey = (key: string): string => (key.endsWith(CONCURRENT) ? key.slice(0, -CONCURRENT.length) : key);

function constraintsOf(state: LimitState, endpoint: string, { limits }: Rules, nowMs: number): Constraint[] {
  const flights = Object.values(state.flights);
  const underWay = (key: string, weigh: (weight: number) => number): number[] =>
    LANES.map((_, lane) =>
      total(flights.map(({ costs, lane: own }) => (own === lane && key in costs ? weigh(costs[key] ?? 0) : 0))),
    );
  const declared = limits
    .filter(({ matches }) => matches(endpoint))
    .flatMap(({ key, name, budget, concurrent }): Constraint[] => {
      const found: Constraint[] = [];
      // Before the budget, whose weight is the one kept under the key.
      if (concurrent !== null) {
        const usedByLane = underWay(key, () => 1);
        const room = concurrent - total(usedByLane);
        const base = { key: `${key}${CONCURRENT}`, name, weight: 1, cap: concurrent, room, usedByLane };
        found.push({ ...base, demandMs: LANE_DEMAND_MS, freeInMs: () => SHORT_POLL_MS });
      }
      if (budget !== null) {
        const meter = state.meters[key] ?? createMeter(budget);
        const inFlight = underWay(key, (weight) => weight);
        const usedByLane = spentOf(meter, nowMs).map((spent, lane) => spent + (inFlight[lane] ?? 0));
        found.push({
          key,
          name,
          weight: budget.weightOf(endpoint),
          cap: budget.requests,
          room: budget.requests - total(usedByLane),
          usedByLane,
          demandMs: Math.min(budget.perMs, LANE_DEMAND_MS),
          freeInMs: (missing) => freeInMs(meter, missing, nowMs),
        });
      }
      return found;
    });
  const learned = learnedFor(state, endpoint).flatMap((key): Constraint[] => {
    const one = state.learned[key];
    if (one === undefined) return [];
    const usedByLane = underWay(key, (weight) => weight);
    const weight = weightOf(state, key, endpoint);
    const left = leftOf(one, nowMs);
    const room = left - total(usedByLane);
    const freeLater = (missing: number) => {
      // What is under way may be counted in what is left already: its answers will tell.
      if (left >= weight) return SHORT_POLL_MS;
      return one.resetAt === null ? Math.min((missing * 1_000) / one.perSecond, MAX_RESET_MS) : one.resetAt - nowMs;
    };
    const base = { key, name: key.slice(1), weight, cap: one.limit ?? 0, usedByLane };
    return [{ ...base, room, demandMs: LANE_DEMAND_MS, freeInMs: freeLater }];
  });
  return [...declared, ...learned];
}
