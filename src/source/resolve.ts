import { durationMs } from '../lib/duration.ts';
import { type Environment, readSetting } from '../lib/setting.ts';
import type { AuthDeps, Authenticator } from './auth/authenticator.ts';
import { prepareAuth } from './auth/create.ts';
import { type ReadSetting, readAll } from './auth/settings.ts';
import {
  DEFAULT_BREAKER_FAILURES,
  DEFAULT_BREAKER_OPEN_MS,
  DEFAULT_CONCURRENCY,
  DEFAULT_DEADLINE_MS,
  DEFAULT_MAX_ATTEMPTS,
  DEFAULT_MAX_RESPONSE_BYTES,
  DEFAULT_TIMEOUT_MS,
  type SourceDefinition,
} from './definition.ts';
import type { FailureRule } from './failure/definition.ts';
import { isHeaderValue } from './header.ts';
import { prepareRateLimits, type RateLimit } from './rate-limit/definition.ts';

/** A source with its settings looked up. Functions and closures hold what may be secret, so that printing it shows none. */
export type ResolvedSource = {
  /** Of the integration, for logs. */
  readonly name: string;
  /** Its path ends without a slash; it has no query, no fragment and no credentials. */
  readonly baseUrl: () => URL;
  readonly headers: () => Readonly<Record<string, string>>;
  readonly params: () => Readonly<Record<string, string>>;
  readonly auth: (deps: AuthDeps) => Authenticator;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly maxResponseBytes: number;
  readonly concurrency: number;
  readonly deadlineMs: number;
  readonly failures: readonly FailureRule[];
  readonly breaker: { readonly failures: number; readonly openForMs: number };
  readonly rateLimits: readonly RateLimit[];
  readonly learnsRateLimits: boolean;
};

/** What is wrong, and where in the source's definition: `auth.token`. */
export type SourceProblem = { readonly path: string; readonly problem: string };

export type SourceResolution =
  | { readonly ok: true; readonly source: ResolvedSource }
  | { readonly ok: false; readonly problems: readonly SourceProblem[] };

/** Looks up every setting of a definition that `sourceSchema` accepts. All problems at once, none with a value in it. */
export function resolveSource(name: string, definition: SourceDefinition, environment: Environment): SourceResolution {
  const problems: SourceProblem[] = [];
  const read: ReadSetting = (path, setting, use) => {
    const result = readSetting(setting, environment);
    if (!result.ok) problems.push({ path, problem: result.problem });
    else if (use !== 'header' || isHeaderValue(result.value)) return result.value;
    else
      problems.push({
        path,
        problem: 'has a character that a header cannot carry (a line break, perhaps, or a space at an end)',
      });
    return '';
  };

  const headers = readAll(read, 'headers', definition.headers ?? {}, 'header');
  const params = readAll(read, 'params', definition.params ?? {}, 'query');
  const baseUrl = readBaseUrl(read('baseUrl', definition.baseUrl, 'url'), problems);
  const report = (path: string, problem: string) => problems.push({ path, problem });
  const auth = prepareAuth(definition.auth, { read, report, baseUrl });
  if (baseUrl === null || problems.length > 0) return { ok: false, problems };
  const timeoutMs = definition.timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(definition.timeout);
  return {
    ok: true,
    source: {
      name,
      baseUrl: () => new URL(baseUrl),
      headers: () => headers,
      params: () => params,
      auth,
      timeoutMs,
      maxAttempts: definition.maxAttempts ?? DEFAULT_MAX_ATTEMPTS,
      maxResponseBytes: definition.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES,
      concurrency: definition.concurrency ?? DEFAULT_CONCURRENCY,
      deadlineMs:
        definition.deadline === undefined ? Math.max(DEFAULT_DEADLINE_MS, timeoutMs) : durationMs(definition.deadline),
      failures: definition.failures ?? [],
      breaker: {
        failures: definition.breaker?.failures ?? DEFAULT_BREAKER_FAILURES,
        openForMs:
          definition.breaker?.openFor === undefined ? DEFAULT_BREAKER_OPEN_MS : durationMs(definition.breaker.openFor),
      },
      rateLimits: prepareRateLimits(definition.rateLimits ?? []),
      learnsRateLimits: definition.learnRateLimits ?? true,
    },
  };
}

function readBaseUrl(text: string, problems: SourceProblem[]): URL | null {
  if (text === '') return null;
  const refuse = (problem: string): null => {
    problems.push({ path: 'baseUrl', problem });
    return null;
  };
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    return refuse('is not an http or https URL, such as https://api.example.com/v1');
  }
  if (url.username !== '' || url.password !== '') return refuse('holds credentials: name them under `auth`');
  if (url.search !== '' || url.hash !== '') return refuse('holds a query or a fragment: name the query in the list');
  url.pathname = url.pathname.replace(/\/+$/, '');
  return url;
}
