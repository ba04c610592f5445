import type { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { statusError, transportError } from './answer-error.ts';
import type { Authenticator, OutgoingRequest } from './auth/authenticator.ts';
import { ACCEPT_ENCODING, readJson, tooLarge } from './body.ts';
import { runWithin, type Stop } from './deadline.ts';
import { SourceError } from './error.ts';
import { resolveOwnLink } from './own-origin.ts';
import type { SourceRequest } from './request.ts';

/** A whole answer. */
export type Answer = {
  readonly status: number;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON; undefined where there was no body (204, 304). */
  readonly body: unknown;
};

export type ExchangeDeps = {
  /** Bound to the source's origin: it cannot connect anywhere else. */
  readonly dispatcher: Dispatcher;
  readonly auth: Authenticator;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  readonly nowMs: () => number;
};

export type Exchange = (request: SourceRequest, signal: AbortSignal) => Promise<Answer>;

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const BODYLESS: ReadonlySet<number> = new Set([204, 205]);
/** What is read of a body that nobody wants, so that the connection can be used again; over that it is cut. */
const MAX_DISCARDED_BYTES = 64 * 1024;

/**
 * One attempt at one request, redirects within the origin included, from connecting to the last byte within
 * `timeoutMs`. Throws `SourceError`; returns within milliseconds once the signal fires.
 */
export function createExchange(deps: ExchangeDeps): Exchange {
  return async (request, signal) => {
    const { endpoint } = request;
    try {
      const ended = await runWithin(deps.timeoutMs, signal, (stop) => follow(deps, request, signal, stop));
      if (ended.kind === 'done') return ended.value;
      if (ended.kind === 'aborted') throw new SourceError('aborted', `${endpoint}: aborted`);
      throw new SourceError('timeout', `${endpoint}: no whole answer within ${deps.timeoutMs} ms`);
    } catch (error) {
      throw transportError(endpoint, deps.maxResponseBytes, error) ?? error;
    }
  };
}

async function follow(deps: ExchangeDeps, request: SourceRequest, signal: AbortSignal, stop: Stop): Promise<Answer> {
  const { endpoint } = request;
  let url = request.url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    if (stop.isStopped()) break; // nobody waits for the answer any more
    const authorized = await deps.auth.authorize(bare(deps, request, url), signal);
    if (stop.isStopped()) break;
    const response = await send(deps, authorized, stop.emitter);
    const { statusCode: status, headers, body } = response;
    if (BODYLESS.has(status) || (status === 304 && isConditional(request))) {
      await discard(body);
      return { status, url, headers, body: undefined };
    }
    if (status >= 200 && status < 300) {
      if (Number(headers['content-length']) > deps.maxResponseBytes) {
        await discard(body);
        throw tooLarge(endpoint, deps.maxResponseBytes);
      }
      return { status, url, headers, body: await readJson(endpoint, body, headers, deps.maxResponseBytes) };
    }
    await discard(body);
    const location: string | string[] | undefined = headers.location;
    if (!REDIRECTS.has(status) || typeof location !== 'string') {
      throw statusError(endpoint, status, headers, deps.nowMs());
    }
    url = resolveOwnLink(location, url, `${endpoint}: the redirect`);
  }
  throw new SourceError('invalid_response', `${endpoint}: more than ${MAX_REDIRECTS} redirects`);
}

/** Nobody else has a copy that a 304 could speak of. */
const isConditional = ({ headers }: SourceRequest): boolean =>
  headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined;

const bare = (deps: ExchangeDeps, { method, headers, body }: SourceRequest, url: URL): OutgoingRequest => ({
  method,
  url,
  headers:
    body === null
      ? { ...deps.headers, ...headers }
      : { 'content-type': 'application/json', ...deps.headers, ...headers },
  body,
});

function send(
  deps: ExchangeDeps,
  { url, headers, method, body }: OutgoingRequest,
  signal: EventEmitter,
): Promise<Dispatcher.ResponseData> {
  return deps.dispatcher.request({
    method,
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, 'accept-encoding': ACCEPT_ENCODING },
    body,
    signal,
  });
}

/** Its end says nothing about the answer: an error body that breaks off is still that error. */
const discard = (body: Dispatcher.ResponseData['body']): Promise<unknown> =>
  body.dump({ limit: MAX_DISCARDED_BYTES }).catch(() => null);
