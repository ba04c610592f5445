import type { JsonObject } from './json.ts';

/** What a write made of a record; `before` is null for a new one. */
export type SourceWrite = { readonly id: string; readonly before: JsonObject | null; readonly after: JsonObject };

/** What became of the records of one kind, in the order in which it did. */
export type SourceHistory = {
  /** What is added from now on stands at this place or behind it. */
  place(): number;
  /** Whoever changed it. */
  addState(id: string, record: JsonObject): void;
  addWrite(write: SourceWrite): void;
  /** As what a record was seen from a place on. */
  statesOf(id: string, since: number): readonly JsonObject[];
  /** Of one record, or of all when it is null. */
  writesOf(id: string | null, since: number): readonly SourceWrite[];
};

type Entry = { readonly id: string; readonly state: JsonObject } | { readonly id: string; readonly write: SourceWrite };

export function createSourceHistory(): SourceHistory {
  const entries: Entry[] = [];
  const since = (id: string | null, place: number) =>
    entries.slice(place).filter((entry) => id === null || entry.id === id);
  return {
    place: () => entries.length,
    addState: (id, state) => void entries.push({ id, state }),
    addWrite: (write) => void entries.push({ id: write.id, write }),
    statesOf: (id, place) => since(id, place).flatMap((entry) => ('state' in entry ? [entry.state] : [])),
    writesOf: (id, place) => since(id, place).flatMap((entry) => ('write' in entry ? [entry.write] : [])),
  };
}
