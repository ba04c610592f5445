import { type Collection, createCollection, type Entry } from './collection.ts';
import type { Counters } from './counters.ts';
import type { SourceClock } from './source-clock.ts';

/** Makes a prepared change visible. Call it once. */
export type Commit = () => void;

/** A change that has become visible. */
export type Change<Record = unknown> = {
  /** Name of the kind of records. */
  readonly resource: string;
  readonly verb: 'created' | 'updated' | 'deleted';
  readonly id: string;
  /** As it is now; of a deleted one as it was. */
  readonly record: Record;
  /** Where it stands in the order of change. Of a deletion: later than the record's last change. */
  readonly at: number;
  /** As it was before; null for a new one. */
  readonly previous: Record | null;
  /** Of the record's change before; null for a new one. */
  readonly previousAt: number | null;
  readonly atMs: number;
};

/** What a source knows of one kind of records. `Draft` is a record without what the source itself adds. */
export type RecordForm<Record extends Draft, Draft> = {
  readonly name: string;
  /** Versions are times of the source's clock, or numbers that only grow. */
  readonly order: 'time' | 'counter';
  readonly idOf: (draft: Draft) => string;
  /** Adds what only the source sets: stamps, and fields that follow from others. `was`: the record before; null for a new one. */
  readonly stamp: (draft: Draft, at: number, was: Record | null) => Record;
  /** Marks a record as deleted, where the source keeps it in its lists; left out, it is gone. */
  readonly mark?: ((record: Record) => Record) | undefined;
  /** The version as the record shows it, where requests may name it. */
  readonly versionTextOf?: ((record: Record) => string | undefined) | undefined;
};

/**
 * All records of one kind, with the rules by which the source writes them: every change is stamped and announced. Between
 * prepare and commit a record is busy and refuses further changes, so its stamps never decrease.
 */
export type Ledger<Record extends Draft, Draft> = {
  readonly form: RecordForm<Record, Draft>;
  readonly records: Pick<Collection<Record>, 'size' | 'get' | 'idAt' | 'page' | 'asOf'>;
  isBusy(id: string): boolean;
  /** Was deleted and is still listed, marked. */
  isMarked(id: string): boolean;
  /** Puts in a record that was there before anybody listened: stamped `at`, not announced. */
  seed(draft: Draft, at?: number): void;
  prepareCreate(draft: Draft): Commit;
  /** `null` when there is no such record or it is busy. */
  prepareUpdate(id: string, edit: (record: Record) => Draft): Commit | null;
  /** @returns whether it was removed: it may be gone already, or busy. */
  remove(id: string): boolean;
  /** Announces a record once more, as it is. */
  announceAgain(id: string): void;
};

export type LedgerDeps = {
  readonly clock: SourceClock;
  readonly counters: Counters;
  readonly announce: (change: Change) => void;
};

export function createLedger<Record extends Draft, Draft>(
  form: RecordForm<Record, Draft>,
  { clock, counters, announce }: LedgerDeps,
): Ledger<Record, Draft> {
  const { name, idOf, stamp } = form;
  const records = createCollection<Record>(clock.nowMs);
  const busy = new Set<string>();
  const marked = new Set<string>();
  /** When those were deleted that may come back: later than that. */
  const goneAt = new Map<string, number>();
  const nextAt = () => (form.order === 'counter' ? clock.count() : clock.tick());

  const tell = (verb: Change['verb'], { id, record, at }: Entry<Record>, was: Entry<Record> | null) => {
    const before = { previous: was?.record ?? null, previousAt: was?.at ?? null };
    announce({ resource: name, verb, id, record, at, ...before, atMs: clock.nowMs() });
  };
  const commitLater = (draft: Draft, at: number, was: Entry<Record> | null): Commit => {
    const id = idOf(draft);
    busy.add(id);
    return () => {
      busy.delete(id);
      marked.delete(id);
      const entry = { id, at, revision: (was?.revision ?? 0) + 1, record: stamp(draft, at, was?.record ?? null) };
      records.put(entry);
      tell(was === null ? 'created' : 'updated', entry, was);
    };
  };
  const living = (id: string) => (busy.has(id) || marked.has(id) ? undefined : records.get(id));

  return {
    form,
    records,
    isBusy: (id) => busy.has(id),
    isMarked: (id) => marked.has(id),
    seed: (draft, at = nextAt()) =>
      records.put({ id: idOf(draft), at, revision: 1, record: stamp(draft, at, null) }, true),
    prepareCreate(draft) {
      counters.changes.created++;
      const gone = goneAt.get(idOf(draft));
      const at = nextAt();
      const isTooEarly = form.order === 'time' && gone !== undefined && at <= gone;
      return commitLater(draft, isTooEarly ? gone + clock.tickMs : at, null);
    },
    prepareUpdate(id, edit) {
      const was = living(id);
      if (was === undefined) return null;
      const at = nextAt();
      counters.changes.updated++;
      if (at === was.at) counters.changes.sameTick++;
      return commitLater(edit(was.record), at, was);
    },
    remove(id) {
      const was = living(id);
      if (was === undefined) return false;
      counters.changes.deleted++;
      // Later than the last update even within its tick: readers may rely on the order of a deletion.
      const at = form.order === 'counter' ? nextAt() : Math.max(clock.tick(), was.at + clock.tickMs);
      const entry = { ...was, at, revision: was.revision + 1 };
      goneAt.set(id, at);
      if (form.mark === undefined) records.remove(id);
      else {
        const record = form.mark(stamp(was.record, at, was.record));
        records.put({ ...entry, record });
        marked.add(id);
      }
      tell('deleted', entry, was);
      return true;
    },
    announceAgain(id) {
      const entry = living(id);
      if (entry !== undefined) tell('updated', entry, entry);
    },
  };
}
