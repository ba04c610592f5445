import { mustParsePath } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { PushOp, SavedRequest } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { TwoWay, WriteEndpoint } from './two-way.ts';

export type RequestParts = {
  readonly op: PushOp;
  /** Null for a create. */
  readonly externalId: string | null;
  /** What the request carries of the row; null for a delete. */
  readonly content: Content | null;
  readonly ifMatch: string | null;
  /** Sent as the idempotency key and as the marker, where the source takes them. */
  readonly tokenId: string;
};

export type MadeRequest =
  | { readonly ok: true; readonly request: SavedRequest }
  /** The source has no endpoint for it, or a value has no way back through the mapping. */
  | { readonly ok: false; readonly reason: 'no_endpoint' | 'unmappable'; readonly words: string };

/** The exact request of a push, made once: a repeat under the same key sends these very bytes. Pure. */
export function makePushRequest(twoWay: TwoWay, parts: RequestParts): MadeRequest {
  const endpoint = twoWay.writes[parts.op];
  if (endpoint === null)
    return { ok: false, reason: 'no_endpoint', words: `the source takes no ${parts.op} of this entity` };
  const unmapped = parts.content === null ? null : twoWay.unmap(parts.content);
  if (unmapped?.ok === false) {
    const words = `${unmapped.property}: expected ${unmapped.expected}, so that it can be sent back`;
    return { ok: false, reason: 'unmappable', words };
  }
  const fields = unmapped?.fields ?? null;
  return {
    ok: true,
    request: {
      method: endpoint.graphql === null ? endpoint.method : 'POST',
      path: endpoint.path,
      values: parts.externalId === null ? {} : { id: parts.externalId },
      query: endpoint.query,
      headers: headersOf(twoWay, endpoint, parts),
      body: bodyOf(twoWay, endpoint, parts, fields),
      protocol: endpoint.graphql === null ? 'rest' : 'graphql',
    },
  };
}

/** What `If-Match` says of the record as we hold it; null where the endpoint takes none, or we do not know it. */
export function ifMatchOf(endpoint: WriteEndpoint | null, state: Pick<RecordState, 'etag' | 'version'>): string | null {
  if (endpoint?.ifMatch === 'etag') return state.etag;
  if (endpoint?.ifMatch === 'version') return state.version === null ? null : `"${state.version}"`;
  return null;
}

function headersOf(
  twoWay: TwoWay,
  endpoint: WriteEndpoint,
  { ifMatch, tokenId }: RequestParts,
): SavedRequest['headers'] {
  const headers: Record<string, string> = { ...endpoint.headers };
  if (ifMatch !== null) headers['if-match'] = ifMatch;
  if (twoWay.idempotency !== null) headers[twoWay.idempotency.header.toLowerCase()] = tokenId;
  return headers;
}

function bodyOf(
  twoWay: TwoWay,
  { body, bodyAt, graphql }: WriteEndpoint,
  { op, externalId, tokenId }: RequestParts,
  fields: { readonly [key: string]: JsonValue } | null,
): string | null {
  const marker = op === 'create' && twoWay.marker !== null ? mustParsePath(twoWay.marker.field) : null;
  const marked = fields !== null && marker !== null ? withValueAt(fields, marker, tokenId) : fields;
  if (graphql !== null) {
    const id = graphql.idVariable === null || externalId === null ? {} : { [graphql.idVariable]: externalId };
    const variables = { ...body, ...id, ...(marked === null ? {} : { [graphql.fieldsVariable]: marked }) };
    return JSON.stringify({ query: graphql.query, variables });
  }
  if (marked === null) return Object.keys(body).length === 0 ? null : JSON.stringify(body);
  return JSON.stringify(mergeAt(body, mustParsePath(bodyAt), marked));
}

/** The fields beside what the body holds there already. */
function mergeAt(body: JsonValue, path: readonly string[], fields: JsonValue): JsonValue {
  const [key, ...rest] = path;
  if (key === undefined) return isObject(fields) ? { ...(isObject(body) ? body : {}), ...fields } : fields;
  const object = isObject(body) ? body : {};
  return { ...object, [key]: mergeAt(object[key] ?? {}, rest, fields) };
}

function withValueAt(inside: JsonValue, path: readonly string[], value: JsonValue): JsonValue {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const object = isObject(inside) ? inside : {};
  return { ...object, [key]: withValueAt(object[key] ?? {}, rest, value) };
}

const isObject = (value: JsonValue): value is { readonly [key: string]: JsonValue } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
