import { assertNever } from '../lib/assert-never.ts';
import type { Conflict, ConflictKind, ConflictOutcome, ConflictPolicy, NewConflict } from '../model/conflict.ts';
import type { Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import type { RecordState } from '../model/record-state.ts';
import { keyOf } from './fold.ts';
import { dirtyProperties, isLocalNewer, mergeRecord, shadowAfter } from './merge.ts';
import { keptConflicts } from './merge-conflicts.ts';
import type { TwoWay } from './two-way.ts';

/** One record of which something newer was accepted, and what stands here. */
export type PlanInput = {
  readonly twoWay: Pick<
    TwoWay,
    'writable' | 'writes' | 'policyOf' | 'recordPolicy' | 'adopt' | 'localDeletes' | 'clockSkewMs'
  >;
  /** Content properties of the target. */
  readonly properties: readonly string[];
  readonly before: RecordState;
  /** As `decide` has it; its shadow is still that of `before`. */
  readonly next: RecordState;
  /** What the source says now; null when the record is gone. */
  readonly content: Content | null;
  /** The row, under its lock, and the key it stands under; null when there is none. */
  readonly row: { readonly key: string; readonly content: Content } | null;
  /** A conflict of the row that waits for a person. */
  readonly open: Conflict | null;
  /** When the source changed the record and when the row was edited, where times are compared and known. */
  readonly remoteAt: Instant | null;
  readonly localAt: Instant | null;
  /** A person's, for the record as a whole: it goes before every policy. */
  readonly choice: 'local' | 'remote' | null;
};

/** What is to be done about one record. Pure data, but for the state, which depends on how the row is stored. */
export type RecordPlan = {
  readonly write:
    | { readonly kind: 'nothing' }
    | { readonly kind: 'put'; readonly content: Content }
    | { readonly kind: 'rekey'; readonly from: string; readonly content: Content }
    | { readonly kind: 'remove'; readonly key: string };
  /** The record's state, given the row as it was read back; null where none was written, or a trigger kept it out. */
  readonly stateOf: (stored: Content | null) => RecordState;
  /** Key of a row that, or whose absence, is still to be brought to the source. */
  readonly pushes: string | null;
  readonly conflicts: readonly NewConflict[];
  /** `parked`: a person decides. `kept`: what was done here stands, and nothing is written. */
  readonly result: 'applied' | 'parked' | 'kept';
};

/** What becomes of a record: of its row, of what was edited here, and of what is overwritten. Pure. */
export function planRecord(input: PlanInput): RecordPlan {
  const { content, row, before, open } = input;
  if (content === null) return row === null ? forget(input) : planRemoval(input, row);
  if (row !== null) return planMerge(input, content, row);
  return open !== null || wasStored(input, before) ? planMissing(input, content) : put(input, content);
}

/** Of a row that was never stored (a trigger of the user's kept it out) nobody removed any. A detached one is not known from it. */
const wasStored = ({ twoWay }: PlanInput, { status, shadow }: RecordState): boolean =>
  status === 'live' && (shadow !== null || twoWay.localDeletes === 'detach');

const NOTHING = { write: { kind: 'nothing' }, pushes: null, conflicts: [] } as const;

const put = ({ next }: PlanInput, content: Content, conflicts: readonly NewConflict[] = []): RecordPlan => ({
  ...NOTHING,
  write: { kind: 'put', content },
  stateOf: (stored) => ({ ...next, shadow: stored }),
  conflicts,
  result: 'applied',
});

/** Gone on both sides. */
const forget = ({ next }: PlanInput): RecordPlan => ({
  ...NOTHING,
  stateOf: () => ({ ...next, shadow: null }),
  result: 'applied',
});

/** Nothing is written, here or there. The state tells what was seen last, so that nothing older is taken for news. */
const park = ({ before, next }: PlanInput, conflict: NewConflict): RecordPlan => ({
  ...NOTHING,
  stateOf: () => ({
    ...next,
    targetKey: before.status === 'none' ? next.targetKey : before.targetKey,
    appliedSeq: before.appliedSeq,
    shadow: before.shadow,
  }),
  conflicts: [conflict],
  result: 'parked',
});

function planMerge(input: PlanInput, content: Content, row: NonNullable<PlanInput['row']>): RecordPlan {
  const { twoWay, properties, before, next, open, remoteAt, localAt } = input;
  const isHeld = before.status === 'live' || open !== null;
  const base = isHeld ? baseOf(input) : null;
  const merged = mergeRecord({
    ...{ twoWay, properties, base, row: row.content, incoming: content, remoteAt, localAt },
    shadow: isHeld ? before.shadow : null,
    pushed: null,
    choice: null,
  });
  if (merged.kind === 'parked') {
    const values = { fields: merged.properties, base, local: row.content, remote: content };
    return park(input, { ...conflictOf(input, 'both_changed', 'manual', null), ...values });
  }
  const isMoved = isHeld && row.key !== keyOf(next);
  return {
    write: isMoved ? { kind: 'rekey', from: row.key, content: merged.row } : { kind: 'put', content: merged.row },
    stateOf: (stored) => ({ ...next, shadow: stored === null ? null : shadowAfter(merged, content, stored) }),
    pushes: merged.kept.size > 0 ? keyOf(next) : null,
    conflicts: keptConflicts(merged.conflicts, identityOf(input), { base, local: row.content, remote: content }),
    result: 'applied',
  };
}

/** While a person decides nothing is written, so the record is still to be merged from where that began. */
const baseOf = ({ before, open }: PlanInput): Content | null => open?.base ?? before.base;

/** Deleted at the source. What was edited here is not dropped without a word. */
function planRemoval(input: PlanInput, row: NonNullable<PlanInput['row']>): RecordPlan {
  const { twoWay, properties, before, next, choice } = input;
  const remove: RecordPlan = {
    ...NOTHING,
    write: { kind: 'remove', key: row.key },
    stateOf: () => ({ ...next, shadow: null }),
    result: 'applied',
  };
  const dirty = dirtyProperties(row.content, before.shadow, properties);
  if (dirty.length === 0 && choice !== 'local') return remove;
  // Of a row that was never linked nobody knows what was edited, and what has no way back cannot win.
  const isEdited = before.shadow !== null && dirty.some((property) => twoWay.writable.has(property));
  const policy = isEdited ? twoWay.recordPolicy : 'source_wins';
  const side = choice ?? sideOf(input, policy, twoWay.writes.create !== null);
  const values = { fields: dirty, base: baseOf(input), local: row.content, remote: null };
  const conflict = (outcome: ConflictOutcome | null): NewConflict => ({
    ...conflictOf(input, 'deleted_at_source', policy, outcome),
    ...values,
  });
  if (side === 'park') return park(input, conflict(null));
  if (side === 'remote') return { ...remove, conflicts: [conflict('remote')] };
  // The row stays, and becomes a record of its own at the source.
  const stateOf = () => ({ ...next, shadow: null });
  return { ...NOTHING, stateOf, pushes: row.key, conflicts: [conflict('local')], result: 'kept' };
}

/** Removed here, and changed at the source since. */
function planMissing(input: PlanInput, content: Content): RecordPlan {
  const { twoWay, next } = input;
  const conflict = (policy: ConflictPolicy, outcome: ConflictOutcome | null): NewConflict => ({
    ...conflictOf(input, 'deleted_here', policy, outcome),
    fields: [],
    base: baseOf(input),
    local: null,
    remote: content,
  });
  const stay: RecordPlan = { ...NOTHING, stateOf: () => ({ ...next, shadow: null }), result: 'kept' };
  switch (twoWay.localDeletes) {
    case 'detach':
      return stay;
    case 'restore':
      return put(input, content, [conflict('source_wins', 'remote')]);
    case 'push': {
      const side = sideOf(input, twoWay.recordPolicy, twoWay.writes.delete !== null);
      if (side === 'park') return park(input, conflict('manual', null));
      if (side === 'remote') return put(input, content, [conflict(twoWay.recordPolicy, 'remote')]);
      // The removal is still to be brought to the source: the row counts as stored until it is.
      const stateOf = () => ({ ...next, shadow: content });
      return { ...stay, stateOf, pushes: keyOf(next), conflicts: [conflict(twoWay.recordPolicy, 'local')] };
    }
    default:
      return assertNever(twoWay.localDeletes);
  }
}

/** Whose side stands where one changed the record and the other deleted it. Ours only where the source can be told. */
function sideOf(input: PlanInput, policy: ConflictPolicy, canTell: boolean): 'local' | 'remote' | 'park' {
  switch (policy) {
    case 'source_wins':
      return 'remote';
    case 'target_wins':
      return canTell ? 'local' : 'remote';
    case 'newest_wins':
      return canTell && isLocalNewer(input) ? 'local' : 'remote';
    case 'manual':
      return 'park';
    default:
      return assertNever(policy);
  }
}

/** Of which record and row a conflict is, and what was seen of it. */
const identityOf = ({ before, next, row }: PlanInput) => ({
  externalId: next.externalId,
  targetKey: row?.key ?? keyOf(before.status === 'none' ? next : before),
  remoteVersion: next.status === 'tombstone' ? next.tombVersion : next.version,
});

const conflictOf = (input: PlanInput, kind: ConflictKind, policy: ConflictPolicy, outcome: ConflictOutcome | null) => ({
  ...identityOf(input),
  kind,
  policy,
  outcome,
});
