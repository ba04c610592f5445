import type { IncomingHttpHeaders } from 'node:http';
import { type Path, readPath } from '../../lib/path.ts';
import { mustParsePath } from '../../lib/path-schema.ts';
import { answeredMs, boundReset, listTextOf, numberOf, parseNumber, parseResetMs, textOf } from './header-value.ts';
import type { Observation } from './learned.ts';
import { parseLimitItems, parseLimitPairs } from './structured-limit.ts';

/** What an answer tells of its source's limits. `cost`: what the request was priced at, where the source counts points. */
export type ReadLimits = { readonly observations: readonly Observation[]; readonly cost: number | null };

type Answer = { readonly headers: IncomingHttpHeaders; readonly body: unknown };
type Reader = (headers: IncomingHttpHeaders, answeredAtMs: number) => readonly Observation[];

const MINUTE_MS = 60_000;
/** Shopify's slowest bucket leaks so much; a faster one only makes us more careful than we must be. */
const SHOPIFY_LEAK_PER_S = 2;
/** A rolling day tells no reset: it is asked again after this. */
const SALESFORCE_ASK_AGAIN_MS = 300_000;

/** What cannot be read says nothing: a limit is learned whole or not at all. `nowMs` counts where an answer has no `Date`. */
export function readLimits({ headers, body }: Answer, nowMs: number): ReadLimits {
  const observations = tellsOfLimits(headers) ? readHeaders(headers, nowMs) : NOTHING;
  const query = readQueryCost(body);
  if (query === null) return { observations, cost: null };
  return { observations: [...observations, query.observation], cost: query.cost };
}

const NOTHING: readonly Observation[] = [];

/** Most answers tell nothing, and the readers together take longer than the rest of the limiter. All their names have it. */
function tellsOfLimits(headers: IncomingHttpHeaders): boolean {
  for (const name in headers) if (name.includes('limit')) return true;
  return false;
}

function readHeaders(headers: IncomingHttpHeaders, nowMs: number): readonly Observation[] {
  const answeredAtMs = answeredMs(headers, nowMs);
  return READERS.flatMap((read) => read(headers, answeredAtMs));
}

const observe = (key: string, remaining: number | null, more: Partial<Observation>): readonly Observation[] => {
  if (remaining === null) return [];
  const base = { limit: null, resetMs: null, windowMs: null, perSecond: 0, isScoped: false };
  const limit = more.limit ?? null;
  // Budgets with other limits are other budgets, even where the header's name is the same.
  const fullKey = limit === null ? key : `${key}/${limit}`;
  return [{ ...base, ...more, key: more.perSecond === undefined ? fullKey : key, remaining }];
};

/** `<prefix>limit`, `<prefix>remaining`, `<prefix>reset`, in all units that are seen for the last one. */
const triple =
  (key: string, prefix: string, more: Partial<Observation> = {}): Reader =>
  (headers, answeredAtMs) =>
    observe(key, numberOf(headers, `${prefix}remaining`), {
      limit: numberOf(headers, `${prefix}limit`),
      resetMs: parseResetMs(textOf(headers, `${prefix}reset`), answeredAtMs),
      ...more,
    });

/** GitHub's budgets have names: `core`, `search`. Without one it is the source's only budget. */
const xRateLimit: Reader = (headers, answeredAtMs) => {
  const resource = textOf(headers, 'x-ratelimit-resource')?.slice(0, 64) ?? null;
  const key = resource === null ? 'x-ratelimit' : `x-ratelimit ${resource}`;
  return triple(key, 'x-ratelimit-', { isScoped: resource !== null })(headers, answeredAtMs);
};

/** Zendesk: per minute. Its `x-rate-limit` itself is the limit. */
const xRateLimitDashed: Reader = (headers, answeredAtMs) =>
  observe('x-rate-limit', numberOf(headers, 'x-rate-limit-remaining'), {
    limit: numberOf(headers, 'x-rate-limit-limit') ?? numberOf(headers, 'x-rate-limit'),
    resetMs: parseResetMs(textOf(headers, 'x-rate-limit-reset'), answeredAtMs),
    windowMs: MINUTE_MS,
  });

