import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sign } from '@octokit/webhooks-methods';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { github } from '../../examples/github/github.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { sendJson, startFakeApi } from '../helpers/fake-api.ts';
import { aLabel, anIssue, aPullRequest, startFakeRepository } from './github-api.ts';
import { setupExample, withoutLag } from './setup.ts';

const REPOSITORY = 'octo-org/octo-repo';
const SECRET = 'a secret of this test';
const ISSUE = { number: 1, repository: REPOSITORY } as const;

async function setup(t: Test) {
  const source = await startFakeRepository(t, REPOSITORY);
  const example = await setupExample(t, {
    folder: 'github',
    definition: withoutLag(github(REPOSITORY)),
    environment: { GITHUB_API_URL: source.api.origin, GITHUB_TOKEN: 'token', GITHUB_WEBHOOK_SECRET: SECRET },
  });
  const send = async (event: string, payload: Readonly<Record<string, unknown>>) => {
    const body = JSON.stringify(payload);
    const headers = {
      'x-github-event': event,
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': await sign(SECRET, body),
    };
    t.match(await example.deliver({ body, headers }), { kind: 'accepted' });
  };
  const titles = async () => (await example.rows('github_issues')).map(({ title }) => title);
  return { source, example, send, titles };
}

test('a created, a changed and a deleted issue without webhooks are found by runs, and counted as drift', async (t) => {
  const { source, example, titles } = await setup(t);
  source.issues.set('1', anIssue(ISSUE));
  source.issues.set('2', anIssue({ ...ISSUE, number: 2 }));
  source.issues.set('3', anIssue({ ...ISSUE, number: 3 }));
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  t.strictSame(await titles(), ['Issue 1', 'Issue 2', 'Issue 3']);
  example.takeDrift('issues');

  source.issues.set('2', anIssue({ ...ISSUE, number: 2, title: 'Renamed', updated_at: '2026-01-02T00:00:00Z' }));
  source.issues.set('4', anIssue({ ...ISSUE, number: 4, updated_at: '2026-01-03T00:00:00Z' }));
  t.match(await example.reconcile('issues', 'incremental'), { state: 'succeeded' });
  t.strictSame(await titles(), ['Issue 1', 'Renamed', 'Issue 3', 'Issue 4']);
  t.strictSame(example.takeDrift('issues'), { driftMissing: 1, driftStale: 1, driftDeleted: 0 });

  source.issues.set('1', 'gone');
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  t.strictSame(await titles(), ['Renamed', 'Issue 3', 'Issue 4']);
  t.strictSame(example.takeDrift('issues'), { driftMissing: 0, driftStale: 0, driftDeleted: 1 });
});

test('an incremental run asks for open and closed issues since the settled moment, with the token', async (t) => {
  const { source, example } = await setup(t);
  source.issues.set('1', anIssue({ ...ISSUE, updated_at: '2026-01-05T10:00:30Z' }));
  await example.reconcile('issues');
  await example.reconcile('issues', 'incremental');
  await example.reconcile('issues', 'incremental');
  const last = source.api.seen.at(-1);
  const query = new URL(last?.url ?? '', source.api.origin).searchParams;
  t.match(Object.fromEntries(query), { state: 'all', per_page: '100', since: '2026-01-05T09:59:30Z' });
  t.match(last?.headers, { authorization: 'Bearer token', 'x-github-api-version': '2022-11-28' });
});

test('pull requests in the list of issues become no issues', async (t) => {
  const { source, example, titles } = await setup(t);
  source.issues.set('1', anIssue(ISSUE));
  source.issues.set('2', anIssue({ ...ISSUE, number: 2, pull_request: { url: 'https://api.github.com/' } }));
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  t.strictSame(await titles(), ['Issue 1']);
});

test('an issue that was transferred leaves, with its webhook and without it', async (t) => {
  const { source, example, send, titles } = await setup(t);
  source.issues.set('1', anIssue(ISSUE));
  source.issues.set('2', anIssue({ ...ISSUE, number: 2 }));
  source.issues.set('3', anIssue({ ...ISSUE, number: 3 }));
  await example.reconcile('issues');

  // Its old address is redirected to the issue in its new repository, which may have the same number.
  source.issues.set('1', { movedTo: '/elsewhere/1' });
  await send('issues', { action: 'transferred', issue: anIssue(ISSUE) });
  await example.settle();
  t.strictSame(await titles(), ['Issue 2', 'Issue 3']);

  source.issues.set('2', { movedTo: '/elsewhere/7' });
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  t.strictSame(await titles(), ['Issue 3']);
  t.strictSame(await example.deadLetters(), []);
});

