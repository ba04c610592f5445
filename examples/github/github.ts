import {
  bearer,
  defineIntegration,
  entity,
  env,
  field,
  isoDate,
  linkHeader,
  secret,
  signatures,
  syncedAt,
  transform,
} from 'syncline';
import { z } from 'zod';
import { issues, labels, pullRequests } from './schema.ts';

const userSchema = z.object({ login: z.string() });
const labelNameSchema = z.object({ name: z.string() });

/** What issues and pull requests have in common. */
const threadSchema = z.object({
  id: z.number(),
  number: z.number(),
  url: z.string(),
  html_url: z.string(),
  title: z.string(),
  body: z.string().nullish(),
  state: z.enum(['open', 'closed']),
  locked: z.boolean(),
  /** Null once the account is gone. */
  user: userSchema.nullish(),
  assignees: z.array(userSchema),
  labels: z.array(labelNameSchema),
  milestone: z.object({ title: z.string() }).nullish(),
  created_at: z.string(),
  updated_at: z.string(),
  closed_at: z.string().nullish(),
});

const issueSchema = threadSchema.extend({
  comments: z.number(),
  state_reason: z.string().nullish(),
  /** Present where the issue is a pull request. */
  pull_request: z.unknown().optional(),
});

const pullRequestSchema = threadSchema.extend({
  draft: z.boolean().default(false),
  requested_reviewers: z.array(userSchema),
  base: z.object({ ref: z.string() }),
  head: z.object({ ref: z.string(), sha: z.string() }),
  merged_at: z.string().nullish(),
});

const labelSchema = z.object({
  id: z.number(),
  url: z.string(),
  name: z.string(),
  color: z.string(),
  /** Webhooks leave it out where a label has none. */
  description: z.string().nullish(),
  default: z.boolean(),
});

/** Sorted, because webhooks and the API do not promise one order. */
const logins = transform((users: readonly { login: string }[]) => users.map(({ login }) => login).sort());
const names = transform((named: readonly { name: string }[]) => named.map(({ name }) => name).sort());

/** Whole seconds, by GitHub's one clock. Changes within one second share it: which is the later one, a read tells. */
const version = { kind: 'timestamp', field: 'updated_at', precision: 'second' } as const;

/**
 * Issues, pull requests and labels of one repository.
 *
 * Records of other repositories are none of ours: a hook of the organisation delivers those of all its repositories, and
 * a read of an issue that was transferred is redirected to its new home. Every record names its repository in `url`.
 *
 * @param repository `owner/name`. Undefined stops the start, by the name of the variable that is missing.
 */
