import { type Killed, noTotals, type Totals } from './batch.ts';
import { addFigures } from './figures.ts';

/** What one process of a simulation came to. */
export type Report = { readonly totals: Totals; readonly mutants: readonly Killed[] };
export type Sum = Totals & { readonly mutants: readonly Killed[] };

export function reportOf(reports: readonly Report[]): Sum {
  const sum = noTotals();
  for (const { totals } of reports) {
    sum.runs += totals.runs;
    sum.steps += totals.steps;
    addFigures(sum.figures, totals.figures);
    sum.failures.push(...totals.failures);
  }
  return { ...sum, mutants: reports.flatMap(({ mutants }) => mutants) };
}

export function printReport(sum: Sum, { seconds, configurations }: { seconds: number; configurations: number }): void {
  const { figures } = sum;
  const of = (name: string): number => figures.get(name) ?? 0;
  const ratio = (left: number, right: number): string => (right === 0 ? '-' : (left / right).toFixed(2));
  const lines = [
    `runs ${sum.runs} (${configurations} configurations), steps ${sum.steps}, ${seconds.toFixed(0)} s`,
    '',
    `faults: ${listOf(figures, 'fault ')}`,
    `crash points (passed / crashed): ${crashPoints(figures)}`,
    `decisions: ${listOf(figures, 'decision ')}`,
    `conflicts: ${listOf(figures, 'conflict ')}`,
    `parked pushes: ${listOf(figures, 'parked ')}`,
    `webhooks ${of('webhooks')}, reads by id per webhook ${ratio(of('reads by id'), of('webhooks'))}`,
    `local edits ${of('local edits')}, writes acknowledged ${of('writes acknowledged')}, per edit ${ratio(of('writes acknowledged'), of('local edits'))}, of unknown outcome ${of('writes of unknown outcome')}`,
    `sweeps ${of('sweeps')}, braked ${of('braked sweeps')}`,
    '',
    `mutants killed ${sum.mutants.filter(({ by }) => by.size > 0).length}/${sum.mutants.length}`,
    ...sum.mutants.map(
      ({ name, runs, by }) => `  ${by.size === 0 ? 'SURVIVED ' : ''}${name}: ${describe(by)} in ${runs} runs`,
    ),
    '',
    `violations: ${sum.failures.length}`,
    ...sum.failures
      .slice(0, MAX_LISTED)
      .map(
        ({ configuration, seed, violation }) =>
          `  ${violation.invariant} '${configuration}' seed ${seed}: ${violation.detail.slice(0, 200)}`,
      ),
  ];
  console.log(lines.join('\n'));
}

const MAX_LISTED = 30;

const describe = (by: ReadonlyMap<string, number>): string =>
  [...by].map(([invariant, count]) => `${invariant} ${count}`).join(', ') || 'by nothing';

function listOf(figures: ReadonlyMap<string, number>, prefix: string): string {
  const found = [...figures]
    .filter(([name]) => name.startsWith(prefix))
    .sort(([left], [right]) => (left < right ? -1 : 1));
  return found.map(([name, count]) => `${name.slice(prefix.length)} ${count}`).join(', ');
}

function crashPoints(figures: ReadonlyMap<string, number>): string {
  const passed = [...figures].filter(([name]) => name.startsWith('at ') && name !== 'at idle').sort();
  return passed.map(([name, count]) => `${name.slice(3)} ${count} / ${figures.get(`crash ${name}`) ?? 0}`).join(', ');
}