test('a late update does not bring a deleted issue back', async (t) => {
  const { source, example, send, titles } = await setup(t);
  source.issues.set('1', anIssue(ISSUE));
  await example.reconcile('issues');
  source.issues.set('1', 'gone');
  await send('issues', { action: 'deleted', issue: anIssue(ISSUE) });
  await example.settle();
  t.strictSame(await titles(), []);
  await send('issues', { action: 'edited', issue: anIssue({ ...ISSUE, title: 'Late' }) });
  await example.settle();
  t.strictSame(await titles(), []);
});

test('two changes within one second end as the repository has them, in either order', async (t) => {
  const { source, example, send, titles } = await setup(t);
  const first = { action: 'edited', issue: anIssue({ ...ISSUE, title: 'First' }) };
  const second = { action: 'edited', issue: anIssue({ ...ISSUE, title: 'Second' }) };
  for (const order of [
    [first, second],
    [second, first],
  ]) {
    await example.reset();
    source.issues.set('1', second.issue);
    for (const payload of order) await send('issues', payload);
    await example.settle();
    t.strictSame(await titles(), ['Second']);
  }
});

test('labels, which have no version, end as the repository has them, in either order; a renamed one leaves its old name', async (t) => {
  const { source, example, send } = await setup(t);
  const red = aLabel(REPOSITORY, 'help wanted/é', { color: 'ff0000' });
  const blue = { ...red, color: '0000ff' };
  const colours = async () => (await example.rows('github_labels')).map(({ name, color }) => `${name} ${color}`);
  for (const order of [
    [red, blue],
    [blue, red],
  ]) {
    await example.reset();
    source.clear();
    source.labels.set(red.name, blue);
    for (const label of order) await send('label', { action: 'edited', label });
    await example.settle();
    t.strictSame(await colours(), ['help wanted/é 0000ff']);
  }

  source.clear();
  source.labels.set('good first', { ...blue, ...aLabel(REPOSITORY, 'good first', { color: '0000ff' }) });
  await send('label', {
    action: 'edited',
    label: aLabel(REPOSITORY, 'good first'),
    changes: { name: { from: red.name } },
  });
  await example.settle();
  t.match(await example.reconcile('labels'), { state: 'succeeded' });
  t.strictSame(await colours(), ['good first 0000ff']);

  source.clear();
  await send('label', { action: 'deleted', label: aLabel(REPOSITORY, 'good first') });
  await example.settle();
  t.strictSame(await colours(), []);
});

test('a pull request in a list, which shows fewer fields, gives the row that its webhook gave', async (t) => {
  const { source, example, send } = await setup(t);
  const pull = aPullRequest({ number: 5, repository: REPOSITORY, merged_at: '2026-01-01T00:00:00Z', state: 'closed' });
  source.pulls.set('5', pull);
  await send('pull_request', {
    action: 'closed',
    pull_request: { ...pull, merged: true, mergeable: null, commits: 3 },
  });
  await example.settle();
  const before = await example.rows('github_pull_requests');
  t.equal(before.length, 1);
  t.match(await example.reconcile('pull_requests'), { state: 'succeeded' });
  t.strictSame(await example.rows('github_pull_requests'), before, 'not even its synced_at');
});

const RECORDED = join(
  packageRoot(),
  '../shared/fixtures/github-http-scenarios/paginate-issues/normalized-fixture.json',
);
const recordedSchema = z.array(
  z.object({
    path: z.string(),
    headers: z.looseObject({ link: z.string() }),
    response: z.array(z.looseObject({ number: z.number(), title: z.string() })),
  }),
);

test("GitHub's own pages, as they were recorded, become rows to the last", {
  skip: existsSync(RECORDED) ? false : 'needs the recorded answers in ../shared/fixtures/github-http-scenarios',
}, async (t) => {
  const recorded = recordedSchema.parse(JSON.parse(readFileSync(RECORDED, 'utf8')));
  const repository = 'octokit-fixture-org/paginate-issues';
  const api = await startFakeApi(t, (response, request) => {
    const { pathname, searchParams } = new URL(request.url, 'http://fake');
    const page = recorded.find(({ path }) => {
      const kept = new URL(path, 'http://fake');
      return kept.pathname === pathname && kept.searchParams.get('page') === searchParams.get('page');
    });
    if (page === undefined) throw new Error(`not recorded: ${request.url}`);
    const link = page.headers.link.replaceAll('https://api.github.com', `http://${request.headers.host}`);
    sendJson(response, page.response, { link });
  });
  const example = await setupExample(t, {
    folder: 'github',
    definition: withoutLag(github(repository)),
    environment: { GITHUB_API_URL: api.origin, GITHUB_TOKEN: 'token', GITHUB_WEBHOOK_SECRET: SECRET },
  });
  t.match(await example.reconcile('issues'), { state: 'succeeded', error: null });
  t.equal(api.seen.length, 5);
  t.strictSame(
    (await example.rows('github_issues')).map(({ number, title }) => [number, title]),
    recorded
      .flatMap(({ response }) => response.map(({ number, title }) => [number, title] as const))
      .sort(([left], [right]) => left - right),
  );
});
