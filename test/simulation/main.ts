import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONFIGURATIONS, configurationOf } from './configurations.ts';
import { mutantOf } from './push-mutants.ts';
import { printReport, type Report, reportOf } from './report.ts';
import { runOne } from './run-one.ts';
import { parseNumbers, replayCommand, shrink } from './shrink.ts';

const USAGE = `npm run simulate -- [--minutes N] [--configuration NAME] [--mutants-only] [--no-mutants]
npm run simulate -- --configuration NAME --seed N [--steps N] [--without 3-7,12] [--mutant NAME] [--replay]`;

/** As many as the machine is taken to have cores. */
const WORKERS = 2;
const DEFAULT_MINUTES = 2;
/** Failing runs that are made smaller: each takes some seconds. */
const MAX_SHRUNK = 3;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    configuration: { type: 'string' },
    steps: { type: 'string' },
    without: { type: 'string' },
    mutant: { type: 'string' },
    replay: { type: 'boolean' },
    'mutants-only': { type: 'boolean' },
    'no-mutants': { type: 'boolean' },
    help: { type: 'boolean' },
  },
});

if (values.help) console.log(USAGE);
else if (values.seed !== undefined && values.configuration !== undefined)
  await showOne(values.configuration, values.seed);
else await runAll();

/** One run, with all that happens in it, or made as small as it can be. */
async function showOne(name: string, seedText: string): Promise<void> {
  const configuration = configurationOf(name);
  const seed = numberOf(seedText, 'seed');
  const mutant = values.mutant === undefined ? null : mutantOf(values.mutant);
  if (!values.replay) {
    const shrunk = await shrink({ configuration, seed, mutant });
    if (shrunk === null) return console.log(`${name}, seed ${seed}: nothing is broken`);
    console.log(`${shrunk.violation.invariant}: ${shrunk.violation.detail}\n${replayCommand(shrunk, mutant)}`);
    process.exitCode = 1;
    return;
  }
  const left = parseNumbers(values.without ?? '');
  const result = await runOne({
    configuration,
    seed,
    mutant,
    steps: values.steps === undefined ? null : numberOf(values.steps, 'steps'),
    leaves: (disturbance) => left.has(disturbance),
    trace: (line) => console.log(line),
  });
  for (const { invariant, detail, step } of result.violations) console.log(`step ${step}: ${invariant}: ${detail}`);
  if (result.violations.length > 0) process.exitCode = 1;
}

async function runAll(): Promise<void> {
  const minutes = values.minutes === undefined ? DEFAULT_MINUTES : numberOf(values.minutes, 'minutes');
  const names = CONFIGURATIONS.map((one) => one.name).filter((name) => name.includes(values.configuration ?? ''));
  const task = {
    names,
    untilMs: Date.now() + minutes * 60_000,
    runs: !values['mutants-only'],
    mutants: !values['no-mutants'],
  };
  const startedMs = Date.now();
  const reports = await Promise.all(
    Array.from({ length: WORKERS }, (_, worker) => work({ ...task, worker, workers: WORKERS })),
  );
  const report = reportOf(reports);
  printReport(report, { seconds: (Date.now() - startedMs) / 1000, configurations: names.length });
  for (const { configuration, seed } of report.failures.slice(0, MAX_SHRUNK)) {
    const shrunk = await shrink({ configuration: configurationOf(configuration), seed });
    if (shrunk !== null)
      console.log(`\n${shrunk.violation.invariant}: ${shrunk.violation.detail}\n${replayCommand(shrunk)}`);
  }
  const isSound = report.failures.length === 0 && report.mutants.every(({ by }) => by.size > 0);
  process.exitCode = isSound ? 0 : 1;
}

export type Task = {
  readonly names: readonly string[];
  readonly untilMs: number;
  readonly runs: boolean;
  readonly mutants: boolean;
  readonly worker: number;
  readonly workers: number;
};

function work(task: Task): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./work.ts', import.meta.url)), { serialization: 'advanced' });
    child.once('message', (report) => resolve(report as Report));
    child.once('exit', (code) => reject(new Error(`a worker ended early, with code ${code}`)));
    child.send(task);
  });
}

function numberOf(text: string, name: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number < 0) throw new TypeError(`--${name}: expected a number, got other text`);
  return number;
}
