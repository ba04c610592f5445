import { findWayBack, type WayBack } from '../mapping/way-back.ts';
import type { EntityDefinition } from './definition.ts';
import { findKeyProperty } from './target.ts';

type Form = Pick<EntityDefinition, 'schema' | 'key' | 'mapping'> & {
  readonly version: { readonly kind: 'none' } | { readonly kind: 'timestamp' | 'counter'; readonly field: string };
  readonly targetKey?: string | undefined;
  readonly deletes?: Pick<NonNullable<EntityDefinition['deletes']>, 'marker'> | undefined;
  readonly write?: { readonly readOnly?: readonly string[] | undefined } | undefined;
};

/** Which properties of an entity can be sent to its source, and why the others cannot. */
export function wayBackOf({ schema, key, targetKey, version, deletes, mapping, write }: Form): WayBack {
  const owned = [{ path: key, is: "the record's id" }];
  if (version.kind !== 'none') owned.push({ path: version.field, is: "the record's version" });
  if (deletes?.marker !== undefined) owned.push({ path: deletes.marker.field, is: 'the mark of deletion' });
  return findWayBack({
    schema,
    mapping,
    keyProperty: targetKey ?? findKeyProperty(mapping, key) ?? '',
    owned,
    readOnly: write?.readOnly ?? [],
  });
}
