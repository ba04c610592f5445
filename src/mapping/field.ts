import type { JsonValue } from '../model/json.ts';
import type { IsoInstant } from './instant-text.ts';
import type { Transform } from './transform.ts';

/** What the source has no value for is an error of that record, even where the column could be null. */
export type Required = { readonly kind: 'required' };
/** Stands in when the source has no value: the key is missing or null. In the column's own form; no step runs on it. */
export type Default<Value extends JsonValue = JsonValue> = { readonly kind: 'default'; readonly value: Value };

export type Step = Transform | Required | Default;

export type FieldMapping<Path extends string = string, Steps extends readonly Step[] = readonly Step[]> = {
  readonly kind: 'field';
  readonly path: Path;
  readonly steps: Steps;
};
export type FieldsMapping<
  Paths extends readonly string[] = readonly string[],
  Steps extends readonly Step[] = readonly Step[],
> = { readonly kind: 'fields'; readonly paths: Paths; readonly steps: Steps };
export type ConstantMapping<Value extends JsonValue = JsonValue> = { readonly kind: 'constant'; readonly value: Value };
export type SyncedAtMapping = { readonly kind: 'synced_at' };
export type DeletedAtMapping = { readonly kind: 'deleted_at' };

/** How one column gets its value. */
export type ColumnMapping = FieldMapping | FieldsMapping | ConstantMapping | SyncedAtMapping | DeletedAtMapping;

/** By property of the target table. */
export type Mapping = { readonly [property: string]: ColumnMapping };

/** What `syncedAt()` and `deletedAt()` give. */
export type Stamp = IsoInstant;

/**
 * The value at a dot path of the record (`metadata.tags`, `lines.0.id`, `['a.b']`), through the steps from left to right.
 * A missing or null value becomes null; a column that cannot be null then refuses the record, unless it has a default.
 */
export const field = <const Path extends string, const Steps extends readonly Step[]>(
  path: Path,
  ...steps: Steps
): FieldMapping<Path, Steps> => ({ kind: 'field', path, steps });

/**
 * Several values as one: the first step gets them as an array, in the order of the paths, with null for what is missing.
 * In a partial payload it needs all of its paths, or the record is read whole.
 */
export const fields = <const Paths extends readonly string[], const Steps extends readonly [Transform, ...Step[]]>(
  paths: Paths,
  ...steps: Steps
): FieldsMapping<Paths, Steps> => ({ kind: 'fields', paths, steps });

/** The same value in every row. */
export const constant = <const Value extends JsonValue>(value: Value): ConstantMapping<Value> => ({
  kind: 'constant',
  value,
});

/** The database's time of the last write that changed the row. No content: it never causes a write. */
export const syncedAt = (): SyncedAtMapping => ({ kind: 'synced_at' });

/** Rows are kept when their record is deleted, and stamped here with the time; null while the record lives. */
export const deletedAt = (): DeletedAtMapping => ({ kind: 'deleted_at' });

export const required: Required = { kind: 'required' };

export const withDefault = <const Value extends JsonValue>(value: Value): Default<Value> => ({
  kind: 'default',
  value,
});
