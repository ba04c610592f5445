import { sql } from 'drizzle-orm';
import { jsonb, numeric, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true });
const amount = (name: string) => numeric(name, { precision: 15, scale: 2 });

/** Two-way. What only the shop can say may be null: a row made here waits for it. */
export const customers = pgTable('shop_customers', {
  /** The shop's id. A row made here has one of its own until the shop has given it another. */
  externalId: text('external_id').primaryKey().default(sql`'new_' || gen_random_uuid()`),
  name: text('name').notNull(),
  email: text('email').notNull(),
  status: text('status').$type<'enabled' | 'disabled' | 'unknown'>().notNull().default('enabled'),
  amount: amount('amount').notNull().default('0'),
  /** Joined by a comma and a space; empty when there is none. */
  tags: text('tags'),
  streetAddress: text('street_address'),
  note: text('note'),
  createdDate: instant('created_date'),
  updatedDate: instant('updated_date'),
  syncSource: text('sync_source').notNull().default('shop'),
  lastSyncedAt: instant('last_synced_at').notNull().defaultNow(),
});

type OrderItem = { readonly sku: string; readonly quantity: number };

export const orders = pgTable('shop_orders', {
  externalId: text('external_id').primaryKey(),
  /** No foreign key: an order may come before its customer does, and the shop keeps orders of deleted customers. */
  customerId: text('customer_id').notNull(),
  number: text('number').notNull(),
  status: text('status').notNull(),
  total: amount('total').notNull(),
  currency: text('currency').notNull(),
  items: jsonb('items').$type<readonly OrderItem[]>().notNull(),
  placedAt: instant('placed_at').notNull(),
  shippedAt: instant('shipped_at'),
  updatedDate: instant('updated_date').notNull(),
  lastSyncedAt: instant('last_synced_at').notNull(),
});
