import type { z } from 'zod';

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
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) addIssue(issue, place);
  return null;
}

function addIssue(issue: z.core.$ZodIssue, place: Place): void {
  const here = place.at(...issue.path);
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) here.at(key).add('is no option here; look for a typing error');
    return;
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // The branch with the fewest complaints is the one that was meant.
    const [nearest] = [...issue.errors].sort((a, b) => a.length - b.length);
    for (const inner of nearest ?? []) addIssue(inner, here);
    return;
  }
  if (issue.code === 'invalid_key') {
    here.add(`is not a name that fits here: ${issue.issues.map(({ message }) => message).join('; ')}`);
    return;
  }
  here.add(issue.code === 'invalid_type' ? describeKind(issue) : issue.message);
}

/** zod names the kinds; which one came is in its message alone, and the value is not. */
function describeKind({ expected, message }: z.core.$ZodIssueInvalidType): string {
  const [, received] = /received (\w+)/.exec(message) ?? [];
  const kind = expected === 'record' ? 'object' : expected;
  if (!message.startsWith('Invalid input')) return message;
  return received === 'undefined'
    ? `is missing: expected ${kind}`
    : `expected ${kind}, got ${received ?? 'something else'}`;
}
