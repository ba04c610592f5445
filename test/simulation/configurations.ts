import type { Capabilities } from '../../src/model/capabilities.ts';
import type { ConflictPolicy } from '../../src/model/conflict.ts';
import type { Stream } from '../../src/sync/stream.ts';
import type { TwoWay } from '../../src/sync/two-way.ts';
import type { FaultKind } from './faults.ts';
import type { SourceShape } from './source-shape.ts';

/** What brings a run to its end once the faults are over. */
export type Ending = 'hooks' | 'incremental' | 'full';

/** One kind of source, of integration and of trouble. */
export type Configuration = {
  readonly name: string;
  readonly shape: SourceShape;
  readonly canGet: boolean;
  readonly isSigned: boolean;
  readonly ending: Ending;
  readonly twoWay: TwoWayShape | null;
  readonly deletions: Stream['deletions'];
  readonly without: readonly FaultKind[];
  /** Half the records' states, and rows, are damaged before the end (mirrors). */
  readonly isDamaged: boolean;
  /** The mapping is changed halfway. */
  readonly changesMapping: boolean;
  /** Many records vanish from the source's answers for a while, as with credentials that lost a right. */
  readonly hidesRecords: boolean;
  /** Nothing orders its changes for sure: steps back are possible, and mended. */
  readonly isWeak: boolean;
};

export type TwoWayShape = {
  readonly policy: ConflictPolicy;
  readonly localDeletes: TwoWay['localDeletes'];
  readonly mayDuplicateCreates: boolean;
  readonly sends: 'changes' | 'record';
  readonly debounceMs: number;
  /** A trigger of the table's owner stores `a` in lower case. */
  readonly tableNormalises: boolean;
  /** A trigger of the table's owner edits the row after each of our writes. */
  readonly tableEdits: boolean;
  readonly userDeletes: boolean;
  readonly userInserts: boolean;
};

const SHAPE: SourceShape = {
  versionKind: 'counter',
  tickMs: 1000,
  lagMs: 1500,
  lateCommitMs: 0,
  canUndelete: false,
  payload: 'full',
  deleteEvents: 'unversioned',
  showsDeleted: false,
  paging: 'keyset',
  pageSize: 2,
  normalises: false,
  derives: 'never',
  touches: false,
  ifMatch: null,
  idempotencyTtlMs: null,
  hasMarker: false,
  answersRecord: true,
  hasZombies: false,
  refuses: false,
};

const TWO_WAY: TwoWayShape = {
  policy: 'source_wins',
  localDeletes: 'restore',
  mayDuplicateCreates: false,
  sends: 'changes',
  debounceMs: 0,
  tableNormalises: false,
  tableEdits: false,
  userDeletes: false,
  userInserts: true,
};

type Over = Omit<Partial<Configuration>, 'shape' | 'twoWay' | 'name'> & {
  readonly shape?: Partial<SourceShape>;
  readonly twoWay?: Partial<TwoWayShape>;
};

const HOUR_MS = 3_600_000;
const KEYS = { idempotencyTtlMs: HOUR_MS } as const;

function configure(name: string, over: Over): Configuration {
  const ending = over.ending ?? 'full';
  const shape = {
    ...SHAPE,
    // An incremental run finds only what the list shows.
    ...(ending === 'incremental' ? { showsDeleted: true } : {}),
    ...over.shape,
  };
  return {
    canGet: true,
    isSigned: true,
    deletions: { maxShare: 1, minimum: 100 },
    isDamaged: false,
    changesMapping: false,
    hidesRecords: false,
    isWeak: false,
    ...over,
    name,
    ending,
    shape,
    twoWay: over.twoWay === undefined ? null : { ...TWO_WAY, ...over.twoWay },
    without: [...(ending === 'hooks' ? (['hook_lost'] as const) : []), ...(over.without ?? [])],
  };
}

const late = { lateCommitMs: 1400 } as const;

