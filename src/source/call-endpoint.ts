import { kindOf } from '../lib/kind.ts';
import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { checkRecord } from '../lib/schema-check.ts';
import type { JsonValue } from '../model/json.ts';
import type { Cache } from './cache.ts';
import type { SourceClient } from './client.ts';
import { type EndpointDefinition, isIdempotent, isWrite, listOf, methodOf, ttlMsOf } from './endpoint.ts';
import { SourceError } from './error.ts';
import { lowerCaseNames, validatorHeader } from './header.ts';
import type { Lane } from './lane.ts';
import { placeParams } from './params.ts';
import { placeholdersOf } from './path-template.ts';
import type { SourceRequest } from './request.ts';
import type { Params, Requests } from './requests.ts';

export type EndpointDeps = {
  readonly client: Pick<SourceClient, 'send' | 'listPages'>;
  readonly requests: Requests;
  readonly cache: Cache;
  /** A new key, such as a random UUID. */
  readonly newKey: () => string;
};

/** What a caller gives, by name: placeholders, parameters, and the call's own (`body`, `ifMatch`, `idempotencyKey`). */
export type CallArguments = Readonly<Record<string, unknown>>;

export type EndpointCallOptions = {
  readonly signal: AbortSignal;
  /** Default `urgent`. */
  readonly lane?: Lane;
  /** Told of the answer before its content is returned. Endpoints with `cache`, and lists, do not tell of theirs. */
  readonly onAnswer?: (answer: { readonly status: number; readonly etag: string | null }) => void;
};

/**
 * Calls a declared endpoint and gives what its answer holds at `data`, parsed. Nothing leaves that the definition does not
 * allow. Throws `SourceError`: `bad_request` for arguments that do not fit (nothing was sent), `invalid_response` for an
 * answer that does not, with the place in it and the kind of value that stood there.
 */
export async function callEndpoint(
  deps: EndpointDeps,
  form: EndpointDefinition,
  given: CallArguments,
  options: EndpointCallOptions,
): Promise<unknown> {
  assertArguments(form, given);
  const request = makeRequest(deps, form, given, readBody(form, given.body));
  const ttlMs = ttlMsOf(form);
  const body =
    ttlMs > 0
      ? await deps.cache.read(request, ttlMs, { lane: options.lane ?? 'urgent', signal: options.signal })
      : await sendRequest(deps, form, request, options);
  return readData(form, request.endpoint, body);
}

/**
 * The items of an endpoint with `list`, page by page as they are asked for; each page is parsed by `response`. Throws as
 * `callEndpoint`, when it is first asked.
 */
export async function* listEndpoint(
  { client }: EndpointDeps,
  form: EndpointDefinition,
  given: CallArguments,
  { signal, lane = 'urgent' }: EndpointCallOptions,
): AsyncGenerator<unknown, void, undefined> {
  assertArguments(form, given);
  for (const name of placeholdersOf(form.path)) {
    if (argument(given, name) !== undefined)
      throw unfit(form, `{${name}} of a list comes from the source's params alone`);
  }
  for await (const { items } of client.listPages(listOf(form), { params: readParams(form, given), lane, signal })) {
    const parsed = readResponse(form, `${methodOf(form)} ${form.path}`, items, form.data ?? '');
    if (Array.isArray(parsed)) yield* parsed;
  }
}

/** Sends one request of an endpoint and gives the body of its answer. A write makes cached reads of its address doubtful. */
export async function sendRequest(
  { client, cache }: EndpointDeps,
  form: EndpointDefinition,
  request: SourceRequest,
  { signal, lane = 'urgent', onAnswer }: EndpointCallOptions,
): Promise<unknown> {
  try {
    const reply = await client.send(request, { lane, signal });
    if (reply.kind === 'absent') throw reply.error;
    if (reply.kind === 'not_modified')
      throw new SourceError('invalid_response', `${request.endpoint}: answered 304 unasked`);
    onAnswer?.({ status: reply.answer.status, etag: validatorHeader(reply.answer.headers.etag) });
    return reply.answer.body;
  } finally {
    if (isWrite(form)) cache.forget(request.url); // also when nobody knows whether it arrived
  }
}

/** The request of a call. `body` is checked by then. */
export function makeRequest(
  { requests, newKey }: EndpointDeps,
  form: EndpointDefinition,
  given: CallArguments,
  body: JsonValue | undefined,
): SourceRequest {
  const method = methodOf(form);
  const endpoint = `${method} ${form.path}`;
  const params = readParams(form, given);
  const headers = lowerCaseNames(form.headers ?? {});
  const ifMatch = ownText(endpoint, given, 'ifMatch');
  const key = ownText(endpoint, given, 'idempotencyKey');
  if (ifMatch !== null) headers['if-match'] = ifMatch;
  if (form.idempotencyHeader !== undefined) headers[form.idempotencyHeader.toLowerCase()] = key ?? newKey();
  const { graphql } = form;
  return requests.forEndpoint({
    method,
    path: form.path,
    values: readValues(form, given),
    queries: graphql === undefined ? [form.query ?? {}, params] : [form.query ?? {}],
    headers,
    body:
      graphql === undefined
        ? body === undefined
          ? null
          : JSON.stringify(body)
        : JSON.stringify(placeParams({ graphql }, params)),
    protocol: graphql === undefined ? 'rest' : 'graphql',
    isRepeatable: isIdempotent(form) || form.idempotencyHeader !== undefined,
  });
}

/** What the types promise, for callers without them. */
export function assertArguments(form: EndpointDefinition, given: unknown): void {
  if (kindOf(given) !== 'object') throw unfit(form, `the arguments: expected an object, got ${kindOf(given)}`);
}

