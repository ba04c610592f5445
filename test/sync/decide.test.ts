import fc from 'fast-check';
import { test } from 'tap';
import { addMs, BEFORE_ALL, type Instant, instantFromMs } from '../../src/model/instant.ts';
import type { Observation } from '../../src/model/observation.ts';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import { decide, sanitiseState } from '../../src/sync/decide.ts';
import { decideOrder } from '../../src/sync/order.ts';
import { editsArbitrary, hashOf, makeHistory, shapeOf } from './history.ts';
import { observationOf, replay, sightingsArbitrary } from './replay.ts';

const NOW = instantFromMs(5_000_000);
const at = (ms: number): Instant => addMs(NOW, ms);
const A = { first: 1, second: 0 };
const B = { first: 2, second: 0 };

const seenAs = (over: Partial<Observation>): Observation => {
  const content = over.content === undefined ? A : over.content;
  const base = observationOf(
    { index: 0, at: NOW, content, version: null },
    { channel: 'page', lo: at(-20), hi: at(-10) },
  );
  return { ...base, ...over, hash: content === null ? null : hashOf(content) };
};
const live = (over: Partial<RecordState> = {}): RecordState => ({
  ...blankState('r1'),
  status: 'live',
  baseHash: hashOf(A),
  lo: at(-1000),
  hi: at(-900),
  aliveAt: at(-900),
  ...over,
});
const buried = (over: Partial<RecordState> = {}): RecordState => ({
  ...live(),
  status: 'tombstone',
  baseHash: null,
  ...over,
});
const contextOf = (caps = shapeOf().caps) => ({ caps, now: NOW, hashOf });

const instant = fc.oneof(fc.constant(BEFORE_ALL), fc.integer({ min: -10_000, max: 10_000 }).map(at));
const version = fc.option(fc.bigInt({ min: -5n, max: 5n }), { nil: null });
const content = fc.constantFrom(null, A, B);
const capabilities = fc.record({
  versionKind: fc.constantFrom('counter' as const, 'timestamp' as const, 'none' as const),
  versionSkew: fc.constantFrom(0n, 2n),
  canGet: fc.boolean(),
  readLagMs: fc.constantFrom(0, 500),
  deleteEvents: fc.constantFrom('versioned' as const, 'unversioned' as const),
  canUndelete: fc.boolean(),
});
const anyState: fc.Arbitrary<RecordState> = fc.record({
  externalId: fc.constant('r1'),
  status: fc.constantFrom('none' as const, 'live' as const, 'tombstone' as const),
  targetKey: fc.constantFrom(null, 'k1'),
  baseHash: fc.constantFrom(null, hashOf(A), hashOf(B), 'ff'),
  base: fc.constantFrom(null, A, B),
  version,
  etag: fc.constantFrom(null, 'e1', 'e2'),
  lo: instant,
  hi: instant,
  tombVersion: version,
  isTombSoft: fc.boolean(),
  isTombUnversioned: fc.boolean(),
  aliveAt: instant,
  appliedSeq: fc.nat(9),
  regressSeenAt: fc.option(instant, { nil: null }),
  shadow: fc.constant(null),
  localVersion: fc.constant(0),
});
const anySighting: fc.Arbitrary<Observation> = fc
  .record({
    content,
    partial: fc.boolean(),
    previousVersion: version,
    version,
    etag: fc.constantFrom(null, 'e1', 'e2'),
    lo: fc.oneof(fc.constant(BEFORE_ALL), fc.integer({ min: -10_000, max: -100 }).map(at)),
    tookMs: fc.nat(100),
    channel: fc.constantFrom('hook' as const, 'page' as const, 'get' as const, 'push' as const, 'manual' as const),
    isPositiveDelete: fc.boolean(),
    marker: fc.constant(null),
    isFullRun: fc.boolean(),
  })
  .map(({ tookMs, ...seen }) => seenAs({ ...seen, hi: Number.isFinite(seen.lo) ? addMs(seen.lo, tookMs) : NOW }));

test('every state and every sighting lead to a decision that leaves a state which can be true', async () => {
  fc.assert(
    fc.property(anyState, anySighting, capabilities, (state, seen, caps) => {
      const decision = decide(state, seen, contextOf(caps));
      if (decision.kind === 'stale' || decision.next === null) return true;
      const { next } = decision;
      const isLiveSound = next.status !== 'live' || next.baseHash !== null;
      return (
        isLiveSound &&
        next.externalId === 'r1' &&
        next.appliedSeq >= 0 &&
        !Number.isNaN(next.lo) &&
        next.hi <= Math.max(NOW, seen.hi)
      );
    }),
    { numRuns: 20_000 },
  );
});

