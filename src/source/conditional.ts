import type { IncomingHttpHeaders } from 'node:http';
import type { BoundedStore, Remembered } from './bounded-store.ts';
import type { Call, CallOptions, Reply } from './call.ts';
import { SourceError } from './error.ts';
import { listedHeader, validatorHeader } from './header.ts';
import type { SourceRequest } from './request.ts';

/** Everything that decides what is answered, but for the credentials: those are one source's. */
export function keyOf({ method, url, headers, body }: SourceRequest): string {
  const sorted = Object.entries(headers).sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([method, url.href, sorted, body]);
}

/**
 * Calls that name the tag of the last answer to the same request, so that the source need not send it again. Nothing is
 * ever served without asking: a 304 comes back as that last answer, with the times of the request that it answers. Only
 * tags count: `Last-Modified` cannot tell two changes of one second apart.
 */
export function createConditionalCall(call: Call, store: BoundedStore): Call {
  return async (request, options) => {
    if (request.method !== 'GET' || isConditional(request)) return await call(request, options);
    const key = keyOf(request);
    const known = store.get(key);
    const reply = await revalidate(call, request, known?.etag == null ? null : known, options);
    if (reply.kind === 'revalidated') {
      const { startedAt, endedAt, headers, entry } = reply;
      const kept = { etag: entry.etag ?? undefined };
      const answer = { status: 200, url: request.url, headers: { ...kept, ...headers }, body: JSON.parse(entry.text) };
      return { kind: 'answered', answer, startedAt, endedAt };
    }
    if (reply.kind === 'answered') remember(store, key, request, reply);
    else if (reply.kind === 'absent') store.remove(key);
    return reply;
  };
}

function remember(store: BoundedStore, key: string, { url }: SourceRequest, { answer }: Answered): void {
  const etag = validatorHeader(answer.headers.etag);
  const text = JSON.stringify(answer.body);
  if (etag === null || text === undefined || mayNotBeKept(answer.headers)) store.remove(key);
  else store.set(key, { text, etag, lastModified: null, freshUntilMs: 0, pathname: url.pathname });
}

type Answered = Extract<Reply, { kind: 'answered' }>;
type Revalidated = Pick<Reply, 'startedAt' | 'endedAt'> & {
  readonly kind: 'revalidated';
  readonly entry: Remembered;
  readonly headers: IncomingHttpHeaders;
};

/**
 * Asks whether `known` is still so. A 304 that carries another tag speaks of something that we do not have, and is asked
 * again without condition.
 */
export async function revalidate(
  call: Call,
  request: SourceRequest,
  known: Remembered | null,
  options: CallOptions,
): Promise<Exclude<Reply, { kind: 'not_modified' }> | Revalidated> {
  // Elsewhere than with GET a condition that does not hold is a failure (412), not a 304.
  if (known !== null && request.method === 'GET') {
    const reply = await call({ ...request, headers: { ...request.headers, ...conditionsOf(known) } }, options);
    if (reply.kind !== 'not_modified') return reply;
    const { startedAt, endedAt, headers } = reply;
    if (isSameTag(known.etag, validatorHeader(headers.etag)))
      return { kind: 'revalidated', entry: known, headers, startedAt, endedAt };
  }
  const reply = await call(request, options);
  if (reply.kind === 'not_modified')
    throw new SourceError('invalid_response', `${request.endpoint}: answered 304 unasked`);
  return reply;
}

function conditionsOf({ etag, lastModified }: Remembered): Readonly<Record<string, string>> {
  if (etag !== null) return { 'if-none-match': etag };
  return lastModified === null ? {} : { 'if-modified-since': lastModified };
}

/** The weak comparison of RFC 9110: a source may weaken a tag on its way. */
const isSameTag = (known: string | null, told: string | null): boolean =>
  known === null || told === null || known.replace(/^W\//, '') === told.replace(/^W\//, '');

/** The source forbids us to keep it, or says that nothing tells when it holds. */
export const mayNotBeKept = (headers: IncomingHttpHeaders): boolean =>
  directivesOf(headers).has('no-store') || listedHeader(headers.vary).includes('*');

export const directivesOf = (headers: IncomingHttpHeaders): ReadonlySet<string> =>
  new Set(listedHeader(headers['cache-control']));

const isConditional = ({ headers }: SourceRequest): boolean =>
  headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined;
