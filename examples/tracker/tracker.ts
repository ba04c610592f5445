import { apiKey, defineIntegration, entity, env, field, isoDate, relay, secret, syncedAt, transform } from 'syncline';
import { z } from 'zod';
import { issues } from './schema.ts';

const issueSchema = z.object({
  id: z.string(),
  identifier: z.string(),
  title: z.string(),
  state: z.string(),
  priority: z.int(),
  assignee: z.object({ name: z.string() }).nullable(),
  labels: z.array(z.object({ name: z.string() })),
  createdAt: z.string(),
  updatedAt: z.string(),
});

const ISSUE = `
  fragment All on Issue {
    id identifier title state priority assignee { name } labels { name } createdAt updatedAt
  }`;

const LIST = `
  query Issues($first: Int!, $after: String, $updatedSince: String) {
    issues(first: $first, after: $after, updatedSince: $updatedSince) {
      nodes { ...All }
      pageInfo { hasNextPage endCursor }
    }
  }${ISSUE}`;

const ONE = `query Issue($id: ID!) { issue(id: $id) { ...All } }${ISSUE}`;

const SEVERAL = `query IssuesById($ids: [ID!]!) { issuesById(ids: $ids) { ...All } }${ISSUE}`;

/** Issues of a tracker that has a GraphQL API and sends no webhooks: the reconciler alone keeps the table in step. */
export const tracker = defineIntegration({
  name: 'tracker',
  source: {
    baseUrl: env('TRACKER_API_URL'),
    // Such keys go without the word Bearer.
    auth: apiKey({ header: 'authorization', value: secret('TRACKER_API_KEY') }),
    rateLimits: [{ requests: 500, per: '1m' }],
  },
  entities: {
    issues: entity({
      schema: issueSchema,
      key: 'id',
      version: { kind: 'timestamp', field: 'updatedAt', precision: 'millisecond' },
      read: {
        list: {
          path: '/graphql',
          graphql: { query: LIST },
          items: 'data.issues.nodes',
          pagination: relay({ connection: 'data.issues', after: 'after' }),
          pageSize: { param: 'first', size: 50 },
        },
        changedSince: { param: 'updatedSince', overlap: '1m' },
        get: { path: '/graphql', graphql: { query: ONE }, idParam: 'id', record: 'data.issue', nullIsAbsent: true },
        getMany: {
          path: '/graphql',
          graphql: { query: SEVERAL },
          idsParam: 'ids',
          items: 'data.issuesById',
          key: 'id',
        },
      },
      readLag: '0s',
      target: issues,
      mapping: {
        externalId: field('id'),
        identifier: field('identifier'),
        title: field('title'),
        state: field('state'),
        priority: field('priority'),
        assignee: field('assignee.name'),
        labels: field(
          'labels',
          transform((labels: readonly { name: string }[]) => labels.map(({ name }) => name).sort()),
        ),
        createdAt: field('createdAt', isoDate),
        updatedAt: field('updatedAt', isoDate),
        syncedAt: syncedAt(),
      },
      reconcile: { incremental: '* * * * *', full: '0 * * * *' },
    }),
  },
});
