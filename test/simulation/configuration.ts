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
  /** Of faults that come more often than elsewhere, or never. */
  readonly rates: Partial<Record<FaultKind, number>>;
  /** Half the records' states, and rows, are damaged before the end (mirrors). */
  readonly isDamaged: boolean;
  /** Before the end `b` is shown otherwise; or it is mapped from halfway on, and was not before. */
  readonly mapping: 'stays' | 'shows_otherwise' | 'maps_more';
  /** Where shares of records are counted, or a list is to take long. */
  readonly hasManyRecords: boolean;
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
  /** A trigger of the table's owner keeps some rows from being inserted. */
  readonly tableKeepsOut: boolean;
  readonly userDeletes: 'never' | 'some' | 'masses';
  readonly massDelete: TwoWay['massDelete'];
  /** Somebody decides what waits for a person. */
  readonly hasOperator: boolean;
  readonly userInserts: 'never' | 'some' | 'many';
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
  tableKeepsOut: false,
  userDeletes: 'never',
  massDelete: { maxShare: 1, minimum: 1_000 },
  hasOperator: false,
  userInserts: 'some',
};

type Over = Omit<Partial<Configuration>, 'shape' | 'twoWay' | 'name'> & {
  readonly shape?: Partial<SourceShape>;
  readonly twoWay?: Partial<TwoWayShape>;
};

const HOUR_MS = 3_600_000;
/** The source knows a write again by its key. */
export const KEYS = { idempotencyTtlMs: HOUR_MS } as const;

export function configure(name: string, over: Over): Configuration {
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
    mapping: 'stays',
    hasManyRecords: false,
    hidesRecords: false,
    isWeak: false,
    ...over,
    name,
    ending,
    shape,
    twoWay: over.twoWay === undefined ? null : { ...TWO_WAY, ...over.twoWay },
    rates: { ...(ending === 'hooks' ? { hook_lost: 0 } : {}), ...over.rates },
  };
}

/** Changes that are seen after others of a later stamp. */
export const LATE = { lateCommitMs: 1400 } as const;

export const capsOf = ({ shape, canGet }: Configuration): Capabilities => ({
  versionKind: shape.versionKind,
  versionSkew: 0n,
  canGet,
  readLagMs: shape.lagMs,
  deleteEvents: shape.deleteEvents,
  canUndelete: shape.canUndelete,
});
