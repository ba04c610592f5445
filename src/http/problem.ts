import type { FastifyReply } from 'fastify';

/** A refusal as RFC 9457 wants it. `detail` is for people and never holds a value, SQL or a stack. */
export type Problem = {
  readonly status: number;
  /** Last part of the problem type, stable: callers may branch on it. */
  readonly code: string;
  readonly title: string;
  readonly detail?: string;
  /** Further members, such as the run that is in the way. */
  readonly more?: { readonly [member: string]: unknown };
  readonly headers?: { readonly [name: string]: string };
};

/** Answers with a problem document. */
export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .status(problem.status)
    .headers(problem.headers ?? {})
    .type('application/problem+json')
    .send(problemText(problem));
}

/** The problem document itself. */
export const problemText = ({ status, code, title, detail, more }: Problem): string =>
  JSON.stringify({ type: `urn:syncline:problem:${code}`, title, status, ...(detail ? { detail } : {}), ...more });

/** Thrown by a route to answer with a problem. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

export const notFound = (what: string): ProblemError =>
  new ProblemError({ status: 404, code: 'not-found', title: `No such ${what}` });

/** What works through many rows may have done some of them. */
export const ROW_HELD: Problem = {
  status: 503,
  code: 'row-held',
  title: 'Another transaction holds a row',
  detail: 'It is not done, or not all of it. Try again shortly.',
  headers: { 'retry-after': '5' },
};

export const DATABASE_AWAY: Problem = {
  status: 503,
  code: 'database-unavailable',
  title: 'The database does not answer',
  detail: 'Nothing was stored. Try again shortly.',
  headers: { 'retry-after': '5' },
};
