/** What a transaction would have to do to be undone, last first. */
export type UndoLog = { readonly entries: (() => void)[]; isOpen: boolean };

export const createUndoLog = (): UndoLog => ({ entries: [], isOpen: false });

export function rollBack(log: UndoLog): void {
  for (let entry = log.entries.pop(); entry !== undefined; entry = log.entries.pop()) entry();
  log.isOpen = false;
}

export function commit(log: UndoLog): void {
  log.entries.length = 0;
  log.isOpen = false;
}

/** A map whose changes can be taken back. Its values are never changed in place. */
export type Table<K, V> = {
  readonly rows: ReadonlyMap<K, V>;
  readonly get: (key: K) => V | undefined;
  readonly set: (key: K, value: V) => void;
  readonly remove: (key: K) => void;
  readonly values: () => V[];
};

export function createTable<K, V>(log: UndoLog): Table<K, V> {
  const rows = new Map<K, V>();
  const remember = (key: K): void => {
    if (!log.isOpen) return;
    const before = rows.get(key);
    log.entries.push(before === undefined ? () => rows.delete(key) : () => rows.set(key, before));
  };
  return {
    rows,
    get: (key) => rows.get(key),
    set(key, value) {
      remember(key);
      rows.set(key, value);
    },
    remove(key) {
      if (!rows.has(key)) return;
      remember(key);
      rows.delete(key);
    },
    values: () => [...rows.values()],
  };
}

/** One value that can be taken back. */
export type Cell<V> = { readonly get: () => V; readonly set: (value: V) => void };

export function createCell<V>(log: UndoLog, initial: V): Cell<V> {
  let current = initial;
  return {
    get: () => current,
    set(value) {
      const before = current;
      if (log.isOpen)
        log.entries.push(() => {
          current = before;
        });
      current = value;
    },
  };
}
