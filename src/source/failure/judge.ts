import type { IncomingHttpHeaders } from 'node:http';
import { readPath } from '../../lib/path.ts';
import { mustParsePath } from '../../lib/path-schema.ts';
import { SourceError, type SourceErrorCode } from '../error.ts';
import { readRetryAfterMs, SECONDARY_WAIT_MS, tellsSecondaryLimit } from '../retry-after.ts';
import { codeOfStatus, isOfStatus } from './default-failures.ts';
import { CODE_OF_ACTION, type FailureRule } from './definition.ts';
import { judgeGraphql } from './graphql-errors.ts';

/** An answer as it is judged. `body` is undefined where it is no JSON. */
export type JudgedAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: unknown };

export type JudgeOptions = {
  readonly endpoint: string;
  readonly protocol: 'rest' | 'graphql';
  /** The endpoint's own, asked first. */
  readonly endpointRules: readonly FailureRule[];
  readonly sourceRules: readonly FailureRule[];
  readonly nowMs: number;
};

/**
 * The failure that an answer stands for; null when it is none. The first rule that holds decides, then the errors of
 * GraphQL, then the status. Nothing of the answer but its status and codes of our own tables is in the error.
 */
export function judge(answer: JudgedAnswer, options: JudgeOptions): SourceError | null {
  const { endpoint, protocol, endpointRules, sourceRules, nowMs } = options;
  const { status, headers, body } = answer;
  const answered = `${endpoint}: answered ${status}`;
  const fail = (code: SourceErrorCode, message: string): SourceError =>
    new SourceError(code, message, { status, retryAfterMs: readRetryAfterMs(headers, nowMs) });
  for (const { owner, rules } of [
    { owner: 'the endpoint', rules: endpointRules },
    { owner: 'the source', rules: sourceRules },
  ]) {
    for (const [index, rule] of rules.entries()) {
      const place = `\`failures[${index}]\` of ${owner}`;
      const match = matches(rule, answer);
      if (match.kind === 'broken')
        return new SourceError('invalid_response', `${answered}, and \`body\` of ${place} ${match.problem}`, {
          status,
        });
      if (match.kind === 'yes') return fail(CODE_OF_ACTION[rule.then], `${answered}, ${rule.then} by ${place}`);
    }
  }
  const isFine = status >= 200 && status < 300;
  if (protocol === 'graphql' && status < 500) {
    const failure = judgeGraphql(body, headers);
    if (failure !== null && (isFine || failure.name !== null))
      return fail(failure.code, `${answered} with ${describeGraphql(failure)}`);
  }
  if (isFine) return null;
  if (LIMITED.has(status) && tellsSecondaryLimit(body)) {
    const retryAfterMs = readRetryAfterMs(headers, nowMs) ?? SECONDARY_WAIT_MS;
    return new SourceError('rate_limited', `${answered}, a secondary rate limit`, { status, retryAfterMs });
  }
  const code = codeOfStatus(status, headers);
  return fail(code, `${answered}${code === 'rate_limited' ? ', a rate limit' : ''}`);
}

/** Where GitHub tells of its secondary limits. */
const LIMITED: ReadonlySet<number> = new Set([403, 429]);

const describeGraphql = ({ code, name }: { code: SourceErrorCode; name: string | null }): string => {
  const part = code === 'invalid_response' ? ', for a part of what was asked for' : '';
  return name === null ? `GraphQL errors that mean ${code}${part}` : `the GraphQL error ${name}${part}`;
};

type Match = { readonly kind: 'yes' | 'no' } | { readonly kind: 'broken'; readonly problem: string };
const YES: Match = { kind: 'yes' };
const NO: Match = { kind: 'no' };

function matches({ status, code, body, header }: FailureRule, answer: JudgedAnswer): Match {
  if (status !== undefined && !hasStatus(answer.status, status)) return NO;
  if (header !== undefined && !hasHeader(answer.headers, header)) return NO;
  if (code !== undefined && !hasValue(answer.body, code)) return NO;
  return body === undefined ? YES : ask(body, answer.body);
}

const hasStatus = (status: number, expected: NonNullable<FailureRule['status']>): boolean =>
  typeof expected === 'number' || typeof expected === 'string'
    ? isOfStatus(status, expected)
    : expected.includes(status);

function hasHeader(headers: IncomingHttpHeaders, { name, equals }: NonNullable<FailureRule['header']>): boolean {
  const value = headers[name.toLowerCase()];
  if (value === undefined || equals === undefined) return value !== undefined;
  return (Array.isArray(value) ? value : [value]).some((one) => one.trim() === equals);
}

function hasValue(body: unknown, { path, equals }: NonNullable<FailureRule['code']>): boolean {
  const found = readPath(body, mustParsePath(path));
  return found.found && found.value === equals;
}

/** The predicate is the user's code. What it throws may quote the body, so only its kind is told. */
function ask(body: NonNullable<FailureRule['body']>, value: unknown): Match {
  let said: unknown;
  try {
    said = body(value);
  } catch (error) {
    return { kind: 'broken', problem: `threw ${error instanceof Error ? error.constructor.name : 'something'}` };
  }
  if (said === true) return YES;
  // A promise would be taken for true by every `if`; one that nobody waits for would end the process when it rejects.
  if (said instanceof Promise) said.catch(() => {});
  return said === false ? NO : { kind: 'broken', problem: 'gave neither true nor false' };
}
