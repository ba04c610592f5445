import {
  formatInstant,
  type HostileSource,
  type Ledger,
  type Random,
  restDialect,
  tickOf,
  type WriteRules,
} from 'syncline/testing';
import type { CustomerEdit } from './control.ts';
import { makeCustomer, makeOrder } from './make-records.ts';
import type { Customer, Order, Unstamped } from './records.ts';
import { orderWrites } from './write-rules.ts';

/** The truth that a reader must end up equal to. An order outlives its customer, as bookkeeping demands. */
export type Shop = {
  readonly customers: Ledger<Customer, Unstamped<Customer>>;
  readonly orders: Ledger<Order, Unstamped<Order>>;
};

export function addShop(source: HostileSource, rules: WriteRules<Customer, Unstamped<Customer>>): Shop {
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
      (ledger) => restDialect(ledger, { path: '/customers', writes: rules }),
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

/** A change by the shop's own people. What does not fit, or no longer stands, is passed over. */
export function editCustomer(
  { customers }: Shop,
  rules: WriteRules<Customer, Unstamped<Customer>>,
  edit: CustomerEdit,
): void {
  if (edit.kind === 'delete') {
    customers.remove(edit.id);
    return;
  }
  if (edit.kind === 'create') {
    const parsed = rules.create?.(edit.fields);
    if (parsed?.ok) customers.prepareCreate(parsed.draft)();
    return;
  }
  customers.prepareUpdate(edit.id, (customer) => {
    const parsed = rules.update?.(edit.fields, customer);
    return parsed?.ok ? parsed.draft : customer;
  })?.();
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
