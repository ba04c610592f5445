import type { PgColumn, PgTable } from 'drizzle-orm/pg-core';
import type {
  ColumnMapping,
  ConstantMapping,
  Default,
  DeletedAtMapping,
  FieldMapping,
  FieldsMapping,
  Mapping,
  Stamp,
  SyncedAtMapping,
} from '../mapping/field.ts';
import type { IsoDay, IsoInstant } from '../mapping/instant-text.ts';
import type { Transform } from '../mapping/transform.ts';
import type { DecimalText } from '../mapping/transforms/number.ts';

declare const problem: unique symbol;

/** A type that nothing has: the compiler shows its words where a definition is wrong. */
export type Problem<Words extends string, Got = never, Wanted = never> = {
  readonly [problem]: Words;
  readonly got: Got;
  readonly wanted: Wanted;
};

type IsAny<T> = 0 extends 1 & T ? true : false;
type IsOpen<T> = IsAny<T> extends true ? true : unknown extends T ? true : false;

/** What stands at a dot path; never when an object type has no such key. Quoted keys and indexes in brackets are not followed. */
export type ValueAt<T, Path extends string> = Path extends ''
  ? T
  : Path extends `${string}[${string}`
    ? unknown
    : IsOpen<T> extends true
      ? unknown
      : Path extends `${infer Key}.${infer Rest}`
        ? ValueAt<At<NonNullable<T>, Key>, Rest>
        : At<NonNullable<T>, Path>;

/** Of a union whatever any member has there. */
type At<T, Key extends string> = T extends readonly (infer Item)[]
  ? Key extends `${number}`
    ? Item
    : never
  : T extends object
    ? Key extends keyof T
      ? T[Key]
      : never
    : never;

/** The path itself, or why it is wrong. */
export type CheckedPath<T, Path extends string> = [ValueAt<T, Path>] extends [never]
  ? Problem<`the schema has nothing at "${Path}"`>
  : Path;

/** What a column takes: what drizzle inserts, and the texts of ours that stand for exactly such a value. */
type Accepted<Column extends PgColumn> = Column['_']['columnType'] extends 'PgTimestamp'
  ? Date | IsoInstant
  : Column['_']['columnType'] extends 'PgDate'
    ? Date | IsoDay
    : Column['_']['columnType'] extends 'PgNumericNumber' | 'PgNumericBigInt'
      ? number | bigint | DecimalText
      : Column['_']['columnType'] extends 'PgBigInt64'
        ? number | bigint
        : Column['_']['columnType'] extends 'PgJson' | 'PgJsonb'
          ? DeepReadonly<Column['_']['data']>
          : Column['_']['data'];

type DeepReadonly<T> =
  IsOpen<T> extends true ? unknown : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** The value after all steps; a `Problem` where a step does not take what the one before it gives. */
type AfterSteps<Value, Steps extends readonly unknown[], Path extends string> = Steps extends readonly [
  infer First,
  ...infer Rest,
]
  ? First extends Transform<infer In, infer Out>
    ? Takes<In, Value> extends true
      ? AfterSteps<NonNullable<Out>, Rest, Path>
      : Problem<`a transform of "${Path}" does not take what it gets`, Value, In>
    : First extends Default<infer StandIn>
      ? AfterSteps<Value | NonNullable<StandIn>, Rest, Path>
      : AfterSteps<Value, Rest, Path>
  : Value;

type Takes<In, Value> = IsOpen<Value> extends true ? true : [Value] extends [In] ? true : false;

/** In brackets, so that a union is judged whole: one member that fits does not make up for another. */
type FitIn<Value, Column extends PgColumn, Ok, Property extends string> = [Value] extends [never]
  ? Ok
  : IsOpen<Value> extends true // what the types leave open is checked for every record
    ? Ok
    : [Value] extends [Problem<string, unknown, unknown>]
      ? Value
      : [Value] extends [Accepted<Column>]
        ? Ok
        : Problem<`the column "${Property}" does not take this value`, Value, Accepted<Column>>;

type CheckedColumn<Mapped, Row, Column extends PgColumn, Property extends string> =
  Mapped extends FieldMapping<infer Path, infer Steps>
    ? [ValueAt<Row, Path>] extends [never]
      ? Problem<`the schema has nothing at "${Path}"`>
      : FitIn<AfterSteps<NonNullableOrOpen<ValueAt<Row, Path>>, Steps, Path>, Column, Mapped, Property>
    : Mapped extends FieldsMapping<infer Paths, infer Steps>
      ? MissingOf<Row, Paths> extends never
        ? FitIn<AfterSteps<readonly unknown[], Steps, Property>, Column, Mapped, Property>
        : Problem<`the schema has nothing at "${MissingOf<Row, Paths>}"`>
      : Mapped extends ConstantMapping<infer Value>
        ? null extends Value
          ? Column['_']['notNull'] extends true
            ? Problem<`the column "${Property}" cannot be null`>
            : FitIn<NonNullable<Value>, Column, Mapped, Property>
          : FitIn<Value, Column, Mapped, Property>
        : Mapped extends SyncedAtMapping
          ? FitIn<Stamp, Column, Mapped, Property>
          : Mapped extends DeletedAtMapping
            ? Column['_']['notNull'] extends true
              ? Problem<`the column "${Property}" must be able to be null: it is, as long as the record lives`>
              : FitIn<Stamp, Column, Mapped, Property>
            : never;

type NonNullableOrOpen<T> = IsOpen<T> extends true ? unknown : NonNullable<T>;

type MissingOf<Row, Paths extends readonly string[]> = {
  [Index in keyof Paths]: [ValueAt<Row, Paths[Index]>] extends [never] ? Paths[Index] : never;
}[number];

type Insert<Table extends PgTable> = Table['$inferInsert'];
type NeededColumns<Table extends PgTable> = {
  [Key in keyof Insert<Table>]-?: object extends Pick<Insert<Table>, Key> ? never : Key;
}[keyof Insert<Table>];

/**
 * The mapping itself where it fits both the schema's output (paths) and the table (columns, types); a `Problem` at each
 * property that does not. What the types cannot tell is checked at the start and for every record.
 */
export type CheckedMapping<M extends Mapping, Row, Table extends PgTable> = {
  readonly [Property in keyof M]: Property extends keyof Insert<Table> & keyof Table['_']['columns'] & string
    ? Table['_']['columns'][Property] extends infer Column extends PgColumn
      ? CheckedColumn<M[Property], Row, Column, Property>
      : never
    : Problem<`the table has no column "${Property & string}" that can be written`>;
} & {
  readonly [Property in Exclude<NeededColumns<Table>, keyof M>]: ColumnMapping &
    Problem<`the column "${Property & string}" is NOT NULL without a default: map it`>;
};
