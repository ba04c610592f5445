import { BEFORE_ALL, type Instant } from './instant.ts';
import type { Content } from './observation.ts';

/** `none`: nothing accepted yet. `tombstone`: known to be deleted; kept so that a late update cannot revive it. */
export type RecordStatus = 'none' | 'live' | 'tombstone';

/** What we hold about one record: the base (what the source last said and we accepted) and when it was seen. */
export type RecordState = {
  readonly externalId: string;
  readonly status: RecordStatus;
  /** Value of the target's key column; null where it is the external id and no other record could come to have it. */
  readonly targetKey: string | null;
  readonly baseHash: string | null;
  /** Kept only where something needs it (partial payloads); the hash is always kept. */
  readonly base: Content | null;
  readonly version: bigint | null;
  readonly etag: string | null;
  /** Some sighting of the base or tombstone is not older than this. */
  readonly lo: Instant;
  /** No sighting of the base or tombstone is newer than this. */
  readonly hi: Instant;
  readonly tombVersion: bigint | null;
  /** The absence of an id that we never held: it proves little, and a hook may revive it. */
  readonly isTombSoft: boolean;
  /** Some sighting of the absence carried no version, so a version alone cannot show that a sighting is later. */
  readonly isTombUnversioned: boolean;
  /** Latest evidence that the record exists (an upper bound). */
  readonly aliveAt: Instant;
  /** Counts effective applications. */
  readonly appliedSeq: number;
  /** How the target stored the base, read back; null where nothing is pushed, and for what is not in the target. */
  readonly shadow: Content | null;
  /** Grows by one with each push that was planned. */
  readonly localVersion: number;
  /** When a fresh read first showed an older version than ours: a restored source, if it happens again. */
  readonly regressSeenAt: Instant | null;
};

export const blankState = (externalId: string): RecordState => ({
  externalId,
  status: 'none',
  targetKey: null,
  baseHash: null,
  base: null,
  version: null,
  etag: null,
  lo: BEFORE_ALL,
  hi: BEFORE_ALL,
  tombVersion: null,
  isTombSoft: false,
  isTombUnversioned: false,
  aliveAt: BEFORE_ALL,
  appliedSeq: 0,
  shadow: null,
  localVersion: 0,
  regressSeenAt: null,
});
