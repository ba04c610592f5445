import { kindOf } from '../lib/kind.ts';
import type { Path } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';
import type { TargetColumn } from '../model/target.ts';
import { type Canonicalise, prepareColumn, takesInstants } from './canonical.ts';
import type { ColumnMapping, Default, Step } from './field.ts';
import { bindLookup, type LookupReader, NO_TABLES } from './lookup.ts';
import { ABSENT, leavesOut, readField } from './read-field.ts';
import { Refusal } from './refusal.ts';

/** A partial payload carries some, but not all of the fields that make the column. */
export const INCOMPLETE = Symbol('incomplete');

export type ColumnReader = {
  readonly property: string;
  /** Where the value comes from, for messages; null for constants. */
  readonly fieldPath: string | null;
  /** Canonical value; `ABSENT` only of a partial payload. Throws a `Refusal`, or what a user's function throws. */
  readonly read: (record: unknown, raw: unknown, isPartial: boolean) => JsonValue | typeof ABSENT | typeof INCOMPLETE;
  /** The value as it stands in the record, for the kind in messages. */
  readonly received: (record: unknown) => ReturnType<typeof kindOf>;
};

type Content = Extract<ColumnMapping, { kind: 'field' | 'fields' | 'constant' }>;

export const isContent = (mapping: ColumnMapping): mapping is Content =>
  mapping.kind === 'field' || mapping.kind === 'fields' || mapping.kind === 'constant';

/** Prepares one column: paths parsed, steps and column type looked at once. */
export function prepareReader(
  property: string,
  mapping: Content,
  column: TargetColumn,
  lookups: LookupReader = NO_TABLES,
): ColumnReader {
  const finish = prepareColumn(column);
  if (mapping.kind === 'constant') {
    const value = mapping.value === null ? null : finish(mapping.value);
    return { property, fieldPath: null, read: () => value, received: () => kindOf(value) };
  }
  const complete = prepareSteps(mapping.steps, finish, column, lookups);
  if (mapping.kind === 'field') {
    const path = mustParsePath(mapping.path);
    return {
      property,
      fieldPath: mapping.path,
      received: (record) => kindOfField(readField(record, path)),
      read(record, raw, isPartial) {
        if (isPartial && leavesOut(raw, path)) return ABSENT;
        const value = readField(record, path);
        return complete(value === ABSENT ? null : value);
      },
    };
  }
  const paths = mapping.paths.map(mustParsePath);
  return {
    property,
    fieldPath: mapping.paths.join(', '),
    received: (record) => kindOfFields(paths, record),
    read(record, raw, isPartial) {
      if (isPartial) {
        const absent = paths.filter((path) => leavesOut(raw, path)).length;
        if (absent > 0) return absent === paths.length ? ABSENT : INCOMPLETE;
      }
      return complete(paths.map((path) => orNull(readField(record, path))));
    },
  };
}

/** The steps from left to right, then the column's own form. Null passes by the transforms. */
function prepareSteps(
  steps: readonly Step[],
  finish: Canonicalise,
  column: TargetColumn,
  lookups: LookupReader,
): (value: unknown) => JsonValue {
  const transforms = steps.flatMap((step) => (step.kind === 'transform' ? [bindLookup(step, lookups)] : []));
  const fallback = steps.findLast((step): step is Default => step.kind === 'default')?.value;
  const standIn = fallback === undefined || fallback === null ? null : finish(fallback);
  const isDone = transforms.at(-1)?.givesInstant === true && takesInstants(column);
  const mayBeNull = !column.isNotNull && !steps.some((step) => step.kind === 'required');
  return (input) => {
    let value = input;
    for (const step of transforms) {
      if (value === null || value === undefined) break;
      value = step.decode(value);
    }
    if (isDone && typeof value === 'string') return value;
    if (value !== null && value !== undefined) return finish(value);
    if (standIn === null && !mayBeNull)
      throw new Refusal('missing', 'a value: the column has no default and cannot be null');
    return standIn;
  };
}

const orNull = (value: unknown): unknown => (value === ABSENT ? null : value);
const kindOfField = (value: unknown) => (value === ABSENT ? 'missing' : kindOf(value));

/** Of several fields the kind of the first that is there. */
function kindOfFields(paths: readonly Path[], record: unknown) {
  const found = paths.map((path) => readField(record, path)).find((value) => value !== ABSENT && value !== null);
  return kindOf(found);
}
