import { z } from 'zod';
import { ProblemError } from './problem.ts';

/** Checks a request's input. Throws a 422 problem that names each field, what was expected, and never a value. */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input ?? {});
  if (result.success) return result.data;
  const errors = result.error.issues.map((issue) => ({
    field: issue.path.join('.') || '(body)',
    problem: issue.message,
  }));
  throw new ProblemError({
    status: 422,
    code: 'invalid-input',
    title: 'The request does not fit',
    detail: errors.map(({ field, problem }) => `${field}: ${problem}`).join('; '),
    more: { errors },
  });
}

/** A database id in a path. */
export const idSchema = z.coerce
  .number({ error: 'expected a whole number' })
  .int()
  .positive()
  .max(Number.MAX_SAFE_INTEGER);
/** How many rows of a list. */
export const limitSchema = z.coerce
  .number({ error: 'expected a whole number from 1 to 500' })
  .int()
  .min(1)
  .max(500)
  .default(50);
