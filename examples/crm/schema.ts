import { boolean, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true });

export const contacts = pgTable('crm_contacts', {
  externalId: text('external_id').primaryKey(),
  email: text('email'),
  fullName: text('full_name').notNull(),
  company: text('company'),
  isSubscribed: boolean('is_subscribed').notNull(),
  updatedAt: instant('updated_at').notNull(),
  syncedAt: instant('synced_at').notNull(),
});
