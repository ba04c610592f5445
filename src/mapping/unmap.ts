import type { z } from 'zod';
import type { Path } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { acceptorAt } from '../lib/schema-path.ts';
import { isObject, type JsonValue, withValueAt } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetColumn, TargetTable } from '../model/target.ts';
import { type ColumnReader, prepareReader } from './column.ts';
import type { FieldMapping, Mapping } from './field.ts';
import { Refusal } from './refusal.ts';
import { columnSpellings, sourceSpellings } from './spelling.ts';
import { isTwoWay, type TwoWay } from './transform.ts';

/** What goes to the source for some properties of a row. */
export type Unmapped =
  | {
      readonly ok: true;
      /** Nested as the source's records are. Holds nothing but the places of the given properties. */
      readonly fields: { readonly [key: string]: JsonValue };
      /**
       * What the mapping will make of these fields when the source shows them as they were sent. It differs from what was
       * given where a step settles on one of several spellings (`lowercase`), so compare answers and echoes with this.
       */
      readonly returns: Content;
    }
  /** `expected` completes "expected …" and holds no value of the row. */
  | { readonly ok: false; readonly property: string; readonly expected: string };

/**
 * The way back through the mapping: properties of a row, in canonical form, to what the source takes. Pure, never throws:
 * the first property whose value has no way back is named. Properties without a way back are passed over.
 */
export type Unmap = (content: Content) => Unmapped;

export type UnmapForm = {
  readonly schema: z.ZodType;
  readonly mapping: Mapping;
  readonly target: TargetTable;
  /** Properties with a way back, as `findWayBack` tells. */
  readonly properties: readonly string[];
};

/** Prepares the way back of each property: paths parsed, steps and column looked at once. */
export function prepareUnmap(form: UnmapForm): Unmap {
  const writers = form.properties.map((property) => prepareWriter(form, property));
  return (content) => {
    let fields: JsonValue = {};
    const returns: Record<string, JsonValue> = {};
    for (const { property, path, write } of writers) {
      const value = Object.hasOwn(content, property) ? content[property] : undefined;
      if (value === undefined) continue;
      try {
        const written = write(value);
        fields = withValueAt(fields, path, written.sent);
        returns[property] = written.returns;
      } catch (error) {
        const expected = Refusal.isRefusal(error) ? error.expected : 'a value that the codec of the mapping takes';
        return { ok: false, property, expected };
      }
    }
    return { ok: true, fields: isObject(fields) ? fields : {}, returns };
  };
}

type Writer = {
  readonly property: string;
  readonly path: Path;
  /** Throws a `Refusal`, or what a user's codec throws. */
  readonly write: (value: JsonValue) => { readonly sent: JsonValue; readonly returns: JsonValue };
};

function prepareWriter({ schema, mapping, target }: UnmapForm, property: string): Writer {
  const mapped = mapping[property];
  const column = target.columns[property];
  if (mapped?.kind !== 'field' || column === undefined) throw new TypeError(`No way back for the property ${property}`);
  const path = mustParsePath(mapped.path);
  const encode = prepareEncoders(mapped, column);
  const accepts = acceptorAt(schema, path);
  const reader = prepareReader(property, mapped, column);
  // A source that leaves a field out, rather than show null, is still told null: nothing else clears it.
  const takesNull = accepts(null) || accepts(undefined);
  return {
    property,
    path,
    write(value) {
      if (value === null && !takesNull) throw new Refusal('missing', "a value: the source's schema takes no null");
      const sent = value === null ? null : spell(encode(value), accepts);
      return { sent, returns: readBack(reader, path, sent) };
    },
  };
}

/** The steps from right to left. */
function prepareEncoders({ steps }: FieldMapping, column: TargetColumn): (value: JsonValue) => unknown {
  const encoders: readonly TwoWay<unknown, unknown>[] = steps.filter(isTwoWay).reverse();
  const [last, ...others] = encoders;
  if (last === undefined) return (value) => value;
  return (value) => {
    const first = firstTaken(columnSpellings(value, column.kind), (spelling) => last.encode(spelling));
    return others.reduce((current, step) => step.encode(current), first);
  };
}

/** What comes of the first candidate that is not refused; else the first one's refusal. */
function firstTaken(candidates: readonly unknown[], encode: (candidate: unknown) => unknown): unknown {
  const refusals: Refusal[] = [];
  for (const candidate of candidates) {
    try {
      return encode(candidate);
    } catch (error) {
      if (!Refusal.isRefusal(error)) throw error;
      refusals.push(error);
    }
  }
  throw refusals[0] ?? new Refusal('bad_value', 'a value that the step takes');
}

/** As the source writes such a value, which its schema tells: `12` where it declares numbers, `'12'` where it declares text. */
function spell(value: unknown, accepts: (value: unknown) => boolean): JsonValue {
  const spelling = sourceSpellings(value).find(accepts);
  if (spelling === undefined) throw new Refusal('bad_value', "a value that the source's schema takes");
  return spelling;
}

/** Also finds what the mapping itself would refuse when it comes back, such as a null that is `required`. */
function readBack(reader: ColumnReader, path: Path, sent: JsonValue): JsonValue {
  const record = withValueAt({}, path, sent);
  const value = reader.read(record, record, false);
  if (typeof value === 'symbol') throw new TypeError('A whole record leaves nothing out');
  return value;
}
