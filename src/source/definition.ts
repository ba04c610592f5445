import { z } from 'zod';
import { type Duration, parseDurationMs } from '../lib/duration.ts';
import { pathSchema } from '../lib/path-schema.ts';
import type { Setting } from '../lib/setting.ts';
import { settingSchema } from '../lib/setting-schema.ts';
import { type AuthDefinition, authSchema } from './auth/auth.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader } from './header.ts';
import { type PaginationDefinition, paginationSchema } from './pagination/pagination.ts';
import { PATH_TEMPLATE_SYNTAX, parsePathTemplate, placeholdersOf } from './path-template.ts';

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
  /** Tries at one request, the first included. Default 5, at most 20. */
  readonly maxAttempts?: number;
  /** Size of one answer, as sent and unpacked. Default 32 MiB, at most 256 MiB. */
  readonly maxResponseBytes?: number;
  /** Requests under way at the same time. Default 4, at most 64. */
  readonly concurrency?: number;
};

type Query = Readonly<Record<string, string | number | boolean>>;

/** An endpoint that lists an entity's records. */
export type ListDefinition = {
  /** From the base URL's path on: `/customers`, `/repos/{owner}/{repo}/issues`. */
  readonly path: string;
  readonly query?: Query;
  /** Dot path to the array of records in an answer; empty when the answer is that array. */
  readonly items: string;
  readonly pagination: PaginationDefinition;
  /** Query parameter that asks for pages of `size` records. */
  readonly pageSize?: { readonly param: string; readonly size: number };
};

/** An endpoint that gives one record by its id. */
export type GetDefinition = {
  /** With `{id}` where the record's id goes: `/customers/{id}`. */
  readonly path: string;
  readonly query?: Query;
  /** Dot path to the record in the answer; the answer itself when left out. */
  readonly record?: string;
};

export const DEFAULT_TIMEOUT_MS = 30_000;
export const DEFAULT_MAX_ATTEMPTS = 5;
export const DEFAULT_MAX_RESPONSE_BYTES = 32 * 1024 * 1024;
export const DEFAULT_CONCURRENCY = 4;
const MAX_TIMEOUT_MS = 600_000;
const MAX_MAX_ATTEMPTS = 20;
const MAX_MAX_RESPONSE_BYTES = 256 * 1024 * 1024;
const MAX_CONCURRENCY = 64;
const MAX_PAGE_SIZE = 100_000;

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
  maxAttempts: z.int().min(1).max(MAX_MAX_ATTEMPTS).optional(),
  maxResponseBytes: z.int().min(1).max(MAX_MAX_RESPONSE_BYTES).optional(),
  concurrency: z.int().min(1).max(MAX_CONCURRENCY).optional(),
});

const querySchema = z.record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()]));
const templateSchema = z
  .string()
  .refine((path) => parsePathTemplate(path) !== null, { message: `expected ${PATH_TEMPLATE_SYNTAX}` });

export const listSchema = z.strictObject({
  path: templateSchema.refine((path) => !placeholdersOf(path).includes('id'), {
    message: 'a list has no `{id}`: that is the record of a read by id',
  }),
  query: querySchema.optional(),
  items: pathSchema,
  pagination: paginationSchema,
  pageSize: z.strictObject({ param: z.string().min(1), size: z.int().min(1).max(MAX_PAGE_SIZE) }).optional(),
});

export const getSchema = z.strictObject({
  path: templateSchema.refine((path) => placeholdersOf(path).includes('id'), {
    message: "expected `{id}` where the record's id goes, such as /customers/{id}",
  }),
  query: querySchema.optional(),
  record: pathSchema.optional(),
});
