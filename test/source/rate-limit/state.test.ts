import { test } from 'tap';
import { type Batch, decideBatch } from '../../../src/source/rate-limit/budget.ts';
import { prepareRateLimits } from '../../../src/source/rate-limit/definition.ts';
import { keepState, readState } from '../../../src/source/rate-limit/state.ts';

const rules = { limits: prepareRateLimits([{ requests: 10, per: '1s', concurrent: 5 }]), attemptMs: 1_000 };
const START_MS = 1_000_000;
const asking = (id: string): Batch => ({
  process: 'a',
  holdMs: null,
  ended: [],
  asks: [{ id, endpoint: 'GET /items', lane: 'urgent' }],
});

/** One that has something of every kind that a decision changes. */
function busy() {
  const state = readState(null, START_MS);
  const observation = { key: 'told', limit: 100, remaining: 50, resetMs: 9_000, windowMs: null, perSecond: 0 };
  for (const id of ['1', '2', '3', '4', '5', '6']) decideBatch(state, asking(id), rules);
  const flight = state.flights['1'];
  if (flight === undefined) throw new Error('1 was not granted');
  const observations = [{ ...observation, isScoped: false }];
  decideBatch(state, { ...asking('7'), ended: [{ id: '1', flight, wasSent: true, observations, cost: 3 }] }, rules);
  return state;
}

test('a decision changes nothing of what is kept, so that it can be run again', async (t) => {
  const kept = keepState(busy());
  const before = JSON.stringify(kept);
  const ends = Object.entries(kept.flights).map(([id, flight]) => {
    const seen = { key: 'told', limit: 100, remaining: 90, resetMs: 9_000, windowMs: null, perSecond: 0 };
    return { id, flight, wasSent: true, observations: [{ ...seen, isScoped: false }], cost: 4 };
  });
  const run = () => {
    const state = readState(kept, START_MS + 20);
    const decisions = decideBatch(state, { ...asking('8'), holdMs: 10, ended: ends }, rules);
    return JSON.stringify([state, [...decisions]]);
  };
  const first = run();
  t.equal(JSON.stringify(kept), before);
  t.equal(run(), first);
  t.not(first, before);
});

test('a state of this process is read as the same text out of a database is', async (t) => {
  const kept = keepState(busy());
  const fromDatabase: unknown = JSON.parse(JSON.stringify(kept));
  // Later, and by a clock that was set back.
  for (const nowMs of [START_MS + 500, START_MS - 60_000]) {
    t.same(readState(kept, nowMs), readState(fromDatabase, nowMs));
  }
});

test('what nobody here has made is checked before it is believed', async (t) => {
  t.same(readState({ ...busy(), flights: 'none' }, START_MS), readState(null, START_MS));
});
