import type { Stamped } from './records.ts';

/** Where a page starts: behind a record in id order, behind one in change order, or at a change time (included). */
export type PageStart =
  | { readonly order: 'id'; readonly afterId: string }
  | { readonly order: 'change'; readonly afterId: string; readonly updatedAt: string };

export type Page<R> = { readonly records: readonly R[]; readonly next: PageStart | null };

/** Records in memory, readable by id, in id order and in the order of (updated_at, id). */
export type Collection<R extends Stamped> = {
  size(): number;
  get(id: string): R | undefined;
  /** The id at a place in id order, for drawing one at random. */
  idAt(index: number): string | undefined;
  /** Puts a record in, replacing the one with its id. */
  put(record: R): void;
  /** @returns whether there was one. */
  remove(id: string): boolean;
  /** Up to `limit` records behind `start`. An empty `afterId` is before every id. */
  page(start: PageStart, limit: number): Page<R>;
};

export function createCollection<R extends Stamped>(): Collection<R> {
  const byId = new Map<string, R>();
  const ids: string[] = [];
  const changes: string[] = [];

  const remove = (id: string) => {
    const record = byId.get(id);
    if (record === undefined) return false;
    byId.delete(id);
    removeSorted(ids, id);
    removeSorted(changes, changeKey(record.updated_at, id));
    return true;
  };

  return {
    size: () => byId.size,
    get: (id) => byId.get(id),
    idAt: (index) => ids[index],
    put(record) {
      const old = byId.get(record.id);
      if (old === undefined) insertSorted(ids, record.id);
      else removeSorted(changes, changeKey(old.updated_at, old.id));
      byId.set(record.id, record);
      insertSorted(changes, changeKey(record.updated_at, record.id));
    },
    remove,
    page(start, limit) {
      const isById = start.order === 'id';
      const sorted = isById ? ids : changes;
      const from = firstAfter(sorted, isById ? start.afterId : changeKey(start.updatedAt, start.afterId));
      const records: R[] = [];
      for (const key of sorted.slice(from, from + limit)) {
        const record = byId.get(isById ? key : idOf(key));
        if (record !== undefined) records.push(record);
      }
      const last = records.at(-1);
      if (last === undefined || from + limit >= sorted.length) return { records, next: null };
      return {
        records,
        next: isById
          ? { order: 'id', afterId: last.id }
          : { order: 'change', afterId: last.id, updatedAt: last.updated_at },
      };
    },
  };
}

/** A space sorts before every character of an id, and stamps have one width: keys sort as (updated_at, id). */
const changeKey = (updatedAt: string, id: string): string => `${updatedAt} ${id}`;
const idOf = (key: string): string => key.slice(key.indexOf(' ') + 1);

/** Index of the first entry greater than `key`. */
function firstAfter(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? '') <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insertSorted(sorted: string[], key: string): void {
  sorted.splice(firstAfter(sorted, key), 0, key);
}

function removeSorted(sorted: string[], key: string): void {
  const index = firstAfter(sorted, key) - 1;
  if (sorted[index] === key) sorted.splice(index, 1);
}
