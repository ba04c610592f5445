import type { StartProblem } from './environment.ts';

/** The configuration or the environment keeps the server from starting. Carries every problem found, without values. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly problems: readonly StartProblem[];

  constructor(problems: readonly StartProblem[]) {
    super(`${problems.length} problems in the configuration`);
    this.problems = problems;
  }
}
