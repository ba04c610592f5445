/** One record as it stands in a source. */
export type Entry<Record> = {
  readonly id: string;
  /** Where it stands in the order of change: milliseconds of its tick, or a counter. Records may share one. */
  readonly at: number;
  /** Grows with every change of the record, within a tick too: entity tags are made of it. */
  readonly revision: number;
  readonly record: Record;
};

/** By id, or by the last change and then by id. */
export type Order = 'id' | 'change';
type Place = Pick<Entry<unknown>, 'id' | 'at'>;

export type PageQuery = {
  readonly order: Order;
  /** Only what changed at this place in the order of change or later. */
  readonly since: number | null;
  /** Only what comes behind this record, which may be gone by now. */
  readonly after: Place | null;
  /** Of what is left, so many are passed over. */
  readonly skip: number;
  readonly limit: number;
};

export type Page<Record> = {
  readonly entries: readonly Entry<Record>[];
  /** Records that the list has in all, its other pages included. */
  readonly total: number;
  readonly hasMore: boolean;
};

/** What a reader of the source can see of one kind of records. */
export type View<Record> = {
  get(id: string): Entry<Record> | undefined;
  page(query: PageQuery): Page<Record>;
};

/** Records in memory, readable by id, in the order of ids and in the order of change; also as they were a moment ago. */
export type Collection<Record> = View<Record> & {
  size(): number;
  /** The id at a place in the order of ids, for drawing one at random. */
  idAt(index: number): string | undefined;
  /** Puts a record in, replacing the one with its id. `isOld`: as if it had always been there. */
  put(entry: Entry<Record>, isOld?: boolean): void;
  /** @returns whether there was one. */
  remove(id: string): boolean;
  /** The records as they were at `atMs`, no longer ago than a minute. Reading it costs a copy. */
  asOf(atMs: number): View<Record>;
};

const MAX_LAG_MS = 60_000;

export function createCollection<Record>(nowMs: () => number): Collection<Record> {
  const byId = new Map<string, Entry<Record>>();
  const ids: Place[] = [];
  const changes: Place[] = [];
  /** What stood there before each change of the last minute, oldest first. */
  const recent: { readonly atMs: number; readonly id: string; readonly before: Entry<Record> | undefined }[] = [];

  const remember = (id: string) => {
    const atMs = nowMs();
    const oldest = recent.findIndex((change) => change.atMs > atMs - MAX_LAG_MS);
    recent.splice(0, oldest === -1 ? recent.length : oldest);
    recent.push({ atMs, id, before: byId.get(id) });
  };
  const view = viewOf(byId, { id: ids, change: changes });

  return {
    ...view,
    size: () => byId.size,
    idAt: (index) => ids[index]?.id,
    put(entry, isOld = false) {
      if (!isOld) remember(entry.id);
      const old = byId.get(entry.id);
      if (old === undefined) insert(ids, entry, 'id');
      else remove(changes, old, 'change');
      byId.set(entry.id, entry);
      insert(changes, entry, 'change');
    },
    remove(id) {
      const old = byId.get(id);
      if (old === undefined) return false;
      remember(id);
      byId.delete(id);
      remove(ids, old, 'id');
      remove(changes, old, 'change');
      return true;
    },
    asOf(atMs) {
      const since = recent.filter((change) => change.atMs > atMs);
      if (since.length === 0) return view;
      const then = new Map(byId);
      // From the latest backwards: what stood there before the first of several changes is put back last.
      for (const { id, before } of since.toReversed()) {
        if (before === undefined) then.delete(id);
        else then.set(id, before);
      }
      const entries = [...then.values()];
      return viewOf(then, { id: entries.toSorted(COMPARE.id), change: entries.toSorted(COMPARE.change) });
    },
  };
}

function viewOf<Record>(
  byId: ReadonlyMap<string, Entry<Record>>,
  sorted: { readonly [order in Order]: readonly Place[] },
): View<Record> {
  return {
    get: (id) => byId.get(id),
    page({ order, since, after, skip, limit }) {
      const places =
        order === 'id' && since !== null ? sorted.id.filter(({ id }) => isSince(byId.get(id), since)) : sorted[order];
      const first = order === 'change' && since !== null ? firstAfter(places, { at: since, id: '' }, order) : 0;
      const from = (after === null ? first : Math.max(first, firstAfter(places, after, order))) + skip;
      const entries = places.slice(from, from + limit).flatMap(({ id }) => byId.get(id) ?? []);
      return { entries, total: places.length - first, hasMore: from + limit < places.length };
    },
  };
}

const isSince = (entry: Entry<unknown> | undefined, since: number): boolean => entry !== undefined && entry.at >= since;

const DIGITS = /^(?:0|[1-9]\d*)$/;

/** Whole numbers by value, anything else as text: as databases order their keys. */
function compareIds(left: string, right: string): number {
  const longer = DIGITS.test(left) && DIGITS.test(right) ? left.length - right.length : 0;
  return longer || (left < right ? -1 : left > right ? 1 : 0);
}

const COMPARE = {
  id: (left: Place, right: Place) => compareIds(left.id, right.id),
  change: (left: Place, right: Place) => left.at - right.at || compareIds(left.id, right.id),
};

/** Index of the first place behind `place`. */
function firstAfter(places: readonly Place[], place: Place, order: Order): number {
  const compare = COMPARE[order];
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = places[middle];
    if (at !== undefined && compare(at, place) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insert(places: Place[], { id, at }: Place, order: Order): void {
  places.splice(firstAfter(places, { id, at }, order), 0, { id, at });
}

function remove(places: Place[], place: Place, order: Order): void {
  const index = firstAfter(places, place, order) - 1;
  if (places[index]?.id === place.id) places.splice(index, 1);
}
