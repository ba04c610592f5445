import { isDeepStrictEqual } from 'node:util';
import type { EntityDefinition } from '../define/definition.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';
import type { GetDefinition, ListDefinition } from '../source/definition.ts';
import { parsePathTemplate } from '../source/path-template.ts';
import type { TwoWay, WriteEndpoint } from '../sync/two-way.ts';
import type { Answer } from './answer.ts';
import type { Entry, View } from './collection.ts';
import { isJsonObject, type JsonObject, valueAt, withValueAt } from './json.ts';
import type { Ledger } from './ledger.ts';
import { type Dialect, decodeSegment, type Operation, type SourceRequest, type Written } from './operation.ts';
import { readSince } from './record-version.ts';
import { itemsOf, type ServerPaging, serverPagingOf } from './server-paging.ts';
import { entityTagOf, NOT_FOUND, type WriteRules, writeChange, writeNew, writeRemoval } from './write.ts';

type Records = Ledger<JsonObject, JsonObject>;
type Writes = TwoWay['writes'];
type Form = Omit<GetDefinition, 'record' | 'nullIsAbsent' | 'idParam'>;

export type DefinitionDialect = {
  readonly entity: EntityDefinition;
  /** What placeholders other than `{id}` stand for. */
  readonly params: Readonly<Record<string, string>>;
  readonly writes: Writes | null;
  readonly rules: WriteRules<JsonObject, JsonObject>;
  /** Query parameter that finds records by the value at a path: a marker. */
  readonly search: { readonly param: string; readonly field: string } | null;
  /** Told of a parameter that the source does not know: it is passed over, as most sources do. */
  readonly onUnknownParam: (endpoint: string, param: string) => void;
};

/** Where a list does not ask for a size. */
const DEFAULT_LIMIT = 20;
const UNREADABLE: Answer = { status: 400, body: { error: 'bad_request' } };

/** The endpoints of an entity as its definition calls them, from the other side. Null where its pages cannot be stood in for. */
export function definitionDialect(ledger: Records, options: DefinitionDialect): Dialect | null {
  const { entity } = options;
  const { read, key } = entity;
  const paging = serverPagingOf(read.list.pagination, key);
  if (paging === null) return null;
  const list = listOperation(ledger, paging, options);
  const get = read.get === undefined ? null : getOperation(ledger, read.get, options);
  const getMany = getManyOperation(ledger, options);
  const write = options.writes === null ? null : writeOperation(ledger, options.writes, options);
  return (request) => get?.(request) ?? getMany?.(request) ?? write?.(request) ?? list(request);
}

const viewOf = ({ records }: Records, asOfMs: number | null): View<JsonObject> =>
  asOfMs === null ? records : records.asOf(asOfMs);

function listOperation(ledger: Records, paging: ServerPaging, options: DefinitionDialect): Dialect {
  const { entity, search, onUnknownParam } = options;
  const { list, changedSince } = entity.read;
  const matches = createMatcher(list, options.params);
  const known = new Set([
    ...paging.params,
    ...Object.keys({ ...list.query, ...changedSince?.query }),
    ...[list.pageSize?.param, changedSince?.param, search?.param].filter((name) => name !== undefined),
  ]);
  const sinceFormat = changedSince?.format ?? defaultFormat(entity);

  return (request) => {
    if (matches(request) === null) return null;
    const params = paramsOf(list, request);
    for (const name of request.query.keys()) if (!known.has(name)) onUnknownParam(`GET ${list.path}`, name);
    const limit = Number((list.pageSize === undefined ? null : params(list.pageSize.param)) ?? DEFAULT_LIMIT);
    const start = paging.start(params, limit);
    const sinceText = changedSince === undefined ? undefined : params(changedSince.param);
    const since = sinceText === undefined ? null : readSince(sinceText, sinceFormat, entity.version);
    const isReadable = start !== 'unreadable' && Number.isInteger(limit) && limit > 0 && !Number.isNaN(since);
    if (!isReadable) return { kind: 'read', read: () => UNREADABLE };
    const url = new URL(`http://${request.headers.host}${request.path}?${request.query}`);
    const wanted = search === null ? undefined : params(search.param);
    return {
      kind: 'read',
      hasCursor: start.after !== null,
      read(asOfMs) {
        const order = since === null || paging.needsIds ? 'id' : 'change';
        const isAll = list.pagination.kind === 'none' || wanted !== undefined;
        const size = isAll ? Number.MAX_SAFE_INTEGER : limit;
        const whole = viewOf(ledger, asOfMs).page({ order, since, ...start, limit: size });
        const page =
          wanted === undefined
            ? whole
            : {
                ...whole,
                entries: whole.entries.filter(({ record }) => valueAt(record, search?.field ?? '') === wanted),
              };
        const body = withValueAt({}, list.items, itemsOf(page.entries, list.record));
        return paging.finish({ status: 200, body }, { page, start: start.skip, limit }, url);
      },
    };
  };
}

