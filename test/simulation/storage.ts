import type { Content } from '../../src/model/observation.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import type { Stream } from '../../src/sync/stream.ts';
import type { Actor } from './actors.ts';
import type { Clock } from './clock.ts';
import { claimHint } from './memory-hints.ts';
import { type Commit, createMemoryStore } from './memory-store.ts';
import { editRow } from './memory-target.ts';
import { KEY } from './stream.ts';
import { leasedHint, type Tables } from './tables.ts';
import type { UserTable } from './user-table.ts';
import type { SimulationStore, SimulationTx } from './worker.ts';

/** What holds the server's data: tables in memory, or a database with a copy of it in such tables. */
export type Storage = {
  /** How many pushes one pass takes: side by side they need a store that answers at once. */
  readonly pushesAtOnce: number;
  readonly storeFor: (actor: Actor) => SimulationStore;
  /** A statement of the user's own; null removes the row. */
  readonly edit: (targetKey: string, content: Content | null, isCaptured: boolean) => void;
  /** An operator lets a paused integration go on. */
  readonly resume: () => void;
  /** Whatever was asked for since is done now. */
  readonly flush: () => Promise<void>;
};

export type StorageParts = {
  readonly tables: Tables;
  readonly clock: Clock;
  readonly table: UserTable;
  readonly canGet: boolean;
  readonly stream: () => Stream;
  readonly newId: () => string;
  readonly onCommit: (commit: Commit) => void;
  readonly wrapTx: (tx: RecordTx) => RecordTx;
};

export function createMemoryStorage(parts: StorageParts): Storage {
  const { tables, clock, newId, wrapTx } = parts;
  const memory = createMemoryStore(parts);
  const hints: Pick<SimulationTx, 'claimHint' | 'finishHint'> = {
    async claimHint(leaseMs) {
      const row = claimHint(tables, { now: clock.read(), leaseMs, token: newId() });
      return row === null ? null : leasedHint(row, KEY);
    },
    async finishHint({ id, leaseToken }) {
      if (tables.hints.get(id)?.leaseToken !== leaseToken) return false;
      tables.hints.remove(id);
      return true;
    },
  };
  return {
    pushesAtOnce: 2,
    storeFor(actor) {
      const store = memory.storeFor(actor);
      return { transaction: (work) => store.transaction((tx) => work({ ...wrapTx(tx), ...hints })) };
    },
    edit: (targetKey, content, isCaptured) => editRow(parts, { targetKey, content, isCaptured }),
    resume() {
      const progress = tables.progress.get();
      if (progress.pausedForAuth) tables.progress.set({ ...progress, pausedForAuth: false });
    },
    flush: async () => {},
  };
}
