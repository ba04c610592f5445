import { test } from 'tap';
import { inTurn, sendJson, sendText } from '../../helpers/fake-api.ts';
import { failure, never, plainList, readAll, setup } from '../setup.ts';

const ok = inTurn((response) => sendJson(response, []));
const redirect = (status: number) =>
  inTurn((response) => sendText(response, status, '', { location: '/elsewhere', 'x-ratelimit-remaining': '9' }));

test('each redirect that is followed counts like a request of its own', async (t) => {
  const { client, api } = await setup(t, inTurn(redirect(302), redirect(302), ok), {
    source: { rateLimits: [{ requests: 10, per: '1m' }], learnRateLimits: false },
  });
  await readAll(client, plainList);
  t.equal(api.seen.length, 3);
  t.match(await client.limits(), [{ used: 3 }]);
});

test('a redirect waits for room, and without any it is not followed; our own refusal holds nobody else up', async (t) => {
  const { client, api } = await setup(t, inTurn(redirect(302), ok), {
    source: {
      rateLimits: [{ match: 'GET /things', requests: 1, per: '1d' }],
      learnRateLimits: false,
    },
  });
  const error = await failure(readAll(client, plainList));
  t.match(error, { code: 'rate_limited', message: /leaves no room/ });
  t.ok((error.retryAfterMs ?? 0) >= 86_400_000);
  t.equal(api.seen.length, 1);
  await readAll(client, { ...plainList, path: '/others' });
  t.equal(api.seen.length, 2);
});

test('a redirect that waits longer than its attempt may take leaves no slot taken', async (t) => {
  const { client, clock } = await setup(t, inTurn(redirect(302), ok), {
    source: {
      // The waits are real here, while the clock stands: a tenth of this is the time that the first answer may take.
      timeout: '3s',
      concurrency: 1,
      rateLimits: [{ requests: 1, per: '30s' }],
      learnRateLimits: false,
    },
    sleep: (_ms, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  });
  t.match(await failure(readAll(client, plainList)), { code: 'rate_limited' });
  clock.nowMs += 40_000;
  await readAll(client, plainList);
});

test('a write that was carried out is not sent again, whatever becomes of the redirect to its result', async (t) => {
  for (const answer of [429, 401, 500]) {
    const { client, api } = await setup(
      t,
      inTurn(redirect(303), (response) => sendText(response, answer, '')),
    );
    const request = {
      endpoint: 'POST /things',
      protocol: 'rest',
      method: 'POST',
      url: new URL(`${api.origin}/things`),
      headers: {},
      body: '{}',
      isRepeatable: false,
    } as const;
    await failure(client.send(request, { lane: 'urgent', signal: never() }));
    t.same(
      api.seen.map(({ method }) => method),
      ['POST', 'GET'],
      String(answer),
    );
  }
});

test('a connection that was refused uses nothing up', async (t) => {
  const { client } = await setup(t, ok, {
    source: { baseUrl: 'http://127.0.0.1:9', maxAttempts: 3, rateLimits: [{ requests: 1, per: '1d' }] },
  });
  t.match(await failure(readAll(client, plainList)), { code: 'network', message: /attempt 3/ });
});
