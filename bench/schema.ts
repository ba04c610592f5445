import { boolean, integer, jsonb, numeric, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

/** An ordinary target table of fourteen columns. Its migration is in `drizzle/`. */
export const customers = pgTable('bench_customers', {
  externalId: text('external_id').primaryKey(),
  email: text('email').notNull(),
  name: text('name').notNull(),
  phone: text('phone'),
  description: text('description'),
  amount: numeric('amount', { precision: 12, scale: 2 }).notNull(),
  orders: integer('orders').notNull(),
  status: text('status').notNull(),
  isActive: boolean('is_active').notNull(),
  city: text('city'),
  tags: jsonb('tags').$type<string[]>().notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
  updatedAt: timestamp('updated_at', { withTimezone: true }).notNull(),
  syncedAt: timestamp('synced_at', { withTimezone: true }).notNull(),
});
