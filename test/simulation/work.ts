import { type Killed, noTotals, runSeed, tryMutant } from './batch.ts';
import { configurationOf } from './configurations.ts';
import type { Task } from './main.ts';
import { MUTANTS } from './push-mutants.ts';

/** Seeds that each mutant is run with, in every configuration that it matters in. */
const MUTANT_SEEDS = 100;

process.once('message', (task: Task) => {
  void work(task);
});

/** One process's share: its mutants first, then seeds for as long as there is time. */
async function work({ names, untilMs, runs, mutants, worker, workers }: Task): Promise<void> {
  const configurations = names.map(configurationOf);
  const killed: Killed[] = [];
  const isOver = () => Date.now() >= untilMs;
  if (mutants) {
    const seeds = Array.from({ length: MUTANT_SEEDS }, (_, place) => place + 1);
    for (const [place, mutant] of MUTANTS.entries())
      if (place % workers === worker) killed.push(await tryMutant(mutant, configurations, { seeds, enough: 25 }));
  }
  const totals = noTotals();
  if (runs) {
    for (let seed = 1 + worker; !isOver(); seed += workers) await runSeed(totals, configurations, seed, { isOver });
  }
  process.send?.({ totals, mutants: killed }, () => process.exit(0));
}
