import type { Db } from '../db/connect.ts';
import type { Log } from '../lib/log.ts';
import type { AbsenceBrake } from './absence-brake.ts';
import type { Stream } from './stream.ts';
import type { Tally } from './tally.ts';

/** What the flows work with. Everything comes in here: none of them reads a clock, a connection or the environment. */
export type SyncDeps = {
  readonly db: Db;
  readonly log: Log;
  /** By `integration/entity`. */
  readonly streams: ReadonlyMap<string, Stream>;
  readonly tally: Tally;
  readonly absenceBrake: AbsenceBrake;
  /** In [0, 1). */
  readonly random: () => number;
  /** New hints may be due. */
  readonly wakeHints: () => void;
  /** Tests stop a flow at a named point here; does nothing otherwise. */
  readonly crashPoint: (name: CrashPoint) => Promise<void> | void;
};

/** Places between two durable steps where a process may die; `docs/architecture.md` says what follows each. */
export type CrashPoint =
  | 'C3'
  | 'C4'
  | 'C5'
  | 'C6'
  | 'C8'
  | 'C9'
  | 'C10'
  | 'C11'
  | 'C12'
  | 'C13'
  | 'C14'
  | 'C15'
  | 'C16'
  | 'C17'
  | 'C18'
  | 'C19'
  | 'C21';
