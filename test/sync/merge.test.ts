import fc from 'fast-check';
import { test } from 'tap';
import type { ConflictPolicy } from '../../src/model/conflict.ts';
import { instantFromMs } from '../../src/model/instant.ts';
import type { JsonValue } from '../../src/model/json.ts';
import type { Content } from '../../src/model/observation.ts';
import { dirtyProperties, isSame, type MergeInput, mergeRecord, shadowAfter } from '../../src/sync/merge.ts';

const PROPERTIES = ['id', 'name', 'amount', 'tags', 'total'];
/** Everything but the key and the one that the source computes. */
const WRITABLE = new Set(['name', 'amount', 'tags']);
const SKEW_MS = 2_000;

const BASE: Content = { id: 'c1', name: 'Ada', amount: '1.5', tags: { a: 1, b: [1, 2] }, total: 3 };

type Over = Partial<Omit<MergeInput, 'twoWay'>> & {
  readonly policy?: ConflictPolicy;
  readonly policies?: { readonly [property: string]: ConflictPolicy };
  readonly adopt?: 'source_wins' | 'target_wins';
};

function merge({ policy = 'source_wins', policies = {}, adopt = 'source_wins', ...over }: Over = {}) {
  return mergeRecord({
    twoWay: {
      writable: WRITABLE,
      policyOf: (property) => policies[property] ?? policy,
      adopt,
      clockSkewMs: SKEW_MS,
    },
    properties: PROPERTIES,
    base: BASE,
    shadow: BASE,
    row: BASE,
    incoming: BASE,
    remoteAt: null,
    localAt: null,
    pushed: null,
    choice: null,
    ...over,
  });
}

const merged = (over: Over) => {
  const result = merge(over);
  if (result.kind !== 'merged') throw new Error('It was parked');
  return { ...result, kept: [...result.kept] };
};

const local = { ...BASE, name: 'Here' };
const remote = { ...BASE, name: 'There' };

test('what only one side changed needs no policy', async (t) => {
  for (const policy of ['source_wins', 'target_wins', 'newest_wins', 'manual'] as const) {
    t.match(merged({ policy, incoming: remote }), { row: remote, kept: [], conflicts: [] });
    t.match(merged({ policy, row: local }), { row: local, kept: ['name'], conflicts: [] });
    const both = merged({ policy, row: { ...BASE, amount: '9' }, incoming: remote });
    t.match(both, { row: { ...remote, amount: '9' }, kept: ['amount'], conflicts: [] }, 'different properties');
  }
});

test('the same edit on both sides is no conflict and leaves nothing to push', async (t) => {
  const both = { ...BASE, tags: { b: [1, 3], a: 1 } };
  const other = { ...BASE, tags: { a: 1, b: [1, 3] } };
  t.match(merged({ policy: 'manual', row: both, incoming: other }), { kept: [], conflicts: [] }, 'keys have no order');
});

test('of what both sides changed the policy says whose value stands, and the other one is named', async (t) => {
  const both = { row: local, incoming: remote };
  const overruled = { property: 'name', kind: 'both_changed', outcome: 'remote' };
  t.match(merged({ ...both, policy: 'source_wins' }), { row: remote, kept: [], conflicts: [overruled] });
  t.match(merged({ ...both, policy: 'target_wins' }), {
    row: local,
    kept: ['name'],
    conflicts: [{ ...overruled, outcome: 'local' }],
  });
  t.same(merge({ ...both, policy: 'manual' }), { kind: 'parked', properties: ['name'] });
});

test('one property for a person to decide parks the whole record', async (t) => {
  const both = { row: { ...local, amount: '8' }, incoming: { ...remote, amount: '9' } };
  t.same(merge({ ...both, policies: { name: 'manual' } }), { kind: 'parked', properties: ['name'] });
});

test('the newest value wins only by more than the clocks may differ', async (t) => {
  const at = (ms: number) => instantFromMs(ms);
  const winner = (localMs: number | null, remoteMs: number | null) =>
    merged({
      policy: 'newest_wins',
      row: local,
      incoming: remote,
      localAt: localMs === null ? null : at(localMs),
      remoteAt: remoteMs === null ? null : at(remoteMs),
    }).row.name;
  t.equal(winner(10_000 + SKEW_MS + 1, 10_000), 'Here');
  t.equal(winner(10_000 + SKEW_MS, 10_000), 'There');
  t.equal(winner(9_000, 10_000), 'There');
  t.equal(winner(null, 10_000), 'There');
  t.equal(winner(99_000, null), 'There', 'a source that does not tell when wins');
});

