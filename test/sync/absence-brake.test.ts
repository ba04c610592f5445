import { test } from 'tap';
import { createAbsenceBrake } from '../../src/sync/absence-brake.ts';

const LIMITS = { maxShare: 0.1, minimum: 20 };
const MINUTE_MS = 60_000;

test('once tripped, unexpected absences stay disbelieved, window after window, until reads find records again', async (t) => {
  let nowMs = 0;
  const brake = createAbsenceBrake(() => nowMs);
  const read = (isAbsent: boolean, isExpected = false) =>
    brake.believes('shop/customers', { isAbsent, isExpected }, LIMITS);
  let believed = 0;
  for (let minute = 0; minute < 120; minute++) {
    nowMs = minute * MINUTE_MS;
    for (let count = 0; count < 10; count++) if (read(true)) believed += 1;
  }
  t.equal(believed, LIMITS.minimum, 'two hours of nothing but 404 remove no more than ten minutes do');
  t.ok(read(true, true), 'what was announced is believed all the same');

  nowMs += 11 * MINUTE_MS;
  t.notOk(read(true));
  for (let count = 0; count < 2; count++) read(false);
  t.notOk(read(true), 'half were found, but of four: too few');
  read(false);
  t.ok(read(true), 'four of six were found in a later window');
});

test('the window that tripped it does not release it, and streams do not share a brake', async (t) => {
  const brake = createAbsenceBrake(() => 0);
  const absent = { isAbsent: true, isExpected: false };
  for (let count = 0; count < 21; count++) brake.believes('a', absent, LIMITS);
  for (let count = 0; count < 100; count++) brake.believes('a', { isAbsent: false, isExpected: false }, LIMITS);
  t.notOk(brake.believes('a', absent, LIMITS));
  t.ok(brake.believes('b', absent, LIMITS));
});
