import type { ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type FakeApi, type SeenRequest, sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';

/** A record as it stands at GitHub, `'gone'` for a deleted one, or where it was transferred to. */
type Held = Readonly<Record<string, unknown>> | 'gone' | { readonly movedTo: string };

/** A repository at a fake GitHub. What stands in the maps is the truth that rows are compared with. */
export type FakeRepository = {
  readonly api: FakeApi;
  readonly issues: Map<string, Held>;
  readonly pulls: Map<string, Held>;
  readonly labels: Map<string, Held>;
  clear(): void;
};

const SMALL_PAGE = 2;

export async function startFakeRepository(t: Test, repository: string): Promise<FakeRepository> {
  const kinds = { issues: new Map<string, Held>(), pulls: new Map<string, Held>(), labels: new Map<string, Held>() };
  const base = `/repos/${repository}/`;
  const api = await startFakeApi(t, (response, request) => {
    const url = new URL(request.url, 'http://fake');
    if (url.pathname.startsWith('/elsewhere/')) return sendJson(response, elsewhere(url.pathname));
    const [kind = '', id] = url.pathname.replace(base, '').split('/').map(decodeURIComponent);
    const held = Object.entries(kinds).find(([name]) => name === kind)?.[1];
    if (!url.pathname.startsWith(base) || held === undefined) return sendText(response, 404, '{}');
    if (id === undefined) return sendPage(response, request, url, [...held.values()].filter(isListed));
    const record = held.get(id);
    if (record === undefined) return sendText(response, 404, '{"message":"Not Found"}');
    if (record === 'gone') return sendText(response, 410, '{"message":"This issue was deleted"}');
    if ('movedTo' in record) return sendText(response, 301, '{}', { location: String(record.movedTo) });
    sendJson(response, record);
  });
  const elsewhere = (path: string) => ({
    ...anIssue({ number: Number(path.split('/').at(-1)), repository: 'elsewhere/other' }),
  });
  return {
    api,
    ...kinds,
    clear() {
      for (const held of Object.values(kinds)) held.clear();
    },
  };
}

const isListed = (held: Held): held is Readonly<Record<string, unknown>> => held !== 'gone' && !('movedTo' in held);

/** Pages of two, with the next one in the Link header, and `since` as GitHub understands it: at or after. */
function sendPage(
  response: ServerResponse,
  request: SeenRequest,
  url: URL,
  records: readonly Readonly<Record<string, unknown>>[],
): void {
  const since = url.searchParams.get('since');
  const due = records.filter(({ updated_at }) => since === null || String(updated_at) >= since);
  const page = Number(url.searchParams.get('page') ?? 1);
  const headers: Record<string, string> = {};
  if (page * SMALL_PAGE < due.length) {
    url.searchParams.set('page', String(page + 1));
    headers.link = `<http://${request.headers.host}${url.pathname}${url.search}>; rel="next"`;
  }
  sendJson(response, due.slice((page - 1) * SMALL_PAGE, page * SMALL_PAGE), headers);
}

type Wanted = { readonly number: number; readonly repository: string } & Readonly<Record<string, unknown>>;

/** An issue in the shape of the API. */
export const anIssue = ({ number, repository, ...rest }: Wanted) => ({
  id: 9_000_000_000 + number,
  number,
  url: `https://api.github.com/repos/${repository}/issues/${number}`,
  html_url: `https://github.com/${repository}/issues/${number}`,
  title: `Issue ${number}`,
  body: null,
  state: 'open',
  locked: false,
  user: { login: 'octocat' },
  assignees: [],
  labels: [],
  milestone: null,
  comments: 0,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
  closed_at: null,
  ...rest,
});

export const aPullRequest = ({ number, repository, ...rest }: Wanted) => ({
  ...anIssue({ number, repository }),
  url: `https://api.github.com/repos/${repository}/pulls/${number}`,
  draft: false,
  requested_reviewers: [],
  base: { ref: 'main' },
  head: { ref: 'change', sha: 'c0ffee' },
  merged_at: null,
  ...rest,
});

export const aLabel = (repository: string, name: string, rest: Readonly<Record<string, unknown>> = {}) => ({
  id: 7_000_000_000,
  url: `https://api.github.com/repos/${repository}/labels/${encodeURIComponent(name)}`,
  name,
  color: 'cb1f00',
  default: false,
  ...rest,
});
