import type { JsonValue } from '../model/json.ts';
import {
  type BatchForm,
  type BatchResult,
  batchBody,
  type Group,
  groupItems,
  type ItemResult,
  MAX_CALL_ITEMS,
  readResults,
} from './batch.ts';
import {
  assertArguments,
  type CallArguments,
  type EndpointCallOptions,
  type EndpointDeps,
  makeRequest,
  readBody,
  readResponse,
  sendRequest,
} from './call-endpoint.ts';
import { type EndpointDefinition, methodOf } from './endpoint.ts';
import { SourceError, type SourceErrorCode } from './error.ts';

type Result = BatchResult<unknown>;
export type BatchEndpoint = EndpointDefinition & { readonly batch: BatchForm };

/**
 * Sends many items in as few requests as the bounds allow, one request after the other, in the order given. Each item gets
 * a result of its own: an item that its schema refuses is not sent (`bad_request`), one over `maxBytes` neither
 * (`too_large`); where a whole request fails, its items fail with its code. After a failure that further requests would
 * meet too the rest is `not_sent`. Throws `bad_request` for arguments that do not fit; then nothing was sent. What is no
 * failure of the source or the network (the database of shared limits) is thrown from the first request; a later one has
 * results before it that must be told, so that its items are `unknown` and the rest is not sent.
 */
export async function callBatch(
  deps: EndpointDeps,
  form: BatchEndpoint,
  given: CallArguments,
  options: EndpointCallOptions,
): Promise<readonly Result[]> {
  assertArguments(form, given);
  const items = readItems(form, given.items);
  makeRequest(deps, form, keyed(given, items.length), undefined); // throws what is wrong with the other arguments
  const bodies = items.map((item) => bodyOf(form, item));
  const groups = groupItems(bodies, form.batch);
  const results: Result[] = bodies.map((body) => failed(body === null ? 'bad_request' : 'too_large'));
  let stopped = false;
  for (const [number, group] of groups.entries()) {
    const sent: Sent | null = stopped ? null : await sendGroup(deps, form, { given, number, group, bodies, options });
    for (const [index, place] of group.entries()) results[place] = sent?.results[index] ?? failed('not_sent');
    stopped ||= sent?.mustStop ?? false;
  }
  return results;
}

function readItems(form: BatchEndpoint, items: unknown): readonly unknown[] {
  if (Array.isArray(items) && items.length <= MAX_CALL_ITEMS) return items;
  const endpoint = `${methodOf(form)} ${form.path}`;
  throw new SourceError('bad_request', `${endpoint}: not sent: items: expected an array of at most ${MAX_CALL_ITEMS}`);
}

function bodyOf(form: BatchEndpoint, item: unknown): JsonValue | null {
  try {
    return readBody(form, item) ?? null;
  } catch (error) {
    if (error instanceof SourceError) return null;
    throw error;
  }
}

type GroupCall = {
  given: CallArguments;
  number: number;
  group: Group;
  bodies: readonly (JsonValue | null)[];
  options: EndpointCallOptions;
};

type Sent = { readonly results: readonly Result[]; readonly mustStop: boolean };

async function sendGroup(
  deps: EndpointDeps,
  form: BatchEndpoint,
  { given, number, group, bodies, options }: GroupCall,
): Promise<Sent> {
  const items = group.map((place) => bodies[place] ?? null);
  const request = makeRequest(deps, form, keyed(given, number), batchBody(items, form.batch));
  try {
    const answer = await sendRequest(deps, form, request, options);
    const results = readResults(items, answer, form.batch);
    return { results: results.map((result) => toResult(form, request.endpoint, result)), mustStop: false };
  } catch (error) {
    if (!(error instanceof SourceError)) {
      if (number === 0) throw error;
      return { results: group.map(() => failed('unknown')), mustStop: true };
    }
    const { code, status } = error;
    return { results: group.map(() => failed(code, status)), mustStop: error.isRetryable || STOPPING.has(code) };
  }
}

/** Nothing that a further request could do better. Retryable failures have been retried by then. */
const STOPPING: ReadonlySet<SourceErrorCode> = new Set([
  'unauthorized',
  'forbidden',
  'aborted',
  'not_found',
  'gone',
  'foreign_link',
]);

/** A key of the caller's own names one request. */
const keyed = (given: CallArguments, number: number): CallArguments =>
  number === 0 || typeof given.idempotencyKey !== 'string'
    ? given
    : { ...given, idempotencyKey: `${given.idempotencyKey}-${number + 1}` };

/** A result that does not fit the schema was sent and may be done: nobody knows what it is now. */
function toResult(form: BatchEndpoint, endpoint: string, result: ItemResult): Result {
  if (result.kind === 'refused') return failed('refused', result.status);
  if (result.kind === 'unknown') return failed('unknown');
  try {
    return { ok: true, value: readResponse(form, endpoint, result.value, '') };
  } catch (error) {
    if (error instanceof SourceError) return failed('invalid_response');
    throw error;
  }
}

const failed = (code: Exclude<Result, { ok: true }>['code'], status: number | null = null): Result => ({
  ok: false,
  code,
  status,
});
