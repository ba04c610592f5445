import type { IncomingHttpHeaders } from 'node:http';
import type { SourceErrorCode } from '../error.ts';
import { showsRateLimit } from '../retry-after.ts';

export type DefaultFailure = {
  readonly status: number | '4xx' | '5xx';
  /** Only where the answer shows a limit: `Retry-After`, or nothing remaining. */
  readonly withLimitSigns?: true;
  readonly code: SourceErrorCode;
};

/** What a status means where no rule says otherwise; the first line that fits counts. Any other is `invalid_response`. */
export const DEFAULT_FAILURES: readonly DefaultFailure[] = [
  { status: 401, code: 'unauthorized' },
  { status: 403, withLimitSigns: true, code: 'rate_limited' },
  { status: 403, code: 'forbidden' },
  { status: 404, code: 'not_found' },
  { status: 408, code: 'timeout' },
  { status: 409, code: 'conflict' },
  { status: 410, code: 'gone' },
  { status: 412, code: 'conflict' },
  { status: 413, code: 'too_large' },
  { status: 425, code: 'server_error' },
  { status: 429, code: 'rate_limited' },
  { status: '4xx', code: 'bad_request' },
  { status: '5xx', code: 'server_error' },
];

/** The code of a status other than 2xx. */
export function codeOfStatus(status: number, headers: IncomingHttpHeaders): SourceErrorCode {
  const found = DEFAULT_FAILURES.find(
    (line) => isOfStatus(status, line.status) && (line.withLimitSigns === undefined || showsRateLimit(headers)),
  );
  return found?.code ?? 'invalid_response';
}

export const isOfStatus = (status: number, expected: number | '2xx' | '4xx' | '5xx'): boolean =>
  typeof expected === 'number' ? status === expected : Math.floor(status / 100) === Number(expected[0]);
