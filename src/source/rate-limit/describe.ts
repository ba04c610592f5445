import type { RateLimit } from './definition.ts';
import { leftOf } from './learned.ts';
import type { LimitRow } from './limiter.ts';
import { freeInMs, spentOf, total } from './meter.ts';
import type { LimitState } from './state.ts';

/** Limits as declared, with nothing of their use: for the specification. */
export const describeRateLimits = (limits: readonly RateLimit[]): readonly LimitRow[] => limits.flatMap(rowsOfLimit);

function rowsOfLimit({ name, match, budget, concurrent }: RateLimit): LimitRow[] {
  const base = { name, match, origin: 'declared', used: null, freeAt: null } as const;
  const rows: LimitRow[] = [];
  if (budget !== null) {
    const rule = `${budget.requests} requests per ${words(budget.perMs)}, ${budget.window}`;
    rows.push({ ...base, rule, limit: budget.requests });
  }
  if (concurrent !== null) rows.push({ ...base, rule: `${concurrent} at the same time`, limit: concurrent });
  return rows;
}

/** Every limit with its use at the state's time. */
export function describeUse(state: LimitState, limits: readonly RateLimit[]): readonly LimitRow[] {
  const { at: nowMs } = state;
  const iso = (ms: number): string => new Date(ms).toISOString();
  const underWay = (key: string, weigh: (weight: number) => number): number =>
    total(Object.values(state.flights).map(({ costs }) => (key in costs ? weigh(costs[key] ?? 0) : 0)));
  const declared = limits.flatMap((limit) => {
    const { key, budget, concurrent } = limit;
    const meter = state.meters[key];
    const spent = meter === undefined ? 0 : total(spentOf(meter, nowMs));
    const used = spent + underWay(key, (weight) => weight);
    const freeAt = meter === undefined || spent === 0 ? null : iso(nowMs + freeInMs(meter, 1, nowMs));
    const useOfBudget = { used, freeAt };
    const useOfSlots = { used: underWay(key, () => 1), freeAt: null };
    return rowsOfLimit(limit).map((row, at) => ({
      ...row,
      ...(at === 0 && budget !== null ? useOfBudget : useOfSlots),
      limit: at === 0 && budget !== null ? budget.requests : concurrent,
    }));
  });
  const learned = Object.entries(state.learned).map(([key, one]): LimitRow => {
    const left = leftOf(one, nowMs) - underWay(key, (weight) => weight);
    const refill = one.perSecond > 0 ? `, ${one.perSecond} back per s` : '';
    const window = one.windowMs === null ? '' : ` per ${words(one.windowMs)}`;
    return {
      name: key.slice(1),
      match: null,
      origin: 'learned',
      rule: one.limit === null ? 'a limit that the source does not name' : `${one.limit}${window}${refill}`,
      used: one.limit === null ? null : Math.max(0, one.limit - left),
      limit: one.limit,
      freeAt: one.resetAt === null ? null : iso(one.resetAt),
    };
  });
  return [...declared, ...learned];
}

const words = (ms: number): string => `${ms / 1_000} s`;
