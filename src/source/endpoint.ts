import { z } from 'zod';
import { type Duration, durationMs, parseDurationMs } from '../lib/duration.ts';
import { pathSchema } from '../lib/path-schema.ts';
import { type BatchForm, batchSchema } from './batch.ts';
import { type GraphqlDefinition, type ListDefinition, listSchema } from './definition.ts';
import { HEADER_NAME_SYNTAX, isHeaderValue, isSettableHeader, lowerCaseNames } from './header.ts';
import { none } from './pagination/none.ts';
import { paginationSchema } from './pagination/pagination.ts';
import { PATH_TEMPLATE_SYNTAX, parsePathTemplate, placeholdersOf } from './path-template.ts';
import type { Method } from './request.ts';

/** How long an answer may be served from memory: lookup 1 h, profile 5 min, or a time of one's own. */
export type CacheChoice = 'lookup' | 'profile' | 'none' | Duration;

/** An endpoint whose answer is a list, perhaps in pages. */
export type EndpointList = {
  /** Default: one answer with everything. */
  readonly pagination?: ListDefinition['pagination'];
  readonly record?: string;
  readonly pageSize?: NonNullable<ListDefinition['pageSize']>;
  readonly maxPages?: number;
};

/** One endpoint of a source, as data. The type parameters keep what `createClient` makes functions from. */
export type EndpointDefinition<
  Path extends string = string,
  Params extends z.ZodObject | undefined = z.ZodObject | undefined,
  Body extends z.ZodType | undefined = z.ZodType | undefined,
  Response extends z.ZodType | undefined = z.ZodType | undefined,
  List extends EndpointList | undefined = EndpointList | undefined,
  Batch extends BatchForm | undefined = BatchForm | undefined,
> = EndpointForm<Path, Params, Body, Response, List, Batch> & { readonly kind: 'endpoint' };

type EndpointForm<
  Path extends string,
  Params extends z.ZodObject | undefined,
  Body extends z.ZodType | undefined,
  Response extends z.ZodType | undefined,
  List extends EndpointList | undefined,
  Batch extends BatchForm | undefined,
> = {
  /** Default GET, or POST with `graphql`. */
  readonly method?: Method;
  /** From the base URL's path on. Placeholders are arguments of the call, or `params` of the source. */
  readonly path: Path;
  /** Further arguments: they go to the query, or to the variables of `graphql`. */
  readonly params?: Params;
  /** Sent with every call. */
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is sent as JSON; of `batch`, one item. Checked before it leaves. */
  readonly body?: Body;
  /** What the answer must be (at `data`); of `batch`, the value of one result. Unknown without it. */
  readonly response?: Response;
  /** Dot path to what is wanted of the answer. Default: all of it. */
  readonly data?: string;
  /** Default `none`. Only for reads. */
  readonly cache?: CacheChoice;
  /** Whether it may be sent again when nobody knows if it arrived. Default: GET, PUT, DELETE and GraphQL queries may. */
  readonly idempotent?: boolean;
  /** Header that carries a key made once for each call, by which the source knows a repeated request. It makes every method repeatable. */
  readonly idempotencyHeader?: string;
  /** Calls may say which version they change (`If-Match`). */
  readonly ifMatch?: boolean;
  readonly graphql?: GraphqlDefinition;
  readonly list?: List;
  readonly batch?: Batch;
};

/** By name. */
export type Endpoints = { readonly [name: string]: EndpointDefinition };

/** The same, as a bound for type parameters: a closer one would make the compiler forget what each endpoint leaves out. */
export type AnyEndpoints = { readonly [name: string]: { readonly kind: 'endpoint' } };

/** An endpoint as data: nothing is looked up or connected here. Checked whole when the integration is. */
export const endpoint = <
  const Path extends string,
  Params extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
  Response extends z.ZodType | undefined = undefined,
  List extends EndpointList | undefined = undefined,
  Batch extends BatchForm | undefined = undefined,
>(
  form: EndpointForm<Path, Params, Body, Response, List, Batch>,
): EndpointDefinition<Path, Params, Body, Response, List, Batch> => ({ kind: 'endpoint', ...form });

const LOOKUP_TTL_MS = 3_600_000;
const PROFILE_TTL_MS = 300_000;
const MAX_TTL_MS = 31 * 86_400_000;

/** How long its answers may be served from memory, in ms; 0 for not at all. */
export function ttlMsOf({ cache = 'none' }: EndpointDefinition): number {
  if (cache === 'none') return 0;
  if (cache === 'lookup') return LOOKUP_TTL_MS;
  return cache === 'profile' ? PROFILE_TTL_MS : durationMs(cache);
}

/** What decides about its method. */
type Shape = { readonly method?: Method | undefined; readonly graphql?: { readonly query: string } | undefined };

export const methodOf = ({ method, graphql }: Shape): Method => method ?? (graphql === undefined ? 'GET' : 'POST');

/** Whether a call may change something. A GraphQL document that has the word is taken for a mutation. */
export const isWrite = (form: Shape): boolean =>
  form.graphql === undefined ? methodOf(form) !== 'GET' : /\bmutation\b/.test(form.graphql.query);

/** Whether HTTP or the definition promises that sending it twice does no more than once. */
export const isIdempotent = (form: EndpointDefinition): boolean =>
  form.idempotent ?? (!isWrite(form) || (form.graphql === undefined && ['PUT', 'DELETE'].includes(methodOf(form))));

