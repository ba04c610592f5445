import fc from 'fast-check';
import type { Decision } from '../../src/model/decision.ts';
import { addMs, BEFORE_ALL, type Instant } from '../../src/model/instant.ts';
import type { Observation } from '../../src/model/observation.ts';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import { decide } from '../../src/sync/decide.ts';
import { isSatisfied } from '../../src/sync/satisfaction.ts';
import { hashOf, type Moment, momentAt, type SourceShape } from './history.ts';

/** What reaches us of a history: copies of its deliveries, and reads at any time, each worked on after a delay. */
export type Sightings = {
  /** By moment, the copies of its delivery; none means that it was lost. */
  readonly hooks: readonly (readonly { readonly delayMs: number; readonly waitMs: number }[])[];
  readonly reads: readonly {
    readonly channel: 'page' | 'get';
    /** Where in the history it starts, 0 to 1. */
    readonly place: number;
    readonly tookMs: number;
    readonly waitMs: number;
    readonly isFullRun: boolean;
    /** Which of the moments that the read may show it shows, 0 to 1. */
    readonly staleness: number;
  }[];
  /** The same for the reads that decisions ask for, over and over. */
  readonly staleness: readonly number[];
};

const delayMs = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3000 }));
const fraction = fc.integer({ min: 0, max: 20 }).map((twentieths) => twentieths / 20);

export const sightingsArbitrary: fc.Arbitrary<Sightings> = fc.record({
  hooks: fc.array(fc.array(fc.record({ delayMs, waitMs: delayMs }), { maxLength: 2 }), { minLength: 7, maxLength: 7 }),
  reads: fc.array(
    fc.record({
      channel: fc.constantFrom('page', 'get'),
      place: fraction,
      tookMs: fc.integer({ min: 1, max: 1500 }),
      waitMs: delayMs,
      isFullRun: fc.boolean(),
      staleness: fraction,
    }),
    { maxLength: 4 },
  ),
  staleness: fc.array(fraction, { minLength: 1, maxLength: 6 }),
});

/** Ways to break the driver that stands for the worker; used to show that the properties notice. */
export type Rules = {
  readonly decide: typeof decide;
  readonly isSatisfied: typeof isSatisfied;
  readonly pageLo: 'request' | 'response';
};
export const SOUND: Rules = { decide, isSatisfied, pageLo: 'request' };

export type Replayed = {
  readonly state: RecordState;
  /** The moments that effective decisions showed, in the order of the decisions; −1 stands before the record's creation. */
  readonly shown: readonly number[];
  readonly reads: number;
  /** Reads were still asked for after `MAX_READS`. */
  readonly isEndless: boolean;
};

type Hint = { readonly needLo: Instant; readonly minVersion: bigint | null; readonly runAt: Instant };
type Due = { readonly at: Instant; readonly seen: Observation; readonly index: number; readonly answers: Hint | null };

const MAX_READS = 60;
const EXTERNAL_ID = 'r1';

/**
 * Feeds every sighting to `decide` in the order of the times at which they are worked on, answers each wish to read from
 * the history (with lag), and goes on until nobody wishes anything. With `endsWithFullRun` a complete full run follows.
 */
