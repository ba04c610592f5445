import { type Kind, kindOf } from '../lib/kind.ts';
import { prepareColumn } from '../mapping/canonical.ts';
import { Refusal } from '../mapping/refusal.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetColumn, TargetTable } from '../model/target.ts';
import type { TwoWay } from './two-way.ts';

/** `create`: a new row. `some`: only the properties that are named. `whole`: every writable property. */
export type EditForm = 'create' | 'some' | 'whole';

/** What is wrong with one property of an edit. No part of any value is in it. */
export type EditProblem = { readonly field: string; readonly expected: string; readonly received: Kind };

/** The values of an edit in canonical form. */
export type EditValues = {
  /** Of writable properties. */
  readonly values: Content;
  /** Of read-only properties and the key, sent back by a caller who writes the whole record: they must be as they are. */
  readonly repeated: Content;
};

export type ReadValues =
  | { readonly ok: true; readonly edit: EditValues }
  | { readonly ok: false; readonly problems: readonly EditProblem[] };

/** Problems told at once; a body with more is no honest mistake. */
const MAX_PROBLEMS = 50;
/** Digits of which a number in JSON keeps each, whatever they are. */
const MAX_EXACT_DIGITS = 15;
/** JSON has no other numbers than ours: a whole one beyond these is read as another. */
const EXACT_JSON = `JSON whose whole numbers are at most ${Number.MAX_SAFE_INTEGER}: larger ones are not kept exactly, unless as text`;
/** Advice to who writes a mapping. */
const OF_MAPPINGS = / \(`.*\)$/;
/** Others are not repeated: they may be values that stand in the wrong place. */
const NAME = /^[A-Za-z_$][\w$]{0,62}$/;

type Editable = {
  readonly target: TargetTable;
  readonly twoWay: Pick<TwoWay, 'writable' | 'creatable' | 'writes' | 'constants' | 'mode' | 'unmap'>;
};

/**
 * Reads the values of an edit: JSON by property of the mapping, into what the columns store. Also what has no way back to
 * the source is refused here, before anything is written. Pure, never throws.
 */
export function readEditValues({ target, twoWay }: Editable, body: unknown, form: EditForm): ReadValues {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return { ok: false, problems: [{ field: '(body)', expected: 'an object by property', received: kindOf(body) }] };
  }
  const problems: EditProblem[] = [];
  const values: Record<string, JsonValue> = {};
  const repeated: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(body)) {
    if (problems.length === MAX_PROBLEMS) break;
    const place = placeOf(target, twoWay, name, form);
    const read = typeof place === 'object' ? readValue(place.column, value) : { ok: false as const, expected: place };
    if (!read.ok)
      problems.push({ field: NAME.test(name) ? name : '*', expected: read.expected, received: kindOf(value) });
    else if (typeof place === 'object' && place.isRepeated) repeated[name] = read.value;
    else values[name] = read.value;
  }
  for (const { field, expected } of missing(target, twoWay, body, form)) {
    if (problems.length < MAX_PROBLEMS) problems.push({ field, expected, received: 'missing' });
  }
  if (problems.length === 0) {
    const { [target.keyProperty]: _key, ...sent } = values;
    const back = twoWay.unmap(sent);
    if (!back.ok) {
      const { property, expected } = back;
      problems.push({ field: property, expected, received: kindOf(values[property]) });
    }
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, edit: { values, repeated } };
}

type Place = { readonly column: TargetColumn; readonly isRepeated: boolean };

/** The column of a property that this edit may name, or what was expected in place of the property. */
function placeOf(target: TargetTable, twoWay: Editable['twoWay'], name: string, form: EditForm): Place | string {
  const column = Object.hasOwn(target.columns, name) ? target.columns[name] : undefined;
  if (column === undefined) return unknown(target, name);
  if (name === target.keyProperty) {
    if (form === 'create')
      return twoWay.mode === 'target-first' ? { column, isRepeated: false } : 'no key: the source gives it';
    return form === 'whole'
      ? { column, isRepeated: true }
      : 'no key: a row keeps its own; create another, and delete it';
  }
  if (taken(twoWay, form).has(name)) return { column, isRepeated: false };
  if (!target.contentProperties.includes(name)) return 'nothing: Syncline stamps it itself';
  if (form === 'whole') return { column, isRepeated: true };
  if (twoWay.creatable.has(name)) return 'nothing: it can be given when a record is created, and only then';
  return 'nothing: it is read-only, since its mapping has no way back or the definition says so; change it at the source';
}

function unknown({ columns }: TargetTable, name: string): string {
  const property = Object.entries(columns).find(([, column]) => column.name === name)?.[0];
  if (property !== undefined) return `the property of the mapping, ${property}, not the name of its column`;
  return 'a property of the mapping';
}

/** Where the source takes no updates, only a row that it has not created yet is edited: then its create sends it. */
const taken = ({ creatable, writable, writes }: Editable['twoWay'], form: EditForm): ReadonlySet<string> =>
  form === 'create' || writes.update === null ? creatable : writable;

type ReadValue = { readonly ok: true; readonly value: JsonValue } | { readonly ok: false; readonly expected: string };

function readValue(column: TargetColumn, value: unknown): ReadValue {
  if (value === null) {
    return column.isNotNull ? { ok: false, expected: 'a value: the column cannot be null' } : { ok: true, value };
  }
  // Read by JSON as the nearest number there is: which one was meant nobody knows any more.
  if (column.kind === 'decimal' && typeof value === 'number' && digitsOf(value) > MAX_EXACT_DIGITS) {
    return { ok: false, expected: `a number of at most ${MAX_EXACT_DIGITS} digits, or a longer one as text` };
  }
  if ((column.kind === 'json' || column.kind === 'other') && holdsUnsafeNumber(value))
    return { ok: false, expected: EXACT_JSON };
  try {
    return { ok: true, value: prepareColumn(column)(value) };
  } catch (error) {
    if (!Refusal.isRefusal(error)) throw error;
    return { ok: false, expected: error.expected.replace(OF_MAPPINGS, '') };
  }
}

/** However deep it is nested. */
function holdsUnsafeNumber(value: unknown): boolean {
  const left: unknown[] = [value];
  for (let one = left.pop(); left.length > 0 || one !== undefined; one = left.pop()) {
    if (typeof one === 'number' && Number.isInteger(one) && !Number.isSafeInteger(one)) return true;
    if (typeof one === 'object' && one !== null) for (const inner of Object.values(one)) left.push(inner);
  }
  return false;
}

const digitsOf = (value: number): number =>
  String(value)
    .replace(/e.*$/, '')
    .replace(/^-?0?\.?0*/, '')
    .replace('.', '').length;

/** What a whole record or a new row cannot do without. */
function* missing(target: TargetTable, twoWay: Editable['twoWay'], body: object, form: EditForm) {
  if (form === 'some') return;
  const properties = taken(twoWay, form);
  for (const property of target.contentProperties) {
    if (property === target.keyProperty || Object.hasOwn(body, property)) continue;
    const column = target.columns[property];
    if (column === undefined) continue;
    if (form === 'whole' && properties.has(property)) {
      yield { field: property, expected: 'every writable property; PATCH takes some of them' };
    }
    const isConstant = twoWay.constants !== undefined && Object.hasOwn(twoWay.constants, property);
    const isNeeded = column.isNotNull && !column.hasDefault && !isConstant;
    if (form === 'create' && twoWay.mode === 'target-first' && isNeeded) {
      const expected = properties.has(property)
        ? 'a value: the column cannot be null'
        : 'a column that may be null: only the source gives its value. Or `write.mode: source-first`';
      yield { field: property, expected };
    }
  }
}