/** A placeholder may be called `constructor`, which every object has from elsewhere. */
const argument = (given: CallArguments, name: string): unknown =>
  Object.hasOwn(given, name) ? given[name] : undefined;

/** Placeholders that the call fills; the source's own `params` fill the rest. */
function readValues(form: EndpointDefinition, given: CallArguments): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const name of placeholdersOf(form.path)) {
    const value = argument(given, name);
    if (value === undefined) continue;
    if (typeof value !== 'string' && !Number.isFinite(value))
      throw unfit(form, `${name}: expected text or a number, got ${kindOf(value)}`);
    values[name] = String(value);
  }
  return values;
}

/** Further arguments, as their schema gives them. One that nothing takes is refused: it would be left out silently. */
export function readParams(form: EndpointDefinition, given: CallArguments): Params {
  const named = new Set(placeholdersOf(form.path));
  const others: [string, unknown][] = [];
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || named.has(name) || takesOwn(form, name)) continue;
    if (form.params === undefined || !Object.hasOwn(form.params.shape, name))
      throw unfit(form, 'an argument that it does not take');
    others.push([name, value]);
  }
  if (form.params === undefined) return {};
  const checked = check(form, form.params, Object.fromEntries(others), '');
  const params: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(Object(checked))) {
    const json = toJson(form, value, name);
    if (form.graphql === undefined) assertForQuery(form, json, name);
    if (json !== undefined && (json !== null || form.graphql !== undefined)) params[name] = json;
  }
  return params;
}

/** A query has no form for an object, and a lone surrogate would become another character on its way. */
function assertForQuery(form: EndpointDefinition, json: JsonValue | undefined, name: string): void {
  const isFit = (value: unknown) => typeof value !== 'object' && !(typeof value === 'string' && /\p{Cs}/u.test(value));
  if (json === undefined || json === null || (Array.isArray(json) ? json : [json]).every(isFit)) return;
  throw unfit(form, `${name}: expected well-formed text, a number, true or false, or a list of them`);
}

function takesOwn(form: EndpointDefinition, name: string): boolean {
  if (name === 'items') return form.batch !== undefined;
  if (name === 'body') return form.body !== undefined && form.batch === undefined;
  if (name === 'ifMatch') return form.ifMatch === true;
  return name === 'idempotencyKey' && form.idempotencyHeader !== undefined;
}

function ownText(endpoint: string, given: CallArguments, name: 'ifMatch' | 'idempotencyKey'): string | null {
  const value = given[name];
  if (value === undefined) return null;
  if (typeof value === 'string' && /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/.test(value)) return value;
  throw new SourceError('bad_request', `${endpoint}: not sent: ${name}: expected 1 to 256 printable characters`);
}

/** A body as it will be sent; undefined for none. Throws `bad_request` when its schema refuses it. */
export function readBody(form: EndpointDefinition, body: unknown): JsonValue | undefined {
  return form.body === undefined ? undefined : toJson(form, check(form, form.body, body, 'body'), 'body');
}

function check(
  form: EndpointDefinition,
  schema: NonNullable<EndpointDefinition['body']>,
  value: unknown,
  at: string,
): unknown {
  const result = guarded(() => checkRecord(schema, value));
  if (result === null)
    throw unfit(form, `${at || 'the arguments'}: a function of the schema threw, or is asynchronous`);
  if (result.ok) return result.record;
  throw unfit(
    form,
    `${placeOf(at, result.fieldPath) || 'the arguments'}: expected ${result.expected}, got ${result.received}`,
  );
}

/** What JSON makes of it: dates become text, what it cannot carry is refused. */
function toJson(form: EndpointDefinition, value: unknown, at: string): JsonValue | undefined {
  if (value === undefined) return undefined;
  const text = guarded(() => JSON.stringify(value, refuseUnspeakable));
  if (text === null || text === undefined) throw unfit(form, `${at}: expected what JSON can carry`);
  return JSON.parse(text);
}

/** JSON would make null of them. */
function refuseUnspeakable(_name: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('JSON has no such number');
  return value;
}

/** What the answer holds at `data`, parsed by `response`. */
export function readData(form: EndpointDefinition, endpoint: string, body: unknown): unknown {
  const at = form.data ?? '';
  const found = readPath(body, mustParsePath(at));
  return readResponse(form, endpoint, found.found ? found.value : undefined, at);
}

/** A value of an answer, parsed by `response`. Throws `invalid_response`, which never shows the value. */
export function readResponse(form: EndpointDefinition, endpoint: string, value: unknown, at: string): unknown {
  if (form.response === undefined) return value;
  const { response } = form;
  const result = guarded(() => checkRecord(response, value));
  const place = result?.ok === false ? placeOf(at, result.fieldPath) : at;
  const where = `${endpoint}: ${place === '' ? 'the answer' : `the answer, ${place}`}`;
  if (result === null)
    throw new SourceError('invalid_response', `${where}: a function of the schema threw, or is asynchronous`);
  if (result.ok) return result.record;
  throw new SourceError('invalid_response', `${where}: expected ${result.expected}, got ${result.received}`);
}

/** Null when a function of the user's threw: its message may quote what it was given. */
function guarded<T>(run: () => T): T | null {
  try {
    return run();
  } catch {
    return null;
  }
}

const placeOf = (at: string, inside: string | null): string =>
  [at, inside ?? ''].filter((part) => part !== '').join('.');

const unfit = (form: EndpointDefinition, what: string): SourceError =>
  new SourceError('bad_request', `${methodOf(form)} ${form.path}: not sent: ${what}`);
