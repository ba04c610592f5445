import fc from 'fast-check';
import { test } from 'tap';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import { decide } from '../../src/sync/decide.ts';
import { isSatisfied } from '../../src/sync/satisfaction.ts';
import { type Edit, editsArbitrary, hashOf, type Moment, makeHistory, type SourceShape, shapeOf } from './history.ts';
import { type Replayed, type Rules, replay, type Sightings, SOUND, sightingsArbitrary } from './replay.ts';

const RUNS = 1000;
const versionKinds = ['counter', 'timestamp', 'none'] as const;

/** Every source that can be read by id. */
const readable: readonly (readonly [name: string, shape: SourceShape])[] = versionKinds.flatMap((versionKind) =>
  [true, false].flatMap((canUndelete) =>
    (['versioned', 'unversioned'] as const).flatMap((deleteEvents) =>
      (['full', 'thin', 'partial'] as const).flatMap((payload): [string, SourceShape][] => {
        if (versionKind === 'none' && (payload === 'partial' || deleteEvents === 'versioned')) return [];
        const name = `${versionKind}, ${payload}, deletes ${deleteEvents}, ids ${canUndelete ? 'return' : 'never return'}`;
        return [[name, shapeOf({ versionKind, canUndelete, deleteEvents }, { payload })]];
      }),
    ),
  ),
);

/** fast-check prints no context of its own, so the configuration goes into the report. */
const named = (name: string) => ({
  reporter(details: fc.RunDetails<[Case]>) {
    if (details.failed) throw new Error(`${name}: ${fc.defaultReportMessage(details)}`);
  },
});

type Case = { readonly edits: readonly Edit[]; readonly sightings: Sightings };
const caseArbitrary: fc.Arbitrary<Case> = fc.record({ edits: editsArbitrary, sightings: sightingsArbitrary });

/** At least the last change was told. */
const withLastHook = (history: readonly Moment[], sightings: Sightings): Sightings => ({
  ...sightings,
  hooks: sightings.hooks.map((copies, place) =>
    place === history.length - 1 && copies.length === 0 ? [{ delayMs: 10, waitMs: 0 }] : copies,
  ),
});

function isEqualToSource(state: RecordState, history: readonly Moment[]): boolean {
  const truth = history.at(-1)?.content ?? null;
  if (truth === null) return state.status !== 'live';
  return state.status === 'live' && state.baseHash === hashOf(truth);
}

const isInOrder = ({ shown }: Replayed): boolean =>
  shown.every((index, place) => place === 0 || index >= (shown[place - 1] ?? 0));

const convergesWithoutRuns = (shape: SourceShape, rules: Rules = SOUND) =>
  fc.property(caseArbitrary, ({ edits, sightings }) => {
    const history = makeHistory(shape, edits);
    fc.pre(history.length > 0);
    const replayed = replay(shape, history, withLastHook(history, sightings), { fullRuns: 0, rules });
    return !replayed.isEndless && isEqualToSource(replayed.state, history);
  });

const convergesByFullRun = (shape: SourceShape, rules: Rules = SOUND) =>
  fc.property(caseArbitrary, ({ edits, sightings }) => {
    const history = makeHistory(shape, edits);
    fc.pre(history.length > 0);
    const replayed = replay(shape, history, sightings, { fullRuns: shape.caps.canGet ? 1 : 2, rules });
    return !replayed.isEndless && isEqualToSource(replayed.state, history);
  });

const neverRegresses = (shape: SourceShape, rules: Rules = SOUND) =>
  fc.property(caseArbitrary, ({ edits, sightings }) => {
    const history = makeHistory(shape, edits);
    fc.pre(history.length > 0);
    return isInOrder(replay(shape, history, sightings, { fullRuns: 0, rules }));
  });

test('whatever is lost, doubled, delayed or reordered, hooks and the reads they cause end equal to the source', async () => {
  for (const [name, shape] of readable) {
    fc.assert(convergesWithoutRuns(shape), { numRuns: RUNS, ...named(name) });
  }
});

test('with every hook lost a complete full run ends equal to the source', async () => {
  for (const [name, shape] of readable) fc.assert(convergesByFullRun(shape), { numRuns: RUNS, ...named(name) });
});

