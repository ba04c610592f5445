import fc from 'fast-check';
import { test } from 'tap';
import { SourceError } from '../../src/source/error.ts';
import { decideAfterFailure, MAX_WAIT_MS } from '../../src/source/retry.ts';
import { readRetryAfterMs, showsRateLimit } from '../../src/source/retry-after.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const decide = (error: SourceError, attempt = 1, random = 0.5) =>
  decideAfterFailure({ error, attempt, maxAttempts: 5, random, remainingMs: 300_000, isSafe: true });

test('only what may pass by itself is retried', async (t) => {
  for (const code of ['timeout', 'network', 'server_error', 'circuit_open', 'rate_limited'] as const) {
    t.equal(decide(new SourceError(code, 'x')).kind, 'retry', code);
  }
  for (const code of [
    'unauthorized',
    'forbidden',
    'not_found',
    'gone',
    'cursor_expired',
    'conflict',
    'skipped',
    'bad_request',
    'invalid_response',
    'too_large',
    'foreign_link',
    'page_loop',
    'bad_id',
    'aborted',
  ] as const) {
    t.equal(decide(new SourceError(code, 'x')).kind, 'give_up', code);
  }
});

test('the last attempt and a wait over the bound are given up', async (t) => {
  const error = new SourceError('network', 'x');
  t.equal(decide(error, 4).kind, 'retry');
  t.equal(decide(error, 5).kind, 'give_up');
  t.equal(decide(new SourceError('rate_limited', 'x', { retryAfterMs: MAX_WAIT_MS })).kind, 'retry');
  t.equal(decide(new SourceError('rate_limited', 'x', { retryAfterMs: MAX_WAIT_MS + 1 })).kind, 'give_up');
});

test('a wait that leads past the deadline is not begun', async (t) => {
  const error = new SourceError('rate_limited', 'x', { retryAfterMs: 5_000 });
  const decideBy = (remainingMs: number) =>
    decideAfterFailure({ error, attempt: 1, maxAttempts: 5, random: 0, remainingMs, isSafe: true }).kind;
  t.equal(decideBy(5_001), 'retry');
  t.equal(decideBy(5_000), 'give_up');
  t.equal(decideBy(-1), 'give_up');
});

test('what may have been done is not asked for again', async (t) => {
  const decideFor = (isSafe: boolean) =>
    decideAfterFailure({
      error: new SourceError('timeout', 'x'),
      attempt: 1,
      maxAttempts: 5,
      random: 0,
      remainingMs: 5_000,
      isSafe,
    }).kind;
  t.equal(decideFor(true), 'retry');
  t.equal(decideFor(false), 'give_up');
});

test('a wait lies between what was asked and that plus the full jitter', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: MAX_WAIT_MS }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, retryAfterMs, random) => {
        const step = decide(new SourceError('server_error', 'x', { retryAfterMs }), attempt, random);
        return (
          step.kind === 'retry' && step.waitMs >= retryAfterMs && step.waitMs < retryAfterMs + 250 * 2 ** (attempt - 1)
        );
      },
    ),
  );
});

test('a wait is read in every form that sources use', async (t) => {
  const cases: readonly [Record<string, string | string[]>, number | null][] = [
    [{}, null],
    [{ 'retry-after': '120' }, 120_000],
    [{ 'retry-after': ' 3 ' }, 3_000],
    [{ 'retry-after': '2.0' }, 2_000],
    [{ 'retry-after': '0.0001' }, 1],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '-5' }, null],
    [{ 'retry-after': '' }, null],
    [{ 'retry-after': 'a while 12' }, null],
    [{ 'retry-after': '1e3' }, null],
    [{ 'retry-after': 'Infinity' }, null],
    [{ 'retry-after': '999999999999999' }, 86_400_000],
    [{ 'retry-after': '9'.repeat(400) }, 86_400_000],
    [{ 'retry-after': 'Fri, 02 Jan 2026 03:05:05 GMT' }, 60_000],
    [{ 'retry-after': 'Fri, 02 Jan 2026 03:00:00 GMT' }, 0],
    [{ 'retry-after': 'Friday, 02-Jan-26 03:05:05 GMT' }, 60_000],
    [{ 'retry-after': '2026-01-02T03:05:05Z' }, 60_000],
    [{ 'retry-after': 'Fri, 99 Foo 2026 03:05:05 GMT' }, null],
    // the source's own clock, an hour behind ours, counts
    [{ 'retry-after': 'Fri, 02 Jan 2026 02:05:05 GMT', date: 'Fri, 02 Jan 2026 02:04:05 GMT' }, 60_000],
    [{ 'retry-after': ['7', '9'] }, 7_000],
    [{ 'x-ratelimit-reset': String(NOW_MS / 1000 + 30) }, null],
    [{ 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': String(NOW_MS / 1000 + 30) }, null],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW_MS / 1000 + 30) }, 30_000],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW_MS + 30_000) }, 30_000],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '30' }, 30_000],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '30', 'retry-after': '5' }, 5_000],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2026-01-02T03:05:05Z' }, 60_000],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'later' }, null],
  ];
  for (const [headers, expected] of cases)
    t.equal(readRetryAfterMs(headers, NOW_MS), expected, JSON.stringify(headers));
});

test('a date without a zone is UTC, whatever the zone of this machine', async (t) => {
  const { TZ } = process.env;
  t.teardown(() => {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  });
  process.env.TZ = 'Asia/Kolkata';
  for (const text of ['Fri Jan  2 03:05:05 2026', '2026-01-02T03:05:05', '2026-01-02T03:05:05.000'])
    t.equal(readRetryAfterMs({ 'retry-after': text }, NOW_MS), 60_000, text);
});

test('any text in the headers gives a wait of at most a day, or none', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
  );
  fc.assert(
    fc.property(text, text, text, (retryAfter, date, reset) => {
      const headers = { 'retry-after': retryAfter, date, 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset };
      const waitMs = readRetryAfterMs(headers, NOW_MS);
      return waitMs === null || (Number.isInteger(waitMs) && waitMs >= 0 && waitMs <= 86_400_000);
    }),
  );
});

test('a missing right does not look like a limit', async (t) => {
  t.notOk(showsRateLimit({ 'x-ratelimit-remaining': '10' }));
  t.notOk(showsRateLimit({}));
  t.ok(showsRateLimit({ 'x-ratelimit-remaining': '0' }));
});
