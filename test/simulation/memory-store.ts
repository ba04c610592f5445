import { StatementError } from '../../src/db/errors.ts';
import type { Conflict, NewConflict } from '../../src/model/conflict.ts';
import type { Instant } from '../../src/model/instant.ts';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import type { RecordStore, RecordTx } from '../../src/sync/record-store.ts';
import type { Stream } from '../../src/sync/stream.ts';
import type { Actor } from './actors.ts';
import type { Clock } from './clock.ts';
import { conflictsOf } from './memory-conflicts.ts';
import { enqueueHints } from './memory-hints.ts';
import { outboxOf } from './memory-outbox.ts';
import { targetOf } from './memory-target.ts';
import { commit, rollBack } from './table.ts';
import type { Tables } from './tables.ts';
import type { UserTable } from './user-table.ts';

/** What one transaction did, for those who check it. */
export type Commit = {
  readonly at: Instant;
  readonly states: ReadonlyMap<string, { readonly before: RecordState | null; readonly after: RecordState }>;
  /** Keys of rows that our own writes put, changed, moved or removed. */
  readonly written: ReadonlySet<string>;
  /** What broke a rule of the store itself. */
  readonly faults: readonly string[];
  /** Values that met. */
  readonly met: readonly NewConflict[];
  /** Conflicts that a person has decided, as they were before. */
  readonly decided: readonly Conflict[];
  /** What the flows told of records: decision and channel. */
  readonly told: readonly { readonly externalId: string; readonly decision: string; readonly reason: string | null }[];
};

export type Recording = {
  -readonly [name in keyof Commit]: Commit[name] extends ReadonlyMap<infer K, infer V>
    ? Map<K, V>
    : Commit[name] extends ReadonlySet<infer K>
      ? Set<K>
      : Commit[name] extends readonly (infer V)[]
        ? V[]
        : Commit[name];
};

export type MemoryDeps = {
  readonly tables: Tables;
  readonly clock: Clock;
  readonly table: UserTable;
  readonly canGet: boolean;
  readonly stream: () => Stream;
  readonly newId: () => string;
  readonly onCommit: (commit: Commit) => void;
};

/**
 * The database in memory. Transactions come one after the other and are undone when they throw or their replica dies.
 * What a real database does between the statements of two transactions is not shown here.
 */
export function createMemoryStore(deps: MemoryDeps) {
  let running: Promise<unknown> = Promise.resolve();

  async function run<T>(actor: Actor, work: (tx: RecordTx) => Promise<T>): Promise<T> {
    const { tables, clock } = deps;
    const recording: Recording = {
      at: clock.at(),
      states: new Map(),
      written: new Set(),
      faults: [],
      met: [],
      decided: [],
      told: [],
    };
    tables.log.isOpen = true;
    try {
      const result = await work(openTx(deps, recording));
      if (actor.isDead()) {
        rollBack(tables.log);
        return result;
      }
      commit(tables.log);
      recording.at = clock.at();
      deps.onCommit(recording);
      return result;
    } catch (error) {
      rollBack(tables.log);
      throw error;
    }
  }

  /** One after the other, also where one worker begins several at once. */
  function transaction<T>(actor: Actor, work: (tx: RecordTx) => Promise<T>): Promise<T> {
    const turn = running.then(() => run(actor, work));
    running = turn.catch(() => {});
    return turn;
  }

  return {
    /** The store as one worker sees it: it may be stopped before and after every transaction. */
    storeFor: (actor: Actor): RecordStore => ({
      async transaction(work) {
        await actor.gate('begin');
        const result = await actor.uninterrupted(() => transaction(actor, work));
        await actor.gate('committed');
        return result;
      },
    }),
  };
}

/** As the database answers when somebody holds a row for too long. */
export const lockTimeout = (): Error => new StatementError('55P03', {});
export const uniqueViolation = (constraint: string): Error => new StatementError('23505', { constraint });

