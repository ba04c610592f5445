import type { JsonValue } from '../model/json.ts';
import type { SavedRequest } from '../model/push.ts';
import type { GetDefinition, GetManyDefinition, ListDefinition } from './definition.ts';
import { lowerCaseNames } from './header.ts';
import { resolveOwnLink } from './own-origin.ts';
import type { PageTarget } from './pagination/paginator.ts';
import { placeParams } from './params.ts';
import { fillPath, type PathTemplate, parsePathTemplate } from './path-template.ts';
import type { Method, SourceRequest } from './request.ts';
import type { ResolvedSource } from './resolve.ts';

/** Parameters of a request. In a body, numbers stay numbers. */
export type Params = Readonly<Record<string, JsonValue>>;

type EndpointCall = Pick<SourceRequest, 'method' | 'headers' | 'body' | 'protocol' | 'isRepeatable'> & {
  readonly path: string;
  readonly values: Readonly<Record<string, string>>;
  readonly queries: readonly Params[];
};

type Form = Omit<GetDefinition, 'record' | 'nullIsAbsent' | 'idParam'>;

/** Makes the requests of one source; every one is to its origin. */
export function createRequests(source: ResolvedSource) {
  const base = source.baseUrl();
  const basePath = base.pathname === '/' ? '' : base.pathname;
  const pathParams = source.params();
  /** Reading a template costs as much as the rest of a request. */
  const templates = new WeakMap<Form, PathTemplate>();

  const buildUrl = (path: PathTemplate, values: Readonly<Record<string, string>>, queries: readonly Params[]): URL => {
    const search = new URLSearchParams();
    for (const query of queries) {
      for (const [name, value] of Object.entries(query)) {
        search.delete(name);
        for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
      }
    }
    const url = `${base.origin}${basePath}${fillPath(path, values)}`;
    return new URL(search.size === 0 ? url : `${url}?${search}`);
  };

  const read = (form: Form, values: Readonly<Record<string, string>>, params: Params): SourceRequest => {
    const { protocol, method, body } = shapeOf(form);
    const goesToBody = paramsGoToBody(form);
    const template = templates.get(form) ?? mustParseTemplate(form.path);
    templates.set(form, template);
    return {
      endpoint: `${method} ${form.path}`,
      method,
      url: buildUrl(template, { ...pathParams, ...values }, [form.query ?? {}, goesToBody ? {} : params]),
      headers: lowerCaseNames(form.headers ?? {}),
      body: goesToBody ? JSON.stringify(placeParams(form, params)) : body,
      protocol,
      isRepeatable: true,
      ...(form.failures === undefined ? {} : { failures: form.failures }),
    };
  };

  return {
    /** `params` win over the list's own, the page's over both. A link carries its query itself, but no body. */
    forPage(list: ListDefinition, target: PageTarget, params: Params): SourceRequest {
      if (target.kind === 'params') return read(list, {}, { ...params, ...target.params });
      const request = read(list, {}, paramsGoToBody(list) ? params : {});
      return { ...request, url: resolveOwnLink(target.link, new URL(base.origin), `${request.endpoint}: the cursor`) };
    },
    /** Throws `bad_id` when the id cannot stand in a path. */
    forRecord: (get: GetDefinition, id: string): SourceRequest =>
      get.idParam === undefined ? read(get, { id }, {}) : read(get, {}, { [get.idParam]: id }),
    /** In a body the ids are an array, in a query as the definition writes them. */
    forRecords(getMany: GetManyDefinition, ids: readonly string[]): SourceRequest {
      const { separator = DEFAULT_SEPARATOR } = getMany;
      const isList = paramsGoToBody(getMany) || separator === 'repeat';
      return read(getMany, {}, { [getMany.idsParam]: isList ? [...ids] : ids.join(separator) });
    },
    /** A write as it was saved: repeated, it is the same to the last byte. Throws `bad_id` as above. */
    forSaved: ({ method, path, values, query, headers, body, protocol }: SavedRequest): SourceRequest => ({
      endpoint: `${method} ${path}`,
      method,
      url: buildUrl(mustParseTemplate(path), { ...pathParams, ...values }, [query]),
      headers: lowerCaseNames(headers),
      body,
      protocol,
      isRepeatable: false,
    }),
    /** A call of a declared endpoint: `values` fill its path, `params` the query. Throws `bad_id` as above. */
    forEndpoint: ({ method, path, values, queries, ...rest }: EndpointCall): SourceRequest => ({
      endpoint: `${method} ${path}`,
      method,
      url: buildUrl(mustParseTemplate(path), { ...pathParams, ...values }, queries),
      ...rest,
    }),
  };
}

export type Requests = ReturnType<typeof createRequests>;

const DEFAULT_SEPARATOR = ',';

/** Rather than to the query. */
export const paramsGoToBody = ({ graphql, paramsIn }: Form): boolean => graphql !== undefined || paramsIn === 'body';

/** For messages, logs and rate limits. */
export const endpointOf = (form: Form): string => `${shapeOf(form).method} ${form.path}`;

function shapeOf(form: Form): { protocol: SourceRequest['protocol']; method: Method; body: string | null } {
  const hasBody = form.graphql !== undefined || form.body !== undefined;
  return {
    protocol: form.graphql === undefined ? 'rest' : 'graphql',
    method: form.method ?? (hasBody ? 'POST' : 'GET'),
    body: form.body === undefined ? null : JSON.stringify(form.body),
  };
}

function mustParseTemplate(text: string): PathTemplate {
  const template = parsePathTemplate(text);
  if (template === null) throw new TypeError('Not a path template: definitions are checked before they are used');
  return template;
}
