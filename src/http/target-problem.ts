import type { Db } from '../db/connect.ts';
import { failureKind } from '../db/failure.ts';
import { checkTarget } from '../store/target.ts';
import type { Stream } from '../sync/stream.ts';
import { ProblemError } from './problem.ts';

/**
 * Does what needs a stream's table. Where that fails because the table, a column or a right is missing, the answer says which,
 * and what to do; whatever else fails is thrown as it is.
 */
export async function withTable<T>(db: Db, { target }: Pick<Stream, 'target'>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (failureKind(error) !== 'schema') throw error;
    const problems = await checkTarget(db, target);
    if (problems.length === 0) throw error;
    throw new ProblemError({
      status: 503,
      code: 'table-unavailable',
      title: 'The table cannot be used',
      detail: `${problems.map(({ table, problem }) => `The table ${table} ${problem}`).join('. ')}. Then try again: no restart is needed`,
    });
  }
}