test('a sighting taken in twice changes nothing the second time', async () => {
  fc.assert(
    fc.property(anyState, anySighting, capabilities, (state, seen, caps) => {
      const first = decide(state, seen, contextOf(caps));
      if (first.kind === 'stale' || first.next === null) return true;
      const again = decide(first.next, seen, contextOf(caps));
      if (again.kind === 'upsert' && first.kind === 'upsert') return false;
      if (again.kind === 'delete' && first.kind === 'delete') return false;
      return again.kind === 'verify' || again.kind === 'stale' || again.next === null;
    }),
    { numRuns: 20_000 },
  );
});

test('intervals that reach into the future are not believed, and a live state without content counts as none', async (t) => {
  t.same(sanitiseState(live({ hi: at(1) }), NOW), live({ lo: BEFORE_ALL, hi: NOW }));
  t.same(sanitiseState(live({ lo: at(1) }), NOW), live({ lo: BEFORE_ALL, hi: NOW }));
  t.same(sanitiseState(live({ hi: NOW }), NOW), live({ hi: NOW }));
  t.equal(sanitiseState(live({ baseHash: null }), NOW).status, 'none');
});

test('a damaged state is mended by two full runs, whatever is wrong with it', async () => {
  for (const versionKind of ['counter', 'timestamp', 'none'] as const) {
    for (const canUndelete of [true, false]) {
      const shape = shapeOf({ versionKind, canUndelete });
      fc.assert(
        fc.property(editsArbitrary, sightingsArbitrary, anyState, (edits, sightings, damaged) => {
          const history = makeHistory(shape, edits);
          fc.pre(history.length > 0);
          // The simulated history lies an hour before `NOW`, so that damage may lie in its past or in its future.
          const { state, isEndless } = replay(shape, history, sightings, { fullRuns: 2, initial: damaged });
          const truth = history.at(-1)?.content ?? null;
          const isEqual =
            truth === null ? state.status !== 'live' : state.status === 'live' && state.baseHash === hashOf(truth);
          return !isEndless && isEqual;
        }),
        { numRuns: 1000 },
      );
    }
  }
});

test('a page read before a hook and written after it does not undo the hook', async (t) => {
  const { caps } = shapeOf({ versionKind: 'none' });
  const byHook = decide(live(), seenAs({ channel: 'get', content: B, lo: at(-50), hi: at(-40) }), contextOf(caps));
  t.equal(byHook.kind, 'upsert');
  if (byHook.kind !== 'upsert') return;
  const page = seenAs({ content: A, lo: at(-60), hi: at(-5) });
  t.match(decide(byHook.next, page, contextOf(caps)), {
    kind: 'verify',
    reason: 'not_ordered',
    need: { needLo: at(-5) },
  });
});

test('of two changes within one tick neither hook wins: the record is read', async (t) => {
  const { caps } = shapeOf();
  for (const [held, shown] of [
    [A, B],
    [B, A],
  ] as const) {
    const state = live({ version: 7n, baseHash: hashOf(held), lo: BEFORE_ALL, hi: at(-100) });
    const hook = seenAs({ channel: 'hook', content: shown, version: 7n, lo: BEFORE_ALL, hi: at(-90) });
    t.match(decide(state, hook, contextOf(caps)), { kind: 'verify', reason: 'not_ordered' });
    const read = seenAs({ channel: 'get', content: shown, version: 7n, lo: at(-80), hi: at(-70) });
    t.match(decide(state, read, contextOf(caps)), { kind: 'upsert', content: shown });
  }
});

test('versions closer than the skew are not ordered by version', async (t) => {
  const { caps } = shapeOf({ versionSkew: 10n });
  const hook = (version: bigint) => seenAs({ channel: 'hook', content: B, version, lo: BEFORE_ALL, hi: at(-90) });
  const state = live({ version: 100n });
  t.equal(decideOrder(hook(110n), state, caps), 'unknown');
  t.equal(decideOrder(hook(90n), state, caps), 'unknown');
  t.equal(decideOrder(hook(111n), state, caps), 'newer');
  t.equal(decideOrder(hook(89n), state, caps), 'older');
});

