import { kindOf } from '../lib/kind.ts';
import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { Call } from './call.ts';
import type { Sighting, SourceClient } from './client.ts';
import { DEFAULT_IDS_PER_REQUEST, type GetManyDefinition } from './definition.ts';
import { SourceError } from './error.ts';
import { readItems } from './read-items.ts';
import { paramsGoToBody, type Requests } from './requests.ts';

type Deps = { readonly call: Call; readonly requests: Requests };
type Options = Parameters<SourceClient['getRecords']>[2];

/** See `SourceClient.getRecords`. One request after the other: the callers of a source share its limits. */
export async function getRecords(
  { call, requests }: Deps,
  getMany: GetManyDefinition,
  ids: readonly string[],
  { lane = 'urgent', signal }: Options,
): Promise<ReadonlyMap<string, Sighting>> {
  const sightings = new Map<string, Sighting>();
  for (const part of partsOf(getMany, new Set(ids))) {
    const request = requests.forRecords(getMany, part);
    const { endpoint } = request;
    const reply = await call(request, { lane, signal });
    // The endpoint itself is missing, whatever its records.
    if (reply.kind === 'absent') throw reply.error;
    if (reply.kind === 'not_modified') throw new SourceError('invalid_response', `${endpoint}: answered 304 unasked`);
    const { startedAt, endedAt } = reply;
    const asked = new Set(part);
    for (const [id, record] of readRecords(endpoint, getMany, reply.answer.body)) {
      if (asked.has(id)) sightings.set(id, { kind: 'found', record, etag: null, startedAt, endedAt });
    }
  }
  return sightings;
}

/** Of all ids in one URL, as they are written there. Many servers take no URL over 8,000 characters. */
const MAX_IDS_LENGTH = 6_000;

/** The ids of each request: as many as `max` and its URL allow, one at least. */
function* partsOf(getMany: GetManyDefinition, ids: ReadonlySet<string>): Generator<readonly string[]> {
  const { max = DEFAULT_IDS_PER_REQUEST, idsParam } = getMany;
  const isInUrl = !paramsGoToBody(getMany);
  let part: string[] = [];
  let length = 0;
  for (const id of ids) {
    const ownLength = isInUrl ? new URLSearchParams([[idsParam, id]]).toString().length + 1 : 0;
    if (part.length === max || (part.length > 0 && length + ownLength > MAX_IDS_LENGTH)) {
      yield part;
      part = [];
      length = 0;
    }
    part.push(id);
    length += ownLength;
  }
  if (part.length > 0) yield part;
}

/** The records of an answer by their ids; what has no id that can be read is left to a read of that one record. */
function* readRecords(
  endpoint: string,
  getMany: GetManyDefinition,
  body: unknown,
): Generator<readonly [string, unknown]> {
  const keyPath = mustParsePath(getMany.key);
  for (const record of readItems(endpoint, getMany, body)) {
    const key = readPath(record, keyPath);
    const id = kindOf(record) === 'object' && key.found ? idOf(key.value) : null;
    if (id !== null) yield [id, record];
  }
}

function idOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : null;
}
