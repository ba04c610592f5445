import { type Collection, createCollection } from './collection.ts';
import type { Counters } from './counters.ts';
import type { EventType, ShopEvent, Stamped } from './records.ts';
import type { ShopClock } from './shop-clock.ts';

/** Makes a prepared change visible. Call it once. */
export type Commit = () => void;

/**
 * All records of one kind, with the rules by which the shop writes them: every change is stamped with the present tick
 * and announced. Between prepare and commit a record is busy and refuses further changes, so its stamps never decrease.
 */
export type Ledger<R extends Stamped> = {
  readonly records: Pick<Collection<R>, 'size' | 'get' | 'idAt' | 'page'>;
  isBusy(id: string): boolean;
  /** Puts in a record that was there before anybody listened: stamped as given, not announced. */
  seed(record: R): void;
  prepareCreate(fields: Omit<R, 'created_at' | 'updated_at'>): Commit;
  /** `null` when there is no such record or it is busy. */
  prepareUpdate(id: string, edit: (record: R) => R): Commit | null;
  /** @returns whether it was removed: it may be gone already, or busy. */
  remove(id: string): boolean;
};

export type LedgerDeps<R extends Stamped> = {
  readonly noun: 'customer' | 'order';
  readonly clock: ShopClock;
  readonly counters: Counters;
  readonly stampNew: (fields: Omit<R, 'created_at' | 'updated_at'>, at: string) => R;
  readonly restamp: (record: R, at: string) => R;
  readonly announce: (event: ShopEvent) => void;
};

export function createLedger<R extends Stamped>(deps: LedgerDeps<R>): Ledger<R> {
  const { noun, clock, counters, announce } = deps;
  const records = createCollection<R>();
  const busy = new Set<string>();

  const announceChange = (verb: 'created' | 'updated' | 'deleted', data: ShopEvent['data']) => {
    const type: EventType = `${noun}.${verb}`;
    announce({ type, timestamp: new Date(clock.nowMs()).toISOString(), data });
  };
  const commitLater = (record: R, verb: 'created' | 'updated'): Commit => {
    busy.add(record.id);
    return () => {
      busy.delete(record.id);
      records.put(record);
      announceChange(verb, { ...record });
    };
  };

  return {
    records,
    isBusy: (id) => busy.has(id),
    seed: records.put,
    prepareCreate(fields) {
      counters.changes.created++;
      return commitLater(deps.stampNew(fields, clock.tick()), 'created');
    },
    prepareUpdate(id, edit) {
      const record = records.get(id);
      if (record === undefined || busy.has(id)) return null;
      const tick = clock.tick();
      counters.changes.updated++;
      if (tick === record.updated_at) counters.changes.sameTick++;
      return commitLater(deps.restamp(edit(record), tick), 'updated');
    },
    remove(id) {
      const record = records.get(id);
      if (record === undefined || busy.has(id)) return false;
      records.remove(id);
      counters.changes.deleted++;
      announceChange('deleted', { id, deleted: true, updated_at: deletionStamp(clock, record.updated_at) });
      return true;
    },
  };
}

/** Later than the last update even within its tick: readers may rely on the order of a deletion. */
function deletionStamp(clock: ShopClock, lastStamp: string): string {
  const tick = clock.tick();
  return tick > lastStamp ? tick : clock.format(Date.parse(lastStamp) + clock.tickMs);
}
