import fc from 'fast-check';
import { test } from 'tap';
import { decideBatch, type Ended } from '../../../src/source/rate-limit/budget.ts';
import { readState } from '../../../src/source/rate-limit/state.ts';

const LIMIT = 10;
const WINDOW_MS = 5_000;
const START_MS = 1_700_000_000_123;
const RULES = { limits: [], attemptMs: 30_000 };

type Step = {
  advanceMs: number;
  process: number;
  asks: number;
  latencies: number[];
  arrivesAt: number;
  isLost: boolean;
};

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  advanceMs: fc.oneof({ weight: 5, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.nat(3_000) }),
  process: fc.nat(2),
  asks: fc.nat(4),
  latencies: fc.array(fc.integer({ min: 2, max: 600 }), { minLength: 4, maxLength: 4 }),
  arrivesAt: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
  /** Its answer never comes, though it may have been counted. */
  isLost: fc.boolean(),
});

type Event = { atMs: number; run: () => void };

test('what a source says is left is never exceeded, though answers overtake each other or are lost', (t) => {
  fc.assert(
    fc.property(fc.nat(WINDOW_MS), fc.array(stepArbitrary, { minLength: 10, maxLength: 120 }), (phaseMs, steps) => {
      const counted = new Map<number, number>();
      const windowOf = (ms: number) => Math.floor((ms - phaseMs) / WINDOW_MS);
      const events: Event[] = [];
      const ended = new Map<number, (() => Ended)[]>();
      let kept: unknown = null;
      let nowMs = START_MS;
      let count = 0;
      const visit = (untilMs: number) => {
        for (;;) {
          events.sort((left, right) => left.atMs - right.atMs);
          if (events[0] === undefined || events[0].atMs > untilMs) return;
          events.shift()?.run();
        }
      };
      const first: Step = { advanceMs: 0, process: 0, asks: 1, latencies: [5, 5, 5, 5], arrivesAt: 0.5, isLost: false };
      // Before the first answer nothing is known.
      const quiet: Step = { ...first, advanceMs: 6, asks: 0 };
      for (const step of [first, quiet, ...steps]) {
        nowMs += step.advanceMs;
        visit(nowMs);
        const process = `p${step.process}`;
        const asks = Array.from({ length: step.asks }, () => ({
          id: `${process}.${count++}`,
          lane: 'urgent' as const,
          endpoint: 'GET /things',
        }));
        const state = readState(JSON.parse(JSON.stringify(kept)), nowMs);
        const batch = { process, holdMs: null, ended: (ended.get(step.process) ?? []).map((tell) => tell()), asks };
        const decisions = decideBatch(state, batch, RULES);
        ended.set(step.process, []);
        kept = state;
        [...decisions].forEach(([id, decision], index) => {
          if (decision.kind !== 'granted') return;
          const endMs = nowMs + (step.latencies[index] ?? 5);
          const arrivalMs = nowMs + (endMs - nowMs) * step.arrivesAt;
          let remaining = 0;
          let resetAtMs = 0;
          const arrive = () => {
            const window = windowOf(arrivalMs);
            counted.set(window, (counted.get(window) ?? 0) + 1);
            remaining = Math.max(0, LIMIT - (counted.get(window) ?? 0));
            resetAtMs = (window + 1) * WINDOW_MS + phaseMs;
          };
          // Told with the process's next batch, with the reset from then on.
          const tell = (): Ended => {
            const resetMs = Math.max(0, resetAtMs - nowMs);
            const told = { key: 'told', limit: LIMIT, remaining, resetMs, windowMs: WINDOW_MS, perSecond: 0 };
            const observations = step.isLost ? [] : [{ ...told, isScoped: false }];
            return { id, flight: decision.flight, wasSent: true, observations, cost: null };
          };
          const answer = () => ended.set(step.process, [...(ended.get(step.process) ?? []), tell]);
          events.push({ atMs: arrivalMs, run: arrive }, { atMs: endMs, run: answer });
        });
      }
      visit(Number.POSITIVE_INFINITY);
      return Math.max(...counted.values()) <= LIMIT;
    }),
    { numRuns: 300 },
  );
  t.end();
});
