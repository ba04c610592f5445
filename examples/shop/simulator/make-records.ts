import type { Random } from 'syncline/testing';
import type { Customer, Order, Unstamped } from './records.ts';

const FIRST_NAMES = ['Ada', 'Björn', 'Chloé', 'Dmitri', 'Emeka', 'Fatima', 'Grace', 'Hiroko', 'Íñigo', '李'] as const;
const LAST_NAMES = ['Adeyemi', "O'Neill", 'Müller', 'Nakamura', 'Smith-Jones', 'Åström', '伟', 'Silva'] as const;
const DOMAINS = ['example.com', 'Example.ORG', 'shop.example.net'] as const;
const STREETS = ['High Street', 'Rue de l’Église', 'Hauptstraße', 'Ōdōri', 'Calle Mayor'] as const;
const TAGS = ['vip', 'wholesale', 'newsletter', 'late payer', 'press', 'B2B'] as const;
const NOTES = [
  '',
  'Calls first.',
  'Said "never again" 😀',
  "Robert'); DROP TABLE orders;--",
  'two\nlines',
  '100 %',
] as const;
const CURRENCIES = ['EUR', 'USD', 'JPY'] as const;
const SKUS = ['MUG-01', 'TEE-L', 'CAP-RED', 'BAG-XL'] as const;
const CUSTOMER_STATUSES = ['active', 'inactive', 'trial'] as const;
const ORDER_STATUSES = ['open', 'paid', 'shipped', 'cancelled'] as const;
const ID_LENGTH = 14;
const MAX_LINE_ITEMS = 4;

export function makeCustomer(random: Random): Unstamped<Customer> {
  const first = random.pick(FIRST_NAMES);
  const last = random.pick(LAST_NAMES);
  return {
    id: `cus_${random.text(ID_LENGTH)}`,
    name: `${first} ${last}`,
    email: makeEmail(random),
    status: random.pick(CUSTOMER_STATUSES),
    amount_cents: makeCents(random),
    metadata: { tags: TAGS.filter(() => random.chance(0.3)) },
    address: {
      line1: `${random.whole(1, 250)} ${random.pick(STREETS)}`,
      line2: random.chance(0.4) ? `Floor ${random.whole(1, 30)}` : null,
    },
    note: random.chance(0.5) ? null : random.pick(NOTES),
  };
}

export function makeOrder(random: Random, customerId: string, placedAt: string): Unstamped<Order> {
  const status = random.pick(ORDER_STATUSES);
  return {
    id: `ord_${random.text(ID_LENGTH)}`,
    customer_id: customerId,
    number: `S-${random.whole(100_000, 999_999)}`,
    status,
    total_cents: Math.abs(makeCents(random)),
    currency: random.pick(CURRENCIES),
    items: Array.from({ length: random.whole(1, MAX_LINE_ITEMS) }, () => ({
      sku: random.pick(SKUS),
      quantity: random.whole(1, 12),
    })),
    placed_at: placedAt,
    shipped_at: status === 'shipped' ? placedAt : null,
  };
}

/** A customer with one field changed. */
export function editCustomer(random: Random, customer: Customer): Customer {
  const fresh = makeCustomer(random);
  const edits = [
    { email: fresh.email },
    { amount_cents: fresh.amount_cents },
    { status: fresh.status },
    { metadata: fresh.metadata },
    { address: fresh.address },
    { note: customer.note === null ? random.pick(NOTES) : null },
  ] as const;
  return { ...customer, ...random.pick<Partial<Customer>>(edits) };
}

/** An order with one field changed; one that ships gets its time. */
export function editOrder(random: Random, order: Order, now: string): Order {
  const fresh = makeOrder(random, order.customer_id, now);
  const edits = [
    { status: fresh.status, shipped_at: fresh.status === 'shipped' ? now : null },
    { total_cents: fresh.total_cents },
    { items: fresh.items },
  ] as const;
  return { ...order, ...random.pick<Partial<Order>>(edits) };
}

function makeEmail(random: Random): string {
  const plain = `${random.pick(['Ada', 'bo', 'C.Lee', 'd_k'])}+${random.text(6)}@${random.pick(DOMAINS)}`;
  return random.chance(0.15) ? `  ${plain} ` : plain;
}

/** Whole cents. A few are large enough that a float of the decimal would be off by one. */
const makeCents = (random: Random): number =>
  random.chance(0.05) ? random.whole(10 ** 11, 10 ** 13) : random.whole(-50_000, 5_000_000);
