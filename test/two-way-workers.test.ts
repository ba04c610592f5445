import file, { test } from 'tap';
import { addLocalChanges } from '../src/store/local-changes.ts';
import { createTwoWayWorkers } from '../src/two-way-workers.ts';
import { silentLog } from './helpers/database.ts';
import { shareTwoWay } from './sync/two-way/world.ts';
import { KEY } from './sync/world.ts';

const createWorld = shareTwoWay(file);
const NEVER = new AbortController().signal;

test('a stream whose table is gone does not keep the edits of the streams beside it from being planned', async (t) => {
  const { db, stream, pushes } = await createWorld(t);
  const key = { ...KEY, entity: 'orders' };
  const { target } = stream;
  // Planning reads the rows of a table whose removed rows are stamped.
  const gone = { ...stream, key, target: { ...target, name: 'gone', deletedAtProperty: target.keyProperty } };
  const streams = new Map([gone, stream].map((one) => [one.key.entity, one]));
  const newCredentials = { kind: 'settings', variables: [] } as const;
  const { loops } = createTwoWayWorkers({
    db,
    log: { ...silentLog, debug() {} },
    integrations: new Map([[KEY.integration, { name: KEY.integration, newCredentials, webhook: null, streams }]]),
    random: () => 0,
    crashPoint: () => {},
    wakeHints: () => {},
    wake: () => {},
  });
  await addLocalChanges(db, key, 'U', ['o1']);
  await addLocalChanges(db, KEY, 'U', ['c1']);
  const failed: string[] = [];
  for (const { name, runOnce } of loops.filter((one) => one.name.startsWith('plan-')))
    await runOnce(NEVER).catch(() => failed.push(name));
  t.same(failed, [`plan-${KEY.integration}/orders`]);
  t.match(await pushes(), [{ target_key: 'c1', state: 'ready' }]);
});
