import { Pool } from 'undici';
import { kindOf } from '../lib/kind.ts';
import type { Log } from '../lib/log.ts';
import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { Instant } from '../model/instant.ts';
import type { SavedRequest } from '../model/push.ts';
import type { TokenStore } from './auth/token-store.ts';
import { createBoundedStore } from './bounded-store.ts';
import { type BreakerChange, createBreaker } from './breaker.ts';
import { type CallOptions, createCall, type Reply } from './call.ts';
import { createConditionalCall } from './conditional.ts';
import type { GetDefinition, GetManyDefinition, ListDefinition } from './definition.ts';
import { SourceError } from './error.ts';
import { createExchange } from './exchange.ts';
import type { FailureRule } from './failure/definition.ts';
import { getRecords } from './get-records.ts';
import { lowerCaseNames, validatorHeader } from './header.ts';
import type { Lane } from './lane.ts';
import { listPages } from './list-pages.ts';
import { createLimiter } from './rate-limit/create-limiter.ts';
import type { Ledger } from './rate-limit/ledger.ts';
import type { LimitRow } from './rate-limit/limiter.ts';
import type { SourceRequest } from './request.ts';
import { createRequests, type Params } from './requests.ts';
import type { ResolvedSource } from './resolve.ts';

export type SourceDeps = {
  /** The database's clock: page and read times order observations. */
  readonly now: () => Promise<Instant>;
  /** Even over [0, 1). */
  readonly random: () => number;
  /** Waits `ms`, or less when the signal fires; whether it then rejects or resolves does not matter. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Wall clock, for Retry-After dates and for how long the source is left alone. */
  readonly nowMs: () => number;
  /** A clock that nobody sets. Default: the process's. */
  readonly monotonicMs?: () => number;
  /** Where the use of the source's limits is kept. */
  readonly ledger: Ledger;
  /** Told of every change of the circuit breaker. It must return at once; what it throws is only logged. */
  readonly onBreaker: (change: BreakerChange) => void;
  /** Where tokens are kept. Default: in memory, for this client alone. */
  readonly tokens?: TokenStore;
  readonly log: Log;
};

/** One page of a list. What it shows was true at some moment in `[startedAt, endedAt]`. */
export type Page = {
  readonly items: readonly unknown[];
  /** Taken before the request was first sent. */
  readonly startedAt: Instant;
  /** Taken after the whole answer was read. */
  readonly endedAt: Instant;
  /** The page's own cursor; null for the first page. */
  readonly cursor: string | null;
  /** Where to go on from, also in a later process; null on the last page. */
  readonly nextCursor: string | null;
};

/** One read by id. Only 404 and 410 are evidence of absence. */
export type Sighting =
  | {
      readonly kind: 'found';
      readonly record: unknown;
      readonly etag: string | null;
      readonly startedAt: Instant;
      readonly endedAt: Instant;
    }
  | { readonly kind: 'absent'; readonly startedAt: Instant; readonly endedAt: Instant };

