/** One measured figure. */
export type Figure = {
  readonly group: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal: Goal | null;
};
export type Goal = { readonly text: string; readonly isMet: boolean };

export type Report = {
  add(group: string, name: string, value: number, unit: string, goal?: (value: number) => Goal): void;
  readonly figures: readonly Figure[];
};

export const atLeast =
  (limit: number) =>
  (value: number): Goal => ({ text: `>= ${show(limit)}`, isMet: value >= limit });

export const atMost =
  (limit: number) =>
  (value: number): Goal => ({ text: `<= ${show(limit)}`, isMet: value <= limit });

/** Collects figures and shows each as soon as it is known: a run takes minutes. */
export function createReport(print: (line: string) => void): Report {
  const figures: Figure[] = [];
  return {
    figures,
    add(group, name, value, unit, goal) {
      if (figures.at(-1)?.group !== group) print(`\n${group}`);
      const figure = { group, name, value, unit, goal: goal === undefined ? null : goal(value) };
      figures.push(figure);
      print(lineOf(figure));
    },
  };
}

function lineOf({ name, value, unit, goal }: Figure): string {
  const line = `  ${name.padEnd(58)} ${show(value).padStart(10)} ${unit.padEnd(10)}`;
  return goal === null ? line.trimEnd() : `${line} goal ${goal.text.padEnd(10)} ${goal.isMet ? 'met' : 'NOT MET'}`;
}

/** The middle of the values; of an even number the lower of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}

function show(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
