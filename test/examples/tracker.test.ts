import { type Test, test } from 'tap';
import { createTracker } from '../../examples/tracker/simulator.ts';
import { tracker as definition } from '../../examples/tracker/tracker.ts';
import { listenFor } from '../helpers/listen.ts';
import { setupExample } from './setup.ts';

const API_KEY = 'a key of this test';

async function setup(t: Test) {
  const tracker = createTracker(API_KEY);
  const port = await listenFor(t, tracker.server);
  const example = await setupExample(t, {
    folder: 'tracker',
    definition,
    environment: { TRACKER_API_URL: `http://127.0.0.1:${port}`, TRACKER_API_KEY: API_KEY },
  });
  const assertEqual = async () => {
    const rows = (await example.rows('tracker_issues')).map((row) => [
      row.external_id,
      row.title,
      row.assignee,
      row.labels,
    ]);
    const expected = [...tracker.issues.values()].map(({ id, title, assignee, labels }) => [
      id,
      title,
      assignee?.name ?? null,
      labels.map(({ name }) => name).sort(),
    ]);
    t.strictSame(rows, expected);
  };
  return { tracker, example, assertEqual };
}

test('issues come over GraphQL page by page, and every row equals its issue', async (t) => {
  const { tracker, example, assertEqual } = await setup(t);
  tracker.seed(120);
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  await assertEqual();
  t.equal(tracker.usage.requests, 3, 'three pages of at most fifty');
});

test('an incremental run finds a change, a full run a deletion, which `null` proves', async (t) => {
  const { tracker, example, assertEqual } = await setup(t);
  tracker.seed(30);
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  tracker.rename('iss_000007', 'Renamed');
  t.match(await example.reconcile('issues', 'incremental'), { state: 'succeeded' });
  await assertEqual();
  tracker.issues.delete('iss_000003');
  t.match(await example.reconcile('issues'), { state: 'succeeded' });
  await assertEqual();
});

test('a limit that the tracker tells in a GraphQL error puts the run off: nothing fails, nothing is lost', async (t) => {
  const { tracker, example } = await setup(t);
  tracker.seed(30);
  tracker.usage.limit = 0;
  t.match(await example.reconcile('issues'), { state: 'stalled' });
  t.strictSame(await example.rows('tracker_issues'), []);
  t.strictSame(await example.deadLetters(), []);
});
