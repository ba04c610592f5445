import type { Content } from '../../src/model/observation.ts';
import type { TwoWay, WriteEndpoint } from '../../src/sync/two-way.ts';
import type { Configuration } from './configuration.ts';
import { type Mapping, WRITABLE } from './shape.ts';

export const KEY_HEADER = 'idempotency-key';
/** What brings a row to the source: its three fields, and what its insert called it. */
const SENT = ['a', 'b', 'n', 'ref'] as const;
const TEN_MINUTES_MS = 600_000;

/** How the simulated integration writes back. */
export function twoWayOf({ shape, twoWay }: Configuration, mapping: Mapping): TwoWay | null {
  if (twoWay === null) return null;
  const endpoint = (
    method: WriteEndpoint['method'],
    path: string,
    ifMatch: WriteEndpoint['ifMatch'],
  ): WriteEndpoint => ({
    method,
    path,
    query: {},
    headers: {},
    sends: twoWay.sends,
    bodyAt: '',
    body: {},
    nulls: 'send',
    recordAt: shape.answersRecord ? '' : null,
    idAt: shape.answersRecord ? null : 'id',
    failures: [],
    ifMatch,
    graphql: null,
  });
  return {
    writable: new Set(WRITABLE.filter((name) => mapping.properties.includes(name))),
    creatable: new Set(SENT.filter((name) => mapping.properties.includes(name))),
    mode: 'target-first',
    writes: {
      create: endpoint('POST', '/customers', null),
      update: endpoint('PATCH', '/customers/{id}', shape.ifMatch),
      delete: endpoint('DELETE', '/customers/{id}', shape.ifMatch),
    },
    policyOf: () => twoWay.policy,
    recordPolicy: twoWay.policy,
    adopt: 'source_wins',
    localDeletes: twoWay.localDeletes,
    massDelete: twoWay.massDelete,
    idempotency: shape.idempotencyTtlMs === null ? null : { header: KEY_HEADER, ttlMs: shape.idempotencyTtlMs },
    marker: shape.hasMarker ? { field: 'marker', searchParam: 'marker' } : null,
    mayDuplicateCreates: twoWay.mayDuplicateCreates,
    debounceMs: twoWay.debounceMs,
    budget: { calls: 10, perMs: TEN_MINUTES_MS },
    clockSkewMs: 2_000,
    comparesTimes: twoWay.policy === 'newest_wins',
    unmap: (content) => ({ ok: true, fields: unmapped(content, mapping), returns: content }),
  };
}

function unmapped(content: Content, { bracketsB }: Mapping): Content {
  const fields: Record<string, Content[string]> = {};
  for (const name of SENT) {
    const value = content[name];
    if (value === undefined) continue;
    const isBracketed = bracketsB && name === 'b' && typeof value === 'string' && /^\[.*\]$/.test(value);
    fields[name] = isBracketed ? value.slice(1, -1) : value;
  }
  return fields;
}
