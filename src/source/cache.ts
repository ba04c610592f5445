import { type BoundedStore, createBoundedStore, type Remembered } from './bounded-store.ts';
import type { Call, CallOptions } from './call.ts';
import { directivesOf, keyOf, mayNotBeKept, revalidate } from './conditional.ts';
import { SourceError } from './error.ts';
import { validatorHeader } from './header.ts';
import type { SourceRequest } from './request.ts';

export type CacheDeps = {
  readonly call: Call;
  /** Wall clock, in ms. */
  readonly nowMs: () => number;
  readonly store?: BoundedStore;
};

export type Cache = {
  /**
   * The body of the answer to a request, from memory where one is not older than `ttlMs`. Of several callers at once one
   * asks and all get its answer; who aborts leaves the others alone, and the last one to leave ends the request. An answer
   * past its time is asked about with its tag or date. Errors are neither kept nor bridged by an old answer.
   * Throws `SourceError`; 404 and 410 too.
   */
  read(request: SourceRequest, ttlMs: number, options: CallOptions): Promise<unknown>;
  /** A write to this address may have changed what reads of it answer: they ask anew, also those under way. */
  forget(url: URL): void;
};

/** One request under way that several callers wait for. */
type Flight = {
  readonly text: Promise<string>;
  readonly leaving: AbortController;
  readonly pathname: string;
  waiting: number;
  /** A write came in between: what it brings may be from before. */
  isDoubtful: boolean;
};

/** A memory of answers, for what changes seldom: names, settings, profiles. Records that are synced never go through it. */
export function createCache({ call, nowMs, store = createBoundedStore() }: CacheDeps): Cache {
  const flights = new Map<string, Flight>();

  function start(key: string, request: SourceRequest, ttlMs: number, lane: CallOptions['lane']): Flight {
    const leaving = new AbortController();
    const flight: Flight = {
      leaving,
      pathname: request.url.pathname,
      waiting: 0,
      isDoubtful: false,
      text: Promise.resolve()
        .then(() => fetchText(key, request, ttlMs, { lane, signal: leaving.signal }, () => flight.isDoubtful))
        .finally(() => {
          if (flights.get(key) === flight) flights.delete(key);
        }),
    };
    flight.text.catch(() => {}); // told to those who wait; with nobody left to no one
    flights.set(key, flight);
    return flight;
  }

  async function fetchText(
    key: string,
    request: SourceRequest,
    ttlMs: number,
    options: CallOptions,
    isDoubtful: () => boolean,
  ): Promise<string> {
    const known = store.get(key);
    const canAsk = known !== null && (known.etag !== null || known.lastModified !== null);
    const reply = await revalidate(call, request, canAsk ? known : null, options);
    if (reply.kind === 'absent') {
      store.remove(key);
      throw reply.error;
    }
    const headers = reply.kind === 'answered' ? reply.answer.headers : reply.headers;
    const text = reply.kind === 'answered' ? (JSON.stringify(reply.answer.body) ?? '') : reply.entry.text;
    const before = reply.kind === 'answered' ? null : reply.entry;
    if (mayNotBeKept(headers)) store.remove(key);
    else if (!isDoubtful()) {
      const mustAsk = directivesOf(headers).has('no-cache');
      store.set(key, {
        text,
        etag: validatorHeader(headers.etag) ?? before?.etag ?? null,
        lastModified: validatorHeader(headers['last-modified']) ?? before?.lastModified ?? null,
        freshUntilMs: mustAsk ? 0 : nowMs() + ttlMs,
        pathname: request.url.pathname,
      });
    }
    return text;
  }

  return {
    async read(request, ttlMs, { lane, signal }) {
      const key = keyOf(request);
      if (signal.aborted) throw aborted(request);
      const known = store.get(key);
      if (known !== null && isFresh(known, nowMs(), ttlMs)) return parse(known.text);
      const flight = flights.get(key) ?? start(key, request, ttlMs, lane);
      return parse(await join(flight, request, signal, () => flights.get(key) === flight && flights.delete(key)));
    },
    forget(url) {
      store.removePath(url.pathname);
      for (const [key, flight] of flights) {
        if (flight.pathname !== url.pathname) continue;
        flight.isDoubtful = true;
        flights.delete(key); // who reads from now on asks anew
      }
    },
  };
}

/** A clock that was set back must not make an answer fresh for longer than it was meant to be. */
const isFresh = ({ freshUntilMs }: Remembered, nowMs: number, ttlMs: number): boolean =>
  nowMs < freshUntilMs && freshUntilMs <= nowMs + ttlMs;

const parse = (text: string): unknown => (text === '' ? undefined : JSON.parse(text));

/** Waits for a flight until the caller's own signal fires. */
function join(flight: Flight, request: SourceRequest, signal: AbortSignal, onEmpty: () => void): Promise<string> {
  flight.waiting += 1;
  return new Promise((resolve, reject) => {
    const leave = () => {
      flight.waiting -= 1;
      reject(aborted(request));
      if (flight.waiting > 0) return;
      onEmpty();
      flight.leaving.abort();
    };
    signal.addEventListener('abort', leave, { once: true });
    flight.text.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}

const aborted = ({ endpoint }: SourceRequest): SourceError => new SourceError('aborted', `${endpoint}: aborted`);