test('effective changes of a record follow its history and never step back', async () => {
  for (const [name, shape] of readable) fc.assert(neverRegresses(shape), { numRuns: RUNS, ...named(name) });
});

test('sources without reads by id converge by two full runs', async () => {
  for (const versionKind of versionKinds) {
    for (const canUndelete of [true, false]) {
      const shape = shapeOf({ versionKind, canUndelete, canGet: false });
      fc.assert(convergesByFullRun(shape), { numRuns: RUNS, ...named(`${versionKind}, ids return: ${canUndelete}`) });
    }
  }
});

test('a counter keeps order even where records cannot be read by id', async () => {
  const shape = shapeOf({ versionKind: 'counter', canGet: false, canUndelete: false });
  fc.assert(neverRegresses(shape), { numRuns: RUNS });
});

const accepting: typeof decide = (state, seen, context) =>
  decide({ ...blankState(state.externalId), aliveAt: state.aliveAt }, seen, {
    ...context,
    caps: { ...context.caps, canGet: false },
  });
const isAlive = (state: RecordState) => state.status === 'live';

/** Rules with one fault each. Every one of them was a fault of a real engine. */
const mutants: readonly (readonly [name: string, rules: Partial<Rules>])[] = [
  [
    'no order check',
    {
      decide: (state, seen, context) => {
        const decision = decide(state, seen, context);
        return decision.kind === 'stale' || decision.kind === 'verify' ? accepting(state, seen, context) : decision;
      },
    },
  ],
  [
    'no tombstone check',
    {
      decide: (state, seen, context) =>
        state.status === 'tombstone' && seen.content !== null
          ? accepting(state, seen, context)
          : decide(state, seen, context),
    },
  ],
  [
    'a tie counts as newer',
    {
      decide: (state, seen, context) => {
        const decision = decide(state, seen, context);
        const isTie = isAlive(state) && seen.version !== null && seen.version === state.version;
        return decision.kind === 'verify' && isTie ? accepting(state, seen, context) : decision;
      },
    },
  ],
  [
    'a tie counts as older',
    {
      decide: (state, seen, context) => {
        const decision = decide(state, seen, context);
        const isTie = isAlive(state) && seen.version !== null && seen.version === state.version;
        return isTie && decision.kind !== 'noop' ? { kind: 'stale', reason: 'same_version' } : decision;
      },
    },
  ],
  ['a page counts from its answer on', { pageLo: 'response' }],
  ['a hint is done after any read', { isSatisfied: () => true }],
  [
    'a hint is done by a read of an equal timestamp',
    {
      isSatisfied: (wanted, shown, caps) =>
        isSatisfied(wanted, shown, caps) ||
        (wanted.minVersion !== null && shown.version !== null && shown.version >= wanted.minVersion),
    },
  ],
  [
    'a 404 is final',
    {
      decide: (state, seen, context) =>
        state.status === 'tombstone' && state.isTombUnversioned && seen.content !== null
          ? { kind: 'stale', reason: 'deleted' }
          : decide(state, seen, context),
    },
  ],
  [
    'a sighting of equal content is not recorded',
    {
      decide: (state, seen, context) => {
        const decision = decide(state, seen, context);
        return decision.kind === 'noop' ? { ...decision, next: null } : decision;
      },
    },
  ],
  [
    'nothing is read again',
    {
      decide: (state, seen, context) => {
        const decision = decide(state, seen, context);
        return decision.kind === 'verify' ? { kind: 'stale', reason: 'same_version' } : decision;
      },
    },
  ],
];

for (const [name, broken] of mutants) {
  test(`the properties notice when ${name}`, async (t) => {
    const rules = { ...SOUND, ...broken };
    const isOfTies = /\b(tie|timestamp)\b/.test(name);
    const suited = readable.filter(([, { caps }]) => !isOfTies || caps.versionKind === 'timestamp');
    const failed = suited.some(([, shape]) =>
      [convergesWithoutRuns, convergesByFullRun, neverRegresses].some(
        (property) => fc.check(property(shape, rules), { numRuns: RUNS, seed: 20_240_601, endOnFailure: true }).failed,
      ),
    );
    t.ok(failed);
  });
}
