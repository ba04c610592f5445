import type { IncomingHttpHeaders } from 'node:http';
import { errors } from 'undici';
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

/**
 * What a failure without a whole answer means; a transport error that we do not know is the network's. Null for what
 * the transport did not throw: a mistake of ours must not look like an outage.
 */
export function transportError(endpoint: string, maxBytes: number, thrown: unknown): SourceError | null {
  if (thrown instanceof SourceError) return thrown;
  // Its code can be missing, and it carries the bytes that the parser choked on, so it is not kept as the cause.
  if (thrown instanceof errors.HTTPParserError)
    return new SourceError('network', `${endpoint}: the answer is not HTTP`);
  if (!(thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string')) return null;
  const code = CODE_OF_TRANSPORT[thrown.code] ?? 'network';
  if (code === 'too_large') return tooLarge(endpoint, maxBytes, thrown);
  const what = code === 'aborted' ? 'the client was closed' : `no whole answer (${thrown.code})`;
  return new SourceError(code, `${endpoint}: ${what}`, { cause: thrown });
}
