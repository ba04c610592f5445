import { test } from 'tap';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { torture } from './two-way-torture.ts';

const skip = skipWithoutPostgres();
const POINTS = ['C13', 'C14', 'C15', 'C16', 'C17', 'C18', 'C19'];
const MAX_MS = 120_000;

test('three servers that die at every point of the way out lose no edit, write none twice, make no record twice', {
  skip,
}, async (t) => {
  const { violations, ...figures } = await torture(t, {
    seed: 20_261_130,
    minMs: 0,
    hitsPerPoint: 1,
    maxMs: MAX_MS,
    points: POINTS,
    keys: true,
    freezeMs: 1_000,
    otherFaults: false,
    say: () => {},
  });
  t.same(violations, []);
  t.same(Object.keys(figures.replicas.hits).sort(), POINTS);
  t.ok((figures.sourceWrites.executed ?? 0) > 0, JSON.stringify(figures));
});
