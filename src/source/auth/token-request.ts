import { Client } from 'undici';
import { statusError, transportError } from '../answer-error.ts';
import { ACCEPT_ENCODING, readJson } from '../body.ts';
import { runWithin, type Stop } from '../deadline.ts';
import { SourceError } from '../error.ts';
import type { Method } from '../request.ts';

/** One request for a token. Everything in it may be secret but `what`, which names it in messages. */
export type TokenCall = {
  readonly what: string;
  readonly method: Method;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
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
/** That is how token endpoints say that they do not know us. */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403]);

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

async function ask(
  client: Client,
  { what, method, url, headers, body }: TokenCall,
  nowMs: () => number,
  stop: Stop,
): Promise<TokenAnswer> {
  const response = await client.request({
    method,
    path: `${url.pathname}${url.search}`,
    headers: { accept: 'application/json', 'user-agent': 'syncline', ...headers, 'accept-encoding': ACCEPT_ENCODING },
    body,
    signal: stop.emitter,
  });
  const { statusCode: status } = response;
  if (status < 200 || status >= 300) {
    await response.body.dump({ limit: MAX_DISCARDED_BYTES }).catch(() => null);
    throw refusal(statusError(what, status, response.headers, nowMs()));
  }
  const date = typeof response.headers.date === 'string' ? Date.parse(response.headers.date) : Number.NaN;
  return {
    body: await readJson(what, response.body, response.headers, MAX_ANSWER_BYTES),
    answeredMs: Number.isNaN(date) ? nowMs() : date,
  };
}

const refusal = (error: SourceError): SourceError =>
  error.status !== null && REFUSALS.has(error.status) && error.code !== 'rate_limited'
    ? new SourceError('unauthorized', error.message, { status: error.status })
    : error;
