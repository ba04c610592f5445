import { mustParsePath } from '../lib/path-schema.ts';
import { isObject, type JsonValue, withValueAt } from '../model/json.ts';
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
  | {
      readonly ok: true;
      readonly request: SavedRequest;
      /** What it sends of the row, as the mapping will give it once the source shows it: what echoes are known by. */
      readonly returns: Content;
    }
  /** The source has no endpoint for it, or a value has no way back through the mapping. */
  | { readonly ok: false; readonly reason: 'no_endpoint' | 'unmappable'; readonly words: string };

/** The exact request of a push, made once: a repeat under the same key sends these very bytes. Pure. */
export function makePushRequest(twoWay: TwoWay, parts: RequestParts): MadeRequest {
  const endpoint = twoWay.writes[parts.op];
  if (endpoint === null)
    return { ok: false, reason: 'no_endpoint', words: `the source takes no ${parts.op} of this entity` };
  const sent = parts.content !== null && endpoint.nulls === 'omit' ? withoutNulls(parts.content) : parts.content;
  const unmapped = sent === null ? null : twoWay.unmap(sent);
  if (unmapped?.ok === false) {
    const words = `${unmapped.property}: expected ${unmapped.expected}, so that it can be sent back`;
    return { ok: false, reason: 'unmappable', words };
  }
  const fields = unmapped?.fields ?? null;
  return {
    ok: true,
    returns: unmapped?.returns ?? {},
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

/**
 * What was edited, as the source will show it: what its echoes are known by. Of a whole record that was sent the rest may be
 * changed by others, and the write is still ours.
 */
export const editedOf = ({ returns }: Extract<MadeRequest, { ok: true }>, patch: Content | null): Content =>
  Object.fromEntries(Object.entries(returns).filter(([property]) => patch !== null && property in patch));

const withoutNulls = (content: Content): Content =>
  Object.fromEntries(Object.entries(content).filter(([, value]) => value !== null));

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
    return JSON.stringify({ query: graphql.query, variables: variablesOf(graphql, body, externalId, marked) });
  }
  if (marked === null) return Object.keys(body).length === 0 ? null : JSON.stringify(body);
  return JSON.stringify(mergeAt(body, mustParsePath(bodyAt), marked));
}

function variablesOf(
  { idVariable, fieldsVariable }: NonNullable<WriteEndpoint['graphql']>,
  constants: WriteEndpoint['body'],
  externalId: string | null,
  fields: JsonValue | null,
): JsonValue {
  const filled =
    fields === null || fieldsVariable === null ? constants : mergeAt(constants, mustParsePath(fieldsVariable), fields);
  return idVariable === null || externalId === null
    ? filled
    : withValueAt(filled, mustParsePath(idVariable), externalId);
}

/** The fields beside what the body holds there already, nested objects too. */
function mergeAt(body: JsonValue, path: readonly string[], fields: JsonValue): JsonValue {
  const [key, ...rest] = path;
  if (key === undefined) return mergeInto(body, fields);
  const object = isObject(body) ? body : {};
  return { ...object, [key]: mergeAt(object[key] ?? {}, rest, fields) };
}

function mergeInto(body: JsonValue | undefined, fields: JsonValue): JsonValue {
  if (!isObject(fields) || !isObject(body)) return fields;
  const entries = Object.entries(fields).map(([key, value]) => [
    key,
    mergeInto(Object.hasOwn(body, key) ? body[key] : undefined, value),
  ]);
  return { ...body, ...Object.fromEntries(entries) };
}
