import type { IncomingHttpHeaders } from 'node:http';
import { readPath } from '../../lib/path.ts';
import type { SourceErrorCode } from '../error.ts';
import { codeOfStatus } from './default-failures.ts';

/**
 * What the codes of GraphQL errors mean, as Apollo, GitHub, Shopify, Linear, monday and others write them; compared in
 * capitals, with `_` for everything that is no letter or digit.
 */
export const GRAPHQL_CODES: Readonly<Record<string, SourceErrorCode>> = {
  THROTTLED: 'rate_limited',
  RATELIMITED: 'rate_limited',
  RATE_LIMIT: 'rate_limited',
  RATE_LIMITED: 'rate_limited',
  RATE_LIMIT_EXCEEDED: 'rate_limited',
  TOO_MANY_REQUESTS: 'rate_limited',
  COMPLEXITY_BUDGET_EXHAUSTED: 'rate_limited',
  UNAUTHENTICATED: 'unauthorized',
  UNAUTHORIZED: 'unauthorized',
  AUTHENTICATION_ERROR: 'unauthorized',
  MAX_COST_EXCEEDED: 'too_large',
  MAX_NODE_LIMIT_EXCEEDED: 'too_large',
  MAX_COMPLEXITY_EXCEEDED: 'too_large',
  MAXCOMPLEXITYEXCEEDED: 'too_large',
  QUERY_TOO_COMPLEX: 'too_large',
  QUERY_COMPLEXITY_EXCEEDED: 'too_large',
  FORBIDDEN: 'forbidden',
  ACCESS_DENIED: 'forbidden',
  INSUFFICIENT_SCOPES: 'forbidden',
  GRAPHQL_PARSE_FAILED: 'bad_request',
  GRAPHQL_VALIDATION_FAILED: 'bad_request',
  OPERATION_RESOLUTION_FAILURE: 'bad_request',
  PERSISTED_QUERY_NOT_FOUND: 'bad_request',
  BAD_USER_INPUT: 'bad_request',
  BAD_REQUEST: 'bad_request',
  INPUT_ERROR: 'bad_request',
  CONFLICT: 'conflict',
  INTERNAL_SERVER_ERROR: 'server_error',
  INTERNAL_ERROR: 'server_error',
  SERVICE_UNAVAILABLE: 'server_error',
  TIMEOUT: 'server_error',
  NOT_FOUND: 'not_found',
};

/** With several errors the first of these counts: what must be waited for, then what no retry can help. */
const PRECEDENCE: readonly SourceErrorCode[] = [
  'rate_limited',
  'unauthorized',
  'too_large',
  'forbidden',
  'bad_request',
  'conflict',
];

export type GraphqlFailure = {
  readonly code: SourceErrorCode;
  /** From the table; null for a status or something that the table does not know. Never text of the source's own. */
  readonly name: string | null;
};

/**
 * What `errors` in a GraphQL answer mean; null when there are none. Data beside errors is not used: rows that an error
 * took out of it would be lost without a word. A code that nobody knows, or none at all, is `server_error`: mostly a part
 * of the source that fails for now, and where it is not, the retries are few and then the read fails all the same.
 */
export function judgeGraphql(body: unknown, headers: IncomingHttpHeaders): GraphqlFailure | null {
  const errors = valueAt(body, ['errors']);
  if (errors === undefined || errors === null || (Array.isArray(errors) && errors.length === 0)) return null;
  const failures = Array.isArray(errors)
    ? errors.slice(0, MAX_ERRORS).map((error) => judgeError(error, headers))
    : [UNKNOWN];
  for (const code of PRECEDENCE) {
    const found = failures.find((failure) => failure.code === code);
    if (found !== undefined) return found;
  }
  const other = failures.find(({ code }) => code !== 'not_found' && code !== 'gone');
  if (other !== undefined) return other;
  const [missing] = failures;
  if (missing !== undefined && showsNothing(valueAt(body, ['data']))) return missing;
  // Only a part is missing: taken for the record's own absence, it would delete a record that is there.
  return { code: 'invalid_response', name: missing?.name ?? null };
}

/** Of one answer, that are looked at. */
const MAX_ERRORS = 1_000;
const MAX_DEPTH = 32;
const UNKNOWN: GraphqlFailure = { code: 'server_error', name: null };
const NAMES = [['extensions', 'code'], ['extensions', 'type'], ['type'], ['extensions', 'classification']] as const;
const STATUSES = [
  ['extensions', 'http', 'status'],
  ['extensions', 'statusCode'],
  ['extensions', 'status'],
] as const;

function judgeError(error: unknown, headers: IncomingHttpHeaders): GraphqlFailure {
  for (const path of NAMES) {
    const value = valueAt(error, path);
    const name = typeof value === 'string' ? value.toUpperCase().replace(/[^A-Z0-9]+/g, '_') : '';
    const code = Object.hasOwn(GRAPHQL_CODES, name) ? GRAPHQL_CODES[name] : undefined;
    if (code !== undefined) return { code, name };
  }
  for (const path of STATUSES) {
    const status = Number(valueAt(error, path));
    if (Number.isInteger(status) && status >= 400 && status < 600)
      return { code: codeOfStatus(status, headers), name: null };
  }
  return UNKNOWN;
}

/** No value but null anywhere in it. */
function showsNothing(data: unknown, depth = 0): boolean {
  if (data === undefined || data === null) return true;
  if (typeof data !== 'object' || depth === MAX_DEPTH) return false;
  return Object.values(data).every((value) => showsNothing(value, depth + 1));
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  const found = readPath(value, path);
  return found.found ? found.value : undefined;
}
