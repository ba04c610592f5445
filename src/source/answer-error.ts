import type { IncomingHttpHeaders } from 'node:http';
import { tooLarge } from './body.ts';
import { SourceError, type SourceErrorCode } from './error.ts';
import { readRetryAfterMs, showsRateLimit } from './retry-after.ts';

/** What an answer other than 2xx means. */
export function statusError(
  endpoint: string,
  status: number,
  headers: IncomingHttpHeaders,
  nowMs: number,
): SourceError {
  const code = codeOfStatus(status, headers);
  const message = `${endpoint}: answered ${status}${code === 'rate_limited' ? ', a rate limit' : ''}`;
  return new SourceError(code, message, { status, retryAfterMs: readRetryAfterMs(headers, nowMs) });
}

function codeOfStatus(status: number, headers: IncomingHttpHeaders): SourceErrorCode {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 403:
      return showsRateLimit(headers) ? 'rate_limited' : 'forbidden';
    case 404:
      return 'not_found';
    case 408:
      return 'timeout';
    case 410:
      return 'gone';
    case 425:
      return 'server_error';
    case 429:
      return 'rate_limited';
    default:
      if (status >= 500) return 'server_error';
      return status >= 400 ? 'bad_request' : 'invalid_response';
  }
}

const CODE_OF_TRANSPORT: Readonly<Record<string, SourceErrorCode>> = {
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_RES_EXCEEDED_MAX_SIZE: 'too_large',
  UND_ERR_HEADERS_OVERFLOW: 'invalid_response',
  UND_ERR_INVALID_ARG: 'bad_request',
  UND_ERR_DESTROYED: 'aborted',
  UND_ERR_CLOSED: 'aborted',
};

/** What a failure without a whole answer means. Anything unknown is the network's. */
export function transportError(endpoint: string, maxBytes: number, thrown: unknown): SourceError {
  if (thrown instanceof SourceError) return thrown;
  const name = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'unknown';
  const code = CODE_OF_TRANSPORT[name] ?? 'network';
  if (code === 'too_large') return tooLarge(endpoint, maxBytes, thrown);
  // The parser's error carries the bytes that it choked on, and some of undici's name what was refused.
  const isSafe = !name.startsWith('HPE_') && name !== 'UND_ERR_INVALID_ARG';
  const message = `${endpoint}: ${code === 'aborted' ? 'the client was closed' : `no whole answer (${name})`}`;
  return new SourceError(code, message, isSafe ? { cause: thrown } : {});
}
