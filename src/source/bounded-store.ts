/** Entries and bytes that one source's memory of answers may hold. */
export const MAX_STORE_ENTRIES = 1_000;
export const MAX_STORE_BYTES = 16 * 1024 * 1024;

/** What is charged for an entry beside its text. */
const ENTRY_BYTES = 512;
/** JavaScript keeps text as one or two bytes a character; the larger is charged. */
const BYTES_PER_CHARACTER = 2;

/** An answer as text: parsed anew for each reader, so that none can change what another gets. */
export type Remembered = {
  readonly text: string;
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** Until when it is served without asking, in ms of the clock given. */
  readonly freshUntilMs: number;
  /** Path of the request, for what a write makes doubtful. */
  readonly pathname: string;
};

/** The answers used last, bounded by their number and size; what goes over a bound drops those used longest ago. */
export function createBoundedStore(maxEntries = MAX_STORE_ENTRIES, maxBytes = MAX_STORE_BYTES) {
  const entries = new Map<string, Remembered>(); // in the order of their last use
  let bytes = 0;

  const remove = (key: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    bytes -= sizeOf(key, entry);
  };

  return {
    get(key: string): Remembered | null {
      const entry = entries.get(key);
      if (entry === undefined) return null;
      entries.delete(key);
      entries.set(key, entry);
      return entry;
    },
    /** What is larger than the whole store is not kept. */
    set(key: string, entry: Remembered): void {
      remove(key);
      const size = sizeOf(key, entry);
      if (size > maxBytes) return;
      entries.set(key, entry);
      bytes += size;
      for (const oldest of entries.keys()) {
        if (entries.size <= maxEntries && bytes <= maxBytes) return;
        remove(oldest);
      }
    },
    remove,
    removePath(pathname: string): void {
      for (const [key, entry] of entries) if (entry.pathname === pathname) remove(key);
    },
    size: () => ({ entries: entries.size, bytes }),
  };
}

export type BoundedStore = ReturnType<typeof createBoundedStore>;

const sizeOf = (key: string, { text }: Remembered): number =>
  ENTRY_BYTES + BYTES_PER_CHARACTER * (key.length + text.length);
