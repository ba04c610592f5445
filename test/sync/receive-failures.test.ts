import { test } from 'tap';
import { createTurnedAwayLog } from '../../src/sync/receive.ts';

test('deliveries that are turned away are told of at once, and then as a count every few seconds', async (t) => {
  let nowMs = 0;
  const lines: unknown[] = [];
  const silent = () => {};
  const log = { debug: silent, info: silent, error: silent, warn: (fields: object) => void lines.push(fields) };
  const turnAway = createTurnedAwayLog(log, () => nowMs);
  for (let count = 0; count < 100; count++) {
    turnAway(new Error('away'));
    nowMs += 100;
  }
  t.match(lines, [{ deliveries: 1 }, { deliveries: 50 }]);
  t.equal(lines.length, 2);
});
