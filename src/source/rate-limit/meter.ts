import type { RateLimit } from './definition.ts';
import type { Flight, LimitState, Meter } from './state.ts';

/** A window is counted in so many parts: an ended request counts for up to one part longer than it must. */
const SLICES = 60;
/** Nobody's clock is the source's: what comes this close to the edge of a fixed window counts on both sides. */
const MAX_EDGE_MS = 2_000;
const EDGE_SHARE = 0.05;

type Budget = NonNullable<RateLimit['budget']>;
type ByLane = [number, number, number];

const edgeOf = (perMs: number): number => Math.min(MAX_EDGE_MS, perMs * EDGE_SHARE);
const isFixed = (meter: Meter): boolean => meter.sliceMs === meter.perMs;

export const createMeter = ({ perMs, window }: Budget): Meter => ({
  perMs,
  sliceMs: window === 'fixed' ? perMs : Math.ceil(perMs / SLICES),
  spent: [],
});

/** The fixed windows that count at `nowMs`: the fullest one decides. */
function windowsAt(meter: Meter, nowMs: number): number[] {
  const edge = edgeOf(meter.perMs);
  const first = Math.floor((nowMs - edge) / meter.perMs);
  const last = Math.floor((nowMs + edge) / meter.perMs);
  return first === last ? [first] : [first, last];
}

/** What ended attempts use of the window that is fullest, by lane. */
export function spentOf(meter: Meter, nowMs: number): ByLane {
  if (isFixed(meter)) {
    const sums = windowsAt(meter, nowMs).map((window) => spentIn(meter, window));
    return sums.reduce((most, sum) => (total(sum) > total(most) ? sum : most));
  }
  const sum: ByLane = [0, 0, 0];
  for (const [, urgent, incremental, full] of meter.spent) {
    sum[0] += urgent;
    sum[1] += incremental;
    sum[2] += full;
  }
  return sum;
}

/** How long until `missing` more of what has ended is free. What is under way frees later than that. */
export function freeInMs(meter: Meter, missing: number, nowMs: number): number {
  if (isFixed(meter)) {
    const edge = edgeOf(meter.perMs);
    const use = (window: number) => total(spentIn(meter, window));
    const [fullest = 0] = windowsAt(meter, nowMs).sort((left, right) => use(right) - use(left));
    return (fullest + 1) * meter.perMs + edge - nowMs;
  }
  let freed = 0;
  // Not always in order: what was taken for dead is booked at the end that it should have had.
  for (const [slice, ...used] of [...meter.spent].sort(([left], [right]) => left - right)) {
    freed += total(used);
    if (freed >= missing) return (slice + 1) * meter.sliceMs + meter.perMs - nowMs;
  }
  return meter.perMs;
}

/**
 * Books an attempt that may have arrived at any moment from its reservation to its end. Rolling: until `perMs` after
 * its end. Fixed: in every window that it touches.
 */
export function spend(meter: Meter, flight: Flight, weight: number, endMs: number): void {
  if (weight === 0) return;
  const edge = isFixed(meter) ? edgeOf(meter.perMs) : 0;
  const last = Math.floor((endMs + edge) / meter.sliceMs);
  // A window that is long over cannot be sent in any more.
  const first = isFixed(meter)
    ? Math.max(Math.floor((flight.at - edge) / meter.sliceMs), Math.floor((endMs - edge) / meter.sliceMs) - 1)
    : last;
  for (let slice = first; slice <= last; slice++) {
    const sum = spentIn(meter, slice);
    sum[flight.lane] = (sum[flight.lane] ?? 0) + weight;
    const at = meter.spent.findIndex(([known]) => known === slice);
    if (at < 0) meter.spent.push([slice, ...sum]);
    else meter.spent[at] = [slice, ...sum];
  }
}

/** Drops what no longer counts; meters without anything, too, those of limits that are gone among them. */
export function dropSpent(state: LimitState, nowMs: number): void {
  for (const [key, meter] of Object.entries(state.meters)) {
    const tail = isFixed(meter) ? edgeOf(meter.perMs) : meter.perMs;
    meter.spent = meter.spent.filter(([slice]) => (slice + 1) * meter.sliceMs + tail > nowMs);
    if (meter.spent.length === 0) delete state.meters[key];
  }
}

export const total = (sum: readonly number[]): number => sum.reduce((left, right) => left + right, 0);

function spentIn({ spent }: Meter, slice: number): ByLane {
  const [, ...sum] = spent.find(([known]) => known === slice) ?? [slice, 0, 0, 0];
  return sum;
}
