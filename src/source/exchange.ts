import type { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { statusError, transportError } from './answer-error.ts';
import type { Authenticator } from './auth/authenticator.ts';
import { ACCEPT_ENCODING, readJson, tooLarge } from './body.ts';
import { runWithin, type Stop } from './deadline.ts';
import { SourceError } from './error.ts';
import { resolveOwnLink } from './own-origin.ts';

/** A whole answer. */
export type Answer = { readonly url: URL; readonly headers: IncomingHttpHeaders; readonly body: unknown };

export type ExchangeDeps = {
  /** Bound to the source's origin: it cannot connect anywhere else. */
  readonly dispatcher: Dispatcher;
  readonly auth: Authenticator;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  readonly nowMs: () => number;
};

export type Exchange = (endpoint: string, url: URL, signal: AbortSignal) => Promise<Answer>;

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What is read of a body that nobody wants, so that the connection can be used again; over that it is cut. */
const MAX_DISCARDED_BYTES = 64 * 1024;

/**
 * One attempt at one request, redirects within the origin included, from connecting to the last byte within
 * `timeoutMs`. Throws `SourceError`; returns within milliseconds once the signal fires.
 */
export function createExchange(deps: ExchangeDeps): Exchange {
  return async (endpoint, url, signal) => {
    try {
      const ended = await runWithin(deps.timeoutMs, signal, (stop) => follow(deps, endpoint, url, stop));
      if (ended.kind === 'done') return ended.value;
      if (ended.kind === 'aborted') throw new SourceError('aborted', `${endpoint}: aborted`);
      throw new SourceError('timeout', `${endpoint}: no whole answer within ${deps.timeoutMs} ms`);
    } catch (error) {
      throw transportError(endpoint, deps.maxResponseBytes, error) ?? error;
    }
  };
}

async function follow(deps: ExchangeDeps, endpoint: string, first: URL, stop: Stop): Promise<Answer> {
  let url = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    if (stop.isStopped()) break; // nobody waits for the answer any more
    const response = await send(deps, url, stop.emitter);
    const { statusCode, headers, body } = response;
    if (statusCode >= 200 && statusCode < 300) {
      if (Number(headers['content-length']) > deps.maxResponseBytes) {
        await discard(body);
        throw tooLarge(endpoint, deps.maxResponseBytes);
      }
      return { url, headers, body: await readJson(endpoint, body, headers, deps.maxResponseBytes) };
    }
    await discard(body);
    const location: string | string[] | undefined = headers.location;
    if (!REDIRECTS.has(statusCode) || typeof location !== 'string') {
      throw statusError(endpoint, statusCode, headers, deps.nowMs());
    }
    url = resolveOwnLink(location, url, `${endpoint}: the redirect`);
  }
  throw new SourceError('invalid_response', `${endpoint}: more than ${MAX_REDIRECTS} redirects`);
}

function send(deps: ExchangeDeps, bare: URL, signal: EventEmitter): Promise<Dispatcher.ResponseData> {
  const { url, headers, method } = deps.auth.authorize({ method: 'GET', url: bare, headers: deps.headers });
  return deps.dispatcher.request({
    method,
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, 'accept-encoding': ACCEPT_ENCODING },
    signal,
  });
}

/** Its end says nothing about the answer: an error body that breaks off is still that error. */
const discard = (body: Dispatcher.ResponseData['body']): Promise<unknown> =>
  body.dump({ limit: MAX_DISCARDED_BYTES }).catch(() => null);
