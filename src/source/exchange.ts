import type { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { isConnectFailure, transportError } from './answer-error.ts';
import type { Authenticator, OutgoingRequest } from './auth/authenticator.ts';
import { ACCEPT_ENCODING, readErrorBody, readJson, tooLarge } from './body.ts';
import { runWithin, type Stop } from './deadline.ts';
import { SourceError } from './error.ts';
import type { FailureRule } from './failure/definition.ts';
import { judge } from './failure/judge.ts';
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
      /** The source surely has not carried it out: it was not reached, or refused it. */
      readonly isUndone: boolean;
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
  readonly failures: readonly FailureRule[];
  readonly maxResponseBytes: number;
  readonly nowMs: () => number;
};

/**
 * `timeoutMs` may be less than the source's, where a deadline is near. `beforeNext` is told of each redirect and gives leave
 * to follow it, since that is a request like any other: what it throws ends the attempt. `mayLeave` is asked with the
 * connection as good as open: when it says no, nothing is sent, and the attempt ends as `withheld`.
 */
export type Exchange = (
  request: SourceRequest,
  signal: AbortSignal,
  timeoutMs: number,
  beforeNext: (redirect: Answer) => Promise<void>,
  mayLeave?: (() => Promise<boolean>) | undefined,
) => Promise<Exchanged>;

const NO_RULES: readonly FailureRule[] = [];
const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const BODYLESS: ReadonlySet<number> = new Set([204, 205]);
/** The server waited for the rest of a request, of which it may have seen enough. */
const REQUEST_TIMEOUT = 408;
/** What is read of a body that nobody wants, so that the connection can be used again; over that it is cut. */
const MAX_DISCARDED_BYTES = 64 * 1024;

/**
 * One attempt at one request, redirects within the origin included, from connecting to the last byte within
 * `timeoutMs`. Returns within milliseconds once the signal fires. What is no failure of the source or the network is
 * thrown as it is.
 */
export function createExchange(deps: ExchangeDeps): Exchange {
  return async (request, signal, timeoutMs, beforeNext, mayLeave) => {
    const { endpoint } = request;
    const attempt: Attempt = { request, signal, timeoutMs, beforeNext, mayLeave, isSent: false, isDone: false };
    try {
      return await within(attempt, signal, (stop) => follow(deps, attempt, stop));
    } catch (thrown) {
      const error = mustBeOurs(deps, endpoint, thrown);
      return {
        kind: 'failed',
        error,
        answer: null,
        isUndone: !attempt.isDone && (!attempt.isSent || isConnectFailure(thrown)),
        renew: null,
      };
    }
  };
}

type Attempt = {
  readonly request: SourceRequest;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly beforeNext: (redirect: Answer) => Promise<void>;
  readonly mayLeave: (() => Promise<boolean>) | undefined;
  /** Something may have left us. */
  isSent: boolean;
  /** A write was carried out, and only its result is still to be had: whatever becomes of that. */
  isDone: boolean;
};

async function within<T>(
  { request: { endpoint }, timeoutMs }: Attempt,
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

/** What goes out: the request, or what a redirect made of it. */
type Sent = Pick<SourceRequest, 'url' | 'method' | 'headers' | 'body'>;

async function follow(deps: ExchangeDeps, attempt: Attempt, stop: Stop): Promise<Exchanged> {
  const { request, signal } = attempt;
  const { endpoint } = request;
  let sent: Sent = request;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    if (stop.isStopped()) break; // nobody waits for the answer any more
    const authorized = await deps.auth.authorize(bare(deps, sent), signal);
    if (stop.isStopped()) break;
    if (attempt.mayLeave !== undefined && !attempt.isDone && !(await attempt.mayLeave()))
      throw new SourceError('withheld', `${endpoint}: not sent, because it must not be any more`);
    if (stop.isStopped()) break;
    attempt.isSent = true;
    const response = await send(deps, authorized, stop.emitter);
    const target = await redirectOf(response, sent, endpoint);
    if (target === null) return await receive(deps, attempt, authorized, sent, response);
    const { statusCode: status, headers } = response;
    attempt.isDone ||= request.method !== target.method;
    // One redirect too many is not followed, so it needs no leave.
    if (redirects < MAX_REDIRECTS) await attempt.beforeNext({ status, url: sent.url, headers, body: undefined });
    sent = target;
  }
  throw new SourceError('invalid_response', `${endpoint}: more than ${MAX_REDIRECTS} redirects`);
}

