import type { Log } from '../lib/log.ts';
import type { Outcome, Sighted } from '../model/apply.ts';
import type { CrashPoint } from './deps.ts';
import type { PushSource } from './push-answer.ts';
import type { RecordStore, RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';
import type { TwoWay } from './two-way.ts';

/** What the push flows need to know of a stream. */
export type TwoWayStream = Pick<Stream, 'key' | 'caps' | 'target' | 'mapper' | 'deletions'> & {
  readonly twoWay: TwoWay;
};

/**
 * The one way into the target for what was seen of records, inside a transaction; it asks for the reads that its decisions
 * call for.
 */
export type ApplySightings = (tx: RecordTx, sightings: readonly Sighted[]) => Promise<readonly Outcome[]>;

/** What the push flows of one stream work with. None of them reads a clock, a connection or the environment. */
export type PushDeps = {
  readonly stream: TwoWayStream;
  readonly store: RecordStore;
  readonly source: PushSource;
  readonly apply: ApplySightings;
  /** A UUID of version 7: the id of a change token, which is idempotency key and marker as well. */
  readonly newId: () => string;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** Ready pushes may be due. */
  readonly wakePushes: () => void;
  /** Hints may be due. */
  readonly wakeHints: () => void;
  readonly crashPoint: (name: CrashPoint) => Promise<void> | void;
};

/** How long a worker holds a push. */
export const PUSH_LEASE_MS = 60_000;
/** How long before the end of the lease nothing is sent any more: a request on its way must end under the lease. */
export const LEASE_MARGIN_MS = 10_000;
