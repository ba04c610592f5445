import { test } from 'tap';
import type { Lane } from '../../../src/source/lane.ts';
import { decideBatch, type Ended } from '../../../src/source/rate-limit/budget.ts';
import { prepareRateLimits, type RateLimitDefinition } from '../../../src/source/rate-limit/definition.ts';
import { type LimitState, readState } from '../../../src/source/rate-limit/state.ts';

const START_MS = 1_700_000_000_000;

/** Processes on one ledger. Each request ends 10 ms after its leave, and is told of with the process's next batch. */
function createProcesses(limits: readonly RateLimitDefinition[]) {
  const rules = { limits: prepareRateLimits(limits), attemptMs: 1_000 };
  const ended = new Map<string, Ended[]>();
  let kept: LimitState | null = null;
  let count = 0;
  return {
    /** Asks for one request of each lane. @returns the lanes that got leave. */
    ask(process: string, lanes: readonly Lane[], nowMs: number): Lane[] {
      const state = readState(JSON.parse(JSON.stringify(kept)), nowMs);
      const asks = lanes.map((lane) => ({ id: `${process}.${count++}`, lane, endpoint: 'GET /things' }));
      const batch = { process, holdMs: null, ended: ended.get(process) ?? [], asks };
      ended.set(process, []);
      const decisions = decideBatch(state, batch, rules);
      kept = state;
      return asks.flatMap(({ id, lane }) => {
        const decision = decisions.get(id);
        if (decision?.kind !== 'granted') return [];
        const { flight } = decision;
        ended.get(process)?.push({ id, flight, wasSent: true, observations: [], cost: null });
        return [lane];
      });
    },
  };
}

test('room that comes back is kept for the urgent request of another process that waits', (t) => {
  const processes = createProcesses([{ requests: 1, per: '1s' }]);
  t.same(processes.ask('a', ['full'], START_MS), ['full']);
  t.same(processes.ask('a', [], START_MS + 10), []);
  t.same(processes.ask('b', ['urgent'], START_MS + 20), [], 'no room yet');
  t.same(processes.ask('a', ['full'], START_MS + 1_100), [], 'there is room, and it is not for this one');
  t.same(processes.ask('b', ['urgent'], START_MS + 1_150), ['urgent']);
  t.end();
});

test('what is kept for a process that died is free again within seconds', (t) => {
  const processes = createProcesses([{ requests: 1, per: '1s' }]);
  processes.ask('a', ['full'], START_MS);
  processes.ask('a', [], START_MS + 10);
  processes.ask('b', ['urgent'], START_MS + 20);
  t.same(processes.ask('a', ['full'], START_MS + 4_000), ['full']);
  t.end();
});

test('a lane that was refused for 10 s gets one request, in its own process and in another one', (t) => {
  for (const isAlone of [true, false]) {
    const processes = createProcesses([{ requests: 2, per: '1s' }]);
    const grants: number[] = [];
    for (let nowMs = START_MS; nowMs < START_MS + 120_000; nowMs += 25) {
      const lanes: Lane[] = ['urgent', 'urgent', 'urgent'];
      const got = processes.ask('a', isAlone ? [...lanes, 'full'] : lanes, nowMs);
      if (!isAlone) got.push(...processes.ask('b', ['full'], nowMs + 5));
      if (got.includes('full')) grants.push(nowMs - START_MS);
    }
    const gaps = grants.slice(1).map((at, index) => at - (grants[index] ?? 0));
    t.ok(grants.length >= 9, `${grants.length} in two minutes`);
    t.ok(Math.max(...gaps) <= 12_000, `never more than ${Math.max(...gaps)} ms apart`);
    t.ok(Math.min(...gaps) >= 10_000, 'and no more often: it is no share');
  }
  t.end();
});
