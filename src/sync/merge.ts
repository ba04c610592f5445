import { isDeepStrictEqual } from 'node:util';
import { assertNever } from '../lib/assert-never.ts';
import type { ConflictPolicy } from '../model/conflict.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TwoWay } from './two-way.ts';

export type MergeInput = {
  readonly twoWay: Pick<TwoWay, 'writable' | 'policyOf' | 'adopt' | 'clockSkewMs'>;
  /** Content properties of the target. */
  readonly properties: readonly string[];
  /** What the source last said and we accepted; null where the row stood here before its record was first seen. */
  readonly base: Content | null;
  /** How the target stored the base. */
  readonly shadow: Content | null;
  /** The row as it is, under its lock. */
  readonly row: Content;
  /** What the source says now: the whole record. */
  readonly incoming: Content;
  /** When the source changed the record, by its own stamp; null where it does not tell. */
  readonly remoteAt: Instant | null;
  /** When the row was last edited here; null where nobody knows. */
  readonly localAt: Instant | null;
  /** Settling a push: what was sent, of which row. */
  readonly pushed: { readonly snapshot: Content | null; readonly patch: Content } | null;
  /** A person's choice for what both sides changed: for all of it, or by property. Elsewhere the policy stands. */
  readonly choice: Side | ReadonlyMap<string, Side> | null;
};

/** Whose value stands. */
type Side = 'local' | 'remote';

/** Both sides changed this property, or the row's own value was overwritten. */
export type FieldConflict = {
  readonly property: string;
  readonly kind: 'both_changed' | 'adopted';
  readonly policy: ConflictPolicy;
  readonly outcome: 'local' | 'remote';
};

export type Merged =
  | {
      readonly kind: 'merged';
      /** What the row shall hold. */
      readonly row: Content;
      /** Properties whose value here is still to be pushed. */
      readonly kept: ReadonlySet<string>;
      readonly conflicts: readonly FieldConflict[];
    }
  /** A person decides: nothing is written, here or there. */
  | { readonly kind: 'parked'; readonly properties: readonly string[] };

/**
 * Three-way merge of one record, property by property: the base tells what the source changed, the shadow what was
 * edited here. Pure. Values are canonical, so equal means that the table holds the same.
 */
export function mergeRecord(input: MergeInput): Merged {
  const row: Record<string, JsonValue> = {};
  const kept = new Set<string>();
  const conflicts: FieldConflict[] = [];
  const parked: string[] = [];
  for (const property of input.properties) {
    const choice = mergeProperty(input, property);
    const side = choice.take === 'row' ? input.row : input.incoming;
    const value = side[property];
    if (value !== undefined) row[property] = value;
    if (choice.isKept) kept.add(property);
    if (choice.conflict === 'park') parked.push(property);
    else if (choice.conflict !== null) conflicts.push({ property, ...choice.conflict });
  }
  return parked.length > 0 ? { kind: 'parked', properties: parked } : { kind: 'merged', row, kept, conflicts };
}

/**
 * How the target stores what the source says: as it was read back, but for kept properties. Those stay dirty, so their shadow
 * is the source's value, or none where the source did not tell.
 */
export function shadowAfter(
  { kept }: Pick<Extract<Merged, { kind: 'merged' }>, 'kept'>,
  incoming: Content,
  stored: Content,
): Content {
  const shadow: Record<string, JsonValue> = {};
  for (const [property, value] of Object.entries(stored)) {
    const taken = kept.has(property) ? incoming[property] : value;
    if (taken !== undefined) shadow[property] = taken;
  }
  return shadow;
}

/**
 * Properties whose value in the row is not what the source was last known to hold. One that nothing is known of counts where
 * the row has a value.
 */
export const dirtyProperties = (row: Content, shadow: Content | null, properties: Iterable<string>): string[] =>
  [...properties].filter((property) => !isSame(row[property] ?? null, shadow?.[property] ?? null));

/** Each property is known as the source and the row held it: not of a record that was stored before one of them was mapped. */
export const isWhole = (
  { base, shadow }: { readonly base: Content | null; readonly shadow: Content | null },
  properties: readonly string[],
): boolean =>
  base !== null &&
  shadow !== null &&
  properties.every((property) => base[property] !== undefined && shadow[property] !== undefined);

