import { z } from 'zod';
import { type Duration, parseDurationMs } from '../lib/duration.ts';
import { pathSchema } from '../lib/path-schema.ts';
import type { Setting } from '../lib/setting.ts';
import { settingSchema } from '../lib/setting-schema.ts';
import type { JsonValue } from '../model/json.ts';
import { type AuthDefinition, authSchema } from './auth/auth.ts';
import { type FailureRule, failuresSchema } from './failure/definition.ts';
import { HEADER_NAME_SYNTAX, isHeaderValue, isSettableHeader } from './header.ts';
import { type PaginationDefinition, paginationSchema } from './pagination/pagination.ts';
import { PATH_TEMPLATE_SYNTAX, parsePathTemplate, placeholdersOf } from './path-template.ts';
import { type RateLimitDefinition, rateLimitsSchema } from './rate-limit/definition.ts';

/** A remote API: where it is, how it knows us, and what we allow ourselves with it. */
export type SourceDefinition = {
  /** `https://api.example.com/v1`. Every path is put behind its path; no other origin is ever asked. */
  readonly baseUrl: Setting;
  readonly auth?: AuthDefinition;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, Setting>>;
  /** Values for the placeholders of paths other than `{id}`, such as `{owner}`. */
  readonly params?: Readonly<Record<string, Setting>>;
  /** For one attempt, from connecting to the last byte. Default 30s, at most 10m. */
  readonly timeout?: Duration;
  /**
   * For one call, all its attempts and waits included. Default 3m, or `timeout` where that is longer; at most 10m. What
   * is not done by then can be tried again later.
   */
  readonly deadline?: Duration;
  /** Tries at one request, the first included. Default 5, at most 20. */
  readonly maxAttempts?: number;
  /** Size of one answer, as sent and unpacked. Default 32 MiB, at most 256 MiB. */
  readonly maxResponseBytes?: number;
  /** Requests under way at the same time. Default 4, at most 64. */
  readonly concurrency?: number;
  /** What answers mean where it is not what their status says. The first rule that holds counts, the endpoint's own first. */
  readonly failures?: readonly FailureRule[];
  /** Leaves a source alone that fails time and again. */
  readonly breaker?: {
    /** Failures in a row: time-outs, broken connections, server errors. Default 10, at most 1,000. */
    readonly failures?: number;
    /** How long nothing is sent then; after it one request tries. Default 30s, at most 10m. */
    readonly openFor?: Duration;
  };
  /** Limits that the source sets, kept by all processes together. At most 20. */
  readonly rateLimits?: readonly RateLimitDefinition[];
  /** Whether limits that answers tell of are kept, too. They never loosen `rateLimits`. Default true. */
  readonly learnRateLimits?: boolean;
};

type Query = Readonly<Record<string, string | number | boolean>>;

/** A GraphQL operation, sent as POST with `{query, variables}` to the path. */
export type GraphqlDefinition = {
  readonly query: string;
  readonly variables?: { readonly [name: string]: JsonValue };
};

/** What all endpoints that are read have in common. */
type ReadForm = {
  /** Default GET, or POST with `graphql` or `body`. */
  readonly method?: 'GET' | 'POST';
  readonly query?: Query;
  /** Sent beside the source's. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: { readonly [name: string]: JsonValue };
  readonly graphql?: GraphqlDefinition;
  /**
   * Where parameters go that change from request to request (page, size, since, ids): the query, or the body, where a
   * name is a dot path. Default: the variables of `graphql`, else the query.
   */
  readonly paramsIn?: 'query' | 'body';
  /** Rules of this endpoint, asked before the source's. */
  readonly failures?: readonly FailureRule[];
};

/** An endpoint that lists an entity's records. */
export type ListDefinition = ReadForm & {
  /** From the base URL's path on: `/customers`, `/repos/{owner}/{repo}/issues`. */
  readonly path: string;
  /** Dot path to the array of records in an answer; empty when the answer is that array. */
  readonly items: string;
  /** Dot path within an item to the record: `node` of GraphQL edges. */
  readonly record?: string;
  readonly pagination: PaginationDefinition;
  /** Parameter that asks for pages of `size` records. `min`: how small they may become when the source cannot give that many at once; default 1. */
  readonly pageSize?: { readonly param: string; readonly size: number; readonly min?: number };
  /** A listing that has more is taken for one that never ends. Default 1,000,000. */
  readonly maxPages?: number;
};

/** An endpoint that gives one record by its id. */
export type GetDefinition = ReadForm & {
  /** With `{id}` where the record's id goes: `/customers/{id}`. */
  readonly path: string;
  /** Instead of `{id}` in the path: the parameter that takes the id, such as a GraphQL variable. */
  readonly idParam?: string;
  /** Dot path to the record in the answer; the answer itself when left out. */
  readonly record?: string;
  /** `null` at `record` says that it does not exist, as GraphQL sources answer. Default false: only 404 and 410 do. */
  readonly nullIsAbsent?: boolean;
};

/** An endpoint that gives several records by their ids. */
export type GetManyDefinition = ReadForm & {
  readonly path: string;
  /** Parameter that takes the ids. */
  readonly idsParam: string;
  /** How the ids are written in a query: joined by `,` (default) or another text, or the parameter repeated. In a body they are an array. */
  readonly separator?: string | 'repeat';
  /** Ids in one request, at most. Default 50. */
  readonly max?: number;
  /** Dot path to the array of records in the answer. Items that are null are passed over. */
  readonly items: string;
  /** Dot path within an item to the record. */
  readonly record?: string;
  /** Dot path in a record to its id, a text or an integer. */
  readonly key: string;
};

