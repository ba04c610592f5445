import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { buildSchema, graphql } from 'graphql';

/** One issue as the simulated tracker holds it. */
export type Issue = {
  readonly id: string;
  readonly identifier: string;
  readonly title: string;
  readonly state: string;
  readonly priority: number;
  readonly assignee: { readonly name: string } | null;
  readonly labels: readonly { readonly name: string }[];
  readonly createdAt: string;
  readonly updatedAt: string;
};

export type Tracker = {
  readonly server: Server;
  /** By id. What stands here is what the tracker knows. */
  readonly issues: Map<string, Issue>;
  /** Requests within the present minute, and how many are allowed in one. */
  readonly usage: { requests: number; limit: number };
  /** Creates `count` issues. */
  seed(count: number): void;
  /** Changes the title of one issue and stamps it. */
  rename(id: string, title: string): void;
};

const SCHEMA = buildSchema(`
  type User { name: String! }
  type Label { name: String! }
  type Issue {
    id: ID!
    identifier: String!
    title: String!
    state: String!
    priority: Int!
    assignee: User
    labels: [Label!]!
    createdAt: String!
    updatedAt: String!
  }
  type PageInfo { hasNextPage: Boolean! endCursor: String }
  type IssueConnection { nodes: [Issue!]! pageInfo: PageInfo! }
  type Query {
    "In the order of creation. updatedSince is inclusive."
    issues(first: Int!, after: String, updatedSince: String): IssueConnection!
    issue(id: ID!): Issue
    issuesById(ids: [ID!]!): [Issue]!
  }
`);

const MAX_PAGE = 50;
const MAX_BODY_BYTES = 100_000;
const MINUTE_MS = 60_000;
const DEFAULT_LIMIT = 600;
const STATES = ['todo', 'in progress', 'done'] as const;

/** Fails as GraphQL servers do: HTTP 200, and what went wrong in `errors`. */
class QueryError extends Error {
  readonly extensions: { readonly code: string };
  constructor(code: string) {
    super(code);
    this.extensions = { code };
  }
}

/**
 * An issue tracker with a GraphQL API, in memory: real execution of real queries, relay pages, an API key in
 * `Authorization`, a request limit per minute which it tells in headers and enforces with `RATELIMITED`.
 */
export function createTracker(apiKey: string): Tracker {
  const issues = new Map<string, Issue>();
  const usage = { requests: 0, limit: DEFAULT_LIMIT };
  let windowEndsMs = 0;

  const resolvers = {
    issues(args: { first: number; after?: string; updatedSince?: string }) {
      if (args.first > MAX_PAGE) throw new QueryError('QUERY_TOO_COMPLEX');
      const { after = '', updatedSince = '' } = args;
      const due = [...issues.values()].filter(({ id, updatedAt }) => id > after && updatedAt >= updatedSince);
      const nodes = due.slice(0, args.first);
      return { nodes, pageInfo: { hasNextPage: due.length > nodes.length, endCursor: nodes.at(-1)?.id ?? null } };
    },
    issue: ({ id }: { id: string }) => issues.get(id) ?? null,
    issuesById: ({ ids }: { ids: readonly string[] }) => ids.map((id) => issues.get(id) ?? null),
  };

  const server = createServer(async (request, response) => {
    const nowMs = Date.now();
    if (nowMs >= windowEndsMs) {
      windowEndsMs = nowMs + MINUTE_MS;
      usage.requests = 0;
    }
    usage.requests += 1;
    response.setHeader('x-ratelimit-requests-limit', usage.limit);
    response.setHeader('x-ratelimit-requests-remaining', Math.max(0, usage.limit - usage.requests));
    response.setHeader('x-ratelimit-requests-reset', windowEndsMs);
    if (request.headers.authorization !== apiKey) return answer(response, 401, failure('AUTHENTICATION_ERROR'));
    if (usage.requests > usage.limit) return answer(response, 400, failure('RATELIMITED'));
    const asked = await readQuery(request);
    if (asked === null) return answer(response, 400, failure('BAD_USER_INPUT'));
    const { query, variables } = asked;
    const result = await graphql({ schema: SCHEMA, source: query, rootValue: resolvers, variableValues: variables });
    answer(response, 200, result);
  });

  return {
    server,
    issues,
    usage,
    seed(count) {
      for (let made = 0; made < count; made++) {
        const number = issues.size + 1;
        const at = new Date(Date.now() - (count - made) * 1_000).toISOString();
        const id = `iss_${String(number).padStart(6, '0')}`;
        issues.set(id, {
          id,
          identifier: `ENG-${number}`,
          title: `Issue ${number}`,
          state: STATES[number % STATES.length] ?? 'todo',
          priority: number % 5,
          assignee: number % 3 === 0 ? null : { name: `Engineer ${number % 7}` },
          labels: number % 2 === 0 ? [{ name: 'bug' }, { name: 'api' }] : [],
          createdAt: at,
          updatedAt: at,
        });
      }
    },
    rename(id, title) {
      const issue = issues.get(id);
      if (issue !== undefined) issues.set(id, { ...issue, title, updatedAt: new Date().toISOString() });
    },
  };
}

const failure = (code: string) => ({ errors: [{ message: code, extensions: { code } }] });

type Asked = { readonly query: string; readonly variables: { readonly [name: string]: unknown } };

async function readQuery(request: IncomingMessage): Promise<Asked | null> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) return null;
  }
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null || !('query' in body) || typeof body.query !== 'string') return null;
    const variables = 'variables' in body && typeof body.variables === 'object' ? { ...body.variables } : {};
    return { query: body.query, variables };
  } catch {
    return null;
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
