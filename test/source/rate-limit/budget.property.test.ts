import fc from 'fast-check';
import { test } from 'tap';
import { LANES, type Lane } from '../../../src/source/lane.ts';
import { decideBatch, type Ended } from '../../../src/source/rate-limit/budget.ts';
import { prepareRateLimits, type RateLimitDefinition } from '../../../src/source/rate-limit/definition.ts';
import { type Flight, readState } from '../../../src/source/rate-limit/state.ts';

type Arrival = { atMs: number; weight: number };

const WEIGHTED = 'GET /search';
const ATTEMPT_MS = 2_000;
const START_MS = 1_700_000_000_123;

const stepArbitrary = fc.record({
  advanceMs: fc.oneof({ weight: 5, arbitrary: fc.nat(40) }, { weight: 1, arbitrary: fc.nat(4_000) }),
  process: fc.nat(2),
  asks: fc.array(fc.record({ lane: fc.constantFrom(...LANES), isHeavy: fc.boolean() }), { maxLength: 6 }),
  /** How long each takes in the end; null when its process dies, and the request arrives or not. */
  latencyMs: fc.option(fc.nat(900), { freq: 8 }),
  /** Where between leave and end it arrives at the source. */
  arrivesAt: fc.double({ min: 0, max: 1, noNaN: true }),
  /** Set back while a replica fails over. */
  dbJumpMs: fc.oneof({ weight: 20, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(20_000) }),
});

const limitArbitrary = fc.record({
  requests: fc.integer({ min: 5, max: 40 }),
  per: fc.constantFrom('1s', '3s', '700ms'),
  window: fc.constantFrom('rolling', 'fixed'),
}) satisfies fc.Arbitrary<RateLimitDefinition>;

type Step = {
  advanceMs: number;
  process: number;
  asks: { lane: Lane; isHeavy: boolean }[];
  latencyMs: number | null;
  arrivesAt: number;
  dbJumpMs: number;
};

/** A source that counts, and processes that ask for leave. Time is the source's; the ledger's may be set back. */
function run(definition: RateLimitDefinition, steps: readonly Step[]): Arrival[] {
  const limits = prepareRateLimits([definition]);
  const rules = { limits, attemptMs: ATTEMPT_MS };
  const arrivals: Arrival[] = [];
  const ending: { atMs: number; process: number; ended: Ended }[] = [];
  let kept: unknown = null;
  let nowMs = START_MS;
  let backMs = 0;
  let count = 0;
  for (const step of steps) {
    nowMs += step.advanceMs;
    backMs += definition.window === 'fixed' ? 0 : step.dbJumpMs;
    const process = `p${step.process}`;
    const ended = ending.filter((one) => one.atMs <= nowMs && one.process === step.process);
    for (const one of ended) ending.splice(ending.indexOf(one), 1);
    const asks = step.asks.map(({ lane, isHeavy }) => ({
      id: `${process}.${count++}`,
      lane,
      endpoint: isHeavy ? WEIGHTED : 'GET /things',
    }));
    const state = readState(JSON.parse(JSON.stringify(kept)), nowMs - backMs);
    const decisions = decideBatch(
      state,
      { process, holdMs: null, ended: ended.map(({ ended }) => ended), asks },
      rules,
    );
    kept = state;
    for (const [id, decision] of decisions) {
      if (decision.kind !== 'granted') continue;
      const { flight } = decision;
      const lifeMs = step.latencyMs ?? flight.until - flight.at;
      arrivals.push({ atMs: nowMs + lifeMs * step.arrivesAt, weight: flight.endpoint === WEIGHTED ? 3 : 1 });
      if (step.latencyMs !== null)
        ending.push({ atMs: nowMs + lifeMs, process: step.process, ended: endOf(id, flight) });
    }
  }
  return arrivals;
}

const endOf = (id: string, flight: Flight): Ended => ({ id, flight, wasSent: true, observations: [], cost: null });

/** The most that any window holds. */
function fullest(arrivals: readonly Arrival[], perMs: number, window: 'rolling' | 'fixed'): number {
  const sorted = [...arrivals].sort((left, right) => left.atMs - right.atMs);
  let most = 0;
  if (window === 'fixed') {
    const sums = new Map<number, number>();
    for (const { atMs, weight } of sorted) {
      const slot = Math.floor(atMs / perMs);
      sums.set(slot, (sums.get(slot) ?? 0) + weight);
      most = Math.max(most, sums.get(slot) ?? 0);
    }
    return most;
  }
  let sum = 0;
  let first = 0;
  for (const arrival of sorted) {
    sum += arrival.weight;
    for (
      let oldest = sorted[first];
      oldest !== undefined && oldest.atMs <= arrival.atMs - perMs;
      oldest = sorted[first]
    ) {
      sum -= oldest.weight;
      first += 1;
    }
    most = Math.max(most, sum);
  }
  return most;
}

const PER_MS = { '1s': 1_000, '3s': 3_000, '700ms': 700 } as const;

test('no window of the source ever holds more than the budget: late arrivals, deaths, weights, a clock set back', (t) => {
  fc.assert(
    fc.property(limitArbitrary, fc.array(stepArbitrary, { minLength: 20, maxLength: 150 }), (limit, steps) => {
      const arrivals = run({ ...limit, weights: { [WEIGHTED]: 3 } }, steps);
      return fullest(arrivals, PER_MS[limit.per], limit.window) <= limit.requests;
    }),
    { numRuns: 300 },
  );
  t.end();
});

test('at least nine tenths of the budget are used when more is wanted, by one lane or by all', (t) => {
  for (const window of ['rolling', 'fixed'] as const) {
    for (const lanes of [['full'], ['incremental'], ['urgent', 'incremental', 'full']] as const) {
      const perMs = 3_000;
      const steps = Array.from(
        { length: 3_000 },
        (_, at): Step => ({
          advanceMs: 10,
          process: at % 2,
          asks: lanes.map((lane) => ({ lane, isHeavy: false })),
          latencyMs: 20,
          arrivesAt: 0.5,
          dbJumpMs: 0,
        }),
      );
      const arrivals = run({ requests: 100, per: '3s', window }, steps);
      const steady = arrivals.filter(({ atMs }) => atMs >= START_MS + perMs);
      const share = steady.length / ((30_000 - perMs) / perMs) / 100;
      t.ok(share >= 0.9, `${window} ${lanes.join()}: ${share}`);
      t.ok(fullest(arrivals, perMs, window) <= 100, `${window} ${lanes.join()}`);
    }
  }
  t.end();
});