test('a late update does not revive a deleted record, a fresh read does', async (t) => {
  for (const canUndelete of [true, false]) {
    const { caps } = shapeOf({ canUndelete });
    const state = buried({ version: 5n, tombVersion: 6n, lo: BEFORE_ALL, hi: at(-900) });
    const late = seenAs({ channel: 'hook', version: 5n, lo: BEFORE_ALL, hi: at(-1) });
    t.match(decide(state, late, contextOf(caps)), { kind: 'stale', reason: 'deleted' });
    const stalePage = seenAs({ version: 5n, lo: at(-1200), hi: at(-950) });
    t.match(decide(state, stalePage, contextOf(caps)), { kind: 'stale', reason: 'deleted' });
    const read = seenAs({ channel: 'get', version: 7n, lo: at(-100), hi: at(-90) });
    t.match(decide(state, read, contextOf(caps)), { kind: 'upsert', isInsert: true });
  }
});

test('a version alone does not revive a record whose absence was seen without one', async (t) => {
  const { caps } = shapeOf({ versionKind: 'counter' });
  const state = buried({ version: 5n, tombVersion: 6n, isTombUnversioned: true });
  const hook = seenAs({ channel: 'hook', version: 7n, lo: BEFORE_ALL, hi: at(-100) });
  t.match(decide(state, hook, contextOf(caps)), { kind: 'verify' });
});

test('where ids never return a signed deletion is final for hooks, and a 404 of an unknown id is not', async (t) => {
  const { caps } = shapeOf({ canUndelete: false });
  const said = decide(
    live({ version: 9n }),
    seenAs({ content: null, channel: 'hook', isPositiveDelete: true, lo: BEFORE_ALL, hi: at(-950) }),
    contextOf(caps),
  );
  t.match(said, { kind: 'delete', next: { status: 'tombstone', isTombSoft: false } });
  const missing = decide(blankState('r1'), seenAs({ content: null, channel: 'get' }), contextOf(caps));
  t.match(missing, { kind: 'delete', next: { status: 'tombstone', isTombSoft: true } });
  if (said.kind !== 'delete' || missing.kind !== 'delete') return;
  const hook = seenAs({ channel: 'hook', version: 10n, lo: BEFORE_ALL, hi: at(-1) });
  t.match(decide(said.next, hook, contextOf(caps)), { kind: 'stale', reason: 'deleted' });
  t.match(decide(missing.next, hook, contextOf(caps)), { kind: 'verify' });
});

test('without reads by id, a sighting that may be older than a final deletion does not revive it', async (t) => {
  const state = buried({ version: 5n, isTombUnversioned: true, lo: BEFORE_ALL, hi: at(-30) });
  const page = seenAs({ version: 5n, lo: at(-40), hi: at(-20) });
  t.match(decide(state, page, contextOf(shapeOf({ canGet: false, canUndelete: false }).caps)), {
    kind: 'stale',
    reason: 'deleted',
  });
  t.match(decide(state, page, contextOf(shapeOf({ canGet: false, canUndelete: true }).caps)), {
    kind: 'upsert',
    isWeak: true,
  });
  const later = seenAs({ version: 5n, lo: at(-20), hi: at(-10) });
  t.match(decide(state, later, contextOf(shapeOf({ canGet: false, canUndelete: false }).caps)), {
    kind: 'upsert',
    isWeak: false,
  });
});

test('a partial payload counts only over the exact version that it was made from', async (t) => {
  const { caps } = shapeOf({ versionKind: 'counter' });
  const state = live({ version: 3n, base: A });
  const payload = (previousVersion: bigint | null) =>
    seenAs({
      channel: 'hook',
      content: { first: 2 },
      partial: true,
      previousVersion,
      version: 4n,
      lo: BEFORE_ALL,
      hi: at(-5),
    });
  t.match(decide(state, payload(3n), contextOf(caps)), {
    kind: 'upsert',
    content: { first: 2, second: 0 },
    next: { version: 4n, baseHash: hashOf(B) },
  });
  for (const gap of [payload(2n), payload(null)]) {
    t.match(decide(state, gap, contextOf(caps)), { kind: 'verify', reason: 'partial_gap', next: null });
  }
  t.match(decide(buried({ version: 3n }), payload(3n), contextOf(caps)), { kind: 'verify', reason: 'partial_gap' });
  t.match(decide({ ...state, base: null }, payload(3n), contextOf(caps)), { kind: 'verify', reason: 'partial_gap' });
  t.match(
    decide(state, payload(3n), contextOf(shapeOf().caps)),
    { kind: 'verify', reason: 'partial_gap' },
    'a timestamp is not exact',
  );
});

