import { test } from 'tap';
import { resolveSource } from '../../src/source/resolve.ts';
import { type Answerer, sendText } from '../helpers/fake-api.ts';
import { failure, mustResolve, plainList, readAll, setup } from './setup.ts';

const limited: Answerer = (response) => sendText(response, 429, '', { 'retry-after': '20' });
const noJitter = { random: () => 0 };

test('a wait that would lead past the deadline is not begun, and the caller is told how long it is', async (t) => {
  const { client, api, slept } = await setup(t, limited, { ...noJitter, source: { deadline: '50s' } });
  t.match(await failure(readAll(client, plainList)), {
    code: 'rate_limited',
    isRetryable: true,
    retryAfterMs: 20_000,
    message: 'GET /things: answered 429, a rate limit (attempt 3, the last)',
  });
  t.equal(api.seen.length, 3);
  t.same(slept, [20_000, 20_000]);
});

test('an attempt gets no more time than the deadline leaves', async (t) => {
  const { client, api } = await setup(t, () => {}, { source: { deadline: '60ms', timeout: '10s' } });
  const error = await failure(readAll(client, plainList));
  t.equal(error.code, 'timeout');
  t.equal(api.seen.length, 1 + Number(/attempt (\d)/.exec(error.message)?.[1] ?? 1) - 1);
});

test('a wait for the limits ends at the deadline, with the failure before it where there was one', async (t) => {
  const { client, api } = await setup(t, limited, {
    ...noJitter,
    source: { deadline: '1s', maxAttempts: 1, timeout: '1s' },
    // real, and far too long
    sleep: (_ms, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  });
  t.match(await failure(readAll(client, plainList)), { code: 'rate_limited', retryAfterMs: 20_000 });
  t.match(await failure(readAll(client, plainList)), { code: 'rate_limited', isRetryable: true });
  t.equal(api.seen.length, 1, 'the second read was held back');
});

test('without a deadline a call has three minutes, or as long as an attempt may take', async (t) => {
  t.equal(mustResolve({ baseUrl: 'http://x' }).deadlineMs, 180_000);
  t.equal(mustResolve({ baseUrl: 'http://x', timeout: '8m' }).deadlineMs, 480_000);
  t.equal(mustResolve({ baseUrl: 'http://x', deadline: '7s' }).deadlineMs, 7_000);
  t.ok(resolveSource('shop', { baseUrl: 'http://x', deadline: '10m' }, {}).ok);
});

test('an abort ends the wait for a token, for a renewal and for the limits within milliseconds', async (t) => {
  const places = ['authorize', 'renew', 'limits'] as const;
  for (const place of places) {
    const controller = new AbortController();
    /** Never ends by itself; the abort comes once it is waited for. */
    const hang = (): Promise<never> => {
      setImmediate(() => controller.abort());
      return new Promise(() => {});
    };
    const { client, api } = await setup(t, place === 'limits' ? limited : (response) => sendText(response, 401, ''), {
      ...noJitter,
      source: { maxAttempts: 1 },
      sleep: (_ms, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          setImmediate(() => controller.abort());
        }),
      auth: {
        authorize: (request) => (place === 'authorize' ? hang() : request),
        renew: () => (place === 'renew' ? hang() : Promise.resolve(false)),
        withoutCredentials: (url) => url,
      },
    });
    if (place === 'limits') await failure(readAll(client, plainList));
    const startedAtMs = performance.now();
    const error = await failure(readAll(client, plainList, { signal: controller.signal }));
    t.match(error, { code: 'aborted', isRetryable: false }, place);
    t.ok(performance.now() - startedAtMs < 500, place);
    t.equal(api.seen.length, place === 'authorize' ? 0 : 1);
  }
});
