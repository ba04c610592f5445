import { z } from 'zod';
import { pathSchema } from '../../lib/path-schema.ts';
import type { SourceErrorCode } from '../error.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader } from '../header.ts';

/** What an answer stands for, whatever its status says. Each ends in the code that callers see. */
export const CODE_OF_ACTION = {
  /** Something passing: tried again. */
  retry: 'server_error',
  /** A limit: everybody waits, then it is tried again. */
  rate_limited: 'rate_limited',
  /** Credentials that have run out: renewed once, and tried once more. */
  refresh_auth: 'unauthorized',
  /** One record that cannot be read, and never will be. */
  skip_record: 'skipped',
  /** Nothing that a retry can help. */
  fail_run: 'bad_request',
  /** The page cursor is no longer good: the listing begins again. */
  restart_pagination: 'cursor_expired',
  /** What was asked for does not exist. In a read by id that is evidence of a deletion. */
  gone: 'gone',
  /** Too much at once: a list asks for smaller pages. */
  shrink_page: 'too_large',
} as const satisfies Readonly<Record<string, SourceErrorCode>>;

export type FailureAction = keyof typeof CODE_OF_ACTION;

/** Which answers are failures, and what follows. All conditions that are named must hold; at least one must be named. */
export type FailureRule = {
  /** One status, several, or a class of them. */
  readonly status?: number | readonly number[] | '2xx' | '4xx' | '5xx';
  /** A value of the JSON body: `{ path: 'error.code', equals: 'quota' }`. */
  readonly code?: { readonly path: string; readonly equals: string | number | boolean | null };
  /** Gets the parsed body, undefined where it is no JSON. Only `true` counts. */
  body?(body: unknown): boolean;
  /** A header that is there, or that has this value. */
  readonly header?: { readonly name: string; readonly equals?: string };
  readonly then: FailureAction;
};

const ACTIONS = z.enum([
  'retry',
  'rate_limited',
  'refresh_auth',
  'skip_record',
  'fail_run',
  'restart_pagination',
  'gone',
  'shrink_page',
] as const satisfies readonly FailureAction[]);

/** Redirects are followed and 304 answers a condition of ours: no rule is asked about those. */
const statusSchema = z
  .int()
  .min(200)
  .max(599)
  .refine((status) => status < 300 || status >= 400, {
    error: 'expected a status that is no redirect: 200 to 299 or 400 to 599',
  });

export const MAX_FAILURE_RULES = 50;

export const failuresSchema = z
  .array(
    z
      .strictObject({
        status: z.union([statusSchema, z.array(statusSchema).min(1), z.enum(['2xx', '4xx', '5xx'])]).optional(),
        code: z
          .strictObject({ path: pathSchema, equals: z.union([z.string(), z.number(), z.boolean(), z.null()]) })
          .optional(),
        body: z
          .custom<(body: unknown) => boolean>((value) => typeof value === 'function', { error: 'expected a function' })
          .optional(),
        header: z
          .strictObject({
            name: z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`),
            equals: z.string().optional(),
          })
          .optional(),
        then: ACTIONS,
      })
      .refine(({ status, code, body, header }) => [status, code, body, header].some((part) => part !== undefined), {
        error: 'expected at least one of `status`, `code`, `body` and `header`: this rule would hold for every answer',
      }),
  )
  .max(MAX_FAILURE_RULES);
