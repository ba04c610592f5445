import type { z } from 'zod';
import { wordsOf } from '../lib/issue-words.ts';

/** What is wrong, and where in the definition: `integrations[0].entities.customers.read.list.path`. Never with a value in it. */
export type ConfigProblem = { readonly path: string; readonly problem: string };

/** Where a check stands in the definition, and where it puts what it finds. */
export type Place = {
  readonly path: string;
  at(...keys: readonly PropertyKey[]): Place;
  /** `inside` is a path as the other parts write it, such as `auth.token`. */
  add(problem: string, inside?: string): void;
};

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

export function createPlace(problems: ConfigProblem[], path = ''): Place {
  return {
    path,
    at: (...keys) => createPlace(problems, keys.reduce<string>(append, path)),
    add(problem, inside) {
      const where = inside === undefined || inside === '' ? path : `${path}.${inside}`;
      problems.push({ path: where === '' ? 'the configuration' : where, problem });
    },
  };
}

function append(path: string, key: PropertyKey): string {
  if (typeof key === 'number') return `${path}[${key}]`;
  const text = String(key);
  if (!IDENTIFIER.test(text)) return `${path}['${text}']`;
  return path === '' ? text : `${path}.${text}`;
}

/** Checks one part of the definition; what is wrong is told, and null comes back. */
export function checkShape<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: Place,
): z.output<Schema> | null {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  for (const { path, words } of wordsOf(result.error.issues, 'is no option here; look for a typing error')) {
    place.at(...path).add(words);
  }
  return null;
}
