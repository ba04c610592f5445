import { type Commit, formatInstant, type HostileSource, type Ledger, type Random } from 'syncline/testing';
import { editCustomer, editOrder, makeCustomer, makeOrder } from './make-records.ts';
import type { Customer, Order, Unstamped } from './records.ts';
import type { Shop } from './shop.ts';

export type ActionDeps = {
  readonly source: Pick<HostileSource, 'clock' | 'counters'>;
  readonly shop: Shop;
  readonly random: Random;
  /** Makes a prepared change visible, now or later. */
  readonly commit: (ready: Commit) => void;
};

type Action = 'create' | 'update' | 'burst' | 'revert' | 'touch' | 'delete';

/** How often each action is drawn. As many records come as go, so the shop keeps about its size. */
const ACTIONS: readonly [Action, ...Action[]] = [
  'create',
  ...Array<Action>(11).fill('create'),
  ...Array<Action>(40).fill('update'),
  ...Array<Action>(14).fill('burst'),
  ...Array<Action>(10).fill('revert'),
  ...Array<Action>(12).fill('touch'),
  ...Array<Action>(12).fill('delete'),
];
const CUSTOMER_SHARE = 0.6;
const MAX_RECORDS_OF_A_KIND = 50_000;
const MAX_BURST = 4;
const MAX_PICKS = 5;
const MAX_REMEMBERED = 32;

/** One kind of record and how its content comes about. */
type Kind<R extends Customer | Order> = {
  readonly ledger: Ledger<R, Unstamped<R>>;
  readonly make: () => Unstamped<R> | null;
  readonly edit: (record: R) => R;
  /** Earlier contents to go back to, so that A→B→A happens over several ticks too. */
  readonly remembered: R[];
};

/** @returns a function that does one random thing to the shop, and returns how many changes that was (0 to 4). */
export function createActions({ shop, source, random, commit }: ActionDeps): () => number {
  const { clock, counters } = source;
  const now = () => formatInstant(clock.tick());
  const customers: Kind<Customer> = {
    ledger: shop.customers,
    make: () => makeCustomer(random),
    edit: (customer) => editCustomer(random, customer),
    remembered: [],
  };
  const orders: Kind<Order> = {
    ledger: shop.orders,
    make: () => {
      const customerId = pickIdle(shop.customers, random);
      return customerId === null ? null : makeOrder(random, customerId, now());
    },
    edit: (order) => editOrder(random, order, now()),
    remembered: [],
  };

  const create = <R extends Customer | Order>({ ledger, make }: Kind<R>): number => {
    const fields = ledger.records.size() < MAX_RECORDS_OF_A_KIND ? make() : null;
    if (fields === null) return 0;
    commit(ledger.prepareCreate(fields));
    return 1;
  };
  const update = <R extends Customer | Order>({ ledger }: Kind<R>, id: string, edit: (record: R) => R): number => {
    const ready = ledger.prepareUpdate(id, edit);
    if (ready === null) return 0;
    commit(ready);
    return 1;
  };
  const revert = <R extends Customer | Order>(kind: Kind<R>, id: string): number => {
    const earlier = random.chance(0.5) ? kind.remembered.shift() : undefined;
    if (earlier !== undefined) {
      const made = update(kind, earlier.id, () => earlier);
      counters.changes.reverted += made;
      return made;
    }
    const original = kind.ledger.records.get(id)?.record;
    const made = update(kind, id, kind.edit);
    if (original === undefined || made === 0) return 0;
    if (random.chance(0.5)) {
      kind.remembered.push(original);
      if (kind.remembered.length > MAX_REMEMBERED) kind.remembered.shift();
      return made;
    }
    const restored = update(kind, id, () => original);
    counters.changes.reverted += restored;
    return made + restored;
  };

  const act = <R extends Customer | Order>(kind: Kind<R>): number => {
    const action = random.pick(ACTIONS);
    if (action === 'create') return create(kind);
    const id = pickIdle(kind.ledger, random);
    if (id === null) return 0;
    switch (action) {
      case 'update':
        return update(kind, id, kind.edit);
      case 'burst': {
        let made = 0;
        for (let left = random.whole(2, MAX_BURST); left > 0; left--) made += update(kind, id, kind.edit);
        return made;
      }
      case 'revert':
        return revert(kind, id);
      case 'touch': {
        const made = update(kind, id, (record) => record);
        counters.changes.touched += made;
        return made;
      }
      case 'delete':
        return kind.ledger.remove(id) ? 1 : 0;
    }
  };
  return () => (random.chance(CUSTOMER_SHARE) ? act(customers) : act(orders));
}

/** A random record that is not about to change already; `null` when a few draws find none. */
function pickIdle<R extends Draft, Draft>(ledger: Ledger<R, Draft>, random: Random): string | null {
  for (let pick = 0; pick < MAX_PICKS; pick++) {
    const id = ledger.records.idAt(random.whole(0, Math.max(0, ledger.records.size() - 1)));
    if (id !== undefined && !ledger.isBusy(id)) return id;
  }
  return null;
}
