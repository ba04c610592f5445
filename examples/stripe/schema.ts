import { boolean, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true });

type Metadata = { readonly [name: string]: string };

export const customers = pgTable('stripe_customers', {
  externalId: text('external_id').primaryKey(),
  email: text('email'),
  name: text('name'),
  phone: text('phone'),
  description: text('description'),
  /** In the smallest unit of the currency. Below zero the customer has credit. */
  balance: integer('balance'),
  currency: text('currency'),
  isDelinquent: boolean('is_delinquent'),
  metadata: jsonb('metadata').$type<Metadata>(),
  createdAt: instant('created_at').notNull(),
  syncedAt: instant('synced_at').notNull(),
});

export const products = pgTable('stripe_products', {
  externalId: text('external_id').primaryKey(),
  name: text('name').notNull(),
  isActive: boolean('is_active').notNull(),
  description: text('description'),
  defaultPriceId: text('default_price_id'),
  metadata: jsonb('metadata').$type<Metadata>(),
  createdAt: instant('created_at').notNull(),
  syncedAt: instant('synced_at').notNull(),
});

export const subscriptions = pgTable('stripe_subscriptions', {
  externalId: text('external_id').primaryKey(),
  customerId: text('customer_id').notNull(),
  /** A cancelled one stays, as `canceled`. */
  status: text('status').notNull(),
  /** Of the first item; most subscriptions have one. */
  priceId: text('price_id'),
  quantity: integer('quantity'),
  currency: text('currency'),
  cancelsAtPeriodEnd: boolean('cancels_at_period_end'),
  metadata: jsonb('metadata').$type<Metadata>(),
  createdAt: instant('created_at').notNull(),
  startedAt: instant('started_at'),
  canceledAt: instant('canceled_at'),
  endedAt: instant('ended_at'),
  syncedAt: instant('synced_at').notNull(),
});
