import type { z } from 'zod';
import { kindOf } from './kind.ts';

/** What is wrong with one place of an input, in words that follow its name: what was expected, and the kind of what came. */
export type IssueWords = { readonly path: readonly PropertyKey[]; readonly words: string };

type Issue = z.core.$ZodIssue;

/** Ours say what was expected; these are what zod says where a schema has no words of its own. */
const ZODS_OWN = /^(?:Invalid|Too (?:small|big)|Unrecognized)\b/;

/**
 * Says in our words what a schema refuses, of issues that were reported with their input. No part of any value is in it.
 * `unknownKey`: what is said of a key that the schema does not know.
 */
export function wordsOf(issues: readonly Issue[], unknownKey: string): IssueWords[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: [...issue.path, key], words: unknownKey }));
    }
    if (issue.code === 'invalid_union' && issue.errors.length > 0) return ofUnion(issue, unknownKey);
    return [{ path: issue.path, words: wordsOfOne(issue) }];
  });
}

/** The branch with the fewest complaints is the one that was meant; where each refuses the whole value, all are named. */
function ofUnion(issue: Extract<Issue, { code: 'invalid_union' }>, unknownKey: string): IssueWords[] {
  const expected = issue.errors.map(([first, ...more]) =>
    first !== undefined && more.length === 0 && first.path.length === 0 ? expectedOf(first) : null,
  );
  if (expected.every((one) => one !== null))
    return [{ path: issue.path, words: told(expected.join(' or '), issue.input) }];
  const [nearest = []] = [...issue.errors].sort((a, b) => a.length - b.length);
  return wordsOf(nearest, unknownKey).map(({ path, words }) => ({ path: [...issue.path, ...path], words }));
}

function wordsOfOne(issue: Issue): string {
  if (issue.code === 'invalid_key') {
    return `is not a name that fits here: ${issue.issues.map(({ message }) => message).join('; ')}`;
  }
  const expected = expectedOf(issue);
  if (expected === null) return issue.message;
  // Of a choice among shapes the word that chooses is at fault, and the input is the whole.
  const isChoice = issue.code === 'invalid_union';
  return isChoice ? `expected ${expected}` : told(expected, issue.input);
}

const told = (expected: string, input: unknown): string =>
  input === undefined ? `is missing: expected ${expected}` : `expected ${expected}, got ${kindOf(input)}`;

/** Null where the schema has words of its own for more than the kind, or nothing more can be said. */
function expectedOf(issue: Issue): string | null {
  if (!ZODS_OWN.test(issue.message)) {
    const [, own] = /^expected (.*)$/s.exec(issue.message) ?? [];
    return own !== undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_value') ? own : null;
  }
  switch (issue.code) {
    case 'invalid_type':
      return KINDS[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return oneOf(issue.values);
    case 'invalid_union':
      return 'options' in issue && Array.isArray(issue.options) ? oneOf(issue.options) : null;
    case 'too_small':
      return bounded(issue.origin, `at least ${issue.minimum}`);
    case 'too_big':
      return bounded(issue.origin, `at most ${issue.maximum}`);
    case 'invalid_format':
      return issue.format === 'uuid' ? 'a UUID' : null;
    default:
      return null;
  }
}

const KINDS: { readonly [expected: string]: string } = { int: 'a whole number', record: 'object' };

const oneOf = (values: readonly unknown[]): string =>
  values.length === 1 ? String(values[0]) : `one of ${values.map(String).join(', ')}`;

function bounded(origin: string, limit: string): string {
  if (origin === 'string') return `a text of ${limit} characters`;
  if (origin === 'array') return `a list of ${limit} entries`;
  return `a number of ${limit}`;
}