export const DEFAULT_TIMEOUT_MS = 30_000;
export const DEFAULT_MAX_ATTEMPTS = 5;
export const DEFAULT_MAX_RESPONSE_BYTES = 32 * 1024 * 1024;
export const DEFAULT_CONCURRENCY = 4;
export const DEFAULT_DEADLINE_MS = 180_000;
export const DEFAULT_BREAKER_FAILURES = 10;
export const DEFAULT_BREAKER_OPEN_MS = 30_000;
export const DEFAULT_IDS_PER_REQUEST = 50;
const MAX_BREAKER_FAILURES = 1_000;
const MAX_IDS_PER_REQUEST = 1_000;
const MAX_TIMEOUT_MS = 600_000;
const MAX_MAX_ATTEMPTS = 20;
const MAX_MAX_RESPONSE_BYTES = 256 * 1024 * 1024;
const MAX_CONCURRENCY = 64;
const MAX_PAGE_SIZE = 100_000;
/** Of one listing. A source that gives ever new cursors would hold a run for ever. */
export const DEFAULT_MAX_PAGES = 1_000_000;
const MAX_MAX_PAGES = 10_000_000;

const timeoutSchema = z.custom<Duration>(
  (text) => {
    const ms = typeof text === 'string' ? parseDurationMs(text) : null;
    return ms !== null && ms > 0 && ms <= MAX_TIMEOUT_MS;
  },
  { message: 'expected a duration over 0 and up to 10m, such as 30s' },
);

export const sourceSchema = z.strictObject({
  baseUrl: settingSchema,
  auth: authSchema.optional(),
  headers: z.record(z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`), settingSchema).optional(),
  params: z.record(z.string(), settingSchema).optional(),
  timeout: timeoutSchema.optional(),
  deadline: timeoutSchema.optional(),
  maxAttempts: z.int().min(1).max(MAX_MAX_ATTEMPTS).optional(),
  maxResponseBytes: z.int().min(1).max(MAX_MAX_RESPONSE_BYTES).optional(),
  concurrency: z.int().min(1).max(MAX_CONCURRENCY).optional(),
  failures: failuresSchema.optional(),
  breaker: z
    .strictObject({
      failures: z.int().min(1).max(MAX_BREAKER_FAILURES).optional(),
      openFor: timeoutSchema.optional(),
    })
    .optional(),
  rateLimits: rateLimitsSchema.optional(),
  learnRateLimits: z.boolean().optional(),
});

export const querySchema = z.record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()]));
export const jsonObjectSchema = z.record(z.string(), z.json());
export const templateSchema = z
  .string()
  .refine((path) => parsePathTemplate(path) !== null, { message: `expected ${PATH_TEMPLATE_SYNTAX}` });

export const headersSchema = z.record(
  z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`),
  z.string().refine(isHeaderValue, 'expected printable text'),
);

const readForm = {
  method: z.enum(['GET', 'POST']).optional(),
  query: querySchema.optional(),
  headers: headersSchema.optional(),
  body: jsonObjectSchema.optional(),
  graphql: z.strictObject({ query: z.string().min(1), variables: jsonObjectSchema.optional() }).optional(),
  paramsIn: z.enum(['query', 'body']).optional(),
  failures: failuresSchema.optional(),
};

type CheckedForm = { method?: string | undefined; body?: unknown; graphql?: unknown; paramsIn?: string | undefined };

const checkReadForm = (form: CheckedForm, context: z.RefinementCtx) => {
  const add = (path: string, message: string) => context.addIssue({ code: 'custom', message, path: [path] });
  if (form.body !== undefined && form.graphql !== undefined) add('body', 'cannot stand beside `graphql`');
  const hasBody = form.body !== undefined || form.graphql !== undefined;
  if (hasBody && form.method === 'GET') add('method', 'expected POST, since there is a body');
  if (form.paramsIn === 'body' && (form.graphql !== undefined || form.method === 'GET')) {
    add('paramsIn', "'body' is for POST without `graphql`, whose parameters are its variables");
  }
};

export const listSchema = z
  .strictObject({
    ...readForm,
    path: templateSchema.refine((path) => !placeholdersOf(path).includes('id'), {
      message: 'a list has no `{id}`: that is the record of a read by id',
    }),
    items: pathSchema,
    record: pathSchema.optional(),
    pagination: paginationSchema,
    pageSize: z
      .strictObject({
        param: z.string().min(1),
        size: z.int().min(1).max(MAX_PAGE_SIZE),
        min: z.int().min(1).optional(),
      })
      .refine(({ size, min }) => min === undefined || min <= size, {
        message: 'expected at most `size`',
        path: ['min'],
      })
      .optional(),
    maxPages: z.int().min(1).max(MAX_MAX_PAGES).optional(),
  })
  .superRefine(checkReadForm);

export const getSchema = z
  .strictObject({
    ...readForm,
    path: templateSchema,
    idParam: z.string().min(1).optional(),
    record: pathSchema.optional(),
    nullIsAbsent: z.boolean().optional(),
  })
  .superRefine(checkReadForm)
  .refine(({ path, idParam }) => placeholdersOf(path).includes('id') !== (idParam !== undefined), {
    message: "expected `{id}` in the path where the record's id goes, such as /customers/{id}, or else `idParam`",
    path: ['path'],
  });

export const getManySchema = z
  .strictObject({
    ...readForm,
    path: templateSchema.refine((path) => !placeholdersOf(path).includes('id'), {
      message: 'a read of many has no `{id}`: the ids go to `idsParam`',
    }),
    idsParam: z.string().min(1),
    separator: z.string().min(1).optional(),
    max: z.int().min(1).max(MAX_IDS_PER_REQUEST).optional(),
    items: pathSchema,
    record: pathSchema.optional(),
    key: pathSchema.refine((path) => path !== '', { message: 'expected a path, such as id' }),
  })
  .superRefine(checkReadForm);
