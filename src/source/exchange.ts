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

/** How one attempt ended. `answer` is what came, also of a failure. */
export type Exchanged =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | {
      readonly kind: 'failed';
      readonly error: SourceError;
      readonly answer: Answer | null;
      /**
       * Where the credentials were refused: gets new ones, within the time of an attempt. Whether there are any now, or
       * why none were to be had.
       */
      readonly renew: ((signal: AbortSignal) => Promise<boolean | SourceError>) | null;
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

export type Exchange = (request: SourceRequest, signal: AbortSignal) => Promise<Exchanged>;

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const BODYLESS: ReadonlySet<number> = new Set([204, 205]);
/** What is read of a body that nobody wants, so that the connection can be used again; over that it is cut. */
const MAX_DISCARDED_BYTES = 64 * 1024;

/**
 * One attempt at one request, redirects within the origin included, from connecting to the last byte within
 * `timeoutMs`. Returns within milliseconds once the signal fires. What is no failure of the source or the network is
 * thrown as it is.
 */
export function createExchange(deps: ExchangeDeps): Exchange {
  return async (request, signal) => {
    try {
      return await within(deps, request.endpoint, signal, (stop) => follow(deps, request, signal, stop));
    } catch (error) {
      return { kind: 'failed', error: mustBeOurs(deps, request.endpoint, error), answer: null, renew: null };
    }
  };
}

async function within<T>(
  { timeoutMs }: ExchangeDeps,
  endpoint: string,
  signal: AbortSignal,
  run: (stop: Stop) => Promise<T>,
): Promise<T> {
  const ended = await runWithin(timeoutMs, signal, run);
  if (ended.kind === 'done') return ended.value;
  if (ended.kind === 'aborted') throw new SourceError('aborted', `${endpoint}: aborted`);
  throw new SourceError('timeout', `${endpoint}: no whole answer within ${timeoutMs} ms`);
}

function mustBeOurs({ maxResponseBytes }: ExchangeDeps, endpoint: string, thrown: unknown): SourceError {
  const error = transportError(endpoint, maxResponseBytes, thrown);
  if (error === null) throw thrown;
  return error;
}

async function follow(deps: ExchangeDeps, request: SourceRequest, signal: AbortSignal, stop: Stop): Promise<Exchanged> {
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
      return { kind: 'answered', answer: { status, url, headers, body: undefined } };
    }
    if (status >= 200 && status < 300) {
      if (Number(headers['content-length']) > deps.maxResponseBytes) {
        await discard(body);
        throw tooLarge(endpoint, deps.maxResponseBytes);
      }
      const json = await readJson(endpoint, body, headers, deps.maxResponseBytes);
      return { kind: 'answered', answer: { status, url, headers, body: json } };
    }
    await discard(body);
    const location: string | string[] | undefined = headers.location;
    if (!REDIRECTS.has(status) || typeof location !== 'string') {
      const error = statusError(endpoint, status, headers, deps.nowMs());
      const answer = { status, url, headers, body: undefined };
      return { kind: 'failed', error, answer, renew: renewal(deps, endpoint, error, authorized) };
    }
    url = resolveOwnLink(location, url, `${endpoint}: the redirect`);
  }
  throw new SourceError('invalid_response', `${endpoint}: more than ${MAX_REDIRECTS} redirects`);
}

function renewal(deps: ExchangeDeps, endpoint: string, error: SourceError, refused: OutgoingRequest) {
  if (error.code !== 'unauthorized') return null;
  return async (signal: AbortSignal): Promise<boolean | SourceError> => {
    try {
      return await within(deps, endpoint, signal, () => deps.auth.renew(refused, signal));
    } catch (thrown) {
      return mustBeOurs(deps, endpoint, thrown);
    }
  };
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
