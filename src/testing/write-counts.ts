import type { WriteVerb } from './operation.ts';

/** How often something was asked for, and how often it was done. */
export type WriteCount = {
  received: number;
  executed: number /** Of those executed, what made the record. */;
  created: number;
};

/** Writes by record and by idempotency key: whoever edits once must not be seen to write twice. */
export type WriteCounts = {
  /** By kind of records, then by id. A create counts for the id that it made. */
  readonly byRecord: Readonly<Record<string, Readonly<Record<string, WriteCount>>>>;
  readonly byKey: Readonly<Record<string, WriteCount>>;
};

/** Past it no further records or keys are counted. */
const MAX_COUNTED = 200_000;

export function createWriteCounts() {
  const byRecord = new Map<string, Map<string, WriteCount>>();
  const byKey = new Map<string, WriteCount>();
  const bump = (counts: Map<string, WriteCount>, name: string, what: keyof WriteCount) => {
    const count = counts.get(name) ?? { received: 0, executed: 0, created: 0 };
    if (!counts.has(name) && counts.size >= MAX_COUNTED) return;
    count[what] += 1;
    counts.set(name, count);
  };
  const recordsOf = (resource: string) => {
    const counts = byRecord.get(resource) ?? new Map<string, WriteCount>();
    byRecord.set(resource, counts);
    return counts;
  };
  return {
    received(resource: string, id: string | null, key: string | null): void {
      if (id !== null) bump(recordsOf(resource), id, 'received');
      if (key !== null) bump(byKey, key, 'received');
    },
    executed(resource: string, id: string, { key, verb }: { key: string | null; verb: WriteVerb }): void {
      bump(recordsOf(resource), id, 'executed');
      if (verb === 'create') bump(recordsOf(resource), id, 'created');
      if (key !== null) bump(byKey, key, 'executed');
    },
    read: (): WriteCounts => ({
      byRecord: Object.fromEntries([...byRecord].map(([resource, counts]) => [resource, Object.fromEntries(counts)])),
      byKey: Object.fromEntries(byKey),
    }),
  };
}
