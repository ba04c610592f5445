import { parseArgs } from 'node:util';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { CRASH_POINTS, torture } from './two-way-torture.ts';

/**
 * npm run torture -- [--minutes 5] [--seed 1] [--keys none] [--hits 20]
 *
 * Real processes and everything that kills them, for so long, and until each crash point was met so often; three times as
 * long at most. Prints what was done and what was broken; ends with 1 when anything was.
 */
const FREEZE_MS = 90_000;
const MAX_TIMES = 3;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    keys: { type: 'string', default: 'sent' },
    hits: { type: 'string', default: '20' },
    freeze: { type: 'string', default: String(FREEZE_MS) },
    points: { type: 'string', default: CRASH_POINTS.join(',') },
  },
});
const skip = skipWithoutPostgres();
if (skip !== false) throw new Error(skip);

// When its database goes, the client of this process may still write to the connection, which is gone by then.
process.on('uncaughtException', (error) => {
  if (error.stack?.includes('nextWrite') !== true) throw error;
});

const works: (() => unknown)[] = [];
const minMs = Number(values.minutes) * 60_000;
try {
  const report = await torture(
    { teardown: (work) => works.unshift(work) },
    {
      seed: Number(values.seed),
      minMs,
      maxMs: minMs * MAX_TIMES,
      hitsPerPoint: Number(values.hits),
      points: values.points.split(','),
      keys: values.keys !== 'none',
      freezeMs: Number(values.freeze),
      otherFaults: true,
      say: console.error,
    },
  );
  const { violations, ...figures } = report;
  console.log(JSON.stringify(figures, null, 2));
  console.log(violations.length === 0 ? 'lost 0, doubled 0, looped 0' : violations.join('\n'));
  process.exitCode = violations.length === 0 ? 0 : 1;
} finally {
  for (const work of works) await work();
}