/** An endpoint with `list`, as the pages of it are read; so is one whose whole answer is a list. */
export const listOf = ({ path, query, headers, graphql, data, list }: EndpointDefinition): ListDefinition => ({
  path,
  items: data ?? '',
  pagination: list?.pagination ?? none(),
  ...(query === undefined ? {} : { query }),
  ...(headers === undefined ? {} : { headers }),
  ...(graphql === undefined ? {} : { graphql }),
  ...(list?.record === undefined ? {} : { record: list.record }),
  ...(list?.pageSize === undefined ? {} : { pageSize: list.pageSize }),
  ...(list?.maxPages === undefined ? {} : { maxPages: list.maxPages }),
});

/** Arguments of every call that needs them; no placeholder or parameter can have these names. */
const OWN_ARGUMENTS: readonly string[] = ['body', 'items', 'ifMatch', 'idempotencyKey'];

/** A key in one of them would be lost or do harm, and repeated writes count on it. */
export const TAKEN_HEADERS: ReadonlySet<string> = new Set(['authorization', 'content-type', 'accept', 'if-match']);

const isZod = (value: unknown): value is z.ZodType =>
  typeof value === 'object' &&
  value !== null &&
  '_zod' in value &&
  'safeParse' in value &&
  typeof value.safeParse === 'function';
const zodSchema = z.custom<z.ZodType>(isZod, { error: 'expected a zod schema (of zod 4)' });
const headerNameSchema = z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`);
const isTtl = (text: unknown): boolean => {
  const ms = typeof text === 'string' ? parseDurationMs(text) : null;
  return ms !== null && ms > 0 && ms <= MAX_TTL_MS;
};
const cacheSchema = z.custom<CacheChoice>(
  (choice) => choice === 'lookup' || choice === 'profile' || choice === 'none' || isTtl(choice),
  { error: "expected 'lookup', 'profile', 'none' or a duration up to 31d, such as 10m" },
);

/** Every problem of one endpoint at once. */
export const endpointSchema = z
  .strictObject({
    kind: z.literal('endpoint', { error: 'expected endpoint({ … })' }),
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).optional(),
    path: z.string().refine((path) => parsePathTemplate(path) !== null, { error: `expected ${PATH_TEMPLATE_SYNTAX}` }),
    params: z
      .custom<z.ZodObject>((value) => value instanceof z.ZodObject, { error: 'expected z.object(…)' })
      .optional(),
    query: z.record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()])).optional(),
    headers: z.record(headerNameSchema, z.string().refine(isHeaderValue, 'expected printable text')).optional(),
    body: zodSchema.optional(),
    response: zodSchema.optional(),
    data: pathSchema.optional(),
    cache: cacheSchema.optional(),
    idempotent: z.boolean().optional(),
    idempotencyHeader: headerNameSchema.optional(),
    ifMatch: z.boolean().optional(),
    graphql: z
      .strictObject({ query: z.string().min(1), variables: z.record(z.string(), z.json()).optional() })
      .optional(),
    list: z
      .strictObject({
        pagination: paginationSchema.optional(),
        record: pathSchema.optional(),
        pageSize: listSchema.shape.pageSize,
        maxPages: listSchema.shape.maxPages,
      })
      .optional(),
    batch: batchSchema.optional(),
  })
  .superRefine((parts, context) => {
    const add = (path: string, message: string) => context.addIssue({ code: 'custom', message, path: [path] });
    const { method, path, params, graphql, body, list, batch } = parts;
    const names = [...placeholdersOf(path), ...Object.keys(params?.shape ?? {})];
    for (const name of names)
      if (OWN_ARGUMENTS.includes(name)) add('path', `\`${name}\` is an argument of its own; take another name`);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) add('params', `\`${twice}\` is a placeholder or parameter twice`);
    const isRead = !isWrite(parts);
    if (graphql !== undefined && method !== undefined && method !== 'POST') add('method', 'GraphQL is sent as POST');
    if (body !== undefined && graphql !== undefined)
      add('body', 'cannot stand beside `graphql`: name its variables in `params`');
    else if (body !== undefined && isRead) add('body', 'a GET has no body');
    if (!isRead && parts.cache !== undefined && parts.cache !== 'none') add('cache', 'a write is never cached');
    if (!isRead && list !== undefined) add('list', 'a write is no list');
    if (isRead && parts.ifMatch === true) add('ifMatch', 'is for writes');
    if (isRead && parts.idempotencyHeader !== undefined) add('idempotencyHeader', 'is for writes');
    const keyHeader = parts.idempotencyHeader?.toLowerCase() ?? '';
    if (TAKEN_HEADERS.has(keyHeader) || Object.hasOwn(lowerCaseNames(parts.headers ?? {}), keyHeader))
      add('idempotencyHeader', 'carries something else already; take another header');
    if (list !== undefined && batch !== undefined) add('batch', 'cannot stand beside `list`');
    if (batch !== undefined && (isRead || graphql !== undefined)) add('batch', 'is for writes with a body');
    if (batch !== undefined && body === undefined) add('batch', 'needs `body`: the schema of one item');
    if (batch !== undefined && parts.ifMatch === true) add('ifMatch', 'one tag cannot speak of many items');
  });
