import type { Random } from 'syncline/testing';
import { formatInstant, type HostileSource, type Ledger, restDialect, tickOf } from 'syncline/testing';
import { makeCustomer, makeOrder } from './make-records.ts';
import type { Customer, Order, Unstamped } from './records.ts';
import { customerWrites, orderWrites } from './write-rules.ts';

/** The truth that a reader must end up equal to. An order outlives its customer, as bookkeeping demands. */
export type Shop = {
  readonly customers: Ledger<Customer, Unstamped<Customer>>;
  readonly orders: Ledger<Order, Unstamped<Order>>;
};

export function addShop(source: HostileSource, random: Random): Shop {
  return {
    customers: source.add<Customer, Unstamped<Customer>>(
      {
        name: 'customers',
        order: 'time',
        idOf: ({ id }) => id,
        stamp: (draft, at, was) => ({
          ...draft,
          email_domain: draft.email.trim().toLowerCase().split('@')[1] ?? '',
          created_at: was?.created_at ?? formatInstant(at),
          updated_at: formatInstant(at),
        }),
      },
      (ledger) => restDialect(ledger, { path: '/customers', writes: customerWrites(random) }),
    ),
    orders: source.add<Order, Unstamped<Order>>(
      {
        name: 'orders',
        order: 'time',
        idOf: ({ id }) => id,
        stamp: (draft, at, was) => ({
          ...draft,
          created_at: was?.created_at ?? formatInstant(at),
          updated_at: formatInstant(at),
        }),
      },
      (ledger) => restDialect(ledger, { path: '/orders', writes: orderWrites(source.clock) }),
    ),
  };
}

export type RecordCounts = { readonly customers: number; readonly orders: number };

const SEEDED_HISTORY_MS = 30 * 24 * 60 * 60 * 1_000;

/** Fills an empty shop with records of the past 30 days, without announcing them. */
export function seedShop(shop: Shop, deps: { source: HostileSource; random: Random; counts: RecordCounts }): void {
  const { random, counts } = deps;
  const { clock } = deps.source;
  const pastTick = () => tickOf(clock.nowMs() - random.whole(clock.tickMs, SEEDED_HISTORY_MS), clock.tickMs);
  for (let made = 0; made < counts.customers; made++) {
    const at = pastTick();
    shop.customers.seed(makeCustomer(random), at);
  }
  for (let made = 0; made < counts.orders; made++) {
    const customerId = shop.customers.records.idAt(random.whole(0, shop.customers.records.size() - 1));
    if (customerId === undefined) return;
    const at = pastTick();
    shop.orders.seed(makeOrder(random, customerId, formatInstant(at)), at);
  }
}
