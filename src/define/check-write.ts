import type { z } from 'zod';
import { TAKEN_HEADERS } from '../source/endpoint.ts';
import { lowerCaseNames } from '../source/header.ts';
import { placeholdersOf } from '../source/path-template.ts';
import { checkParam } from './check-param.ts';
import { checkSent } from './check-sent.ts';
import type { EntityDefinition } from './definition.ts';
import type { Place } from './problems.ts';
import type { ENTITY_PARTS } from './schemas.ts';
import type { CheckedWrite } from './write-schema.ts';

type Part<Name extends keyof typeof ENTITY_PARTS> = z.output<(typeof ENTITY_PARTS)[Name]> | null;

/** What a `write` is checked against; null for parts that are broken. */
export type WriteContext = {
  readonly schema: Part<'schema'>;
  readonly key: Part<'key'>;
  readonly targetKey: Part<'targetKey'>;
  readonly version: Part<'version'>;
  readonly read: Part<'read'>;
  readonly deletes: Part<'deletes'>;
  readonly mapping: EntityDefinition['mapping'] | null;
};

/** Checks what makes an entity two-way against the rest of it. */
export function checkWrite(write: CheckedWrite, context: WriteContext, params: readonly string[], entity: Place): void {
  const place = entity.at('write');
  if (write.update === undefined && write.create === undefined && write.delete === undefined) {
    place.add('needs at least one of update, create and delete: without them nothing can be sent');
  }
  if (context.read !== null && context.read.get === undefined) {
    place.add('needs read.get: what became of a write that nobody answered is found out by a read of the record');
  }
  checkEndpoints(write, context, params, place);
  checkPolicies(write, context, place);
  checkRecognition(write, context, place);
  checkSent(write, context, entity);
}

function checkEndpoints(write: CheckedWrite, { version }: WriteContext, params: readonly string[], place: Place): void {
  for (const op of ['update', 'create', 'delete'] as const) {
    for (const placeholder of placeholdersOf(write[op]?.path ?? '')) {
      if (placeholder === 'id' || params.includes(placeholder)) continue;
      place.at(op, 'path').add(`{${placeholder}} has no value: name it under params of the source`);
    }
  }
  for (const op of ['update', 'delete'] as const) {
    const form = write[op];
    if (form?.graphql !== undefined) checkVariable(form.graphql, 'idVariable', place.at(op, 'graphql'));
    if (form?.ifMatch === 'version' && version !== null && version.kind !== 'counter') {
      const words = `'version' needs a version that is a counter, and it has the kind '${version.kind}'`;
      place.at(op, 'ifMatch').add(`${words}; 'etag' takes the record's tag`);
    }
  }
  for (const op of ['update', 'create'] as const) {
    const graphql = write[op]?.graphql;
    if (graphql?.fieldsVariable !== undefined) checkVariable(graphql, 'fieldsVariable', place.at(op, 'graphql'));
  }
}

type Variables = { readonly query: string; readonly idVariable?: string; readonly fieldsVariable?: string | undefined };

/** Servers pass over variables that a document does not declare. */
function checkVariable(graphql: Variables, name: 'idVariable' | 'fieldsVariable', place: Place): void {
  const [variable = ''] = graphql[name]?.split(/[.[]/) ?? [];
  checkParam({ graphql }, variable, place.at(name));
}

function checkPolicies(write: CheckedWrite, { version }: WriteContext, place: Place): void {
  if (write.localDeletes === 'push' && write.delete === undefined) {
    place.at('localDeletes').add("'push' needs write.delete: how a record is deleted at the source");
  }
  const choices = [['conflict', write.conflict] as const, ...Object.entries(write.fields ?? {})];
  for (const [name, choice] of choices) {
    const policy = typeof choice === 'object' ? choice.merge : choice;
    if (policy !== 'newest_wins' || version === null || version.kind === 'timestamp') continue;
    const where = name === 'conflict' ? place.at('conflict') : place.at('fields', name);
    where.add(`'newest_wins' needs a version that is a timestamp, and it has the kind '${version.kind}'`);
  }
}

/** How the source tells our writes from others, and repeated ones from new ones. */
function checkRecognition(write: CheckedWrite, { read }: WriteContext, place: Place): void {
  const { create, idempotency, marker, onUnknownCreate } = write;
  if (idempotency !== undefined) {
    const own = [write.update, create, write.delete].flatMap((form) =>
      Object.keys(lowerCaseNames(form?.headers ?? {})),
    );
    const header = idempotency.header.toLowerCase();
    if (TAKEN_HEADERS.has(header) || own.includes(header)) {
      place.at('idempotency', 'header').add('carries something else already; take another header');
    }
  }
  if (marker?.searchParam !== undefined && read !== null) {
    checkParam(read.list, marker.searchParam, place.at('marker', 'searchParam'));
  }
  if (create === undefined) {
    if (marker !== undefined) place.at('marker').add('marks created records, and there is no write.create');
    if (onUnknownCreate !== undefined)
      place.at('onUnknownCreate').add('is about creates, and there is no write.create');
    return;
  }
  if (create.answers === 'nothing' && create.id === undefined && marker?.searchParam === undefined) {
    const words = 'leaves nobody to tell which record was created';
    place.at('create', 'answers').add(`${words}: name create.id, or a marker with a searchParam`);
  }
}