function defaultFormat({ version }: EntityDefinition): 'iso' | 'epoch_s' | 'epoch_ms' | 'raw' {
  return version.kind === 'timestamp' ? (version.format ?? 'iso') : 'raw';
}

function getOperation(ledger: Records, get: GetDefinition, options: DefinitionDialect): Dialect {
  const matches = createMatcher(get, options.params);
  return (request) => {
    const found = matches(request);
    if (found === null) return null;
    const id = get.idParam === undefined ? found.id : paramsOf(get, request)(get.idParam);
    if (id === undefined || id === null) return null;
    const read = (asOfMs: number | null): Answer => {
      const entry = viewOf(ledger, asOfMs).get(String(id));
      if (entry !== undefined) return showRecord(entry, get.record, 200);
      return get.nullIsAbsent === true && get.record !== undefined
        ? { status: 200, body: withValueAt({}, get.record, null) }
        : NOT_FOUND;
    };
    return { kind: 'read', read };
  };
}

function getManyOperation(ledger: Records, options: DefinitionDialect): Dialect | null {
  const { getMany } = options.entity.read;
  if (getMany === undefined) return null;
  const matches = createMatcher(getMany, options.params);
  const { idsParam, separator = ',', items, record } = getMany;
  return (request) => {
    if (matches(request) === null) return null;
    const given = paramsOf(getMany, request)(idsParam);
    // A list on the same path is none of ours.
    if (given === undefined) return null;
    const texts = separator === 'repeat' ? request.query.getAll(idsParam) : String(given).split(separator);
    const ids: readonly unknown[] = Array.isArray(given) ? given : texts;
    const read = (asOfMs: number | null): Answer => {
      const entries = ids.flatMap((id) => viewOf(ledger, asOfMs).get(String(id)) ?? []);
      return { status: 200, body: withValueAt({}, items, itemsOf(entries, record)) };
    };
    return { kind: 'read', read };
  };
}

function writeOperation(ledger: Records, writes: Writes, { rules, params }: DefinitionDialect): Dialect {
  // A deletion may be an update with a constant of its own.
  const verbs = (['delete', 'create', 'update'] as const).flatMap((verb) => {
    const endpoint = writes[verb];
    if (endpoint === null) return [];
    const { method, path, query, body, graphql } = endpoint;
    const form = graphql === null ? { method, path, query, body } : { method: 'POST', path, query, graphql };
    const show = (entry: Entry<JsonObject>, status: 200 | 201) => showWritten(endpoint, entry, status);
    return [{ verb, endpoint, matches: createMatcher(form, params), rules: { ...rules, show } }];
  });
  return (request): Operation | null => {
    for (const { verb, endpoint, matches, rules: verbRules } of verbs) {
      const found = matches(request);
      if (found === null) continue;
      const { graphql, bodyAt } = endpoint;
      const variables = valueAt(request.body, 'variables');
      const id =
        graphql === null ? found.id : graphql.idVariable === null ? undefined : valueAt(variables, graphql.idVariable);
      const fields =
        graphql === null ? valueAt(request.body, bodyAt) : valueAt(variables, graphql.fieldsVariable ?? '');
      const isExpected = (entry: Entry<JsonObject>) => isIfMatch(request.headers['if-match'], entry, ledger);
      const resource = ledger.form.name;
      if (verb === 'create') {
        return { kind: 'write', resource, verb, id: null, write: () => writeNew(ledger, verbRules, fields) };
      }
      if (id === undefined || id === null) continue;
      const change = { id: String(id), body: fields, isExpected };
      const write = (): Written => {
        if (verb === 'update') return writeChange(ledger, verbRules, change);
        const removed = writeRemoval(ledger, verbRules, change);
        return graphql === null || removed.id === null ? removed : { ...removed, answer: EMPTY_GRAPHQL };
      };
      return { kind: 'write', resource, verb, id: change.id, write };
    }
    return null;
  };
}

