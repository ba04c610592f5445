import { test } from 'tap';
import { decideBatch, type Ended } from '../../../src/source/rate-limit/budget.ts';
import { prepareRateLimits } from '../../../src/source/rate-limit/definition.ts';
import { readState } from '../../../src/source/rate-limit/state.ts';

const LIMIT = 100;
const PER_MS = 10_000;
const LATENCY_MS = 20;
const START_MS = 1_700_000_000_000;
const RUN_MS = 10 * PER_MS;

/** A source with windows of its own, which tells what is left of them. @returns how many requests each of them saw. */
function run(offsetMs: number): number[] {
  const rules = { limits: prepareRateLimits([{ requests: LIMIT, per: '10s', window: 'fixed' }]), attemptMs: 1_000 };
  const counts: number[] = [];
  const ending: { atMs: number; process: number; tell: (nowMs: number) => Ended }[] = [];
  let kept: unknown = null;
  let count = 0;
  for (let nowMs = START_MS; nowMs < START_MS + RUN_MS; nowMs += 10) {
    const process = (nowMs / 10) % 2;
    const due = ending.filter((one) => one.process === process && one.atMs <= nowMs);
    for (const one of due) ending.splice(ending.indexOf(one), 1);
    const state = readState(JSON.parse(JSON.stringify(kept)), nowMs);
    const asks = Array.from({ length: 4 }, () => ({
      id: `p${process}.${count++}`,
      lane: 'full' as const,
      endpoint: 'GET /things',
    }));
    const batch = { process: `p${process}`, holdMs: null, ended: due.map(({ tell }) => tell(nowMs)), asks };
    const decisions = decideBatch(state, batch, rules);
    kept = state;
    for (const [id, decision] of decisions) {
      if (decision.kind !== 'granted') continue;
      const own = Math.floor((nowMs + LATENCY_MS / 2 - START_MS + offsetMs) / PER_MS);
      counts[own] = (counts[own] ?? 0) + 1;
      const remaining = Math.max(0, LIMIT - (counts[own] ?? 0));
      const resetAtMs = START_MS - offsetMs + (own + 1) * PER_MS;
      const tell = (toldMs: number): Ended => {
        // In whole seconds, as headers tell it.
        const resetMs = Math.max(0, Math.ceil((resetAtMs - toldMs) / 1_000) * 1_000);
        const seen = { key: 'told', limit: LIMIT, remaining, resetMs, windowMs: null, perSecond: 0, isScoped: false };
        return { id, flight: decision.flight, wasSent: true, observations: [seen], cost: null };
      };
      ending.push({ atMs: nowMs + LATENCY_MS, process, tell });
    }
  }
  return counts;
}

test('a source whose windows begin elsewhere than the declared ones is never asked too much, and used to nine tenths', (t) => {
  for (const offsetMs of [0, 1, 700, 2_500, 5_000, 9_400]) {
    const counts = run(offsetMs);
    const most = Math.max(...counts.filter((one) => one !== undefined));
    t.ok(most <= LIMIT, `${offsetMs} ms: at most ${most}`);
    const whole = counts.slice(2, -2);
    const share = whole.reduce((sum, one) => sum + one, 0) / whole.length / LIMIT;
    t.ok(share >= 0.9, `${offsetMs} ms: used ${share.toFixed(3)}`);
  }
  t.end();
});