test('an older version is believed only when a later read shows it again', async (t) => {
  const { caps } = shapeOf({ versionKind: 'counter' });
  const state = live({ version: 9n });
  const read = seenAs({ channel: 'get', content: B, version: 2n });
  const first = decide(state, read, contextOf(caps));
  t.match(first, { kind: 'verify', reason: 'regression', next: { version: 9n, regressSeenAt: NOW } });
  if (first.kind !== 'verify' || first.next === null) return;
  t.match(decide(first.next, read, contextOf(caps)), { kind: 'verify', reason: 'regression', next: null });
  const later = { ...read, lo: at(60_000), hi: at(60_010) };
  const laterContext = { ...contextOf(caps), now: at(60_020) };
  t.match(decide(first.next, later, laterContext), { kind: 'upsert', next: { version: 2n, regressSeenAt: null } });
  const normal = seenAs({ channel: 'get', content: B, version: 10n });
  t.match(decide(first.next, normal, contextOf(caps)), { kind: 'upsert', next: { version: 10n, regressSeenAt: null } });
});

test('where nothing can be read by id, two full runs a while apart bring a version down that was too high', async (t) => {
  const { caps } = shapeOf({ versionKind: 'counter', canGet: false });
  for (const state of [live({ version: 9n }), buried({ tombVersion: 9n })]) {
    const row = seenAs({ isFullRun: true, content: B, version: 2n });
    const first = decide(state, row, contextOf(caps));
    t.match(first, { kind: 'verify', reason: 'regression', next: { regressSeenAt: NOW } });
    if (first.kind !== 'verify' || first.next === null) return;
    const soon = { ...row, lo: at(59_000), hi: at(59_010) };
    t.match(decide(first.next, soon, { ...contextOf(caps), now: at(59_020) }), { kind: 'verify', next: null });
    const later = { ...row, lo: at(60_000), hi: at(60_010) };
    const accepted = decide(first.next, later, { ...contextOf(caps), now: at(60_020) });
    t.match(accepted, { kind: 'upsert', next: { version: 2n, regressSeenAt: null } });
    const incremental = { ...later, isFullRun: false };
    t.match(decide(first.next, incremental, { ...contextOf(caps), now: at(60_020) }), { kind: 'stale' });
  }
});

test('an equal tag is compared only between reads by id, and never holds for ever', async (t) => {
  const { caps } = shapeOf({ versionKind: 'none' });
  const state = live({ etag: 'e1' });
  const read = (lo: Instant) => seenAs({ channel: 'get', content: B, etag: 'e1', lo, hi: at(-1) });
  t.equal(decideOrder(read(at(-950)), state, caps), 'same');
  t.equal(decideOrder(read(at(-800)), state, caps), 'newer');
  t.equal(decideOrder({ ...read(at(-950)), channel: 'page' }, state, caps), 'unknown');
});

test('a record first seen by a hook without version is shown at once and read', async (t) => {
  const hook = seenAs({ channel: 'hook', lo: BEFORE_ALL, hi: at(-5) });
  t.match(decide(blankState('r1'), hook, contextOf(shapeOf({ versionKind: 'none' }).caps)), {
    kind: 'upsert',
    isInsert: true,
    verify: { needLo: at(-5) },
  });
  t.match(decide(blankState('r1'), { ...hook, version: 1n }, contextOf()), { kind: 'upsert', verify: null });
});

test('an unchanged sighting of an exact version leaves no trace', async (t) => {
  const { caps } = shapeOf({ versionKind: 'counter' });
  const page = seenAs({ version: 3n, isFullRun: true });
  t.same(decide(live({ version: 3n }), page, contextOf(caps)), { kind: 'noop', next: null, isOlder: false });
  const old = 1_000_000n;
  t.same(
    decide(live({ version: old }), seenAs({ version: old }), contextOf()),
    { kind: 'noop', next: null, isOlder: false },
    'nor of an old timestamp',
  );
  t.match(decide(live({ version: 3n }), { ...page, version: 4n }, contextOf(caps)), {
    kind: 'noop',
    next: { version: 4n },
  });
});
