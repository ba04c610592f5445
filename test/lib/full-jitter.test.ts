import { test } from 'tap';
import { fullJitterMs } from '../../src/lib/full-jitter.ts';

const backoff = { baseMs: 250, capMs: 30_000 };

test('the jitter doubles with each attempt and is capped, however many there were', async (t) => {
  t.equal(fullJitterMs(1, 0, backoff), 0);
  t.equal(fullJitterMs(1, 0.5, backoff), 125);
  t.equal(fullJitterMs(3, 0.5, backoff), 500);
  t.equal(fullJitterMs(2_000, 0.999999, backoff), 29_999);
});