/** Where an answer sends us; null where it is no redirect. */
async function redirectOf(
  { statusCode: status, headers, body }: Dispatcher.ResponseData,
  sent: Sent,
  endpoint: string,
): Promise<Sent | null> {
  const location: string | string[] | undefined = headers.location;
  if (!REDIRECTS.has(status) || typeof location !== 'string') return null;
  await discard(body);
  return redirect(sent, status, resolveOwnLink(location, sent.url, `${endpoint}: the redirect`), endpoint);
}

/** Reads a whole answer, and says what it is worth. */
async function receive(
  deps: ExchangeDeps,
  attempt: Attempt,
  authorized: OutgoingRequest,
  { url, method }: Sent,
  { statusCode: status, headers, body }: Dispatcher.ResponseData,
): Promise<Exchanged> {
  const { request } = attempt;
  const { endpoint } = request;
  const { maxResponseBytes: maxBytes } = deps;
  const empty: Answer = { status, url, headers, body: undefined };
  if (BODYLESS.has(status) || (status === 304 && isConditional(request))) {
    await discard(body);
    return settle(deps, attempt, authorized, empty);
  }
  if (status < 200 || status >= 300) {
    return settle(deps, attempt, authorized, { ...empty, body: await readErrorBody(body, headers) });
  }
  if (Number(headers['content-length']) > maxBytes) {
    await discard(body);
    return failed(tooLarge(endpoint, maxBytes), empty);
  }
  let read: unknown;
  try {
    read = await readJson(endpoint, body, headers, { maxBytes, mayBeEmpty: method !== 'GET' });
  } catch (thrown) {
    const error = mustBeOurs(deps, endpoint, thrown);
    if (error.code !== 'invalid_response') return failed(error, empty);
    return settle(deps, attempt, authorized, empty, error);
  }
  return settle(deps, attempt, authorized, { ...empty, body: read });
}

const failed = (error: SourceError, answer: Answer): Exchanged => ({
  kind: 'failed',
  error,
  answer,
  isUndone: false,
  renew: null,
});

/** Says what a whole answer is worth. `unread`: why its body cannot be read; it stands unless a rule says more. */
function settle(
  deps: ExchangeDeps,
  attempt: Attempt,
  authorized: OutgoingRequest,
  answer: Answer,
  unread: SourceError | null = null,
): Exchanged {
  const { endpoint, protocol, failures = NO_RULES } = attempt.request;
  const { status, headers } = answer;
  if (status === 304 && isConditional(attempt.request)) return { kind: 'answered', answer };
  const nowMs = deps.nowMs();
  const judged = judge(answer, { endpoint, protocol, endpointRules: failures, sourceRules: deps.failures, nowMs });
  const error = judged === null || judged.code === 'invalid_response' ? (unread ?? judged) : judged;
  if (error === null) return { kind: 'answered', answer };
  const isRefused = status >= 400 && status < 500 && status !== REQUEST_TIMEOUT;
  const isTurnedAway = status === 503 && headers['retry-after'] !== undefined;
  return {
    kind: 'failed',
    error,
    answer,
    isUndone: !attempt.isDone && (isRefused || isTurnedAway || error.code === 'rate_limited'),
    // After the renewal all of it is sent once more.
    renew:
      error.code === 'unauthorized' && (!attempt.isDone || attempt.request.isRepeatable)
        ? createRenewal(deps, attempt, authorized)
        : null,
  };
}

const createRenewal =
  (deps: ExchangeDeps, attempt: Attempt, refused: OutgoingRequest) =>
  async (signal: AbortSignal): Promise<boolean | SourceError> => {
    try {
      return await within(attempt, signal, () => deps.auth.renew(refused, signal));
    } catch (thrown) {
      return mustBeOurs(deps, attempt.request.endpoint, thrown);
    }
  };

/** What a redirect asks for. What is no GET is only sent on where the status promises that it stays what it is. */
function redirect(sent: Sent, status: number, url: URL, endpoint: string): Sent {
  if (sent.method === 'GET' || status === 307 || status === 308) return { ...sent, url };
  // The request was carried out; its result is elsewhere.
  if (status === 303) return { ...sent, method: 'GET', body: null, url };
  throw new SourceError('invalid_response', `${endpoint}: answered ${status}, which is only followed for GET`, {
    status,
  });
}

/** Nobody else has a copy that a 304 could speak of. */
const isConditional = ({ headers }: SourceRequest): boolean =>
  headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined;

const bare = (deps: ExchangeDeps, { url, method, headers, body }: Sent): OutgoingRequest => ({
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