test('an edit of what has no way back is undone and kept as a conflict', async (t) => {
  const edited = merged({ policy: 'target_wins', row: { ...BASE, total: 99 } });
  t.match(edited, { row: BASE, kept: [], conflicts: [{ property: 'total', outcome: 'remote' }] });
});

test('a person’s choice overrules the policy where both sides changed, and nowhere else', async (t) => {
  const both = { row: { ...local, amount: '8' }, incoming: { ...remote, tags: [] } };
  t.match(merged({ ...both, policy: 'manual', choice: 'local' }), {
    row: { name: 'Here', amount: '8', tags: [] },
    kept: ['name', 'amount'],
  });
  t.match(merged({ ...both, policy: 'manual', choice: 'remote' }), {
    row: { name: 'There', amount: '8', tags: [] },
    kept: ['amount'],
  });
  const one = { row: { ...local, amount: '8' }, incoming: { ...remote, amount: '9' } };
  t.same(merge({ ...one, policy: 'manual', choice: new Map([['name', 'local']]) }), {
    kind: 'parked',
    properties: ['amount'],
  });
});

test('what was sent takes the source’s form of it, unless it was edited again since', async (t) => {
  const pushed = { snapshot: local, patch: { name: 'Here' } };
  const answer = { ...BASE, name: 'HERE' };
  t.match(merged({ row: local, incoming: answer, pushed }), { row: answer, kept: [], conflicts: [] });
  t.match(merged({ row: { ...BASE, name: 'Again' }, incoming: answer, pushed, policy: 'manual' }), {
    row: { name: 'Again' },
    kept: ['name'],
    conflicts: [],
  });
  t.match(merged({ row: answer, incoming: answer, pushed }), { kept: [] }, 'edited into just that form');
});

test('what was sent and was not taken gives way, and is named', async (t) => {
  const sent = { name: 'Sent' };
  const pushed = { snapshot: { ...BASE, ...sent }, patch: sent };
  const ignored = merge({ row: { ...BASE, ...sent }, incoming: BASE, pushed });
  t.match(ignored, {
    row: { name: BASE.name },
    conflicts: [{ property: 'name', kind: 'both_changed', outcome: 'remote' }],
  });
  const taken = merge({ row: { ...BASE, ...sent }, incoming: { ...BASE, name: 'SENT' }, pushed });
  t.match(taken, { row: { name: 'SENT' }, conflicts: [] });
});

test('a row that stood there first is linked where it is equal, and what it loses is named', async (t) => {
  const fresh = { base: null, shadow: null };
  t.match(merged({ ...fresh }), { row: BASE, kept: [], conflicts: [] });
  const row = { ...BASE, name: 'Old', amount: null, total: 7 };
  t.match(merged({ ...fresh, row }), {
    row: BASE,
    kept: [],
    conflicts: [
      { property: 'name', kind: 'adopted', outcome: 'remote' },
      { property: 'total', kind: 'adopted', outcome: 'remote' },
    ],
  });
  t.match(merged({ ...fresh, row, adopt: 'target_wins' }), {
    row: { name: 'Old', amount: '1.5', total: 3 },
    kept: ['name'],
    conflicts: [
      { property: 'name', kind: 'adopted', outcome: 'local' },
      { property: 'total', kind: 'adopted', outcome: 'remote' },
    ],
  });
});

test('a property that is mapped since takes the source’s value, or the row’s where the target wins', async (t) => {
  const { tags: _, ...before } = BASE;
  const row = { ...BASE, tags: 'hers' };
  const since = { base: before, shadow: before, row };
  t.match(merged(since), { row: BASE, kept: [], conflicts: [{ property: 'tags', kind: 'adopted' }] });
  t.match(merged({ ...since, adopt: 'target_wins' }), { kept: [] }, 'how rows are adopted does not matter here');
  t.match(merged({ ...since, policy: 'target_wins' }), { row, kept: ['tags'] });
  t.match(merged({ ...since, row: { ...BASE, tags: null }, policy: 'target_wins' }), { row: BASE, kept: [] });
});

test('a property of which the source shows nothing is left alone, and an edit of it stays one', async (t) => {
  const { tags: _, ...incoming } = BASE;
  t.match(merged({ incoming }), { row: BASE, kept: [] });
  const edited = merge({ incoming, row: { ...BASE, tags: 'hers' } });
  if (edited.kind !== 'merged') return t.fail('it was parked');
  t.match(edited.row, { tags: 'hers' });
  const shadow = shadowAfter(edited, incoming, edited.row);
  t.same(dirtyProperties(edited.row, shadow, PROPERTIES), ['tags']);
});

