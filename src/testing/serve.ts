import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { assertNever } from '../lib/assert-never.ts';
import { type Answer, readJson, sendAnswer, sendHalf } from './answer.ts';
import type { Counters } from './counters.ts';
import type { IdempotencyStore } from './idempotency.ts';
import type { Operation, SourceRequest, Written } from './operation.ts';
import type { Random } from './random.ts';
import { drawReadFault, drawWriteFault } from './request-faults.ts';
import type { Settings } from './settings.ts';
import { wait } from './wait.ts';
import type { createWriteCounts } from './write-counts.ts';

/** Answers a request of the source's owner, such as one for its state; false when it is none. */
export type OwnRoutes = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<boolean>;

export type ServeDeps = {
  readonly random: Random;
  readonly counters: Counters;
  readonly settings: () => Settings;
  readonly nowMs: () => number;
  /** Whether a request shows the right credentials. */
  readonly isAuthorized: (request: IncomingMessage) => boolean;
  readonly ownRoutes: OwnRoutes;
  readonly operationOf: (request: SourceRequest) => Operation | null;
  readonly keys: IdempotencyStore;
  /** Header of a request that carries the idempotency key, in lower case: sources have one for each kind of records. */
  readonly keyHeaderOf: (resource: string) => string;
  readonly writeCounts: ReturnType<typeof createWriteCounts>;
  /** Told of each write that was done, but for those of a kept answer. */
  readonly onWritten: (resource: string, id: string) => void;
  readonly closing: AbortSignal;
};

type ReadOperation = Extract<Operation, { kind: 'read' }>;
type WriteOperation = Extract<Operation, { kind: 'write' }>;
type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly url: URL };

const BASE = 'http://source';
const MAX_BODY_BYTES = 1_048_576;
const UNAUTHORIZED: Answer = { status: 401, body: { error: 'unauthorized' } };
const GONE: Answer = { status: 410, body: { error: 'gone' } };
const SERVER_ERROR: Answer = { status: 500, body: { error: 'internal' } };
const rateLimited = (retryAfterS: number): Answer => ({
  status: 429,
  headers: { 'retry-after': String(retryAfterS) },
  body: { error: 'rate_limited' },
});

/** The source's HTTP face. Routes of its owner have no faults. */
export function createListener(deps: ServeDeps): RequestListener {
  return (request, response) => {
    // Not every text that HTTP takes for a path is one: `//` names a host that is empty.
    const { url: path = '/' } = request;
    if (!URL.canParse(path, BASE)) return sendAnswer(response, { status: 400, body: { error: 'bad_request' } });
    answerRequest(deps, { request, response, url: new URL(path, BASE) }).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    );
  };
}

async function answerRequest(deps: ServeDeps, { request, response, url }: Exchange): Promise<void> {
  const { counters } = deps;
  const isAuthorized = deps.isAuthorized(request);
  if (url.pathname.startsWith('/_')) {
    if (!isAuthorized) return sendAnswer(response, UNAUTHORIZED);
    if (!(await deps.ownRoutes(request, response, url)))
      sendAnswer(response, { status: 404, body: { error: 'not_found' } });
    return;
  }
  counters.api.requests++;
  if (!isAuthorized) {
    counters.api.unauthorized++;
    return sendAnswer(response, UNAUTHORIZED);
  }
  const body = await readJson(request, MAX_BODY_BYTES);
  if (!body.ok) return sendAnswer(response, { status: 400, body: { error: 'bad_request', detail: body.problem } });
  const { method = 'GET', headers } = request;
  const operation = deps.operationOf({
    method,
    path: url.pathname,
    query: url.searchParams,
    headers,
    body: body.value,
  });
  const exchange = { request, response, url };
  if (operation === null) return sendAnswer(response, { status: 404, body: { error: 'not_found' } });
  if (operation.kind === 'read') return answerRead(deps, exchange, operation);
  const text = createHash('sha256').update(`${method} ${request.url}\n${body.text}`).digest('hex');
  return answerWrite(deps, exchange, operation, text);
}