const EMPTY_GRAPHQL: Answer = { status: 200, body: { data: {} } };

/** As the definition says that the answer to a write shows the record: whole, by its id, or not at all. */
function showWritten({ recordAt, idAt, graphql }: WriteEndpoint, entry: Entry<JsonObject>, status: 200 | 201): Answer {
  const shown = graphql === null ? status : 200;
  if (recordAt !== null) return showRecord(entry, recordAt, shown);
  if (idAt !== null) return { status: shown, body: withValueAt({}, idAt, entry.id) };
  return graphql === null ? { status: 204 } : EMPTY_GRAPHQL;
}

/** A tag of ours, or the record's version as the record shows it. */
function isIfMatch(header: string | undefined, entry: Entry<JsonObject>, { form }: Records): boolean {
  if (header === undefined || header === '*' || header === entityTagOf(entry)) return true;
  const text = header.replace(/^W\//, '').replaceAll('"', '');
  return text === String(entry.at) || text === form.versionTextOf?.(entry.record);
}

const showRecord = (entry: Entry<JsonObject>, at: string | undefined, status: 200 | 201): Answer => ({
  status,
  headers: { etag: entityTagOf(entry) },
  body: withValueAt({}, at ?? '', entry.record),
});

type MatchForm = Pick<Form, 'query' | 'body'> & {
  readonly path: string;
  readonly method?: string;
  readonly graphql?: { readonly query: string };
};
type Found = { readonly id: string | undefined };

/** Whether a request is one that this form makes. */
function createMatcher(
  form: MatchForm,
  params: Readonly<Record<string, string>>,
): (request: SourceRequest) => Found | null {
  const pattern = (parsePathTemplate(form.path)?.parts ?? [])
    .map((part) => {
      if (part.kind === 'literal') return literally(part.text);
      if (part.name === 'id') return '(?<id>[^/]+)';
      return literally(encodeURIComponent(params[part.name] ?? ''));
    })
    .join('');
  const path = new RegExp(`^${pattern}$`);
  const hasBody = form.graphql !== undefined || form.body !== undefined;
  const method = form.method ?? (hasBody ? 'POST' : 'GET');
  const query = Object.entries(form.query ?? {});
  const body = Object.entries(form.body ?? {});
  return (request) => {
    const match = path.exec(request.path);
    if (match === null || request.method !== method) return null;
    if (form.graphql !== undefined && valueAt(request.body, 'query') !== form.graphql.query) return null;
    if (query.some(([name, value]) => request.query.has(name) && request.query.get(name) !== String(value)))
      return null;
    if (!body.every(([name, value]) => isLike(valueAt(request.body, `['${name}']`), value))) return null;
    const id = match.groups?.id === undefined ? undefined : decodeSegment(match.groups.id);
    // An id that cannot be read is nobody's.
    return id === null ? null : { id };
  };
}

/** Parameters may be put into what the form holds itself. */
const isLike = (given: unknown, want: JsonValue): boolean =>
  isJsonObject(want) ? isJsonObject(given) : isDeepStrictEqual(given, want);

function paramsOf(form: Form | ListDefinition, { query, body }: SourceRequest): (name: string) => unknown {
  if (form.graphql !== undefined) return (name) => valueAt(body, `variables['${name}']`);
  if (form.paramsIn === 'body')
    return (name) =>
      valueAt(
        body,
        mustParsePath(name)
          .map((key) => `['${key}']`)
          .join(''),
      );
  return (name) => query.get(name) ?? undefined;
}

const literally = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