/** One record, and what became of it on each side: most properties stay, and both sides often change the same. */
const values: readonly JsonValue[] = [null, 'a', 'A', 1, 2, { x: 1, y: 2 }, { y: 2, x: 1 }, [1, 2]];
const valueArbitrary = fc.constantFrom(...values);
const recordArbitrary = fc.record(Object.fromEntries(PROPERTIES.map((property) => [property, valueArbitrary])));
const editsArbitrary = fc.dictionary(fc.constantFrom(...PROPERTIES), valueArbitrary, { maxKeys: 3 });
const policyArbitrary = fc.constantFrom<ConflictPolicy>('source_wins', 'target_wins', 'newest_wins', 'manual');
const timeArbitrary = fc.option(fc.integer({ min: 0, max: 10_000 }).map(instantFromMs));

const caseArbitrary = fc
  .record({
    base: recordArbitrary,
    /** How the target's triggers store what the source says. */
    stored: editsArbitrary,
    edits: editsArbitrary,
    changes: editsArbitrary,
    isSameEdit: fc.boolean(),
    isFresh: fc.boolean(),
    policies: fc.dictionary(fc.constantFrom(...PROPERTIES), policyArbitrary),
    policy: policyArbitrary,
    adopt: fc.constantFrom<'source_wins' | 'target_wins'>('source_wins', 'target_wins'),
    localAt: timeArbitrary,
    remoteAt: timeArbitrary,
  })
  .map(({ base, stored, edits, changes, isSameEdit, isFresh, ...rest }) => {
    const shadow = { ...base, ...stored };
    return {
      ...rest,
      base: isFresh ? null : base,
      shadow: isFresh ? null : shadow,
      row: { ...shadow, ...edits },
      incoming: { ...base, ...changes, ...(isSameEdit ? edits : {}) },
    };
  });

const RUNS = { numRuns: 3_000 };

test('no edit is lost: its value stays, or the source has it, or it is in a conflict', async () => {
  fc.assert(
    fc.property(caseArbitrary, (input) => {
      const result = merge(input);
      for (const property of dirtyProperties(input.row, input.shadow, PROPERTIES)) {
        const value = input.row[property];
        if (isSame(value, input.incoming[property])) continue;
        if (input.shadow === null && value === null) continue; // an empty column of a row that stood there first
        if (result.kind === 'parked') continue;
        const isKept = result.kept.has(property) && isSame(result.row[property], value);
        const isNamed = result.conflicts.some((one) => one.property === property && one.outcome === 'remote');
        if (isKept === isNamed) return false;
      }
      return true;
    }),
    RUNS,
  );
});

test('what the source changed and nobody edited arrives', async () => {
  fc.assert(
    fc.property(caseArbitrary, (input) => {
      const result = merge(input);
      const dirty = new Set(dirtyProperties(input.row, input.shadow, PROPERTIES));
      return (
        result.kind === 'parked' ||
        PROPERTIES.every((property) => dirty.has(property) || isSame(result.row[property], input.incoming[property]))
      );
    }),
    RUNS,
  );
});

test('after a merge exactly the kept properties are dirty, and merging again changes nothing', async () => {
  fc.assert(
    fc.property(caseArbitrary, editsArbitrary, (input, byTriggers) => {
      const result = merge(input);
      if (result.kind === 'parked') return true;
      // A trigger of the user's changes what is written; of the rest it keeps its hands off.
      const stored = { ...result.row };
      for (const [property, value] of Object.entries(byTriggers))
        if (!result.kept.has(property)) stored[property] = value;
      const shadow = shadowAfter(result, input.incoming, stored);
      const dirty = dirtyProperties(stored, shadow, PROPERTIES);
      const again = merge({ ...input, base: input.incoming, shadow, row: stored });
      return (
        isSame(
          dirty,
          [...result.kept].sort((left, right) => PROPERTIES.indexOf(left) - PROPERTIES.indexOf(right)),
        ) &&
        again.kind === 'merged' &&
        again.conflicts.length === 0 &&
        isSame([...again.kept].sort(), [...result.kept].sort())
      );
    }),
    RUNS,
  );
});

test('read-only properties are never kept for a push', async () => {
  fc.assert(
    fc.property(caseArbitrary, (input) => {
      const result = merge(input);
      return result.kind === 'parked' || [...result.kept].every((property) => WRITABLE.has(property));
    }),
    RUNS,
  );
});
