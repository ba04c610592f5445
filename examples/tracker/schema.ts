import { integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true });

export const issues = pgTable('tracker_issues', {
  externalId: text('external_id').primaryKey(),
  /** What people call it: `ENG-42`. */
  identifier: text('identifier').notNull(),
  title: text('title').notNull(),
  state: text('state').notNull(),
  priority: integer('priority').notNull(),
  assignee: text('assignee'),
  labels: jsonb('labels').$type<readonly string[]>().notNull(),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
  syncedAt: instant('synced_at').notNull(),
});
