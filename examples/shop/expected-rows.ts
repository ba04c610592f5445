import { z } from 'zod';

/**
 * What the tables must hold for what the shop holds, written down a second time and without Syncline: a check that used
 * the same mapping could not find a mistake in it. Amounts are text as numeric columns give them, instants ISO in UTC.
 * Left out: the columns that say when a row was written.
 */
export type ExpectedRow = { readonly external_id: string; readonly [column: string]: unknown };

const customerSchema = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  status: z.enum(['active', 'inactive', 'trial']),
  amount_cents: z.int(),
  metadata: z.object({ tags: z.array(z.string()) }),
  address: z.object({ line1: z.string(), line2: z.string().nullable() }),
  note: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
});

const orderSchema = z.object({
  id: z.string(),
  customer_id: z.string(),
  number: z.string(),
  status: z.string(),
  total_cents: z.int(),
  currency: z.string(),
  items: z.array(z.object({ sku: z.string(), quantity: z.int() })),
  placed_at: z.string(),
  shipped_at: z.string().nullable(),
  updated_at: z.string(),
});

const STATUS = { active: 'enabled', inactive: 'disabled', trial: 'unknown' } as const;

/** The row of `shop_customers` for a customer as the shop gives it. Throws when it is none. */
export function expectedCustomer(record: unknown): ExpectedRow {
  const customer = customerSchema.parse(record);
  const { line1, line2 } = customer.address;
  return {
    external_id: customer.id,
    name: customer.name,
    email: customer.email.trim().toLowerCase(),
    status: STATUS[customer.status],
    amount: decimalOf(customer.amount_cents),
    tags: customer.metadata.tags.join(', '),
    street_address: line2 === null ? line1 : `${line1} ${line2}`,
    note: customer.note,
    created_date: isoOf(customer.created_at),
    updated_date: isoOf(customer.updated_at),
    sync_source: 'shop',
  };
}

/** The row of `shop_orders` for an order as the shop gives it. Throws when it is none. */
export function expectedOrder(record: unknown): ExpectedRow {
  const order = orderSchema.parse(record);
  return {
    external_id: order.id,
    customer_id: order.customer_id,
    number: order.number,
    status: order.status,
    total: decimalOf(order.total_cents),
    currency: order.currency,
    items: order.items,
    placed_at: isoOf(order.placed_at),
    shipped_at: order.shipped_at === null ? null : isoOf(order.shipped_at),
    updated_date: isoOf(order.updated_at),
  };
}

function decimalOf(cents: number): string {
  const digits = String(Math.abs(cents)).padStart(3, '0');
  return `${cents < 0 ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

const isoOf = (instant: string): string => new Date(instant).toISOString();
