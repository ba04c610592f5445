import type { PgTable } from 'drizzle-orm/pg-core';
import type { z } from 'zod';
import type { Mapping } from '../mapping/field.ts';
import type { AnyEndpoints } from '../source/endpoint.ts';
import type { ConfigDefinition, EntityDefinition, TypedIntegration, VersionDefinition } from './definition.ts';
import type { CheckedMapping, CheckedPath } from './mapping-types.ts';
import type { WriteDefinition } from './write.ts';

/** Of what the source sends, before the schema changes it: ids, versions and marks are read from there. */
type CheckedVersion<Sent, Version extends VersionDefinition> = Version extends {
  readonly field: infer Field extends string;
}
  ? { readonly field: CheckedPath<Sent, Field> }
  : unknown;

/** `EntityDefinition` with its parts checked against each other. */
type EntityForm<
  Schema extends z.ZodType,
  Table extends PgTable,
  M extends Mapping,
  Key extends string,
  Version extends VersionDefinition,
> = Omit<EntityDefinition, 'schema' | 'key' | 'targetKey' | 'version' | 'only' | 'target' | 'mapping' | 'write'> & {
  /** What the source sends. Every record is checked by it before it is mapped. */
  readonly schema: Schema;
  readonly key: Key & CheckedPath<z.input<Schema>, Key>;
  readonly targetKey?: keyof M & string;
  readonly version: Version & CheckedVersion<z.input<Schema>, Version>;
  /** Records for which it says false are none of this entity's. It sees what the schema gives; it must be pure. */
  readonly only?: (record: z.output<Schema>) => boolean;
  readonly target: Table;
  readonly mapping: M & CheckedMapping<M, z.output<Schema>, Table>;
  /** Makes the entity two-way. */
  readonly write?: WriteDefinition<NoInfer<keyof M & string>>;
};

/**
 * One kind of record: what the source sends, how it is read, and which column of which table gets what. A mapping that
 * does not fit the table or the schema does not compile. Nothing is looked up or connected here.
 */
export const entity = <
  Schema extends z.ZodType,
  Table extends PgTable,
  const M extends Mapping,
  const Key extends string,
  const Version extends VersionDefinition,
>(
  form: EntityForm<Schema, Table, M, Key, Version>,
): EntityDefinition => form;

/** One source with its entities and endpoints, as data. Checked whole at the start of the server. */
export const defineIntegration = <
  const Forms extends AnyEndpoints = Record<never, never>,
  Given extends string = never,
>(
  definition: TypedIntegration<Forms, Given>,
): TypedIntegration<Forms, Given> => definition;

/** What a config file exports by default. */
export const defineConfig = (definition: ConfigDefinition): ConfigDefinition => definition;
