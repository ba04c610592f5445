import { z } from 'zod';
import { wordsOf } from '../lib/issue-words.ts';
import { ProblemError } from './problem.ts';

const UNKNOWN = 'is no field here; look for a typing error';
const isName = (key: PropertyKey): boolean => typeof key === 'number' || /^[A-Za-z_$][\w$]{0,62}$/.test(String(key));

/** Checks a request's input. Throws a 422 problem that names each field, what was expected, and never a value. */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input ?? {}, { reportInput: true });
  if (result.success) return result.data;
  const errors = wordsOf(result.error.issues, UNKNOWN).map(({ path, words }) => ({
    // A name that we do not know may be a value that stands in the wrong place.
    field: path.map((key) => (words === UNKNOWN && !isName(key) ? '*' : String(key))).join('.') || '(body)',
    problem: words,
  }));
  throw new ProblemError({
    status: 422,
    code: 'invalid-input',
    title: 'The request does not fit',
    detail: errors.map(({ field, problem }) => `${field}: ${problem}`).join('; '),
    more: { errors },
  });
}

/** NUL, and halves of surrogate pairs that stand alone: PostgreSQL has no text with them, so nothing has such a name. */
const NO_TEXT = /[\0\p{Cs}]/u;
export const isText = (text: string): boolean => !NO_TEXT.test(text);
/** Longer than any name or id that there can be. */
const MAX_NAME_LENGTH = 512;
/** A name or a record's id, as something to look for. */
export const nameSchema = z
  .string()
  .min(1)
  .max(MAX_NAME_LENGTH)
  .refine(isText, 'expected well-formed text without NUL');

/** Whether the answer comes once what was asked for has ended. */
export const waitSchema = z.strictObject({
  wait: z.stringbool({ error: 'expected true or false' }).default(false),
});

/** Some clients send that for nothing. */
export const isEmpty = (body: unknown): boolean => body == null || body === '';

/** Digits and nothing else: no other way to write a number, and no empty text. */
const wholeNumber = (expected: string) =>
  z
    .string({ error: expected })
    .regex(/^\d{1,16}$/, expected)
    .transform(Number);
/** A database id in a path. */
export const idSchema = wholeNumber('expected a whole number').pipe(z.number().positive().max(Number.MAX_SAFE_INTEGER));
/** How many rows of a list. */
export const limitSchema = wholeNumber('expected a whole number from 1 to 500')
  .pipe(z.number().min(1).max(500))
  .default(50);