const MIRRORS: readonly Configuration[] = [
  configure('counter, full payloads', { shape: { versionKind: 'counter' } }),
  configure('counter, full payloads, hooks', { ending: 'hooks', shape: { versionKind: 'counter', canUndelete: true } }),
  configure('counter, thin payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'counter', payload: 'thin', canUndelete: true },
  }),
  configure('counter, thin payloads, offset pages', {
    shape: { versionKind: 'counter', payload: 'thin', paging: 'offset', canUndelete: true },
  }),
  configure('counter, late commits, incremental', {
    ending: 'incremental',
    shape: { versionKind: 'counter', ...late },
  }),
  configure('counter, late commits, offset pages, incremental', {
    ending: 'incremental',
    shape: { versionKind: 'counter', paging: 'offset', ...late },
  }),
  configure('counter, versioned deletions that return', {
    shape: { versionKind: 'counter', deleteEvents: 'versioned', canUndelete: true },
  }),
  configure('counter, no reads by id', { canGet: false, shape: { versionKind: 'counter', deleteEvents: 'versioned' } }),
  configure('counter, partial payloads', { shape: { versionKind: 'counter', payload: 'partial', canUndelete: true } }),
  configure('timestamps, full payloads', { shape: { versionKind: 'timestamp' } }),
  configure('timestamps, full payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'timestamp', canUndelete: true },
  }),
  configure('timestamps, thin payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'timestamp', payload: 'thin', canUndelete: true },
  }),
  configure('timestamps, partial payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'timestamp', payload: 'partial', canUndelete: true },
  }),
  configure('timestamps, late commits, incremental', {
    ending: 'incremental',
    shape: { versionKind: 'timestamp', ...late },
  }),
  configure('timestamps, offset pages, records that return', {
    shape: { versionKind: 'timestamp', paging: 'offset', canUndelete: true },
  }),
  configure('no versions, full payloads', { shape: { versionKind: 'none', canUndelete: true } }),
  configure('no versions, full payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'none', canUndelete: true },
  }),
  configure('no versions, thin payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'none', payload: 'thin', canUndelete: true },
  }),
  configure('no versions, offset pages', { shape: { versionKind: 'none', paging: 'offset' } }),
  configure('no versions, unsigned webhooks', { isSigned: false, shape: { versionKind: 'none', canUndelete: true } }),
  configure('counter, unsigned webhooks, hooks', {
    ending: 'hooks',
    isSigned: false,
    shape: { versionKind: 'counter', canUndelete: true },
  }),
  configure('counter, damaged states', { isDamaged: true, shape: { versionKind: 'counter' } }),
  configure('timestamps, damaged states', { isDamaged: true, shape: { versionKind: 'timestamp', canUndelete: true } }),
  configure('no versions, damaged states', { isDamaged: true, shape: { versionKind: 'none', canUndelete: true } }),
  configure('counter, mapping changed', { changesMapping: true, shape: { versionKind: 'counter', canUndelete: true } }),
  configure('counter, rights lost for a while', {
    hidesRecords: true,
    isWeak: true,
    deletions: { maxShare: 0.1, minimum: 1 },
    shape: { versionKind: 'counter', canUndelete: true },
  }),
];

