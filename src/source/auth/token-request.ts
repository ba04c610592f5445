import type { IncomingHttpHeaders } from 'node:http';
import { Client, type Dispatcher } from 'undici';
import { transportError } from '../answer-error.ts';
import { runWithin, type Stop } from '../deadline.ts';
import { SourceError, type SourceErrorCode } from '../error.ts';
import type { Method } from '../request.ts';
import { readRetryAfterMs, showsRateLimit } from '../retry-after.ts';
import { readOAuthErrorCode, refusalOf } from './token-refusal.ts';

/** One request for a token. Everything in it may be secret but `what`, which names it in messages. */
export type TokenCall = {
  readonly what: string;
  readonly method: Method;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** Refusals come as JSON, as OAuth has them: a page of markup is the page of something on the way, a firewall perhaps. */
  readonly refusesInJson?: boolean;
};

export type TokenAnswer = {
  /** Parsed JSON. */
  readonly body: unknown;
  /** When the answer was made, by the clock of whoever made it; by ours where it does not say. */
  readonly answeredMs: number;
};

export type TokenRequest = (call: TokenCall, signal: AbortSignal) => Promise<TokenAnswer>;

/** Of the whole exchange. Shorter than the default of a source's requests, which wait for it. */
const TIMEOUT_MS = 20_000;
const MAX_CONNECT_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_DISCARDED_BYTES = 64 * 1024;
/** Blanks and a byte order mark may stand before markup. */
const MAX_LEAD_BYTES = 256;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Asks a token endpoint, once and on a connection of its own, which goes nowhere but to the origin of the URL; redirects
 * are not followed. Throws `SourceError` without a part of the request or the answer: `unauthorized` when it refuses us
 * (400, 401, 403), retryable ones where later may do.
 */
export function createTokenRequest({ nowMs }: { readonly nowMs: () => number }): TokenRequest {
  return async (call, signal) => {
    const client = new Client(call.url.origin, {
      connect: { timeout: MAX_CONNECT_MS },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      maxResponseSize: MAX_ANSWER_BYTES,
    });
    try {
      const ended = await runWithin(TIMEOUT_MS, signal, (stop) => ask(client, call, nowMs, stop));
      if (ended.kind === 'done') return ended.value;
      if (ended.kind === 'aborted') throw new SourceError('aborted', `${call.what}: aborted`);
      throw new SourceError('timeout', `${call.what}: no whole answer within ${TIMEOUT_MS} ms`);
    } catch (error) {
      throw transportError(call.what, MAX_ANSWER_BYTES, error) ?? error;
    } finally {
      // Not waited for: at the deadline it may still be connecting.
      void client.destroy().catch(() => null);
    }
  };
}

async function ask(client: Client, call: TokenCall, nowMs: () => number, stop: Stop): Promise<TokenAnswer> {
  const { what, method, url, headers, body } = call;
  const response = await client.request({
    method,
    path: `${url.pathname}${url.search}`,
    headers: { accept: 'application/json', 'user-agent': 'syncline', ...headers, 'accept-encoding': 'identity' },
    body,
    signal: stop.emitter,
  });
  if (response.statusCode < 200 || response.statusCode >= 300) throw await readFailure(call, response, nowMs);
  const date = typeof response.headers.date === 'string' ? Date.parse(response.headers.date) : Number.NaN;
  const answeredMs = Number.isNaN(date) ? nowMs() : date;
  return { body: parse(what, await response.body.bytes()), answeredMs };
}

async function readFailure(
  { what, refusesInJson = false }: TokenCall,
  { statusCode: status, headers, body }: Dispatcher.ResponseData,
  nowMs: () => number,
): Promise<SourceError> {
  const code = codeOf(status, headers);
  const options = { status, retryAfterMs: readRetryAfterMs(headers, nowMs()) };
  if (code === 'unauthorized') {
    // Only a refusal says why, and only its standard code is taken from it.
    const bytes = await body.bytes().catch(() => null);
    const error = errorCodeIn(bytes);
    if (error !== null) return refusalOf(what, error, status);
    if (refusesInJson && status !== 401 && isMarkup(bytes))
      return new SourceError('server_error', `${what}: answered ${status} with a page of markup`, options);
  } else await body.dump({ limit: MAX_DISCARDED_BYTES }).catch(() => null);
  return new SourceError(code, `${what}: answered ${status}`, options);
}

/** 400, 401 and 403 are how token endpoints say that they do not take what we have. A 404 says nothing of any record. */
function codeOf(status: number, headers: IncomingHttpHeaders): SourceErrorCode {
  if (status === 429 || (status === 403 && showsRateLimit(headers))) return 'rate_limited';
  if (status === 400 || status === 401 || status === 403) return 'unauthorized';
  if (status === 408) return 'timeout';
  if (status >= 500 || status === 425) return 'server_error';
  return status >= 400 ? 'bad_request' : 'invalid_response';
}

/** The parser's own error would quote the answer, in which there may be a token. */
function parse(what: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new SourceError('invalid_response', `${what}: the answer is not JSON`);
  }
}

const isMarkup = (bytes: Uint8Array | null): boolean =>
  Buffer.from(bytes?.subarray(0, MAX_LEAD_BYTES) ?? [])
    .toString('utf8')
    .trimStart()
    .startsWith('<');

function errorCodeIn(bytes: Uint8Array | null) {
  try {
    const body: unknown = JSON.parse(UTF8.decode(bytes ?? new Uint8Array()));
    return typeof body === 'object' && body !== null && 'error' in body ? readOAuthErrorCode(body.error) : null;
  } catch {
    return null;
  }
}