async function answerRead(
  { counters: { api }, settings, random, nowMs, closing }: ServeDeps,
  { request, response }: Exchange,
  { read, hasCursor = false }: ReadOperation,
): Promise<void> {
  const isLagging = random.chance(settings().readLag);
  if (isLagging) api.lagging++;
  const now = () => {
    const answer = read(isLagging ? nowMs() - random.whole(0, settings().readMaxLagMs) : null);
    if (!(hasCursor || answer.status === 404) || !random.chance(settings().apiGone)) return answer;
    api.gone++;
    return GONE;
  };
  const fault = drawReadFault(settings(), random);
  switch (fault.kind) {
    case 'server_error':
      api.serverErrors++;
      return sendAnswer(response, SERVER_ERROR);
    case 'rate_limited':
      api.rateLimited++;
      return sendAnswer(response, rateLimited(fault.retryAfterS));
    case 'unauthorized':
      api.unauthorized++;
      return sendAnswer(response, UNAUTHORIZED);
    case 'reset':
      api.reset++;
      request.socket.resetAndDestroy();
      return;
    case 'truncated':
      api.truncated++;
      return sendHalf(response, now(), fault.isCut);
    case 'slow':
      api.slow++;
      await waitWhileOpen(response, fault.ms, closing);
      return sendAnswer(response, now());
    case 'none':
      return sendAnswer(response, now());
    default:
      return assertNever(fault);
  }
}

async function answerWrite(
  deps: ServeDeps,
  { request, response }: Exchange,
  operation: WriteOperation,
  text: string,
): Promise<void> {
  const { counters, settings, random, closing } = deps;
  const { writes } = counters;
  const header = request.headers[deps.keyHeaderOf(operation.resource)];
  const key = typeof header === 'string' && header !== '' ? header : null;
  writes.received++;
  deps.writeCounts.received(operation.resource, operation.id, key);
  const perform = () => performWrite(deps, operation, key, text);
  const hold = () => waitWhileOpen(response, settings().writeMaxHoldMs, closing).then(() => void response.destroy());
  const fault = drawWriteFault(settings(), random);
  switch (fault.kind) {
    case 'server_error':
      if (fault.isDone) perform();
      writes[fault.isDone ? 'serverErrorsAfter' : 'serverErrorsBefore']++;
      return sendAnswer(response, SERVER_ERROR);
    case 'rate_limited':
      writes.rateLimited++;
      return sendAnswer(response, rateLimited(fault.retryAfterS));
    case 'unauthorized':
      counters.api.unauthorized++;
      return sendAnswer(response, UNAUTHORIZED);
    case 'timeout':
      if (fault.isDone) perform();
      writes[fault.isDone ? 'timedOutAfter' : 'timedOutBefore']++;
      return hold();
    case 'zombie':
      writes.zombies++;
      void wait(settings().writeZombieAfterMs, closing).then(() => {
        if (!closing.aborted) perform();
      });
      return hold();
    case 'truncated':
      writes.truncated++;
      return sendHalf(response, perform(), fault.isCut);
    case 'reset':
      writes.reset++;
      perform();
      request.socket.resetAndDestroy();
      return;
    case 'slow': {
      counters.api.slow++;
      if (key !== null && deps.keys.check(key, text).kind === 'new') deps.keys.begin(key, text);
      await waitWhileOpen(response, fault.ms, closing);
      return sendAnswer(response, performWrite(deps, operation, key, text, true));
    }
    case 'none':
      return sendAnswer(response, perform());
    default:
      return assertNever(fault);
  }
}

/** Does a write once for its key. `isBegun`: the key was taken for this very request. */
function performWrite(
  { keys, counters: { writes }, writeCounts, onWritten }: ServeDeps,
  { resource, verb, write }: WriteOperation,
  key: string | null,
  text: string,
  isBegun = false,
): Answer {
  const check = key === null ? null : keys.check(key, text);
  if (check?.kind === 'replay') {
    writes.replayed++;
    return check.answer;
  }
  if (check?.kind === 'refused' && !(isBegun && check.reason === 'under_way')) {
    writes.keyRefused++;
    return check.reason === 'other_request'
      ? { status: 422, body: { error: 'idempotency_key_reused', detail: 'The key stands for another request' } }
      : { status: 409, body: { error: 'idempotency_key_in_use', detail: 'A request with this key is under way' } };
  }
  if (key !== null) keys.begin(key, text);
  const written = write();
  if (key !== null) keys.finish(key, written.id === null ? null : written.answer);
  if (written.id === null) countRefusal(writes, written);
  else {
    writes.executed++;
    writeCounts.executed(resource, written.id, { key, verb });
    onWritten(resource, written.id);
  }
  return written.answer;
}

function countRefusal(writes: Counters['writes'], { answer: { status } }: Written): void {
  if (status === 412) writes.preconditionFailed++;
  else if (status === 404) writes.notFound++;
  else writes.invalid++;
}

function waitWhileOpen(response: ServerResponse, ms: number, closing: AbortSignal): Promise<void> {
  const gone = new AbortController();
  const abort = () => gone.abort();
  response.once('close', abort);
  return wait(ms, AbortSignal.any([gone.signal, closing])).finally(() => response.off('close', abort));
}
