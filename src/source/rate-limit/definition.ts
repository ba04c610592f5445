import { z } from 'zod';
import { type Duration, durationMs, parseDurationMs } from '../../lib/duration.ts';
import { ENDPOINT_PATTERN_SYNTAX, isEndpointPattern, prepareEndpointPattern } from './endpoint-pattern.ts';

/** One limit that a source sets. A request that several of them count needs room in each. */
export type RateLimitDefinition = {
  /** For people, in status and specification. Default: `match`, or `all requests`. */
  readonly name?: string;
  /** What it counts: `POST /items`, `GET /search/*`, `* /exports`, with paths as the definitions write them. Default: everything. */
  readonly match?: string;
  /** In one window of `per`, each with its weight. */
  readonly requests?: number;
  /** Length of the window: 100ms to 31d. */
  readonly per?: Duration;
  /** `rolling` (default): in any span of `per`. `fixed`: in each of the windows that begin at multiples of `per` since 1970 (UTC). */
  readonly window?: 'rolling' | 'fixed';
  /** Requests under way at the same time, of all processes together. */
  readonly concurrent?: number;
  /** What requests count for in `requests` where that is not 1, by the same patterns as `match`; the first that fits. */
  readonly weights?: Readonly<Record<string, number>>;
};

/** A limit made ready. */
export type RateLimit = {
  /** What its use is kept under: other limits, or the same with another window, do not share it. */
  readonly key: string;
  readonly name: string;
  readonly match: string | null;
  readonly matches: (endpoint: string) => boolean;
  /** Null when only `concurrent` limits. */
  readonly budget: {
    readonly requests: number;
    readonly perMs: number;
    readonly window: 'rolling' | 'fixed';
    readonly weightOf: (endpoint: string) => number;
  } | null;
  readonly concurrent: number | null;
};

export const MAX_RATE_LIMITS = 20;
const MAX_REQUESTS = 1_000_000_000;
const MAX_CONCURRENT = 10_000;
const MAX_WEIGHTS = 50;
const MAX_NAME_LENGTH = 100;
const MIN_PER_MS = 100;
const MAX_PER_MS = 31 * 86_400_000;

const patternSchema = z.string().refine(isEndpointPattern, `expected ${ENDPOINT_PATTERN_SYNTAX}`);
const perSchema = z.custom<Duration>(
  (text) => {
    const ms = typeof text === 'string' ? parseDurationMs(text) : null;
    return ms !== null && ms >= MIN_PER_MS && ms <= MAX_PER_MS;
  },
  { message: 'expected a duration from 100ms to 31d, such as 1m' },
);

const rateLimitSchema = z
  .strictObject({
    name: z.string().min(1).max(MAX_NAME_LENGTH).optional(),
    match: patternSchema.optional(),
    requests: z.int().min(1).max(MAX_REQUESTS).optional(),
    per: perSchema.optional(),
    window: z.enum(['rolling', 'fixed']).optional(),
    concurrent: z.int().min(1).max(MAX_CONCURRENT).optional(),
    weights: z
      .record(patternSchema, z.int().min(0).max(MAX_REQUESTS))
      .refine((weights) => Object.keys(weights).length <= MAX_WEIGHTS, `expected at most ${MAX_WEIGHTS}`)
      .optional(),
  })
  .superRefine((limit, context) => {
    const add = (path: string[], message: string) => context.addIssue({ code: 'custom', message, path });
    if (limit.requests === undefined && limit.concurrent === undefined) {
      add(['requests'], 'expected `requests` and `per`, or `concurrent`');
    }
    if (limit.requests !== undefined && limit.per === undefined) add(['per'], 'missing: `requests` in which time?');
    if (limit.requests === undefined) {
      for (const name of ['per', 'window', 'weights'] as const) {
        if (limit[name] !== undefined) add([name], 'stands beside `requests`, which is missing');
      }
    }
    for (const [pattern, weight] of Object.entries(limit.weights ?? {})) {
      // Such a request could never be sent.
      if (limit.requests !== undefined && weight > limit.requests) {
        add(['weights', pattern], `expected at most the limit of ${limit.requests}`);
      }
    }
  });

export const rateLimitsSchema = z
  .array(rateLimitSchema)
  .max(MAX_RATE_LIMITS)
  .superRefine((limits, context) => {
    const keys = limits.map(keyOf);
    keys.forEach((key, at) => {
      if (keys.indexOf(key) < at) context.addIssue({ code: 'custom', message: 'the same limit twice', path: [at] });
    });
  });

/** Makes limits ready that `rateLimitsSchema` accepts. */
export const prepareRateLimits = (definitions: readonly RateLimitDefinition[]): readonly RateLimit[] =>
  definitions.map((definition) => ({
    key: keyOf(definition),
    name: nameOf(definition),
    match: definition.match ?? null,
    matches: definition.match === undefined ? () => true : prepareEndpointPattern(definition.match),
    budget: budgetOf(definition),
    concurrent: definition.concurrent ?? null,
  }));

function budgetOf({ requests, per, window = 'rolling', weights }: RateLimitDefinition): RateLimit['budget'] {
  if (requests === undefined || per === undefined) return null;
  const prepared = Object.entries(weights ?? {}).map(
    ([pattern, weight]) => ({ matches: prepareEndpointPattern(pattern), weight }) as const,
  );
  return {
    requests,
    perMs: durationMs(per),
    window,
    weightOf: (endpoint) => prepared.find(({ matches }) => matches(endpoint))?.weight ?? 1,
  };
}

const nameOf = ({ name, match }: LooseDefinition): string => name ?? match ?? 'all requests';

/** The number of requests is not in it: a limit that is changed keeps what it has counted. */
const keyOf = ({ name, match, per, window = 'rolling' }: LooseDefinition): string =>
  [name ?? '', match ?? '', per ?? '', per === undefined ? '' : window].join('|');

type LooseDefinition = { [name in 'name' | 'match' | 'per']?: string | undefined } & {
  window?: 'rolling' | 'fixed' | undefined;
};