const TWO_WAYS: readonly Configuration[] = [
  configure('two-way, counter, keys', { twoWay: {}, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, counter, keys, hooks', { ending: 'hooks', twoWay: {}, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, counter, keys, thin payloads, hooks', {
    ending: 'hooks',
    twoWay: {},
    shape: { ...KEYS, payload: 'thin', canUndelete: true },
  }),
  configure('two-way, counter, keys, incremental', {
    ending: 'incremental',
    twoWay: {},
    shape: { ...KEYS, ...late },
  }),
  configure('two-way, counter, normalising, keys', {
    twoWay: {},
    shape: { ...KEYS, normalises: true, derives: 'later', touches: true },
  }),
  configure('two-way, counter, markers', { twoWay: {}, shape: { hasMarker: true, canUndelete: true } }),
  configure('two-way, counter, neither keys nor markers', { twoWay: {}, shape: { canUndelete: true } }),
  configure('two-way, counter, version matched', { twoWay: {}, shape: { ...KEYS, ifMatch: 'version' } }),
  configure('two-way, timestamps, keys', {
    twoWay: {},
    shape: { ...KEYS, versionKind: 'timestamp', canUndelete: true },
  }),
  configure('two-way, timestamps, normalising, keys, hooks', {
    ending: 'hooks',
    twoWay: {},
    shape: { ...KEYS, versionKind: 'timestamp', normalises: true, derives: 'at_once', touches: true },
  }),
  configure('two-way, timestamps, markers, incremental', {
    ending: 'incremental',
    twoWay: {},
    shape: { versionKind: 'timestamp', hasMarker: true, normalises: true, ...late },
  }),
  configure('two-way, timestamps, neither, offset pages', {
    twoWay: {},
    shape: { versionKind: 'timestamp', paging: 'offset', touches: true },
  }),
  configure('two-way, no versions, keys', { twoWay: {}, shape: { ...KEYS, versionKind: 'none', canUndelete: true } }),
  configure('two-way, no versions, tags matched, markers', {
    twoWay: {},
    shape: { versionKind: 'none', ifMatch: 'etag', hasMarker: true, normalises: true },
  }),
  configure('two-way, no versions, thin payloads, keys, hooks', {
    ending: 'hooks',
    twoWay: {},
    shape: { ...KEYS, versionKind: 'none', payload: 'thin' },
  }),
  configure('two-way, partial payloads, keys', {
    twoWay: {},
    shape: { ...KEYS, payload: 'partial', normalises: true },
  }),
  configure('two-way, answers without the record', {
    twoWay: {},
    shape: { ...KEYS, answersRecord: false, normalises: true },
  }),
  configure('two-way, target wins', { twoWay: { policy: 'target_wins' }, shape: { ...KEYS } }),
  configure('two-way, newest wins', {
    twoWay: { policy: 'newest_wins' },
    shape: { ...KEYS, versionKind: 'timestamp' },
  }),
  configure('two-way, a person decides', { twoWay: { policy: 'manual' }, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, local deletions pushed', {
    twoWay: { localDeletes: 'push', userDeletes: true },
    shape: { ...KEYS },
  }),
  configure('two-way, local deletions restored', {
    twoWay: { localDeletes: 'restore', userDeletes: true },
    shape: { ...KEYS },
  }),
  configure('two-way, local deletions detach', {
    twoWay: { localDeletes: 'detach', userDeletes: true },
    shape: { ...KEYS },
  }),
  configure('two-way, the table normalises', {
    twoWay: { tableNormalises: true },
    shape: { ...KEYS, normalises: true },
  }),
  configure('two-way, the table edits after us', {
    twoWay: { tableEdits: true, userInserts: false },
    shape: { ...KEYS, normalises: true },
  }),
  configure('two-way, refused values', { twoWay: {}, shape: { ...KEYS, refuses: true } }),
  configure('two-way, edits joined', { twoWay: { debounceMs: 500 }, shape: { ...KEYS, ifMatch: 'version' } }),
  configure('two-way, whole records sent', { twoWay: { sends: 'record' }, shape: { ...KEYS, ifMatch: 'version' } }),
  configure('two-way, mapping changed', { changesMapping: true, twoWay: {}, shape: { ...KEYS } }),
  configure('two-way, unsigned webhooks, keys', { isSigned: false, twoWay: {}, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, zombies, keys', { twoWay: {}, shape: { ...KEYS, hasZombies: true } }),
];

export const CONFIGURATIONS: readonly Configuration[] = [...MIRRORS, ...TWO_WAYS];

export const capsOf = ({ shape, canGet }: Configuration): Capabilities => ({
  versionKind: shape.versionKind,
  versionSkew: 0n,
  canGet,
  readLagMs: shape.lagMs,
  deleteEvents: shape.deleteEvents,
  canUndelete: shape.canUndelete,
});

export function configurationOf(name: string): Configuration {
  const found = CONFIGURATIONS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`No configuration is named "${name}"`);
  return found;
}
