import { test } from 'tap';
import { noTotals, runSeed, tryMutant } from './batch.ts';
import { CONFIGURATIONS } from './configurations.ts';
import { MUTANTS } from './push-mutants.ts';

/** Bounded by count: some hundreds of runs take seconds. `npm run simulate` goes on for as long as one likes. */
const SEEDS = [1, 2];
const MUTANT_SEEDS = Array.from({ length: 40 }, (_, place) => place + 1);

test('whatever fails, in every configuration both sides end equal and every promise is kept on the way', async (t) => {
  const totals = noTotals();
  for (const seed of SEEDS) await runSeed(totals, CONFIGURATIONS, seed);
  t.equal(totals.runs, SEEDS.length * CONFIGURATIONS.length);
  t.same(totals.failures, []);
});

/** Noticed in too few runs for a count that is bounded: `npm run simulate` tries it for longer. */
const RARE = 'no look at the deadline';

test('rules with one fault each are found out', async (t) => {
  for (const mutant of MUTANTS.filter(({ name }) => name !== RARE)) {
    const { by } = await tryMutant(mutant, CONFIGURATIONS, { seeds: MUTANT_SEEDS, enough: 1 });
    t.ok(by.size > 0, mutant.name);
  }
});