export type SourceClient = {
  /**
   * The pages of a list, from `cursor` or from the start; `params` are added to the list's own (they do not apply where
   * the cursor is a link, which carries its query). A page is requested when it is asked for, never ahead.
   * Throws `SourceError`, after the retries where a retry can help.
   */
  listPages(
    list: ListDefinition,
    options: {
      readonly params?: Params;
      readonly cursor?: string | null;
      /** Default `urgent`. */
      readonly lane?: Lane;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<Page, void, undefined>;
  /** Reads one record by its id, by default in the lane `urgent`. Throws `SourceError`; `bad_id` when the id cannot stand in a path. */
  getRecord(
    get: GetDefinition,
    id: string,
    options: { readonly lane?: Lane; readonly signal: AbortSignal },
  ): Promise<Sighting>;
  /**
   * Reads several records, in as few requests as its `max` allows. A record that the answer does not show is not in the map: that is no evidence
   * of its absence, since only a read of that one record is. Nor is a record there that was not asked for, or whose id
   * cannot be read. Throws `SourceError`, also when only one of the requests fails.
   */
  getRecords(
    getMany: GetManyDefinition,
    ids: readonly string[],
    options: { readonly lane?: Lane; readonly signal: AbortSignal },
  ): Promise<ReadonlyMap<string, Sighting>>;
  /** Sends one request as it stands, with all of the client's care. Throws `SourceError`. */
  send(request: SourceRequest, options: CallOptions): Promise<Reply>;
  /**
   * Sends a saved request of a write, as `send`, but never again where it may have been carried out. What the error says
   * of that is in `isUndone`. `failures` are asked before the source's.
   */
  write(request: SavedRequest, options: CallOptions & { readonly failures?: readonly FailureRule[] }): Promise<Reply>;
  /** How much of the source's limits is used, by this and all other processes. */
  limits(): Promise<readonly LimitRow[]>;
  /** Ends all connections. What is still under way fails with `aborted`; end it by its signal first. */
  close(): Promise<void>;
};

const MAX_CONNECT_MS = 10_000;
/** Short, since servers drop idle connections without a word, and a request sent on a dropped one costs an attempt. */
const KEEP_ALIVE_MS = 10_000;

/** A client for one source. It shares connections and rate limits among all callers; it knows no entity. */
export function createSourceClient(source: ResolvedSource, deps: SourceDeps): SourceClient {
  const { timeoutMs, maxResponseBytes, concurrency } = source;
  // A Pool, not an Agent: it is bound to one origin, so that no mistake of ours can send credentials to another.
  const dispatcher = new Pool(source.baseUrl().origin, {
    connections: concurrency,
    pipelining: 1,
    connect: { timeout: Math.min(timeoutMs, MAX_CONNECT_MS) },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxResponseSize: maxResponseBytes,
  });
  const { nowMs } = deps;
  const auth = source.auth({ ...deps, name: source.name });
  const headers = { accept: 'application/json', 'user-agent': 'syncline', ...lowerCaseNames(source.headers()) };
  const limiter = createLimiter({
    monotonicMs: () => performance.now(),
    ...deps,
    sourceName: source.name,
    limits: source.rateLimits,
    learns: source.learnsRateLimits,
    attemptMs: timeoutMs,
    maxInFlight: concurrency,
  });
  const call = createCall({
    ...deps,
    sourceName: source.name,
    exchange: createExchange({ dispatcher, auth, headers, failures: source.failures, maxResponseBytes, nowMs }),
    limiter,
    breaker: createBreaker({ ...source.breaker, nowMs, onChange: tellBreaker(deps, source.name) }),
    maxAttempts: source.maxAttempts,
    timeoutMs,
    deadlineMs: source.deadlineMs,
  });
  const requests = createRequests(source);
  const readOne = createConditionalCall(call, createBoundedStore());

  return {
    listPages: (list, options) => listPages({ call, requests, auth }, list, options),
    async getRecord(get, id, { lane = 'urgent', signal }) {
      const request = requests.forRecord(get, id);
      const reply = await readOne(request, { lane, signal });
      const { startedAt, endedAt } = reply;
      if (reply.kind === 'absent') return { kind: 'absent', startedAt, endedAt };
      if (reply.kind === 'not_modified')
        throw new SourceError('invalid_response', `${request.endpoint}: answered 304 unasked`);
      const { headers, body } = reply.answer;
      const record = readRecord(request.endpoint, get, body);
      if (record === null) return { kind: 'absent', startedAt, endedAt };
      return { kind: 'found', record, etag: validatorHeader(headers.etag), startedAt, endedAt };
    },
    getRecords: (getMany, ids, options) => getRecords({ call, requests }, getMany, ids, options),
    send: call,
    write: (saved, { failures = [], ...options }) => call({ ...requests.forSaved(saved), failures }, options),
    limits: () => limiter.rows(),
    async close() {
      await dispatcher.destroy();
      await limiter.close();
    },
  };
}

/** A listener that fails must not fail the request that it is told of. */
const tellBreaker =
  ({ onBreaker, log }: SourceDeps, source: string) =>
  (change: BreakerChange): void => {
    try {
      onBreaker(change);
    } catch (error) {
      log.error({ source, err: error }, 'what listens to the circuit breaker failed');
    }
  };

/** Null for a record that the source says does not exist, where the definition lets `null` say that. */
function readRecord(endpoint: string, { record: path = '', nullIsAbsent }: GetDefinition, body: unknown): unknown {
  const found = readPath(body, mustParsePath(path));
  const record = found.found ? found.value : undefined;
  if (kindOf(record) === 'object' || (record === null && nullIsAbsent)) return record;
  const place = path === '' ? 'the answer' : `\`${path}\``;
  throw new SourceError('invalid_response', `${endpoint}: ${place}: expected an object, got ${kindOf(record)}`);
}