export function replay(
  shape: SourceShape,
  history: readonly Moment[],
  sightings: Sightings,
  options: { readonly fullRuns: number; readonly rules?: Rules; readonly initial?: RecordState },
): Replayed {
  const { caps } = shape;
  const rules = options.rules ?? SOUND;
  const lagMs = caps.readLagMs;
  const due: Due[] = [];
  const shown: number[] = [];
  let hint: Hint | null = null;
  let state = options.initial ?? blankState(EXTERNAL_ID);
  let reads = 0;
  let now: Instant = history[0]?.at ?? 0;

  const want = (wish: Hint): void => {
    hint =
      hint === null
        ? wish
        : {
            needLo: Math.max(hint.needLo, wish.needLo),
            runAt: Math.min(hint.runAt, wish.runAt),
            minVersion: bothVersions(hint.minVersion, wish.minVersion),
          };
  };

  function apply({ at, seen, index, answers }: Due): void {
    const decision = rules.decide(state, seen, { caps, now: at, hashOf });
    if (isEffective(decision, state)) shown.push(index);
    if (decision.kind !== 'stale' && decision.next !== null) state = decision.next;
    const need = needOf(decision);
    if (need !== null) want({ needLo: need.needLo, minVersion: null, runAt: need.readAt });
    if (answers === null || rules.isSatisfied(answers, seen, caps)) return;
    want({ ...answers, runAt: Math.max(addMs(answers.needLo, lagMs), addMs(at, 50)) });
  }

  function read(channel: 'page' | 'get', startedAt: Instant, tookMs: number, staleness: number) {
    const from = addMs(startedAt, -lagMs);
    const endedAt = addMs(startedAt, tookMs);
    const moment = momentAt(history, endedAt - Math.round(staleness * (endedAt - from)));
    const lo = channel === 'page' && rules.pageLo === 'response' ? endedAt : from;
    return { seen: observationOf(moment, { channel, lo, hi: endedAt }), index: moment?.index ?? -1, endedAt };
  }

  for (const [place, copies] of sightings.hooks.entries()) {
    const moment = history[place];
    if (moment === undefined) continue;
    for (const copy of copies) {
      const receivedAt = addMs(moment.at, copy.delayMs);
      const made = fromHook(shape, moment, history[place - 1] ?? null, receivedAt);
      const at = addMs(receivedAt, copy.waitMs);
      if ('seen' in made) due.push({ at, seen: made.seen, index: moment.index, answers: null });
      else want(made);
    }
  }
  const [first, last] = [history[0]?.at ?? 0, history.at(-1)?.at ?? 0];
  for (const plan of sightings.reads) {
    if (plan.channel === 'get' && !caps.canGet) continue;
    const startedAt = first + Math.round(plan.place * (last - first + 2_000_000)) - 1_000_000;
    const made = read(plan.channel, startedAt, plan.tookMs, plan.staleness);
    // A list shows no absent record.
    if (plan.channel === 'page' && made.seen.content === null) continue;
    const seen = { ...made.seen, isFullRun: plan.isFullRun && plan.channel === 'page' };
    due.push({ at: addMs(made.endedAt, plan.waitMs), seen, index: made.index, answers: null });
  }

  function drain(): boolean {
    for (;;) {
      due.sort((left, right) => left.at - right.at);
      const next = due[0];
      const wish: Hint | null = hint;
      if (wish !== null && (next === undefined || wish.runAt <= next.at)) {
        if (reads >= MAX_READS) return false;
        hint = null;
        now = Math.max(now, wish.runAt) + 1;
        const staleness = sightings.staleness[reads % sightings.staleness.length] ?? 0;
        reads++;
        const { seen, index, endedAt } = read('get', now, 20, staleness);
        due.push({ at: endedAt, seen, index, answers: wish });
        continue;
      }
      if (next === undefined) return true;
      due.shift();
      now = Math.max(now, next.at);
      apply({ ...next, at: now });
    }
  }

  let isDone = drain();
  for (let run = 0; run < options.fullRuns && isDone; run++) {
    now = addMs(Math.max(now, last), 2 * lagMs + 10);
    isDone = fullRun();
  }
  return { state, shown, reads, isEndless: !isDone };

  /** Pages first, then the sweep, as the reconciler does it. */
  function fullRun(): boolean {
    const startedAt = now;
    const page = read('page', startedAt, 20, 0.5);
    now = page.endedAt;
    if (page.seen.content !== null)
      apply({ at: now, seen: { ...page.seen, isFullRun: true }, index: page.index, answers: null });
    else if (state.status === 'live' && (state.aliveAt < addMs(startedAt, -lagMs) || state.aliveAt > now)) {
      if (caps.canGet) want({ needLo: startedAt, minVersion: null, runAt: now });
      else apply({ at: now, seen: page.seen, index: page.index, answers: null });
    }
    return drain();
  }
}

/** As `events.ts` takes a delivery apart. */
function fromHook(
  shape: SourceShape,
  moment: Moment,
  before: Moment | null,
  receivedAt: Instant,
): { seen: Observation } | Hint {
  const { caps, payload } = shape;
  const sight = { channel: 'hook' as const, lo: BEFORE_ALL, hi: receivedAt };
  if (moment.content === null) {
    const isOrdered = caps.deleteEvents === 'versioned' && moment.version !== null;
    if (!isOrdered && caps.canUndelete && caps.canGet)
      return { needLo: receivedAt, minVersion: null, runAt: receivedAt };
    const seen = observationOf({ ...moment, version: isOrdered ? moment.version : null }, sight);
    return { seen: { ...seen, version: isOrdered ? moment.version : null, isPositiveDelete: true } };
  }
  if (payload === 'thin' && caps.canGet) return { needLo: receivedAt, minVersion: moment.version, runAt: receivedAt };
  const seen = observationOf(moment, sight);
  if (payload !== 'partial') return { seen };
  const changed = Object.entries(moment.content).filter(([name, value]) => before?.content?.[name] !== value);
  return {
    seen: {
      ...seen,
      content: Object.fromEntries(changed),
      hash: null,
      partial: true,
      previousVersion: before === null || before.content === null ? null : before.version,
    },
  };
}

export const observationOf = (
  moment: Moment | null,
  sight: { readonly channel: Observation['channel']; readonly lo: Instant; readonly hi: Instant },
): Observation => ({
  externalId: EXTERNAL_ID,
  content: moment?.content ?? null,
  hash: moment?.content == null ? null : hashOf(moment.content),
  partial: false,
  previousVersion: null,
  version: moment?.content == null ? null : moment.version,
  etag: null,
  isPositiveDelete: false,
  marker: null,
  isFullRun: false,
  origin: { kind: 'run', id: 'run' },
  ...sight,
});

/** Decisions that change the row, and the burial of a record that was not held: both say what is now believed. */
const isEffective = (decision: Decision, before: RecordState): boolean =>
  decision.kind === 'upsert' || (decision.kind === 'delete' && before.status === 'live');

function needOf(decision: Decision) {
  if (decision.kind === 'verify') return decision.need;
  return decision.kind === 'upsert' ? decision.verify : null;
}

const bothVersions = (left: bigint | null, right: bigint | null): bigint | null =>
  left === null || right === null ? null : left > right ? left : right;
