import type { Outcome, Sighted } from '../../src/model/apply.ts';
import type { ChangeToken } from '../../src/model/change-token.ts';
import type { LeasedHint } from '../../src/model/hint.ts';
import type { Observation } from '../../src/model/observation.ts';
import type { RecordState } from '../../src/model/record-state.ts';
import type { AbsenceBrake } from '../../src/sync/absence-brake.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import type { isSatisfied } from '../../src/sync/satisfaction.ts';
import type { settleCursor } from '../../src/sync/settle-cursor.ts';
import type { Stream } from '../../src/sync/stream.ts';
import type { Actor } from './actors.ts';
import type { Clock } from './clock.ts';
import type { Figures } from './figures.ts';
import type { Raw } from './model-source.ts';
import type { Random } from './random.ts';
import type { Reads } from './source-reads.ts';
import type { Write, Writes } from './source-writes.ts';
import type { Tables } from './tables.ts';

/** A transaction of the simulated server: what the two-way flows ask for, and the queue of reads. */
export type SimulationTx = RecordTx & {
  readonly claimHint: (leaseMs: number) => Promise<LeasedHint | null>;
  /** False when the lease was lost. */
  readonly finishHint: (hint: LeasedHint) => Promise<boolean>;
};

export type SimulationStore = {
  readonly transaction: <T>(work: (tx: SimulationTx) => Promise<T>) => Promise<T>;
};

/** Decisions of the way in that the real workers take inside of their SQL; a mutant breaks one of them. */
export type Rules = {
  readonly isSatisfied: typeof isSatisfied;
  readonly settleCursor: typeof settleCursor;
  readonly pageLo: 'request' | 'response';
  readonly dedupesBy: 'event' | 'body';
  /** Whether the candidates of a sweep are read once more, and what makes a record one. */
  readonly sweep: 'reads' | 'deletes' | 'deletes_without_evidence';
  readonly savesCheckpointFirst: boolean;
  readonly see: (seen: Observation, state: RecordState, tokens: readonly ChangeToken[]) => Observation | null;
  /** Whether a write asks, at the last moment, if it may still leave. */
  readonly checksDeadline: boolean;
  readonly send: (write: Write) => Write;
  readonly answer: (write: Write, record: Raw | null) => Raw | null;
};

export type Apply = (
  tx: RecordTx,
  stream: Stream,
  sighted: readonly Sighted[],
  options: { readonly repairs: boolean },
) => Promise<readonly Outcome[]>;

/** What one worker of one replica works with. */
export type WorkerDeps = {
  readonly actor: Actor;
  readonly store: SimulationStore;
  readonly tables: Tables;
  readonly clock: Clock;
  readonly reads: Reads;
  readonly writes: Writes;
  readonly stream: () => Stream;
  readonly apply: Apply;
  readonly rules: Rules;
  readonly random: Random;
  readonly absenceBrake: AbsenceBrake;
  readonly figures: Figures;
  readonly newId: () => string;
  readonly pushesAtOnce: number;
};
