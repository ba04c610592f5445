import { test } from 'tap';
import { type Answerer, inTurn, sendJson, sendText } from '../helpers/fake-api.ts';
import { failure, plainList, readAll, START_MS, setup } from './setup.ts';

const ok: Answerer = (response) => sendJson(response, ['fine']);
const limited =
  (headers: Record<string, string>, status = 429): Answerer =>
  (response) =>
    sendText(response, status, 'slow down', headers);
/** Without the server's own date, so that dates count from the test's clock. */
const undated =
  (answer: Answerer): Answerer =>
  (response, request) => {
    response.sendDate = false;
    return answer(response, request);
  };
const noJitter = { random: () => 0 };

test('a rate limit is waited for as long as the source asks, in any of its ways of saying so', async (t) => {
  for (const [headers, waitMs] of [
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '2' }, 2_000],
    [{ 'retry-after': '2.5' }, 2_500],
    [{ 'retry-after': new Date(START_MS + 7_000).toUTCString() }, 7_000],
    [{ 'retry-after': new Date(START_MS - 7_000).toUTCString() }, 0],
    [{ 'retry-after': 'soon' }, 0],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(START_MS / 1000 + 9) }, 9_000],
  ] as const) {
    const { client, slept } = await setup(t, undated(inTurn(limited(headers), ok)), noJitter);
    await readAll(client, plainList);
    t.same(slept, [waitMs], JSON.stringify(headers));
  }
});

test('jitter comes on top of what the source asks', async (t) => {
  const { client, slept } = await setup(t, inTurn(limited({ 'retry-after': '2' }), ok));
  await readAll(client, plainList);
  t.same(slept, [2_125]);
});

test('a long wait is not slept through but handed to the caller, and to the next ones without a request', async (t) => {
  const { client, api, slept, clock } = await setup(t, inTurn(limited({ 'retry-after': '3600' }), ok), noJitter);
  t.match(await failure(readAll(client, plainList)), {
    code: 'rate_limited',
    retryAfterMs: 3_600_000,
    isRetryable: true,
  });
  clock.nowMs += 600_000;
  t.match(await failure(readAll(client, plainList)), { code: 'rate_limited', retryAfterMs: 3_000_000 });
  t.equal(api.seen.length, 1);
  t.same(slept, []);
  clock.nowMs += 3_000_000;
  await readAll(client, plainList);
  t.equal(api.seen.length, 2);
});

test('a clock that is set back does not make the wait longer', async (t) => {
  const { client, clock } = await setup(t, limited({ 'retry-after': '3600' }), noJitter);
  await failure(readAll(client, plainList));
  clock.nowMs -= 86_400_000;
  t.match(await failure(readAll(client, plainList)), { retryAfterMs: 3_600_000 });
});

test('one caller told to wait makes the others wait too', async (t) => {
  const { client, slept, clock } = await setup(t, inTurn(limited({ 'retry-after': '20' }), ok), {
    ...noJitter,
    source: { maxAttempts: 1 },
  });
  t.match(await failure(readAll(client, plainList)), { code: 'rate_limited', retryAfterMs: 20_000 });
  clock.nowMs += 5_000;
  await readAll(client, plainList);
  t.same(slept, [15_000]);
});

test('a 403 with the signs of a limit is one', async (t) => {
  for (const headers of [
    { 'retry-after': '1' },
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(START_MS / 1000 + 1) },
  ]) {
    const { client, slept } = await setup(t, undated(inTurn(limited(headers, 403), ok)), noJitter);
    await readAll(client, plainList);
    t.same(slept, [1_000]);
  }
});

test('a 403 whose words alone tell of a secondary limit is waited for a minute; another 403 is not', async (t) => {
  const docs =
    'https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits';
  for (const [body, headers, waitMs] of [
    [{ message: 'You have exceeded a secondary rate limit. Please wait a few minutes.' }, {}, 60_000],
    [{ message: 'You have triggered an abuse detection mechanism.' }, { 'x-ratelimit-remaining': '4000' }, 60_000],
    [{ message: 'Wait.', documentation_url: docs }, {}, 60_000],
    [{ message: 'You have exceeded a secondary rate limit.' }, { 'retry-after': '7' }, 7_000],
  ] as const) {
    const limitedByWords: Answerer = (response) => sendText(response, 403, JSON.stringify(body), headers);
    const { client, slept } = await setup(t, inTurn(limitedByWords, ok), {
      ...noJitter,
      source: { learnRateLimits: false },
    });
    await readAll(client, plainList);
    t.same(slept, [waitMs], JSON.stringify(body));
  }
  const forbidden: Answerer = (response) =>
    sendText(response, 403, JSON.stringify({ message: 'Must have admin rights to Repository.' }));
  const { client } = await setup(t, forbidden);
  t.match(await failure(readAll(client, plainList)), { code: 'forbidden' });
});
