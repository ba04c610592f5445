import type { ChangeToken } from '../../src/model/change-token.ts';
import type { Conflict } from '../../src/model/conflict.ts';
import type { LeasedHint, NewHint } from '../../src/model/hint.ts';
import type { Instant } from '../../src/model/instant.ts';
import type { Content } from '../../src/model/observation.ts';
import type { Push } from '../../src/model/push.ts';
import type { RecordState } from '../../src/model/record-state.ts';
import type { Mark } from '../../src/store/streams.ts';
import type { LocalChange } from '../../src/sync/record-store.ts';
import { createCell, createTable, createUndoLog } from './table.ts';

export type PushRow = Push & { readonly leaseExpiresAt: Instant | null };

/** A delivery that was acknowledged and not yet worked off. */
export type InboxRow = {
  readonly id: number;
  readonly eventId: string;
  /** The payload as the source sent it. */
  readonly body: unknown;
  readonly receivedAt: Instant;
  readonly runAt: Instant;
  readonly attempt: number;
};

export type HintRow = NewHint & {
  readonly id: number;
  readonly leaseToken: string | null;
  readonly leaseExpiresAt: Instant | null;
};

/** The run that is under way: its lease and its checkpoint. */
export type RunRow = {
  readonly id: string;
  readonly mode: 'incremental' | 'full';
  readonly startedAt: Instant;
  readonly fence: number;
  readonly leaseExpiresAt: Instant;
  readonly since: bigint | null;
  readonly pageCursor: string | null;
  readonly pages: number;
  readonly isListed: boolean;
  readonly listed: readonly string[];
  readonly maxKey: bigint | null;
  readonly liveBefore: number;
};

export type Progress = {
  readonly cursor: bigint | null;
  readonly marks: readonly Mark[];
  readonly needsFullAt: Instant | null;
  readonly blockedUntil: Instant | null;
  readonly pausedForAuth: boolean;
  readonly heldDeletes: string | null;
  readonly deletesReleasedAt: Instant | null;
};

export type DeadLetterRow = { readonly externalId: string; readonly code: string };

/** All that the database of a simulated server holds, of one stream. */
export function createTables() {
  const log = createUndoLog();
  let lastId = 0;
  return {
    log,
    /** As a sequence of the database: what is rolled back leaves a gap. */
    nextId: () => ++lastId,
    states: createTable<string, RecordState>(log),
    absentRuns: createTable<string, number>(log),
    /** The user's table, by key. */
    rows: createTable<string, Content>(log),
    changes: createTable<number, LocalChange>(log),
    /** Those that are not done. */
    pushes: createTable<string, PushRow>(log),
    /** When calls were started, by target key. */
    calls: createTable<
      string,
      readonly { readonly at: Instant; readonly tokenId: string; readonly isSentAgain?: true }[]
    >(log),
    /** When pushes were planned for removed rows. */
    removals: createTable<string, Instant>(log),
    tokens: createTable<string, ChangeToken>(log),
    conflicts: createTable<string, Conflict>(log),
    inbox: createTable<number, InboxRow>(log),
    seenEvents: createTable<string, true>(log),
    hints: createTable<number, HintRow>(log),
    letters: createTable<string, DeadLetterRow>(log),
    run: createCell<RunRow | null>(log, null),
    /** The kind of run that is asked for next. */
    wish: createCell<RunRow['mode'] | null>(log, null),
    progress: createCell<Progress>(log, {
      cursor: null,
      marks: [],
      needsFullAt: null,
      blockedUntil: null,
      pausedForAuth: false,
      heldDeletes: null,
      deletesReleasedAt: null,
    }),
  };
}

export type Tables = ReturnType<typeof createTables>;

export const leasedHint = (row: HintRow, key: { integration: string; entity: string }): LeasedHint => ({
  ...key,
  id: row.id,
  externalId: row.externalId,
  reason: row.reason,
  needLo: row.needLo,
  minVersion: row.minVersion,
  attempt: row.attempt,
  leaseToken: row.leaseToken ?? '',
  correlationId: null,
  runId: row.runId,
  isUrgent: row.isUrgent ?? true,
  knownAt: row.knownAt ?? Number.POSITIVE_INFINITY,
});
