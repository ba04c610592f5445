import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { sign } from '@octokit/webhooks-methods';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { github } from '../../examples/github/github.ts';
import { startFakeRepository } from './github-api.ts';
import { type Delivery, setupExample, withoutLag } from './setup.ts';

const REPOSITORY = 'Codertocat/Hello-World';
const SECRET = 'a secret of this test';

const threadSchema = z.looseObject({ number: z.number(), updated_at: z.string(), url: z.string() });
const payloadSchema = z.looseObject({
  action: z.string().optional(),
  issue: threadSchema.optional(),
  pull_request: threadSchema.optional(),
  label: z.looseObject({ name: z.string() }).optional(),
});
const eventsSchema = z.array(z.object({ name: z.string(), examples: z.array(payloadSchema) }));

type Payload = z.infer<typeof payloadSchema>;
type Thread = z.infer<typeof threadSchema>;

const require = createRequire(import.meta.url);
const payloads = eventsSchema
  .parse(require('@octokit/webhooks-examples'))
  .flatMap(({ name, examples }) => examples.map((payload) => ({ name, payload })));
const named = (...names: readonly string[]) => payloads.filter(({ name }) => names.includes(name));

/** The events that say something about an issue, a pull request or a label. */
const OURS = [
  'issues',
  'issue_comment',
  'pull_request',
  'pull_request_review',
  'pull_request_review_comment',
  'label',
] as const;

async function delivery(name: string, payload: Payload, secret = SECRET): Promise<Delivery> {
  const body = JSON.stringify(payload);
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'x-github-event': name,
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': await sign(secret, body),
    },
  };
}

async function setup(t: Test, repository = REPOSITORY) {
  const source = await startFakeRepository(t, repository);
  const example = await setupExample(t, {
    folder: 'github',
    definition: withoutLag(github(repository)),
    environment: { GITHUB_API_URL: source.api.origin, GITHUB_TOKEN: 'token', GITHUB_WEBHOOK_SECRET: SECRET },
  });
  return { source, example };
}

const list = z.array(z.looseObject({ login: z.string().optional(), name: z.string().optional() }));
const sorted = (values: unknown) =>
  list
    .parse(values)
    .map(({ login, name }) => login ?? name)
    .sort();
const at = (value: unknown) => (value === null || value === undefined ? null : new Date(String(value)).toISOString());
const orNull = (value: unknown) => value ?? null;
const inner = (value: unknown, key: string) =>
  typeof value === 'object' && value !== null ? orNull(Reflect.get(value, key)) : null;

/** What the row of an issue must be, worked out without the mapping. */
const issueRow = (issue: Thread) => ({
  number: issue.number,
  github_id: Number(issue.id),
  title: issue.title,
  body: orNull(issue.body),
  state: issue.state,
  state_reason: orNull(issue.state_reason),
  author: inner(issue.user, 'login'),
  assignees: sorted(issue.assignees),
  labels: sorted(issue.labels),
  milestone: inner(issue.milestone, 'title'),
  is_locked: issue.locked,
  comments: issue.comments,
  url: issue.html_url,
  created_at: at(issue.created_at),
  updated_at: at(issue.updated_at),
  closed_at: at(issue.closed_at),
});

const pullRow = (pull: Thread) => ({
  number: pull.number,
  github_id: Number(pull.id),
  title: pull.title,
  body: orNull(pull.body),
  state: pull.state,
  is_draft: pull.draft,
  author: inner(pull.user, 'login'),
  assignees: sorted(pull.assignees),
  reviewers: sorted(pull.requested_reviewers),
  labels: sorted(pull.labels),
  milestone: inner(pull.milestone, 'title'),
  is_locked: pull.locked,
  base_branch: inner(pull.base, 'ref'),
  head_branch: inner(pull.head, 'ref'),
  head_sha: inner(pull.head, 'sha'),
  url: pull.html_url,
  created_at: at(pull.created_at),
  updated_at: at(pull.updated_at),
  closed_at: at(pull.closed_at),
  merged_at: at(pull.merged_at),
});

const labelRow = (label: Readonly<Record<string, unknown>>) => ({
  name: label.name,
  github_id: Number(label.id),
  color: label.color,
  description: orNull(label.description),
  is_default: label.default,
});

/** A row as the database gives it, without the time of its writing, and independent of the driver's types. */
function plain(row: Readonly<Record<string, unknown>>) {
  const { synced_at: _, ...rest } = row;
  return Object.fromEntries(
    Object.entries(rest).map(([name, value]) => {
      if (name.endsWith('_at')) return [name, at(value)];
      return [name, name === 'github_id' ? Number(value) : value];
    }),
  );
}

const isIssue = (issue: Thread | undefined): issue is Thread => issue !== undefined && !('pull_request' in issue);
const REMOVING = new Set(['issues deleted', 'issues transferred', 'label deleted']);