const hubspot: Reader = (headers) => {
  const intervalMs = numberOf(headers, 'x-hubspot-ratelimit-interval-milliseconds');
  return observe('x-hubspot-ratelimit', numberOf(headers, 'x-hubspot-ratelimit-remaining'), {
    limit: numberOf(headers, 'x-hubspot-ratelimit-max'),
    windowMs: intervalMs === null ? null : boundReset(intervalMs),
  });
};

const hubspotSecond: Reader = (headers) =>
  observe('x-hubspot-ratelimit-secondly', numberOf(headers, 'x-hubspot-ratelimit-secondly-remaining'), {
    limit: numberOf(headers, 'x-hubspot-ratelimit-secondly'),
    windowMs: 1_000,
  });

/** `32/40`: a bucket that is full at 40 and leaks. */
const shopifyBucket: Reader = (headers) => {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(textOf(headers, 'x-shopify-shop-api-call-limit') ?? '');
  if (match === null) return [];
  const limit = Number(match[2]);
  return observe('x-shopify-shop-api-call-limit', Math.max(0, limit - Number(match[1])), {
    limit,
    perSecond: SHOPIFY_LEAK_PER_S,
  });
};

/** `api-usage=18/5000`, of a rolling day. */
const salesforce: Reader = (headers) => {
  const match = /(?:^|[,;\s])api-usage=(\d{1,12})\/(\d{1,12})/.exec(textOf(headers, 'sforce-limit-info') ?? '');
  if (match === null) return [];
  const limit = Number(match[2]);
  return observe('sforce-limit-info', Math.max(0, limit - Number(match[1])), {
    limit,
    resetMs: SALESFORCE_ASK_AGAIN_MS,
    windowMs: SALESFORCE_ASK_AGAIN_MS,
  });
};

/** The IETF draft, in the form of a list of named items and in the older one of pairs. */
const rateLimitField: Reader = (headers) => {
  const text = listTextOf(headers, 'ratelimit');
  if (text === null) return [];
  const policies = parseLimitItems(listTextOf(headers, 'ratelimit-policy') ?? '') ?? [];
  const pairs = parseLimitPairs(text);
  if (pairs !== null) {
    return observe('ratelimit', pairs.get('remaining') ?? null, {
      limit: pairs.get('limit') ?? null,
      resetMs: secondsMs(pairs.get('reset')),
    });
  }
  return (parseLimitItems(text) ?? []).flatMap(({ name, params }) => {
    const policy = policies.find((one) => one.name === name)?.params;
    return observe(`ratelimit ${name}`, params.get('r') ?? null, {
      limit: policy?.get('q') ?? null,
      resetMs: secondsMs(params.get('t')),
      windowMs: secondsMs(policy?.get('w')),
    });
  });
};

const secondsMs = (seconds: number | undefined): number | null =>
  seconds === undefined ? null : boundReset(seconds * 1_000);

const READERS: readonly Reader[] = [
  rateLimitField,
  triple('ratelimit-remaining', 'ratelimit-'),
  xRateLimit,
  triple('x-ratelimit-requests', 'x-ratelimit-requests-'),
  xRateLimitDashed,
  hubspot,
  hubspotSecond,
  shopifyBucket,
  salesforce,
];

const COST = mustParsePath('extensions.cost');
const REMAINING = mustParsePath('throttleStatus.currentlyAvailable');
const MAXIMUM = mustParsePath('throttleStatus.maximumAvailable');
const RESTORE_RATE = mustParsePath('throttleStatus.restoreRate');
const REQUESTED = mustParsePath('requestedQueryCost');

/** Shopify's GraphQL prices queries: what is left, how fast it comes back, and what this one cost at most. */
function readQueryCost(body: unknown): { observation: Observation; cost: number | null } | null {
  const cost = readPath(body, COST);
  if (!cost.found) return null;
  const numberAt = (path: Path): number | null => {
    const found = readPath(cost.value, path);
    return found.found && typeof found.value === 'number' ? parseNumber(String(found.value)) : null;
  };
  const remaining = numberAt(REMAINING);
  const limit = numberAt(MAXIMUM);
  const perSecond = numberAt(RESTORE_RATE);
  if (remaining === null || limit === null || perSecond === null || perSecond <= 0) return null;
  const [observation] = observe('graphql cost', remaining, { limit, perSecond });
  return observation === undefined ? null : { observation, cost: numberAt(REQUESTED) };
}
