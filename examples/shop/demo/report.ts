import type { ControlState } from '../simulator/control.ts';
import { type Difference, isEqual } from './compare.ts';
import type { Scenario } from './two-way.ts';
import type { WriteReport } from './writes.ts';

const KINDS = ['customers', 'orders'] as const;
export type Differences = Readonly<Record<(typeof KINDS)[number], Difference>>;

const faultCounts = (state: ControlState): [string, number][] => {
  const { webhooks, api, changes, writes } = state.counters;
  return [
    ['webhooks lost', webhooks.lost],
    ['webhooks duplicated', webhooks.duplicated],
    ['webhooks delayed', webhooks.delayed],
    ['webhooks reordered', webhooks.reordered],
    ['webhooks forged', webhooks.forged],
    ['webhooks with a stale signature', webhooks.stale],
    ['API answers with 500', api.serverErrors],
    ['API answers with 429', api.rateLimited],
    ['API answers cut off', api.truncated],
    ['API answers slow', api.slow],
    ['API connections reset', api.reset],
    ['changes committed late', changes.committedLate],
    ['changes within one tick', changes.sameTick],
    ['deletions', changes.deleted],
    ['writes answered 500, not done', writes.serverErrorsBefore],
    ['writes answered 500, done', writes.serverErrorsAfter],
    ['writes answered 429', writes.rateLimited],
    ['writes without an answer, not done', writes.timedOutBefore],
    ['writes without an answer, done', writes.timedOutAfter],
    ['writes without an answer, done later', writes.zombies],
    ['writes whose answer was cut off', writes.truncated],
    ['writes whose connection broke', writes.reset],
    ['further events of one write', writes.echoes],
    ['written records that the shop stamped again', writes.touched],
  ];
};

/** Faults that have not happened yet. */
export const missingFaults = (state: ControlState): string[] =>
  faultCounts(state).flatMap(([name, count]) => (count === 0 ? [name] : []));

export function printInjected(state: ControlState): void {
  print('\nInjected:');
  for (const [name, count] of faultCounts(state)) print(`  ${String(count).padStart(6)}  ${name}`);
}

export function printDifferences(differences: Differences): void {
  for (const kind of KINDS) {
    const { records, rows, missing, surplus, different, examples } = differences[kind];
    print(
      `  ${kind}: ${records} in the shop, ${rows} rows; ${missing} missing, ${surplus} too many, ${different} different`,
    );
    for (const example of examples) print(`    ${example}`);
  }
}

/** What both sides came to. */
export type Outcome = {
  readonly state: ControlState;
  readonly scenarios: readonly Scenario[];
  readonly after: Differences;
  /** Rows that a run over unchanged records wrote. */
  readonly rowWrites: number;
  readonly writes: WriteReport;
  readonly open: readonly string[];
};

/** Prints what is not as it must be. @returns the exit code. */
export function verdict({ state, scenarios, after, rowWrites, writes, open }: Outcome): number {
  const faults = [
    ...scenarios.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`)),
    ...KINDS.flatMap((kind) => (isEqual(after[kind]) ? [] : [`${kind} differ from the shop`])),
    ...missingFaults(state).map((name) => `never happened: ${name}`),
    ...(state.counters.webhooks.wronglyAccepted > 0 ? ['a forged or stale delivery was accepted'] : []),
    ...(rowWrites > 0 ? ['a run over unchanged records wrote rows'] : []),
    ...writes.problems,
    ...open,
  ];
  print(
    faults.length === 0
      ? '\nEqual on both sides: every record is its row, column by column, and no edit was written twice.'
      : `\nNOT EQUAL: ${faults.join('; ')}`,
  );
  return faults.length === 0 ? 0 : 1;
}

export function printScenarios(scenarios: readonly Scenario[]): void {
  for (const { name, problems } of scenarios) print(`  ${problems.length === 0 ? 'ok ' : 'NOT'}  ${name}`);
}

export const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
