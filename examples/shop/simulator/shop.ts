import type { Counters } from './counters.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { makeCustomer, makeOrder } from './make-records.ts';
import type { Random } from './random.ts';
import type { Customer, Order, ShopEvent } from './records.ts';
import type { ShopClock } from './shop-clock.ts';

/** The truth that a reader must end up equal to. An order outlives its customer, as bookkeeping demands. */
export type Shop = { readonly customers: Ledger<Customer>; readonly orders: Ledger<Order> };

export type ShopDeps = {
  readonly clock: ShopClock;
  readonly counters: Counters;
  /** Told of every change in the order in which they become visible. */
  readonly announce: (event: ShopEvent) => void;
};

export function createShop({ clock, counters, announce }: ShopDeps): Shop {
  return {
    customers: createLedger<Customer>({
      noun: 'customer',
      clock,
      counters,
      announce,
      stampNew: (fields, at) => ({ ...fields, created_at: at, updated_at: at }),
      restamp: (record, at) => ({ ...record, updated_at: at }),
    }),
    orders: createLedger<Order>({
      noun: 'order',
      clock,
      counters,
      announce,
      stampNew: (fields, at) => ({ ...fields, created_at: at, updated_at: at }),
      restamp: (record, at) => ({ ...record, updated_at: at }),
    }),
  };
}

export type RecordCounts = { readonly customers: number; readonly orders: number };

const SEEDED_HISTORY_MS = 30 * 24 * 60 * 60 * 1_000;

/** Fills an empty shop with records of the past 30 days, without announcing them. */
export function seedShop(shop: Shop, deps: { clock: ShopClock; random: Random; counts: RecordCounts }): void {
  const { clock, random, counts } = deps;
  const pastStamp = () => {
    const atMs = clock.nowMs() - random.whole(clock.tickMs, SEEDED_HISTORY_MS);
    return clock.format(Math.floor(atMs / clock.tickMs) * clock.tickMs);
  };
  for (let made = 0; made < counts.customers; made++) {
    const at = pastStamp();
    shop.customers.seed({ ...makeCustomer(random), created_at: at, updated_at: at });
  }
  for (let made = 0; made < counts.orders; made++) {
    const customerId = shop.customers.records.idAt(random.whole(0, shop.customers.records.size() - 1));
    if (customerId === undefined) return;
    const at = pastStamp();
    shop.orders.seed({ ...makeOrder(random, customerId, at), created_at: at, updated_at: at });
  }
}
