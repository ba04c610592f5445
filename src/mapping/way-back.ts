import type { z } from 'zod';
import type { Path } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { fidelityOf, isReversible } from '../lib/schema-fidelity.ts';
import { acceptorAt } from '../lib/schema-path.ts';
import { isContent } from './column.ts';
import type { ColumnMapping, FieldMapping, Mapping } from './field.ts';
import { isTwoWay, type Transform } from './transform.ts';

export type WayBackForm = {
  readonly schema: z.ZodType;
  readonly mapping: Mapping;
  /** Property that holds the record's id. */
  readonly keyProperty: string;
  /** Paths that the source alone sets, each with what it is: `the record's version`. */
  readonly owned: readonly { readonly path: string; readonly is: string }[];
  /** Properties that the definition keeps from being sent. */
  readonly readOnly: readonly string[];
};

export type WayBack = {
  /** Content properties whose values can go back, in the order of the mapping. */
  readonly properties: readonly string[];
  /** All other content properties, each with why: it completes "read-only, because …". */
  readonly readOnly: ReadonlyMap<string, string>;
};

/** Which properties of a mapping have a way back to the source, and why the others have none. */
export function findWayBack(form: WayBackForm): WayBack {
  const properties: string[] = [];
  const readOnly = new Map<string, string>();
  for (const [property, mapped] of Object.entries(form.mapping)) {
    if (!isContent(mapped)) continue;
    const reason = reasonAgainst(form, property, mapped);
    if (reason === null) properties.push(property);
    else readOnly.set(property, reason);
  }
  return { properties, readOnly };
}

/** Two properties that would both write one place of the record, the outer one first. */
export type Overlap = { readonly outer: string; readonly inner: string };

/** Of properties with a way back: what one writes would undo what another writes. */
export function findOverlaps(mapping: Mapping, properties: readonly string[]): readonly Overlap[] {
  const places = properties.flatMap((property) => {
    const mapped = mapping[property];
    return mapped?.kind === 'field' ? [{ property, path: mustParsePath(mapped.path) }] : [];
  });
  return places.flatMap((one, index) =>
    places
      .slice(index + 1)
      .filter((other) => doOverlap(one.path, other.path))
      .map((other) =>
        one.path.length <= other.path.length
          ? { outer: one.property, inner: other.property }
          : { outer: other.property, inner: one.property },
      ),
  );
}

export const doOverlap = (one: Path, other: Path): boolean =>
  one.slice(0, other.length).every((key, index) => key === other[index]);

function reasonAgainst(form: WayBackForm, property: string, mapped: ColumnMapping): string | null {
  if (property === form.keyProperty) return "it is the record's id";
  if (form.readOnly.includes(property)) return 'the definition says so';
  if (mapped.kind === 'constant') return 'it is the same in every row';
  if (mapped.kind === 'fields') return 'it is made of several fields';
  return mapped.kind === 'field' ? (reasonOfPlace(form, mapped) ?? reasonOfSteps(form.schema, mapped)) : null;
}

const ARRAY_INDEX = /^\d+$/;

function reasonOfPlace({ schema, owned }: WayBackForm, { path: text }: FieldMapping): string | null {
  const path = mustParsePath(text);
  if (path.length === 0) return 'it is the whole record';
  if (path.some((key) => ARRAY_INDEX.test(key))) return 'it stands within a list';
  const owner = owned.find((one) => doOverlap(mustParsePath(one.path), path));
  if (owner !== undefined) return `the source alone sets ${owner.is}`;
  switch (fidelityOf(schema, path)) {
    case 'kept':
      return null;
    case 'changed':
      return 'the schema changes it on the way in: a codec in the mapping can go both ways';
    case 'cut':
      return 'the schema drops keys in it, which the source would lose: z.looseObject keeps them';
  }
}

function reasonOfSteps(schema: z.ZodType, { path, steps }: FieldMapping): string | null {
  for (const step of steps) {
    if (step.kind !== 'transform') continue;
    const name = nameOf(step);
    if (!isTwoWay(step)) return `${name} has no way back`;
    if (!isReversible(step.codec)) return `${name} has no way back: its schema holds a one-way transform`;
  }
  // Only the first step stands next to the source's own form.
  const first = steps.find((step) => step.kind === 'transform');
  if (first !== undefined && isTwoWay(first) && first.isAmbiguous?.(acceptorAt(schema, mustParsePath(path))) === true) {
    return `the schema takes several forms that ${nameOf(first)} reads, and does not tell which one the source writes`;
  }
  return null;
}

/** `oneOf`, of `oneOf({"a":"b"})`: signatures may be long. */
const nameOf = ({ signature }: Transform): string => /^\w+/.exec(signature)?.[0] ?? 'a step';
