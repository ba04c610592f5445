import type { Mapped, Mapper } from '../../src/mapping/mapper.ts';
import type { Capabilities } from '../../src/model/capabilities.ts';
import type { Content } from '../../src/model/observation.ts';
import type { TargetTable } from '../../src/model/target.ts';
import type { SourceClient } from '../../src/source/client.ts';
import type { Stream } from '../../src/sync/stream.ts';
import type { TwoWay } from '../../src/sync/two-way.ts';
import type { Raw } from './model-source.ts';
import { type Mapping, PROPERTIES } from './shape.ts';

export const KEY = { integration: 'shop', entity: 'customers' };

const column = (name: string) =>
  ({ name, sqlType: 'text', kind: 'text', isNotNull: name === 'id', hasDefault: false }) as const;

export const TARGET: TargetTable = {
  schema: 'shop',
  name: 'customers',
  columns: {
    ...Object.fromEntries(PROPERTIES.map((name) => [name, column(name)])),
    n: { ...column('n'), sqlType: 'integer', kind: 'integer' },
  },
  keyProperty: 'id',
  isKeyDirect: true,
  contentProperties: PROPERTIES,
  syncedAtProperties: [],
  deletedAtProperty: null,
};

/** Fields are copied. */
export function createMapper({ revision, properties, bracketsB }: Mapping, hashOf: Mapper['hashOf']): Mapper {
  const showB = (value: Content[string] | undefined): Content[string] =>
    bracketsB && typeof value === 'string' ? `[${value}]` : (value ?? null);
  const isRaw = (raw: unknown): raw is Raw => typeof raw === 'object' && raw !== null && 'fields' in raw;

  function contentOf({ id, fields }: Raw, isPartial: boolean): Content {
    const content: Record<string, Content[string]> = { id };
    for (const name of properties) {
      if (name === 'id' || (isPartial && fields[name] === undefined)) continue;
      content[name] = name === 'b' ? showB(fields[name]) : (fields[name] ?? null);
    }
    return content;
  }

  return {
    fingerprint: `revision ${revision}`,
    hashOf,
    parseId: (value) => ({ ok: true, externalId: String(value) }),
    parseVersion: (value) => (typeof value === 'bigint' ? value : null),
    externalIdOf: (raw) => ({ ok: true, externalId: isRaw(raw) ? raw.id : '' }),
    versionOf: (raw) => (isRaw(raw) ? raw.version : null),
    map(raw, { isPartial = false } = {}): Mapped {
      if (!isRaw(raw)) throw new Error('The simulated source shows nothing but records');
      const { id: externalId, version } = raw;
      if (raw.isDeleted) return { kind: 'mapped', externalId, content: {}, hash: hashOf({}), version, isDeleted: true };
      const content = contentOf(raw, isPartial);
      return { kind: 'mapped', externalId, content, hash: hashOf(content), version, isDeleted: false };
    },
  };
}

export type StreamOptions = {
  readonly caps: Capabilities;
  readonly twoWay: TwoWay | null;
  readonly mapping: Mapping;
  readonly deletions: Stream['deletions'];
  readonly hashOf: Mapper['hashOf'];
};

const nobody = () => {
  throw new Error('The simulated source is asked by other means');
};
const noClient: SourceClient = {
  listPages: nobody,
  getRecord: nobody,
  getRecords: nobody,
  send: nobody,
  write: nobody,
  limits: nobody,
  close: nobody,
};

const DAY_MS = 86_400_000;

export const createStream = ({ caps, twoWay, mapping, deletions, hashOf }: StreamOptions): Stream => ({
  key: KEY,
  caps,
  target:
    mapping.properties.length === PROPERTIES.length ? TARGET : { ...TARGET, contentProperties: mapping.properties },
  mapper: createMapper(mapping, hashOf),
  keepsBase: true,
  client: noClient,
  list: { path: '/customers', items: 'items', pagination: { kind: 'cursor', param: 'after', next: 'next' } },
  changedSince: caps.versionKind === 'none' ? null : { param: 'since', format: String, query: {}, overlap: 0n },
  get: caps.canGet ? { path: '/customers/{id}' } : null,
  getMany: null,
  deletions,
  repairs: twoWay === null,
  deadlineMs: DAY_MS,
  lookups: null,
  twoWay,
});
