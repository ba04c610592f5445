import { isConnectionError } from '../db/failure.ts';
import type { NewDelivery } from '../model/inbox.ts';
import type { StoredDelivery } from '../store/inbox.ts';

/** Deliveries of one statement. */
const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** Statements under way at once: while one commits, the next is being sent. */
const MAX_IN_FLIGHT = 2;
/** Deliveries waiting to be stored. Beyond it senders are told to come again, before memory fills. */
const MAX_WAITING = 10_000;
const MAX_WAITING_BYTES = 256 * 1024 * 1024;

/** Too much waits to be stored already. */
export class BacklogFullError extends Error {
  override readonly name = 'BacklogFullError';
}

type Waiting = {
  delivery: NewDelivery;
  resolve: (stored: StoredDelivery | undefined) => void;
  reject: (error: unknown) => void;
};

export type InsertDeliveries = (deliveries: readonly NewDelivery[]) => Promise<ReadonlyMap<string, StoredDelivery>>;

/**
 * Lets concurrent deliveries share one commit: those that arrive while a statement is under way go together in the next.
 * No timer is needed; a lone delivery is stored at once. A caller's promise settles only after its commit. When a shared
 * statement fails, each of its deliveries is tried alone, so that one bad row cannot fail its neighbours; all are refused at
 * once when the database is away.
 */
export function createGroupCommit(insert: InsertDeliveries) {
  let waiting: Waiting[] = [];
  let waitingBytes = 0;
  let inFlight = 0;

  const flush = (): void => {
    while (inFlight < MAX_IN_FLIGHT && waiting.length > 0) {
      const batch = takeBatch();
      inFlight++;
      store(batch)
        .catch(() => {}) // every caller has been told
        .finally(() => {
          inFlight--;
          flush();
        });
    }
  };

  function takeBatch(): Waiting[] {
    let bytes = 0;
    let size = 0;
    while (size < waiting.length && size < MAX_BATCH) {
      const length = waiting[size]?.delivery.body.length ?? 0;
      if (size > 0 && bytes + length > MAX_BATCH_BYTES) break;
      bytes += length;
      size++;
    }
    const batch = waiting.slice(0, size);
    waiting = waiting.slice(size);
    waitingBytes -= bytes;
    return batch;
  }

  async function store(batch: readonly Waiting[]): Promise<void> {
    const { first, repeated } = splitRepeats(batch);
    try {
      const stored = await insert(first.map(({ delivery }) => delivery));
      for (const one of first) one.resolve(stored.get(one.delivery.correlationId));
    } catch (error) {
      if (isConnectionError(error)) {
        // No delivery's fault, and asking a database that is away a hundred times would keep every sender waiting.
        for (const one of batch) one.reject(error);
        return;
      }
      if (first.length === 1) first[0]?.reject(error);
      else for (const one of first) await store([one]);
    }
    // A repeat in the same batch: by now its twin is committed, or refused, and the database says which.
    for (const one of repeated) await store([one]);
  }

  return {
    /** Resolves after the commit; with undefined when the delivery's dedupe key was known. Rejects with the database's error. */
    store(delivery: NewDelivery): Promise<StoredDelivery | undefined> {
      if (waiting.length >= MAX_WAITING || waitingBytes + delivery.body.length > MAX_WAITING_BYTES) {
        return Promise.reject(new BacklogFullError('Too many deliveries wait to be stored'));
      }
      return new Promise((resolve, reject) => {
        waiting.push({ delivery, resolve, reject });
        waitingBytes += delivery.body.length;
        flush();
      });
    },
  };
}

/** One statement cannot tell which of two equal keys it stored, so only the first of each goes with it. */
function splitRepeats(batch: readonly Waiting[]): { first: Waiting[]; repeated: Waiting[] } {
  const seen = new Set<string>();
  const first: Waiting[] = [];
  const repeated: Waiting[] = [];
  for (const one of batch) {
    const { integration, dedupeKey } = one.delivery;
    const key = dedupeKey === null ? null : `${integration}\n${dedupeKey}`;
    if (key !== null && seen.has(key)) repeated.push(one);
    else first.push(one);
    if (key !== null) seen.add(key);
  }
  return { first, repeated };
}
