import { StartError } from '../config/start-error.ts';
import { DatabaseError } from '../db/errors.ts';
import { describeFailure } from '../sync/failures.ts';

/** Says on stderr why the start failed: each problem with its place, nothing of the values. @returns the exit code. */
export function reportStartFailure(error: unknown): number {
  process.stderr.write(`${explain(error)}\n`);
  return 1;
}

function explain(error: unknown): string {
  if (error instanceof StartError) {
    return ['Syncline cannot start:', ...error.problems.map(({ path, problem }) => `  ${path}: ${problem}`)].join('\n');
  }
  if (error instanceof DatabaseError) return `Syncline cannot start: ${error.message}`;
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return 'Syncline cannot start: PORT is in use by another program; stop that one or set another port';
  }
  const { code, message } = describeFailure(error);
  return `Syncline cannot start: ${code}: ${message}`;
}
