import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { type ApiFault, drawApiFault } from './api-faults.ts';
import type { ControlAnswer, ControlState } from './control.ts';
import type { Counters } from './counters.ts';
import type { Random } from './random.ts';
import { type Answer, getRecord, listRecords } from './resources.ts';
import type { Settings } from './settings.ts';
import type { Shop } from './shop.ts';
import type { ShopClock } from './shop-clock.ts';
import { streamTruth } from './truth.ts';
import { wait } from './wait.ts';

export type ApiDeps = {
  readonly shop: Shop;
  readonly clock: ShopClock;
  readonly random: Random;
  readonly counters: Counters;
  readonly settings: () => Settings;
  readonly token: string;
  readonly readState: () => ControlState;
  readonly control: (request: unknown) => Promise<ControlAnswer>;
};

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly url: URL };

const MAX_CONTROL_BYTES = 64 * 1_024;

/** The shop's HTTP face. Routes whose path begins with `/_` are the simulator's own, and have no faults. */
export function createApi(deps: ApiDeps): RequestListener {
  return (request, response) => {
    const exchange = { request, response, url: new URL(request.url ?? '/', 'http://shop') };
    answerRequest(deps, exchange).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    );
  };
}

async function answerRequest(deps: ApiDeps, exchange: Exchange): Promise<void> {
  const { counters, shop } = deps;
  const { request, response, url } = exchange;
  const isOwn = url.pathname.startsWith('/_');
  if (!isOwn) counters.api.requests++;
  if (request.headers.authorization !== `Bearer ${deps.token}`) {
    if (!isOwn) counters.api.unauthorized++;
    return send(exchange, { status: 401, body: { error: 'unauthorized' } });
  }
  switch (url.pathname) {
    case '/_control':
      return answerControl(deps, exchange);
    case '/_truth/customers':
      return streamTruth(shop.customers.records, response);
    case '/_truth/orders':
      return streamTruth(shop.orders.records, response);
    default:
      return answerWithFaults(deps, exchange);
  }
}

async function answerWithFaults(deps: ApiDeps, exchange: Exchange): Promise<void> {
  const { api } = deps.counters;
  const fault = drawApiFault(deps.settings(), deps.random);
  switch (fault.kind) {
    case 'server_error':
      api.serverErrors++;
      return send(exchange, { status: 500, body: { error: 'internal' } });
    case 'rate_limited':
      api.rateLimited++;
      exchange.response.setHeader('retry-after', String(fault.retryAfterS));
      return send(exchange, { status: 429, body: { error: 'rate_limited' } });
    case 'reset':
      api.reset++;
      exchange.request.socket.resetAndDestroy();
      return;
    case 'truncated':
      api.truncated++;
      return sendHalf(exchange, route(deps, exchange), fault);
    case 'slow':
      api.slow++;
      await waitWhileOpen(exchange.response, fault.ms);
      return send(exchange, route(deps, exchange));
    case 'none':
      return send(exchange, route(deps, exchange));
  }
}

function route({ shop, clock }: ApiDeps, { request, url }: Exchange): Answer {
  if (request.method !== 'GET') return { status: 405, body: { error: 'method_not_allowed' } };
  const [, resource, id, ...rest] = url.pathname.split('/');
  if (rest.length === 0 && resource === 'customers') {
    const { records } = shop.customers;
    return id === undefined
      ? listRecords(records, url.searchParams, clock)
      : getRecord(records, decodeURIComponent(id));
  }
  if (rest.length === 0 && resource === 'orders') {
    const { records } = shop.orders;
    return id === undefined
      ? listRecords(records, url.searchParams, clock)
      : getRecord(records, decodeURIComponent(id));
  }
  return { status: 404, body: { error: 'not_found' } };
}

async function answerControl({ control, readState }: ApiDeps, exchange: Exchange): Promise<void> {
  if (exchange.request.method === 'GET') return send(exchange, { status: 200, body: readState() });
  if (exchange.request.method !== 'POST') return send(exchange, { status: 405, body: { error: 'method_not_allowed' } });
  const body = await readJson(exchange.request);
  if (!body.ok) return send(exchange, { status: 400, body });
  const answer = await control(body.value);
  return send(exchange, answer.ok ? { status: 200, body: answer.state } : { status: 400, body: answer });
}

type JsonBody = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string };

async function readJson(request: IncomingMessage): Promise<JsonBody> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > MAX_CONTROL_BYTES) return { ok: false, problem: `expected at most ${MAX_CONTROL_BYTES} bytes` };
    chunks.push(bytes);
  }
  try {
    return { ok: true, value: JSON.parse(Buffer.concat(chunks).toString('utf8')) };
  } catch {
    return { ok: false, problem: 'expected JSON' };
  }
}

function send({ response }: Exchange, { status, body }: Answer): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length });
  response.end(bytes);
}

function sendHalf(
  { response }: Exchange,
  { status, body }: Answer,
  { isCut }: Extract<ApiFault, { kind: 'truncated' }>,
) {
  const bytes = Buffer.from(JSON.stringify(body));
  const half = bytes.subarray(0, bytes.length >> 1);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': (isCut ? bytes : half).length });
  if (!isCut) response.end(half);
  else response.write(half, () => response.destroy());
}

function waitWhileOpen(response: ServerResponse, ms: number): Promise<void> {
  const gone = new AbortController();
  const abort = () => gone.abort();
  response.once('close', abort);
  return wait(ms, gone.signal).finally(() => response.off('close', abort));
}
