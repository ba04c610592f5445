/** What is counted while runs go on; sums of many runs add up. */
export type Figures = { readonly count: (name: string, by?: number) => void; readonly counts: Map<string, number> };

export function createFigures(): Figures {
  const counts = new Map<string, number>();
  return {
    counts,
    count(name, by = 1) {
      if (by !== 0) counts.set(name, (counts.get(name) ?? 0) + by);
    },
  };
}

export function addFigures(into: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [name, count] of counts) into.set(name, (into.get(name) ?? 0) + count);
}