test('each real payload alone ends as the row of what it shows, or as none where it says deleted', async (t) => {
  const { source, example } = await setup(t);
  const [whole] = named('issues').filter(({ payload }) => payload.action === 'opened');
  const [wholePull] = named('pull_request').filter(({ payload }) => payload.action === 'opened');
  let rows = 0;
  for (const { name, payload } of named(...OURS)) {
    const title = `${name} ${payload.action}`;
    await example.reset();
    source.clear();
    const isRemoved = REMOVING.has(title);
    // Pinning shows an issue without its state, reviews a pull request without some fields: both are read whole.
    const issue = title.endsWith('pinned') ? whole?.payload.issue : payload.issue;
    const pull = name.startsWith('pull_request_review') ? wholePull?.payload.pull_request : payload.pull_request;
    if (isIssue(issue)) source.issues.set(String(issue.number), isRemoved ? 'gone' : issue);
    if (pull !== undefined) source.pulls.set(String(pull.number), pull);
    if (name === 'label' && payload.label !== undefined && !isRemoved) {
      source.labels.set(payload.label.name, payload.label);
    }

    t.match(await example.deliver(await delivery(name, payload)), { kind: 'accepted' }, title);
    await example.settle();
    const held = {
      issues: (await example.rows('github_issues')).map(plain),
      pulls: (await example.rows('github_pull_requests')).map(plain),
      labels: (await example.rows('github_labels')).map(plain),
    };
    t.strictSame(
      held,
      {
        issues: isIssue(issue) && !isRemoved ? [issueRow(issue)] : [],
        pulls: pull === undefined ? [] : [pullRow(pull)],
        labels: name === 'label' && payload.label !== undefined && !isRemoved ? [labelRow(payload.label)] : [],
      },
      title,
    );
    t.strictSame(await example.deadLetters(), [], title);
    rows += held.issues.length + held.pulls.length + held.labels.length;
  }
  t.ok(rows > 60, `${rows} rows were compared`);
});

test('all 329 real payloads, in any order, end equal to the repository; what is not ours is acknowledged', async (t) => {
  const { source, example } = await setup(t);
  t.equal(payloads.length, 329);
  const latest = (threads: readonly Thread[]) =>
    threads.reduce((left, right) => (right.updated_at >= left.updated_at ? right : left));
  const issue = latest(named('issues').flatMap(({ payload }) => (payload.issue?.state ? [payload.issue] : [])));
  const pull = latest(named('pull_request').flatMap(({ payload }) => payload.pull_request ?? []));
  const label = named('label').find(({ payload }) => payload.action === 'edited')?.payload.label;
  if (label === undefined) throw new Error('the examples hold no edited label');

  for (const [round, order] of [payloads, payloads.toReversed()].entries()) {
    await example.reset();
    source.issues.set(String(issue.number), issue);
    source.pulls.set(String(pull.number), pull);
    source.labels.set(label.name, label);
    const kinds = new Set<string>();
    for (const { name, payload } of order) kinds.add((await example.deliver(await delivery(name, payload))).kind);
    t.strictSame([...kinds], ['accepted']);
    await example.settle();

    const outcomes = await example.outcomes();
    t.notOk(
      outcomes.some(({ state }) => state === 'dead'),
      'nothing is set aside',
    );
    const unknown = outcomes.filter(({ outcome }) => outcome === 'unknown_type').length;
    t.equal(unknown, 329 - named(...OURS).length, 'every other event is counted as unknown');
    t.strictSame((await example.rows('github_issues')).map(plain), [issueRow(issue)], `issues, round ${round}`);
    t.strictSame((await example.rows('github_pull_requests')).map(plain), [pullRow(pull)], `pulls, round ${round}`);
    t.strictSame((await example.rows('github_labels')).map(plain), [labelRow(label)], `labels, round ${round}`);
  }
});

test('a real payload counts once, and only as its signer sent it', async (t) => {
  const { source, example } = await setup(t);
  const [first] = named('issues').filter(({ payload }) => payload.action === 'opened');
  if (first?.payload.issue === undefined) throw new Error('the examples hold no opened issue');
  source.issues.set(String(first.payload.issue.number), first.payload.issue);
  const good = await delivery(first.name, first.payload);
  const flipped = good.body.replace('"opened"', '"opfned"');
  const { 'x-hub-signature-256': signature = '', ...unsigned } = good.headers;
  const legacy = { ...unsigned, 'x-hub-signature': signature.replace('sha256=', 'sha1=') };

  t.match(await example.deliver({ ...good, body: flipped }), { kind: 'rejected' }, 'a changed byte');
  t.match(await example.deliver({ ...good, body: `${good.body} ` }), { kind: 'rejected' }, 'an added byte');
  t.match(await example.deliver({ ...good, headers: unsigned }), { kind: 'rejected' }, 'no signature');
  t.match(await example.deliver({ ...good, headers: legacy }), { kind: 'rejected' }, 'only the legacy header');
  const forged = await delivery(first.name, first.payload, 'another secret');
  t.match(await example.deliver(forged), { kind: 'rejected' }, 'a wrong secret');
  await example.settle();
  t.strictSame(await example.rows('github_issues'), []);

  t.match(await example.deliver(good), { kind: 'accepted' });
  t.match(await example.deliver(good), { kind: 'duplicate' });
  await example.settle();
  t.equal((await example.outcomes()).length, 1);
  t.equal((await example.rows('github_issues')).length, 1);
});

test('payloads of another repository write nothing, whatever their numbers are', async (t) => {
  const { source, example } = await setup(t, 'octo-org/ours');
  const { anIssue, aLabel, aPullRequest } = await import('./github-api.ts');
  source.issues.set('1', anIssue({ number: 1, repository: 'octo-org/ours' }));
  source.pulls.set('2', aPullRequest({ number: 2, repository: 'octo-org/ours' }));
  source.labels.set('bug', aLabel('octo-org/ours', 'bug'));
  for (const entity of ['issues', 'pull_requests', 'labels']) {
    t.match(await example.reconcile(entity), { state: 'succeeded' });
  }
  const tables = ['github_issues', 'github_pull_requests', 'github_labels'];
  const read = () => Promise.all(tables.map((table) => example.rows(table)));
  const before = await read();
  t.strictSame(
    before.map((rows) => rows.length),
    [1, 1, 1],
  );

  for (const { name, payload } of named(...OURS)) {
    t.match(await example.deliver(await delivery(name, payload)), { kind: 'accepted' });
  }
  await example.settle();
  t.strictSame(await read(), before);
});
