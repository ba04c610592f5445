import type { Flight, Learned, LimitState } from './state.ts';

/** What one answer tells of one limit. */
export type Observation = {
  /** Which limit: answers that tell of the same one agree on it. */
  readonly key: string;
  readonly limit: number | null;
  readonly remaining: number;
  /** From the answer on; null when it does not say. At most a day. */
  readonly resetMs: number | null;
  readonly windowMs: number | null;
  /** What comes back by itself, each second. */
  readonly perSecond: number;
  readonly isScoped: boolean;
};

/** A source that forgets us is asked again: nothing learned is believed for longer than this without a reset. */
const UNTOLD_RESET_MS = 60_000;
const KEEP_LEARNED_MS = 86_400_000;
const MAX_LEARNED = 32;
const MAX_ENDPOINTS = 200;

export const learnedKeyOf = (key: string): string => `~${key}`;

/** Which learned limits count requests to an endpoint. One not seen yet is counted by all that are not a resource's own. */
export function learnedFor(state: LimitState, endpoint: string): string[] {
  const seen = state.endpoints[endpoint];
  return Object.keys(state.learned).filter((key) => seen?.includes(key) ?? !state.learned[key]?.isScoped);
}

/** What is left of a learned limit, without what is under way. */
export const leftOf = (one: Learned, nowMs: number): number =>
  Math.min(one.limit ?? Number.POSITIVE_INFINITY, one.level + (Math.max(0, nowMs - one.at) * one.perSecond) / 1_000) -
  one.lost;

/** Begins the next window of limits whose reset has come, and drops what is out of date. */
export function renewLearned(state: LimitState, nowMs: number): void {
  for (const [key, one] of Object.entries(state.learned)) {
    const isOver = one.resetAt !== null && nowMs >= one.resetAt;
    if (nowMs - one.seenAt > KEEP_LEARNED_MS || (isOver && one.limit === null)) delete state.learned[key];
    else if (isOver && one.limit !== null && one.resetAt !== null) {
      // From the reset itself, so that every request that left since then brings newer news.
      const { resetAt, windowMs } = one;
      const passed = windowMs === null || windowMs <= 0 ? 0 : Math.floor((nowMs - resetAt) / windowMs) * windowMs;
      const nextAt = windowMs === null || windowMs <= 0 ? nowMs + UNTOLD_RESET_MS : resetAt + passed + windowMs;
      state.learned[key] = { ...one, level: one.limit, at: resetAt + passed, resetAt: nextAt, lost: 0 };
    }
  }
}

/**
 * Takes in what the answer to `flight` tells. It replaces what is known when the request left after that was heard, or
 * when it is less: answers overtake each other, and the highest number of a window is its oldest. What is under way is
 * not in `level`: it is subtracted for as long as it is.
 */
export function learn(state: LimitState, flight: Flight, observations: readonly Observation[], nowMs: number): void {
  const keys = observations.map(({ key }) => learnedKeyOf(key));
  for (const seen of observations) {
    const key = learnedKeyOf(seen.key);
    const known = state.learned[key];
    const isNewer = known === undefined || tellsMore(known, seen, flight, nowMs);
    if (!isNewer) {
      state.learned[key] = { ...known, seenAt: nowMs };
      continue;
    }
    // A window that ends this very moment by an answer, and later by what is known, would be taken for a new one too early.
    const openResetAt = seen.resetMs === 0 && (known?.resetAt ?? 0) > nowMs ? known?.resetAt : null;
    const lost = known !== undefined && known.lostAt >= flight.at ? known.lost : 0;
    state.learned[key] = {
      limit: seen.limit,
      level: seen.remaining,
      at: nowMs,
      perSecond: seen.perSecond,
      resetAt: seen.perSecond > 0 ? null : (openResetAt ?? nowMs + (seen.resetMs ?? seen.windowMs ?? UNTOLD_RESET_MS)),
      windowMs: seen.windowMs,
      lost,
      lostAt: known?.lostAt ?? 0,
      seenAt: nowMs,
      isScoped: seen.isScoped,
    };
  }
  if (observations.length > 0) remember(state.endpoints, flight.endpoint, keys);
  for (const [id, other] of Object.entries(state.flights)) {
    for (const key of learnedFor(state, other.endpoint)) {
      if (other.costs[key] !== undefined) continue;
      state.flights[id] = { ...other, costs: { ...other.costs, [key]: weightOf(state, key, other.endpoint) } };
    }
  }
  bound(state.learned, MAX_LEARNED, (one) => one.seenAt);
}

/** Resets are told in whole seconds, by a date in whole seconds. */
const RESET_NOISE_MS = 1_100;

/**
 * Whether an answer is to be believed over what is known: of a later window, of a request that left after the last news,
 * or, within one window, of less.
 */
function tellsMore(known: Learned, seen: Observation, flight: Flight, nowMs: number): boolean {
  if (flight.at > known.at) return true;
  if (known.resetAt !== null && seen.resetMs !== null) {
    const laterMs = nowMs + seen.resetMs - known.resetAt;
    const noiseMs = Math.min(RESET_NOISE_MS, (seen.windowMs ?? UNTOLD_RESET_MS) / 4);
    if (Math.abs(laterMs) > noiseMs) return laterMs > 0;
  }
  return seen.remaining < leftOf(known, nowMs) + known.lost;
}

/** An attempt that ended without a word may have been counted all the same. */
export function lose(state: LimitState, flight: Flight, nowMs: number): void {
  for (const [key, weight] of Object.entries(flight.costs)) {
    const one = state.learned[key];
    if (one !== undefined) state.learned[key] = { ...one, lost: one.lost + weight, lostAt: nowMs };
  }
}

/** Points where a limit counts those (its level comes back by itself, and answers name prices), else one. */
export const weightOf = (state: LimitState, key: string, endpoint: string): number => {
  const one = state.learned[key];
  const cost = key.endsWith('cost') ? state.costs[endpoint] : undefined;
  return Math.min(cost ?? 1, one?.limit ?? Number.POSITIVE_INFINITY);
};

export const rememberCost = (state: LimitState, endpoint: string, cost: number): void =>
  remember(state.costs, endpoint, cost);

/** Another one makes room; which one does not matter, since it is learned again by the next answer. */
function remember<T>(record: Record<string, T>, name: string, value: T): void {
  delete record[name];
  record[name] = value;
  const [oldest] = Object.keys(record);
  if (oldest !== undefined && Object.keys(record).length > MAX_ENDPOINTS) delete record[oldest];
}

function bound<T>(record: Record<string, T>, max: number, ageOf: (value: T) => number): void {
  const entries = Object.entries(record).sort(([, left], [, right]) => ageOf(right) - ageOf(left));
  for (const [key] of entries.slice(max)) delete record[key];
}
