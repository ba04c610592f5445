import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { FieldMapping } from '../mapping/field.ts';
import { isTwoWay } from '../mapping/transform.ts';
import { doOverlap, findOverlaps, type WayBack } from '../mapping/way-back.ts';
import { checkParam } from './check-param.ts';
import type { WriteContext } from './check-write.ts';
import type { EntityDefinition } from './definition.ts';
import type { Place } from './problems.ts';
import { findKeyProperty } from './target.ts';
import { wayBackOf } from './way-back.ts';
import type { CheckedWrite } from './write-schema.ts';

/** Reasons that one message tells. */
const MAX_REASONS = 5;

/** Checks which properties are sent, and that each has a place of its own in what is sent. */
export function checkSent(write: CheckedWrite, context: WriteContext, entity: Place): void {
  const { schema, key, targetKey, version, deletes, mapping } = context;
  if (schema === null || key === null || version === null || mapping === null) return;
  const place = entity.at('write');
  const wayBack = wayBackOf({
    schema,
    key,
    version,
    mapping,
    write,
    targetKey: targetKey ?? undefined,
    deletes: deletes?.marker === undefined ? undefined : { marker: deletes.marker },
  });
  checkNames(write, wayBack, mapping, place);
  checkKey(mapping, key, targetKey ?? null, entity);
  if (wayBack.properties.length === 0 && (write.update !== undefined || write.create !== undefined)) {
    const reasons = [...wayBack.readOnly].slice(0, MAX_REASONS).map(([property, reason]) => `${property}: ${reason}`);
    place.add(`sends nothing, since no property has a way back to the source (${reasons.join('; ')})`);
  }
  for (const { outer, inner } of findOverlaps(mapping, wayBack.properties)) {
    place.add(`${outer} and ${inner} would write the same place of the record; name one of them in readOnly`);
  }
  const sent = wayBack.properties.flatMap((property) => {
    const mapped = mapping[property];
    return mapped?.kind === 'field' ? [{ property, path: mapped.path }] : [];
  });
  for (const one of sent) {
    checkMarker(write, one, place);
    if (write.createOnly?.includes(one.property) !== true) checkPlace(write.update, one, place.at('update'));
    checkPlace(write.create, one, place.at('create'));
  }
}

function checkNames(write: CheckedWrite, wayBack: WayBack, mapping: EntityDefinition['mapping'], place: Place): void {
  const { fields = {}, readOnly = [], createOnly = [] } = write;
  for (const name of Object.keys(fields)) {
    const reason = wayBack.readOnly.get(name);
    if (!Object.hasOwn(mapping, name)) place.at('fields', name).add('the mapping has no property of this name');
    else if (reason !== undefined) {
      place.at('fields', name).add(`is read-only, so that no policy is ever asked: ${reason}`);
    }
  }
  for (const [list, names] of [
    ['readOnly', readOnly],
    ['createOnly', createOnly],
  ] as const) {
    for (const [index, name] of names.entries()) {
      if (!Object.hasOwn(mapping, name)) place.at(list, index).add('the mapping has no property of this name');
    }
  }
  for (const [index, name] of createOnly.entries()) {
    const reason = wayBack.readOnly.get(name);
    if (reason !== undefined) place.at('createOnly', index).add(`is read-only: ${reason}`);
  }
  if (createOnly.length > 0 && write.create === undefined) place.at('createOnly').add('needs write.create');
}

/** A row is found by its record's id, and gets the id of a record that it has made. */
function checkKey(mapping: EntityDefinition['mapping'], key: string, targetKey: string | null, entity: Place): void {
  const property = targetKey ?? findKeyProperty(mapping, key);
  const mapped = property === null || !Object.hasOwn(mapping, property) ? undefined : mapping[property];
  if (property === null || mapped === undefined || (mapped.kind === 'field' && mapped.path === key && isExact(mapped)))
    return;
  const words = 'so that each record has a row of its own, which is found by its id';
  entity
    .at('mapping', property)
    .add(`a two-way entity needs field('${key}') here, without steps that change it, ${words}`);
}

/** Two ids never give one key. */
const isExact = ({ steps }: FieldMapping): boolean =>
  steps.every((step) => step.kind === 'required' || (step.kind === 'transform' && isTwoWay(step) && !step.settles));

type Sent = { readonly property: string; readonly path: string };

function checkMarker({ marker }: CheckedWrite, { property, path }: Sent, place: Place): void {
  if (marker === undefined || !doOverlap(mustParsePath(marker.field), mustParsePath(path))) return;
  place.at('marker', 'field').add(`is where ${property} goes as well; name that in readOnly, or take another field`);
}

/** The place of a property in the body or among the variables is neither taken by a constant, nor undeclared. */
function checkPlace(
  form: CheckedWrite['update'] | CheckedWrite['create'],
  { property, path }: Sent,
  place: Place,
): void {
  if (form === undefined) return;
  const { graphql, body = {} } = form;
  const at = graphql === undefined ? (form.bodyAt ?? '') : (graphql.fieldsVariable ?? '');
  const whole = at === '' || path.startsWith('[') ? `${at}${path}` : `${at}.${path}`;
  if (graphql !== undefined && at === '') {
    const [variable = ''] = mustParsePath(path);
    checkParam({ graphql }, variable, place.at('graphql', 'query'));
  }
  if (readPath(body, mustParsePath(whole)).found) place.at('body').add(`holds a constant where ${property} goes`);
  else checkParam({ body, paramsIn: 'body' }, whole, place.at('body'));
}
