import { z } from 'zod';
import { mustParsePath } from '../lib/path-schema.ts';
import { canCheckPartial } from '../lib/schema-check.ts';
import { reachOf } from '../lib/schema-path.ts';
import { placeholdersOf } from '../source/path-template.ts';
import { checkMapping } from './check-mapping.ts';
import { checkPaging } from './check-paging.ts';
import { checkParam } from './check-param.ts';
import { checkWrite } from './check-write.ts';
import { checkShape, type Place } from './problems.ts';
import { ENTITY_PARTS } from './schemas.ts';

type Parts = { readonly [Part in keyof typeof ENTITY_PARTS]: z.output<(typeof ENTITY_PARTS)[Part]> | null };

/** What the rest of the definition wants to know about an entity. Where a part is broken, the best is assumed of it. */
export type EntityFacts = {
  readonly canGet: boolean;
  /** Its schema can check the fields of a partial payload one by one. */
  readonly takesPartial: boolean;
};

const shape = z.looseObject({});

/** Checks one entity: each part by itself, then those that are sound against each other. */
export function checkEntity(definition: unknown, params: readonly string[], place: Place): EntityFacts | null {
  if (checkShape(shape, definition, place) === null || typeof definition !== 'object' || definition === null)
    return null;
  for (const key of Object.keys(definition)) {
    if (!Object.hasOwn(ENTITY_PARTS, key)) place.at(key).add('is no option here; look for a typing error');
  }
  const part = <Schema extends z.ZodType>(name: keyof typeof ENTITY_PARTS, partSchema: Schema) =>
    checkShape(partSchema, Reflect.get(definition, name), place.at(name));
  const parts: Parts = {
    schema: part('schema', ENTITY_PARTS.schema),
    key: part('key', ENTITY_PARTS.key),
    targetKey: part('targetKey', ENTITY_PARTS.targetKey),
    version: part('version', ENTITY_PARTS.version),
    only: part('only', ENTITY_PARTS.only),
    read: part('read', ENTITY_PARTS.read),
    deletes: part('deletes', ENTITY_PARTS.deletes),
    readLag: part('readLag', ENTITY_PARTS.readLag),
    target: part('target', ENTITY_PARTS.target),
    mapping: part('mapping', ENTITY_PARTS.mapping),
    reconcile: part('reconcile', ENTITY_PARTS.reconcile),
    write: part('write', ENTITY_PARTS.write),
  };
  checkSent(parts, place);
  checkReading(parts, params, place);
  if (parts.read !== null) checkPaging(parts.read.list, parts.schema, place.at('read', 'list'));
  const { mapping, target, schema, key, write } = parts;
  const targetKey = parts.targetKey ?? null;
  const sound = mapping === null ? null : checkMapping({ mapping, target, schema, key, targetKey }, place);
  if (write !== null && write !== undefined) checkWrite(write, { ...parts, mapping: sound }, params, place);
  return {
    canGet: parts.read === null || parts.read.get !== undefined,
    takesPartial: parts.schema === null || canCheckPartial(parts.schema),
  };
}

/** Id and version are read from what the source sends. */
function checkSent({ schema, key, version, deletes }: Parts, place: Place): void {
  const absent = (path: string) => schema !== null && reachOf(schema, mustParsePath(path), 'input') === 'absent';
  if (key !== null && absent(key)) place.at('key').add(`the schema has nothing at ${key}`);
  if (version !== null && version.kind !== 'none' && absent(version.field)) {
    place.at('version', 'field').add(`the schema has nothing at ${version.field}`);
  }
  if (deletes?.events === 'versioned' && version?.kind === 'none') {
    place.at('deletes', 'events').add("cannot be 'versioned' where version has the kind 'none'");
  }
}

function checkReading({ read, version, reconcile }: Parts, params: readonly string[], place: Place): void {
  if (read === null) return;
  for (const [name, path] of [
    ['list', read.list.path],
    ['get', read.get?.path],
    ['getMany', read.getMany?.path],
  ] as const) {
    for (const placeholder of placeholdersOf(path ?? '')) {
      if ((placeholder === 'id' && name !== 'getMany') || params.includes(placeholder)) continue;
      place.at('read', name, 'path').add(`{${placeholder}} has no value: name it under params of the source`);
    }
  }
  if (read.get?.idParam !== undefined) checkParam(read.get, read.get.idParam, place.at('read', 'get', 'idParam'));
  if (read.getMany !== undefined) {
    checkParam(read.getMany, read.getMany.idsParam, place.at('read', 'getMany', 'idsParam'));
  }
  if (read.getMany !== undefined && read.get === undefined) {
    place.at('read', 'getMany').add('needs read.get: only a read of one record shows that it is gone');
  }
  const since = read.changedSince;
  const sincePlace = place.at('read', 'changedSince');
  if (since === undefined) {
    if (reconcile?.incremental !== undefined) {
      place.at('reconcile', 'incremental').add('needs read.changedSince: without it only full runs are possible');
    }
    return;
  }
  checkParam(read.list, since.param, sincePlace.at('param'));
  for (const name of Object.keys(since.query ?? {})) checkParam(read.list, name, sincePlace.at('query', name));
  if (version === null) return;
  if (version.kind === 'none') sincePlace.add("needs a version: it has the kind 'none'");
  if (version.kind === 'timestamp' && since.format === 'raw') {
    sincePlace.at('format').add('expected iso, epoch_s or epoch_ms, since the version is a timestamp');
  }
  if (version.kind === 'counter' && since.format !== undefined && since.format !== 'raw') {
    sincePlace.at('format').add('expected raw, since the version is a counter');
  }
  if (version.kind === 'counter' && since.overlap !== undefined) {
    sincePlace.at('overlap').add('is only for timestamps, and the version is a counter');
  }
}
