import { bigint, boolean, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true });

/** The number is what people and the API name an issue by; within one repository it is never given twice. */
export const issues = pgTable('github_issues', {
  number: integer('number').primaryKey(),
  githubId: bigint('github_id', { mode: 'number' }).notNull(),
  title: text('title').notNull(),
  body: text('body'),
  state: text('state').notNull(),
  stateReason: text('state_reason'),
  author: text('author'),
  assignees: jsonb('assignees').$type<string[]>().notNull(),
  labels: jsonb('labels').$type<string[]>().notNull(),
  milestone: text('milestone'),
  isLocked: boolean('is_locked').notNull(),
  comments: integer('comments').notNull(),
  url: text('url').notNull(),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
  closedAt: instant('closed_at'),
  syncedAt: instant('synced_at').notNull(),
});

/** Only what lists, reads and webhooks all carry: a list leaves out `merged`, `mergeable` and the counts of changes. */
export const pullRequests = pgTable('github_pull_requests', {
  number: integer('number').primaryKey(),
  githubId: bigint('github_id', { mode: 'number' }).notNull(),
  title: text('title').notNull(),
  body: text('body'),
  state: text('state').notNull(),
  isDraft: boolean('is_draft').notNull(),
  author: text('author'),
  assignees: jsonb('assignees').$type<string[]>().notNull(),
  reviewers: jsonb('reviewers').$type<string[]>().notNull(),
  labels: jsonb('labels').$type<string[]>().notNull(),
  milestone: text('milestone'),
  isLocked: boolean('is_locked').notNull(),
  baseBranch: text('base_branch').notNull(),
  headBranch: text('head_branch').notNull(),
  headSha: text('head_sha').notNull(),
  url: text('url').notNull(),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
  closedAt: instant('closed_at'),
  mergedAt: instant('merged_at'),
  syncedAt: instant('synced_at').notNull(),
});

/** Keyed by name, because the API reads a label by nothing else. A renamed label keeps its `github_id`. */
export const labels = pgTable('github_labels', {
  name: text('name').primaryKey(),
  githubId: bigint('github_id', { mode: 'number' }).notNull(),
  color: text('color').notNull(),
  description: text('description'),
  isDefault: boolean('is_default').notNull(),
  syncedAt: instant('synced_at').notNull(),
});