function openTx(deps: MemoryDeps, recording: Recording): RecordTx {
  const { tables, clock, canGet } = deps;
  const byId = (ids: readonly string[]) => [...new Set(ids)].sort();
  const locks = { rows: false };
  return {
    now: async () => clock.read(),
    async readStates(ids) {
      return new Map(
        ids.flatMap((id) => {
          const state = tables.states.get(id);
          return state === undefined ? [] : [[id, state] as const];
        }),
      );
    },
    async lockStates(ids) {
      if (locks.rows) recording.faults.push('a record state is locked after a row');
      return new Map(byId(ids).map((id) => [id, tables.states.get(id) ?? blankState(id)]));
    },
    async saveStates(states) {
      for (const state of states) {
        const before = recording.states.get(state.externalId)?.before ?? tables.states.get(state.externalId) ?? null;
        const holder = liveHolderOf(tables, state);
        if (holder !== null) throw uniqueViolation('record_states_target_key');
        recording.states.set(state.externalId, { before, after: state });
        tables.states.set(state.externalId, state);
      }
    },
    async findByTargetKey(targetKeys) {
      const found = new Map<string, string>();
      for (const state of tables.states.rows.values()) {
        const key = state.targetKey ?? state.externalId;
        if (state.status === 'live' && targetKeys.includes(key)) found.set(key, state.externalId);
      }
      return found;
    },
    ...targetOf(deps, recording, () => {
      locks.rows = true;
    }),
    ...outboxOf(deps, recording),
    ...conflictsOf(deps, recording),
    async wantReads(hints) {
      if (hints.length === 0) return;
      if (canGet) enqueueHints(tables, hints);
      else tables.progress.set({ ...tables.progress.get(), needsFullAt: clock.read() });
    },
    async appendHistory(entries) {
      for (const { externalId, decision, reason } of entries) recording.told.push({ externalId, decision, reason });
    },
    async supersede(settled) {
      for (const { externalId } of settled) tables.letters.remove(externalId);
    },
    async holdDeletes(reason) {
      tables.progress.set({ ...tables.progress.get(), heldDeletes: reason });
    },
    /** Nobody makes the table anew here. */
    isTableKnown: async () => true,
    deleteHold: async () => deleteHold(tables),
    lockDeleteHold: async () => deleteHold(tables),
    async releaseDeletes() {
      const releasedAt = clock.read();
      tables.progress.set({ ...tables.progress.get(), deletesReleasedAt: releasedAt });
      return releasedAt;
    },
    async liftDeletes() {
      tables.progress.set({ ...tables.progress.get(), heldDeletes: null });
    },
    async countMissing({ since, atMost }) {
      const isPlanned = (key: string): boolean =>
        tables.pushes
          .values()
          .some(
            ({ state, op, targetKey, editedAt, runAt }) =>
              state !== 'done' && op === 'delete' && targetKey === key && (editedAt ?? runAt) <= since,
          );
      const missing = tables.states.values().filter(({ externalId, status, targetKey, shadow }) => {
        const key = targetKey ?? externalId;
        return status === 'live' && shadow !== null && tables.rows.get(key) === undefined && !isPlanned(key);
      });
      return Math.min(missing.length, atMost);
    },
    async openRemovals({ after, limit, letGoUntil }) {
      const open = tables.states.values().flatMap((state) => {
        const { externalId, targetKey } = state;
        const isNext = after === null || externalId > after;
        return isNext && isOpenRemoval(tables, state, letGoUntil)
          ? [{ externalId, targetKey: targetKey ?? externalId }]
          : [];
      });
      return open.sort((left, right) => (left.externalId < right.externalId ? -1 : 1)).slice(0, limit);
    },
    countLive: async () => tables.states.values().filter(({ status }) => status === 'live').length,
    async pauseForAuth() {
      tables.progress.set({ ...tables.progress.get(), pausedForAuth: true });
    },
    async blockUntil(at) {
      const { blockedUntil } = tables.progress.get();
      tables.progress.set({ ...tables.progress.get(), blockedUntil: Math.max(blockedUntil ?? at, at) });
    },
  };
}

/** Of two live records only one may have a key in the target, where it is not the external id itself. */
function liveHolderOf(tables: Tables, state: RecordState): string | null {
  if (state.status !== 'live' || state.targetKey === null) return null;
  for (const other of tables.states.rows.values()) {
    if (other.externalId === state.externalId || other.status !== 'live') continue;
    if (other.targetKey === state.targetKey) return other.externalId;
  }
  return null;
}

/** Its row is gone, or its removal parked as held back; and neither is a conflict open, nor the removal sent, or let go on until then. */
function isOpenRemoval(
  tables: Tables,
  { externalId, status, targetKey, shadow }: RecordState,
  letGoUntil: Instant | null,
): boolean {
  const key = targetKey ?? externalId;
  if (status !== 'live') return false;
  if (tables.conflicts.values().some((conflict) => conflict.outcome === null && conflict.targetKey === key))
    return false;
  const pushes = tables.pushes.values().filter((push) => push.targetKey === key);
  if (pushes.some(({ parkReason }) => parkReason === 'mass_delete')) return true;
  const isOnItsWay = pushes.some(({ state, op, editedAt }) => {
    const isSent = state === 'calling' || state === 'unknown';
    if (op !== 'delete') return false;
    return letGoUntil === null ? isSent : (isSent || state === 'ready') && editedAt !== null && editedAt <= letGoUntil;
  });
  return shadow !== null && tables.rows.get(key) === undefined && !isOnItsWay;
}

const deleteHold = ({ progress }: Tables) => {
  const { heldDeletes, deletesReleasedAt } = progress.get();
  return { isHeld: heldDeletes !== null, releasedAt: deletesReleasedAt };
};