/** Keys of nested values have no order: the database keeps none. */
export const isSame = (left: JsonValue | undefined, right: JsonValue | undefined): boolean =>
  left === right || (typeof left === 'object' && isDeepStrictEqual(left, right));

type Choice = {
  readonly take: 'row' | 'incoming';
  readonly isKept: boolean;
  readonly conflict: Omit<FieldConflict, 'property'> | 'park' | null;
};
const TAKE_INCOMING: Choice = { take: 'incoming', isKept: false, conflict: null };
const TAKE_ROW: Choice = { take: 'row', isKept: false, conflict: null };
const KEEP_ROW: Choice = { take: 'row', isKept: true, conflict: null };

function mergeProperty(input: MergeInput, property: string): Choice {
  const { twoWay, pushed } = input;
  const local = input.row[property];
  const remote = input.incoming[property];
  const base = input.base?.[property];
  const shadow = input.shadow?.[property];
  const isWritable = twoWay.writable.has(property);
  // A partial record of an older mapping: nothing is known of this property, so nothing may be lost of it.
  if (remote === undefined) return isWritable && !isSame(local, shadow) ? KEEP_ROW : TAKE_ROW;
  if (pushed !== null && property in pushed.patch) {
    // Sent as it stood: the source's answer is how it keeps that, unless it made nothing of it: then the edit is lost here, and
    // kept as a conflict. Edited again since: that is still to be sent.
    const isIgnored = base !== undefined && isSame(remote, base) && !isSame(remote, pushed.patch[property]);
    if (isSame(local, pushed.snapshot?.[property]))
      return isIgnored ? overruled('both_changed', 'source_wins') : TAKE_INCOMING;
    if (isSame(local, remote)) return TAKE_ROW;
    return isWritable ? KEEP_ROW : overruled('both_changed', 'source_wins');
  }
  if (base === undefined || shadow === undefined) return adoptProperty(input, property);
  if (isSame(local, shadow)) return TAKE_INCOMING;
  if (isSame(local, remote)) return TAKE_ROW;
  if (isSame(remote, base) && isWritable) return KEEP_ROW;
  if (!isWritable) return overruled('both_changed', 'source_wins');
  return decideBoth(input, property);
}

/** The record, or this property of it, is mapped for the first time, and the row has a value already. */
function adoptProperty({ twoWay, base, row, incoming }: MergeInput, property: string): Choice {
  const local = row[property];
  if (isSame(local, incoming[property])) return TAKE_ROW;
  if (local === null || local === undefined) return TAKE_INCOMING;
  const policy = base === null ? twoWay.adopt : twoWay.policyOf(property);
  if (policy !== 'target_wins' || !twoWay.writable.has(property)) return overruled('adopted', 'source_wins');
  return { ...KEEP_ROW, conflict: { kind: 'adopted', policy, outcome: 'local' } };
}

function decideBoth(input: MergeInput, property: string): Choice {
  const { twoWay } = input;
  const choice = typeof input.choice === 'string' ? input.choice : (input.choice?.get(property) ?? null);
  const policy = twoWay.policyOf(property);
  const local: Choice = { ...KEEP_ROW, conflict: { kind: 'both_changed', policy, outcome: 'local' } };
  if (choice !== null) return choice === 'local' ? local : overruled('both_changed', policy);
  switch (policy) {
    case 'source_wins':
      return overruled('both_changed', policy);
    case 'target_wins':
      return local;
    case 'newest_wins':
      return isLocalNewer(input) ? local : overruled('both_changed', policy);
    case 'manual':
      return { ...TAKE_ROW, conflict: 'park' };
    default:
      return assertNever(policy);
  }
}

const overruled = (kind: FieldConflict['kind'], policy: ConflictPolicy): Choice => ({
  ...TAKE_INCOMING,
  conflict: { kind, policy, outcome: 'remote' },
});

/** Two clocks are compared here, and nowhere else: what lies within their skew counts as the source's. */
export const isLocalNewer = (
  times: Pick<MergeInput, 'remoteAt' | 'localAt'> & { readonly twoWay: Pick<TwoWay, 'clockSkewMs'> },
): boolean =>
  times.localAt !== null && times.remoteAt !== null && times.localAt > addMs(times.remoteAt, times.twoWay.clockSkewMs);
