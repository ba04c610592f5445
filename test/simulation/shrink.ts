import type { Configuration } from './configuration.ts';
import type { Mutant } from './mutants.ts';
import { type RunOptions, runOne } from './run-one.ts';
import type { Violation } from './violations.ts';

/** A failing run, as small as it was made. */
export type Shrunk = {
  readonly configuration: Configuration;
  readonly seed: number;
  readonly steps: number;
  /** Disturbances that it does without. */
  readonly left: ReadonlySet<number>;
  readonly disturbances: number;
  readonly violation: Violation;
};

/** Runs that one shrinking may take. */
const MAX_RUNS = 600;

/**
 * Makes a failing run smaller: first it ends sooner, then it does without as many edits, faults and crashes as it can and
 * still breaks the same invariant.
 */
export async function shrink(
  options: Pick<RunOptions, 'configuration' | 'seed'> & { readonly mutant?: Mutant | null },
): Promise<Shrunk | null> {
  let runs = 0;

  async function attempt(steps: number | null, left: ReadonlySet<number>, of: Shrunk | null): Promise<Shrunk | null> {
    runs++;
    const result = await runOne({ ...options, steps, leaves: (disturbance) => left.has(disturbance) });
    const violation = result.violations.find(({ invariant }) => of === null || invariant === of.violation.invariant);
    if (violation === undefined) return null;
    const { configuration, seed } = options;
    return { configuration, seed, steps: result.faultySteps, left, disturbances: result.disturbances, violation };
  }

  /** Ends sooner. */
  async function shorten(from: Shrunk): Promise<Shrunk> {
    let best = from;
    for (let cut = Math.floor(best.steps / 2); cut >= 1 && runs < MAX_RUNS; ) {
      const shorter = cut < best.steps ? await attempt(best.steps - cut, best.left, best) : null;
      if (shorter === null) cut = Math.floor(cut / 2);
      else best = shorter;
    }
    return best;
  }

  /** Does without as many disturbances as it can, in ever smaller groups. */
  async function thin(from: Shrunk): Promise<Shrunk> {
    let best = from;
    for (let size = Math.ceil(best.disturbances / 2); size >= 1 && runs < MAX_RUNS; size = Math.floor(size / 2)) {
      for (let first = 0; first < best.disturbances && runs < MAX_RUNS; first += size) {
        const left = new Set(best.left);
        for (let disturbance = first; disturbance < first + size; disturbance++) left.add(disturbance);
        if (left.size > best.left.size) best = (await attempt(best.steps, left, best)) ?? best;
      }
    }
    return best;
  }

  const whole = await attempt(null, new Set(), null);
  return whole === null ? null : await shorten(await thin(await shorten(whole)));
}

/** Numbers as a replay takes them: `3-7,12`. */
export function formatNumbers(numbers: ReadonlySet<number>): string {
  const sorted = [...numbers].sort((left, right) => left - right);
  const ranges: string[] = [];
  for (let place = 0; place < sorted.length; ) {
    let end = place;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end++;
    ranges.push(end === place ? `${sorted[place]}` : `${sorted[place]}-${sorted[end]}`);
    place = end + 1;
  }
  return ranges.join(',');
}

export function parseNumbers(text: string): Set<number> {
  const numbers = new Set<number>();
  for (const range of text.split(',').filter((part) => part !== '')) {
    const [from = Number.NaN, to = from] = range.split('-').map(Number);
    if (!Number.isInteger(from) || !Number.isInteger(to))
      throw new TypeError(`expected numbers like 3-7,12, got ${range}`);
    for (let number = from; number <= to; number++) numbers.add(number);
  }
  return numbers;
}

/** The one command that shows a failing run again, with every step of it. */
export function replayCommand({ configuration, seed, steps, left }: Shrunk, mutant: Mutant | null = null): string {
  const broken = mutant === null ? '' : ` --mutant '${mutant.name}'`;
  const without = left.size === 0 ? '' : ` --without ${formatNumbers(left)}`;
  return `npm run simulate -- --configuration '${configuration.name}' --seed ${seed} --steps ${steps}${without}${broken} --replay`;
}
