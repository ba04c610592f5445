import { test } from 'tap';
import { noTotals, runSeed, tryMutant } from './batch.ts';
import { CONFIGURATIONS, configurationOf } from './configurations.ts';
import { MUTANTS, mutantOf } from './push-mutants.ts';
import { runOne } from './run-one.ts';
import { formatNumbers, parseNumbers, replayCommand, shrink } from './shrink.ts';

/** Bounded by count: some hundreds of runs take seconds. `npm run simulate` goes on for as long as one likes. */
const SEEDS = [1, 2];
/** The rarest is noticed by the 111th, in the one configuration that it matters in; all others by the 40th. */
const MUTANT_SEEDS = Array.from({ length: 150 }, (_, place) => place + 1);

test('whatever fails, in every configuration both sides end equal and every promise is kept on the way', async (t) => {
  const totals = noTotals();
  for (const seed of SEEDS) await runSeed(totals, CONFIGURATIONS, seed);
  t.equal(totals.runs, SEEDS.length * CONFIGURATIONS.length);
  for (const { configuration, seed } of totals.failures.slice(0, 1)) {
    const shrunk = await shrink({ configuration: configurationOf(configuration), seed });
    if (shrunk !== null) t.comment(replayCommand(shrunk));
  }
  t.same(totals.failures, []);
});

test('rules with one fault each are found out', async (t) => {
  for (const mutant of MUTANTS) {
    const { by } = await tryMutant(mutant, CONFIGURATIONS, { seeds: MUTANT_SEEDS, enough: 1 });
    t.ok(by.size > 0, mutant.name);
  }
});

test('a seed gives the same run each time, step for step', async (t) => {
  const configuration = configurationOf('two-way, no versions, tags matched, markers');
  const traceOf = async (): Promise<string[]> => {
    const lines: string[] = [];
    await runOne({ configuration, seed: 3, trace: (line) => lines.push(line) });
    return lines;
  };
  const first = await traceOf();
  t.ok(first.length > 1000, 'it is a run worth the name');
  t.same(await traceOf(), first);
});

test('a failing run is made smaller, and its replay breaks the same invariant', async (t) => {
  const configuration = configurationOf('two-way, counter, keys');
  const mutant = mutantOf('no waiting for a push in flight');
  let shrunk = null;
  for (const seed of MUTANT_SEEDS) shrunk ??= await shrink({ configuration, seed, mutant });
  if (shrunk === null) return t.fail('the mutant is noticed');
  t.ok(shrunk.left.size > 0, 'it does without some disturbances');
  const left = parseNumbers(formatNumbers(shrunk.left));
  const { seed, steps } = shrunk;
  const replayed = await runOne({ configuration, seed, mutant, steps, leaves: (disturbance) => left.has(disturbance) });
  t.equal(replayed.violations[0]?.invariant, shrunk.violation.invariant);
  t.match(replayCommand(shrunk, mutant), /^npm run simulate -- --configuration 'two-way, counter, keys' --seed \d+ /);
});
