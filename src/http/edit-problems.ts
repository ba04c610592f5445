import { assertNever } from '../lib/assert-never.ts';
import type { Refused } from '../sync/edit.ts';
import type { EditProblem } from '../sync/edit-values.ts';
import { ProblemError } from './problem.ts';

const RETRY_AFTER_S = '1';
const CANNOT = 'This cannot be done now';

/** The problem that an edit which was refused is answered with. Values of the request are in none. */
export function problemOf(refused: Refused): ProblemError {
  switch (refused.kind) {
    case 'no_record':
      return problem(404, 'not-found', 'No such record');
    case 'invalid':
      return unfit(refused.problems);
    case 'changed':
      return new ProblemError({
        status: 412,
        code: 'record-changed',
        title: 'The record is not as If-Match says',
        detail: 'Read it again, and decide anew.',
        ...(refused.tag === '' ? {} : { more: { etag: refused.tag }, headers: { etag: refused.tag } }),
      });
    case 'in_conflict':
      return new ProblemError({
        status: 409,
        code: 'conflict-open',
        title: CANNOT,
        detail: `Both sides changed the record; a person decides first: POST /conflicts/${refused.conflictId}/resolve`,
        more: { conflict: refused.conflictId },
      });
    case 'not_supported':
      return problem(405, 'not-supported', 'This is not carried to the source', refused.why);
    case 'deletes_held':
      return problem(409, 'deletes-held', CANNOT, 'So many rows were removed at once that removals wait for a person.');
    case 'in_flight':
      return new ProblemError({
        status: 409,
        code: 'push-in-flight',
        title: CANNOT,
        detail: 'Another write of this record is on its way to the source. Try again shortly.',
        headers: { 'retry-after': RETRY_AFTER_S },
      });
    case 'key_taken':
      return problem(409, 'key-taken', CANNOT, 'A row has this key already; its record is edited by PATCH or PUT');
    case 'key_reused':
      return problem(422, 'idempotency-key-reused', 'The idempotency key stands for another request');
    case 'row_held':
      return new ProblemError({
        status: 503,
        code: 'row-held',
        title: 'Another transaction holds the row',
        detail: 'Nothing was stored. Try again shortly.',
        headers: { 'retry-after': RETRY_AFTER_S },
      });
    case 'row_refused':
      return problem(422, 'row-refused', 'The database refuses the row', refused.words);
    default:
      return assertNever(refused);
  }
}

/** Names each property, what was expected, and the kind of what came. */
export function unfit(problems: readonly EditProblem[]): ProblemError {
  const errors = problems.map(({ field, expected, received }) => ({
    field,
    problem: `expected ${expected}, got ${received}`,
    expected,
    received,
  }));
  return new ProblemError({
    status: 422,
    code: 'invalid-input',
    title: 'The request does not fit',
    detail: errors.map((one) => `${one.field}: ${one.problem}`).join('; '),
    more: { errors },
  });
}

const problem = (status: number, code: string, title: string, detail?: string): ProblemError =>
  new ProblemError({ status, code, title, ...(detail === undefined ? {} : { detail }) });