export function github(repository: string | undefined) {
  const isOurs = ({ url }: { readonly url: string }): boolean =>
    URL.canParse(url) && new URL(url).pathname.toLowerCase().includes(`/repos/${repository?.toLowerCase()}/`);

  return defineIntegration({
    name: 'github',
    source: {
      baseUrl: env('GITHUB_API_URL', 'https://api.github.com'),
      auth: bearer({ token: secret('GITHUB_TOKEN') }),
      headers: { accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' },
      params: { repository: repository || env('GITHUB_REPOSITORY') },
    },
    webhook: {
      signature: signatures.github({ secrets: [secret('GITHUB_WEBHOOK_SECRET')] }),
      // GitHub's own limit. Pull requests of many files come near it.
      maxBodyBytes: 26_214_400,
      events: {
        'issues.*': { entity: 'issues', record: 'issue' },
        'issues.deleted': { entity: 'issues', record: 'issue', deletes: true },
        // The issue as it was here; the one in the other repository is in `changes`.
        'issues.transferred': { entity: 'issues', record: 'issue', deletes: true },
        // Both show an issue without its state and labels.
        'issues.pinned': { entity: 'issues', record: 'issue', payload: 'id', id: 'issue.number' },
        'issues.unpinned': { entity: 'issues', record: 'issue', payload: 'id', id: 'issue.number' },
        // A comment changes `comments` and `updated_at`.
        'issue_comment.*': { entity: 'issues', record: 'issue' },
        'pull_request.*': { entity: 'pull_requests', record: 'pull_request' },
        // Reviews change `updated_at`, and show the pull request in a shorter form.
        'pull_request_review.*': byNumber,
        'pull_request_review_comment.*': byNumber,
        'label.*': { entity: 'labels', record: 'label' },
        'label.deleted': { entity: 'labels', record: 'label', deletes: true },
      },
    },
    entities: {
      issues: entity({
        schema: issueSchema,
        key: 'number',
        version,
        // The list of issues holds pull requests as well.
        only: (issue) => issue.pull_request === undefined && isOurs(issue),
        read: {
          list: {
            path: '/repos/{+repository}/issues',
            // Not by `updated`: what changes while we read would move to the end, and what follows it slip past a page's edge.
            query: { state: 'all', sort: 'created', direction: 'asc' },
            items: '',
            pagination: linkHeader(),
            pageSize: { param: 'per_page', size: 100 },
          },
          // "At or after", in whole seconds.
          changedSince: { param: 'since', overlap: '1m' },
          get: { path: '/repos/{+repository}/issues/{id}' },
        },
        target: issues,
        mapping: {
          number: field('number'),
          githubId: field('id'),
          title: field('title'),
          body: field('body'),
          state: field('state'),
          stateReason: field('state_reason'),
          author: field('user.login'),
          assignees: field('assignees', logins),
          labels: field('labels', names),
          milestone: field('milestone.title'),
          isLocked: field('locked'),
          comments: field('comments'),
          url: field('html_url'),
          createdAt: field('created_at', isoDate),
          updatedAt: field('updated_at', isoDate),
          closedAt: field('closed_at', isoDate),
          syncedAt: syncedAt(),
        },
        reconcile: { incremental: '*/5 * * * *', full: '17 3 * * *' },
      }),

      pull_requests: entity({
        schema: pullRequestSchema,
        key: 'number',
        version,
        only: isOurs,
        read: {
          // It takes no `since`: what webhooks missed is found by the full run alone.
          list: {
            path: '/repos/{+repository}/pulls',
            query: { state: 'all', sort: 'created', direction: 'asc' },
            items: '',
            pagination: linkHeader(),
            pageSize: { param: 'per_page', size: 100 },
          },
          get: { path: '/repos/{+repository}/pulls/{id}' },
        },
        target: pullRequests,
        mapping: {
          number: field('number'),
          githubId: field('id'),
          title: field('title'),
          body: field('body'),
          state: field('state'),
          isDraft: field('draft'),
          author: field('user.login'),
          assignees: field('assignees', logins),
          reviewers: field('requested_reviewers', logins),
          labels: field('labels', names),
          milestone: field('milestone.title'),
          isLocked: field('locked'),
          baseBranch: field('base.ref'),
          headBranch: field('head.ref'),
          headSha: field('head.sha'),
          url: field('html_url'),
          createdAt: field('created_at', isoDate),
          updatedAt: field('updated_at', isoDate),
          closedAt: field('closed_at', isoDate),
          mergedAt: field('merged_at', isoDate),
          syncedAt: syncedAt(),
        },
        reconcile: { full: '47 * * * *' },
      }),

      labels: entity({
        schema: labelSchema,
        // Not the id: the API reads a label by its name alone, and labels have no version, so that they must be read.
        key: 'name',
        version: { kind: 'none' },
        only: isOurs,
        read: {
          list: {
            path: '/repos/{+repository}/labels',
            items: '',
            pagination: linkHeader(),
            pageSize: { param: 'per_page', size: 100 },
          },
          get: { path: '/repos/{+repository}/labels/{id}' },
        },
        target: labels,
        mapping: {
          name: field('name'),
          githubId: field('id'),
          color: field('color'),
          description: field('description'),
          isDefault: field('default'),
          syncedAt: syncedAt(),
        },
        // Often, because it costs a page or two: it is also what removes the old name of a renamed label.
        reconcile: { full: '*/15 * * * *' },
      }),
    },
  });
}

const byNumber = { entity: 'pull_requests', record: 'pull_request', payload: 'id', id: 'pull_request.number' } as const;
