import type { Configuration } from './configuration.ts';
import { addFigures } from './figures.ts';
import type { Mutant } from './mutants.ts';
import { runOne } from './run-one.ts';
import type { Violation } from './violations.ts';

/** What many runs came to. */
export type Totals = {
  runs: number;
  steps: number;
  readonly figures: Map<string, number>;
  readonly failures: { readonly configuration: string; readonly seed: number; readonly violation: Violation }[];
};

export const noTotals = (): Totals => ({ runs: 0, steps: 0, figures: new Map(), failures: [] });

/** One run of each configuration with a seed, added up. @returns false when the time is over. */
export async function runSeed(
  totals: Totals,
  configurations: readonly Configuration[],
  seed: number,
  { mutant = null, isOver = () => false }: { readonly mutant?: Mutant | null; readonly isOver?: () => boolean } = {},
): Promise<boolean> {
  for (const configuration of configurations) {
    if (isOver()) return false;
    const result = await runOne({ configuration, seed, mutant });
    totals.runs++;
    totals.steps += result.steps;
    addFigures(totals.figures, result.figures);
    const [violation] = result.violations;
    if (violation !== undefined) totals.failures.push({ configuration: configuration.name, seed, violation });
  }
  return true;
}

/** How a mutant fared: which checker noticed it first, in how many runs. */
export type Killed = { readonly name: string; readonly runs: number; readonly by: ReadonlyMap<string, number> };

/** Runs a mutant in every configuration that it matters in, seed after seed, until it has been noticed often enough. */
export async function tryMutant(
  mutant: Mutant,
  configurations: readonly Configuration[],
  { seeds, enough = Number.POSITIVE_INFINITY }: { readonly seeds: readonly number[]; readonly enough?: number },
): Promise<Killed> {
  const totals = noTotals();
  const matters = configurations.filter((configuration) => mutant.matters?.(configuration) ?? true);
  for (const seed of seeds) {
    await runSeed(totals, matters, seed, { mutant, isOver: () => totals.failures.length >= enough });
    if (totals.failures.length >= enough) break;
  }
  const by = new Map<string, number>();
  for (const { violation } of totals.failures) by.set(violation.invariant, (by.get(violation.invariant) ?? 0) + 1);
  return { name: mutant.name, runs: totals.runs, by };
}
