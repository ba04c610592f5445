import { test } from 'tap';
import { instantFromMs } from '../../../src/model/instant.ts';
import type { AuthDeps } from '../../../src/source/auth/authenticator.ts';
import { createTokenCache, type Grant, type GrantedTokens } from '../../../src/source/auth/token-cache.ts';
import { createMemoryTokenStore, type TokenSet, type TokenStore } from '../../../src/source/auth/token-store.ts';
import { SourceError } from '../../../src/source/error.ts';
import { createGate } from '../../helpers/gate.ts';
import { collectLog, failure, type LogLine, never, START_MS } from '../setup.ts';
import { createRotatingProvider, refusedGrant } from './rotating-provider.ts';

const MINUTE_MS = 60_000;
const HOUR_S = 3_600;

function createDeps(options: { store?: TokenStore; clock?: { nowMs: number } } = {}) {
  const clock = options.clock ?? { nowMs: START_MS };
  const lines: LogLine[] = [];
  const store = options.store ?? createMemoryTokenStore(() => clock.nowMs);
  const deps: AuthDeps = {
    name: 'crm',
    now: async () => instantFromMs(clock.nowMs),
    nowMs: () => clock.nowMs,
    random: () => 0.5,
    sleep: async (ms) => {
      clock.nowMs += ms;
      // Lets what others do go on, as a real wait would.
      await new Promise((resolve) => setImmediate(resolve));
    },
    tokens: store,
    log: collectLog(lines),
  };
  return { deps, clock, store, lines };
}

const plain = (accessToken: string, expiresInS: number | null = HOUR_S): GrantedTokens => ({
  accessToken,
  expiresInS,
  refreshToken: null,
  scope: null,
});

/** Gives `token-1`, `token-2` … and counts. */
function countingGrant(expiresInS: number | null = HOUR_S) {
  let count = 0;
  const grant: Grant = async () => plain(`token-${++count}`, expiresInS);
  return { grant, count: () => count };
}

const stored = (tokens: Partial<TokenSet>): TokenSet => ({
  accessToken: null,
  requestedAt: instantFromMs(START_MS),
  lifetimeMs: null,
  scope: null,
  refreshToken: 'refresh-1',
  spares: [],
  family: 'one',
  seeds: [],
  refused: null,
  ...tokens,
});

test('50 callers at the expiry cause one grant, and all get its token', async (t) => {
  const { deps, clock } = createDeps();
  const { grant, count } = countingGrant();
  const cache = createTokenCache(deps, grant);
  t.equal(await cache.get(never()), 'token-1');
  clock.nowMs += 59 * MINUTE_MS;
  const tokens = await Promise.all(Array.from({ length: 50 }, () => cache.get(never())));
  t.same(new Set(tokens), new Set(['token-2']));
  t.equal(count(), 2);
});

test('a token is used until 60 s before its end, without waiting for anything', async (t) => {
  const { deps, clock } = createDeps();
  const { grant } = countingGrant();
  const cache = createTokenCache(deps, grant);
  await cache.get(never());
  clock.nowMs += 59 * MINUTE_MS - 1;
  t.equal(cache.get(never()), 'token-1');
  clock.nowMs += 1;
  t.equal(await cache.get(never()), 'token-2');
});

test('a token that lives shorter than two minutes is used for half of its life', async (t) => {
  const { deps, clock } = createDeps();
  const { grant } = countingGrant(30);
  const cache = createTokenCache(deps, grant);
  await cache.get(never());
  clock.nowMs += 14_999;
  t.equal(cache.get(never()), 'token-1');
  clock.nowMs += 1;
  t.equal(await cache.get(never()), 'token-2');
});

test('the life of a token counts from when it was asked for, not from when it came', async (t) => {
  const { deps, clock } = createDeps();
  const { grant } = countingGrant();
  const slow: Grant = async (...parameters) => {
    const granted = await grant(...parameters);
    clock.nowMs += 20_000;
    return granted;
  };
  const cache = createTokenCache(deps, slow);
  await cache.get(never());
  clock.nowMs += 59 * MINUTE_MS - 20_000;
  t.equal(await cache.get(never()), 'token-2');
});

test('a token without an end is used until it is refused', async (t) => {
  const { deps, clock } = createDeps();
  const { grant } = countingGrant(null);
  const cache = createTokenCache(deps, grant);
  await cache.get(never());
  clock.nowMs += 400 * 24 * 60 * MINUTE_MS;
  t.equal(cache.get(never()), 'token-1');
  t.equal(await cache.replace('token-1', never()), true);
  t.equal(cache.get(never()), 'token-2');
});

test('a process with a fresh token changes to an authorization anew within 15 s', async (t) => {
  const { deps, clock, store } = createDeps();
  const set = (accessToken: string, family: string) => stored({ accessToken, family, lifetimeMs: HOUR_S * 1_000 });
  await store.save('crm', { lease: null, generation: 0, tokens: set('of one account', 'one') });
  const cache = createTokenCache(deps, countingGrant().grant, { basis: 'authorization' });
  t.equal(await cache.get(never()), 'of one account');
  await store.save('crm', { lease: null, generation: 1, tokens: set('of another', 'two') });
  clock.nowMs += 14_999;
  t.equal(cache.get(never()), 'of one account', 'without waiting for anything');
  clock.nowMs += 1;
  const all = await Promise.all(Array.from({ length: 10 }, () => cache.get(never())));
  t.same(new Set(all), new Set(['of another']));
});

test('a fresh token is used on where the store is away or its key is another, until it is refused', async (t) => {
  for (const read of [
    async () => Promise.reject(new Error('the database is away')),
    async () => ({ ...(await createDeps().store.read('crm')), tokens: 'unreadable' as const }),
  ]) {
    const { deps, clock, store } = createDeps();
    const tokens = { ...store };
    const set = stored({ accessToken: 'access', lifetimeMs: HOUR_S * 1_000 });
    await store.save('crm', { lease: null, generation: 0, tokens: set });
    const { grant, count } = countingGrant();
    const cache = createTokenCache({ ...deps, tokens }, grant, { basis: 'authorization' });
    t.equal(await cache.get(never()), 'access');
    tokens.read = read;
    clock.nowMs += MINUTE_MS;
    t.equal(await cache.get(never()), 'access');
    await failure(cache.replace('access', never()));
    await failure(Promise.resolve(cache.get(never())));
    t.equal(count(), 0);
  }
});

test('a caller that leaves ends neither the grant nor the others', async (t) => {
  const { deps } = createDeps();
  const [asked, answer] = [createGate(), createGate()];
  let grants = 0;
  const cache = createTokenCache(deps, async () => {
    grants += 1;
    asked.open();
    await answer.opened;
    return plain('token-1');
  });
  const leaving = new AbortController();
  const left = failure(Promise.resolve(cache.get(leaving.signal)));
  const staying = cache.get(never());
  await asked.opened;
  leaving.abort();
  t.equal((await left).code, 'aborted');
  answer.open();
  t.equal(await staying, 'token-1');
  t.equal(grants, 1);
});

test('an answer that nobody waits for any more is kept all the same', async (t) => {
  const { deps, store } = createDeps();
  const provider = createRotatingProvider();
  const first = provider.authorize();
  await store.save('crm', { lease: null, generation: 0, tokens: stored({ refreshToken: first.refreshToken }) });
  const [asked, answer] = [createGate(), createGate()];
  const cache = createTokenCache(
    deps,
    async (refreshToken) => {
      const granted = provider.present(refreshToken);
      asked.open();
      await answer.opened;
      return granted;
    },
    { basis: 'authorization' },
  );
  const leaving = new AbortController();
  const left = failure(Promise.resolve(cache.get(leaving.signal)));
  await asked.opened;
  leaving.abort();
  await left;
  answer.open();
  t.equal(await cache.get(never()), 'access-2');
  t.equal(provider.presented.length, 1);
});

test('all who wait share a failure, and the next caller tries again', async (t) => {
  const { deps } = createDeps();
  let grants = 0;
  const cache = createTokenCache(deps, async () => {
    grants += 1;
    if (grants === 1) throw new SourceError('server_error', 'the token endpoint: answered 503', { status: 503 });
    return plain('token-2');
  });
  const failures = await Promise.all(Array.from({ length: 5 }, () => failure(Promise.resolve(cache.get(never())))));
  t.same(new Set(failures.map(({ code }) => code)), new Set(['server_error']));
  t.equal(grants, 1);
  t.equal(await cache.get(never()), 'token-2');
});

test('a refusal of a token that has been replaced means to use the new one', async (t) => {
  const { deps } = createDeps();
  const { grant, count } = countingGrant();
  const cache = createTokenCache(deps, grant);
  await cache.get(never());
  const replaced = await Promise.all(Array.from({ length: 10 }, () => cache.replace('token-1', never())));
  t.same(new Set(replaced), new Set([true]));
  t.equal(await cache.replace('token-1', never()), true);
  t.equal(count(), 2);
});

test('a refusal is answered with what another process has got meanwhile', async (t) => {
  const { deps, clock, store } = createDeps();
  const { grant, count } = countingGrant();
  const here = createTokenCache(deps, grant);
  const there = createTokenCache(createDeps({ store, clock }).deps, grant);
  t.same([await here.get(never()), await there.get(never())], ['token-1', 'token-1']);
  t.equal(await there.replace('token-1', never()), true);
  t.equal(await here.replace('token-1', never()), true);
  t.equal(await here.get(never()), 'token-2');
  t.equal(count(), 2);
});

test('a source that gives the refused token again has no other one', async (t) => {
  const { deps } = createDeps();
  const cache = createTokenCache(deps, async () => plain('token-1'));
  await cache.get(never());
  t.equal(await cache.replace('token-1', never()), false);
});

test('one who waits for another process takes what that one stored', async (t) => {
  const { deps, clock, store } = createDeps();
  const { grant, count } = countingGrant();
  const [asked, answer] = [createGate(), createGate()];
  const here = createTokenCache(deps, async (...parameters) => {
    asked.open();
    await answer.opened;
    return grant(...parameters);
  });
  const first = here.get(never());
  await asked.opened;
  const polled = createGate();
  const other = createDeps({ store, clock }).deps;
  const there = createTokenCache(
    {
      ...other,
      sleep: async (ms, signal) => {
        polled.open();
        await other.sleep(ms, signal);
      },
    },
    grant,
  );
  const second = there.get(never());
  await polled.opened;
  answer.open();
  t.same(await Promise.all([first, second]), ['token-1', 'token-1']);
  t.equal(count(), 1);
});

test('waiting for another process ends on abort, at once', async (t) => {
  const { deps, store } = createDeps();
  await store.acquire('crm', 45_000);
  const polled = createGate();
  const cache = createTokenCache(
    {
      ...deps,
      sleep: (_ms, signal) => {
        polled.open();
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
      },
    },
    countingGrant().grant,
  );
  const stop = new AbortController();
  const waiting = failure(Promise.resolve(cache.get(stop.signal)));
  await polled.opened;
  stop.abort();
  t.equal((await waiting).code, 'aborted');
});

test('the lease of a process that is gone lapses', async (t) => {
  const { deps, store } = createDeps();
  await store.acquire('crm', 45_000);
  const { grant, count } = countingGrant();
  t.equal(await createTokenCache(deps, grant).get(never()), 'token-1');
  t.equal(count(), 1);
});

test('a rotated refresh token is stored before its access token is used', async (t) => {
  const { deps, store } = createDeps();
  const provider = createRotatingProvider();
  await store.save('crm', {
    lease: null,
    generation: 0,
    tokens: stored({ refreshToken: provider.authorize().refreshToken }),
  });
  let isStored = false;
  const tokens: TokenStore = {
    ...store,
    async save(...parameters) {
      await new Promise((resolve) => setImmediate(resolve));
      isStored = await store.save(...parameters);
      return isStored;
    },
  };
  const cache = createTokenCache({ ...deps, tokens }, async (refreshToken) => provider.present(refreshToken), {
    basis: 'authorization',
  });
  await Promise.resolve(cache.get(never())).then(() => t.ok(isStored));
});

test('tokens that cannot be stored are not used, and are stored as soon as they can be', async (t) => {
  const { deps, store, clock } = createDeps();
  const provider = createRotatingProvider();
  await store.save('crm', {
    lease: null,
    generation: 0,
    tokens: stored({ refreshToken: provider.authorize().refreshToken }),
  });
  let isAway = true;
  const tokens: TokenStore = {
    ...store,
    save: async (...parameters) => {
      if (isAway) throw new Error('the database is away');
      return store.save(...parameters);
    },
  };
  const cache = createTokenCache({ ...deps, tokens }, async (refreshToken) => provider.present(refreshToken), {
    basis: 'authorization',
  });
  const error = await failure(Promise.resolve(cache.get(never())));
  t.equal(error.isRetryable, true);
  t.notMatch(error.message, /access-|refresh-/);
  t.equal(await store.acquire('crm', 1), null, 'nobody else may use the old refresh token meanwhile');
  isAway = false;
  t.equal(await cache.get(never()), 'access-2');
  t.same(provider.presented, ['refresh-1']);
  t.equal((await store.read('crm')).generation, 2);
  t.ok(clock.nowMs > START_MS);
});

test('a slow holder neither overwrites what its successor stored nor loses what it was given', async (t) => {
  const { deps, store, clock } = createDeps();
  await store.save('crm', { lease: null, generation: 0, tokens: stored({}) });
  const [asked, answer] = [createGate(), createGate()];
  const slow = createTokenCache(
    deps,
    async () => {
      asked.open();
      await answer.opened;
      return { ...plain('access-slow'), refreshToken: 'refresh-slow' };
    },
    { basis: 'authorization' },
  );
  const late = slow.get(never());
  await asked.opened;
  clock.nowMs += 46_000;
  const quick = createTokenCache(
    createDeps({ store, clock }).deps,
    async () => ({ ...plain('access-quick'), refreshToken: 'refresh-quick' }),
    { basis: 'authorization' },
  );
  t.equal(await quick.get(never()), 'access-quick');
  answer.open();
  t.equal(await late, 'access-quick');
  t.match((await store.read('crm')).tokens, { refreshToken: 'refresh-quick', spares: ['refresh-slow'] });
});

test('a spare refresh token is tried before giving up', async (t) => {
  const { deps, store } = createDeps();
  await store.save('crm', { lease: null, generation: 0, tokens: stored({ refreshToken: 'dead', spares: ['alive'] }) });
  const cache = createTokenCache(
    deps,
    async (refreshToken) => {
      if (refreshToken === 'dead') throw refusedGrant();
      return { ...plain('access-2'), refreshToken: 'next' };
    },
    { basis: 'authorization' },
  );
  t.equal(await cache.get(never()), 'access-2');
  t.match((await store.read('crm')).tokens, { refreshToken: 'next', spares: [] });
});

test('a lost answer is tried once more, then reported with the way out, and not tried at every request', async (t) => {
  const { deps, store, clock } = createDeps();
  const provider = createRotatingProvider();
  await store.save('crm', {
    lease: null,
    generation: 0,
    tokens: stored({ refreshToken: provider.authorize().refreshToken }),
  });
  const lease = await store.acquire('crm', 1);
  await store.noteUse('crm', { lease: lease?.lease ?? '', generation: 1, leaseMs: 1 });
  provider.present('refresh-1'); // and the process was killed
  clock.nowMs += 10;
  const cache = createTokenCache(deps, async (refreshToken) => provider.present(refreshToken), {
    basis: 'authorization',
  });
  for (let attempt = 0; attempt < 3; attempt++) {
    const error = await failure(Promise.resolve(cache.get(never())));
    t.equal(error.code, 'unauthorized');
    t.match(error.message, /answer to a refresh was lost.*authorize again at GET \/oauth\/crm\/start/);
  }
  t.equal(provider.presented.length, 2);
});

test('a refresh token that is refused without a lost answer is reported as that', async (t) => {
  const { deps, store } = createDeps();
  await store.save('crm', { lease: null, generation: 0, tokens: stored({}) });
  const cache = createTokenCache(deps, async () => Promise.reject(refusedGrant()), { basis: 'authorization' });
  const error = await failure(Promise.resolve(cache.get(never())));
  t.match(
    error.message,
    /crm: the refresh token is refused \(invalid_grant\): authorize again at GET \/oauth\/crm\/start/,
  );
});

test('an integration that nobody has authorized says where to do it, and asks the source nothing', async (t) => {
  const { deps } = createDeps();
  const cache = createTokenCache(deps, async () => t.fail('asked') as never, { basis: 'authorization' });
  const error = await failure(Promise.resolve(cache.get(never())));
  t.equal(error.code, 'unauthorized');
  t.match(error.message, /not authorized yet: authorize at GET \/oauth\/crm\/start/);
});

test('a refresh token from the settings is used until there is a newer one, also after a restart', async (t) => {
  const { deps, store, clock } = createDeps();
  const presented: (string | null)[] = [];
  const grant: Grant = async (refreshToken) => {
    presented.push(refreshToken);
    return { ...plain(`access-${presented.length}`), refreshToken: `refresh-${presented.length}` };
  };
  const start = (seed: string) => createTokenCache(deps, grant, { basis: 'authorization', seed });
  await start('seed').get(never());
  clock.nowMs += 60 * MINUTE_MS;
  await start('seed').get(never());
  await start('another seed').get(never());
  clock.nowMs += 60 * MINUTE_MS;
  await start('seed').get(never()); // an old replica, while the new one is rolled out
  t.same(presented, ['seed', 'refresh-1', 'another seed', 'refresh-3']);
  t.type((await store.read('crm')).tokens, 'object');
});

test('scopes that the answer does not name among others are missing, and the tokens are kept all the same', async (t) => {
  const { deps, store } = createDeps();
  await store.save('crm', { lease: null, generation: 0, tokens: stored({}) });
  const grant: Grant = async () => ({ ...plain('access-2'), refreshToken: 'refresh-2', scope: 'read,other' });
  const cache = createTokenCache(deps, grant, { basis: 'authorization', scopes: ['read', 'write'] });
  const error = await failure(Promise.resolve(cache.get(never())));
  t.equal(error.code, 'unauthorized');
  t.match(error.message, /lacks the scopes write:/);
  t.match((await store.read('crm')).tokens, { refreshToken: 'refresh-2' });
  const silent: Grant = async () => plain('access-3');
  t.equal(await createTokenCache(createDeps().deps, silent, { scopes: ['read'] }).get(never()), 'access-3');
});

test('a login whose refresh token is refused starts over with its own credentials', async (t) => {
  const { deps, clock } = createDeps();
  const presented: (string | null)[] = [];
  const cache = createTokenCache(deps, async (refreshToken) => {
    presented.push(refreshToken);
    if (refreshToken !== null) throw new SourceError('unauthorized', 'the login: answered 401', { status: 401 });
    return { ...plain('access'), refreshToken: 'refresh' };
  });
  await cache.get(never());
  clock.nowMs += 60 * MINUTE_MS;
  t.equal(await cache.get(never()), 'access');
  t.same(presented, [null, 'refresh', null]);
});

for (const skewMs of [-2 * MINUTE_MS, 2 * MINUTE_MS]) {
  test(`a store whose clock is ${skewMs / MINUTE_MS} min off changes nothing in when a token is renewed`, async (t) => {
    const clock = { nowMs: START_MS };
    const store = createMemoryTokenStore(() => clock.nowMs + skewMs);
    const { grant, count } = countingGrant();
    const start = () => createTokenCache(createDeps({ store, clock }).deps, grant);
    const writer = start();
    await writer.get(never());
    clock.nowMs += 59 * MINUTE_MS - 1;
    const reader = start();
    t.same([writer.get(never()), await reader.get(never())], ['token-1', 'token-1']);
    t.equal(count(), 1);
    clock.nowMs += 1;
    t.same([await writer.get(never()), await reader.get(never())], ['token-2', 'token-2']);
    t.equal(count(), 2);
  });

  test(`a store whose clock jumps by ${skewMs / MINUTE_MS} min costs at most an early grant`, async (t) => {
    const clock = { nowMs: START_MS };
    let offMs = 0;
    const store = createMemoryTokenStore(() => clock.nowMs + offMs);
    const { grant, count } = countingGrant();
    await createTokenCache(createDeps({ store, clock }).deps, grant).get(never());
    offMs = skewMs;
    clock.nowMs += 57 * MINUTE_MS + 1;
    const token = await createTokenCache(createDeps({ store, clock }).deps, grant).get(never());
    t.equal(token, skewMs > 0 ? 'token-2' : 'token-1');
    t.ok(count() <= 2);
  });
}

test('tokens that no key opens stop a refresh, name the variable, and are not overwritten', async (t) => {
  const { deps, store } = createDeps();
  const tokens: TokenStore = {
    ...store,
    read: async () => ({ ...(await store.read('crm')), tokens: 'unreadable' }),
    save: async () => t.fail('saved') as never,
  };
  const cache = createTokenCache({ ...deps, tokens }, countingGrant().grant, { basis: 'authorization' });
  const error = await failure(Promise.resolve(cache.get(never())));
  t.equal(error.code, 'unauthorized');
  t.match(error.message, /SYNCLINE_ENCRYPTION_KEY/);
});

test('one who gets the lease just after another has stored asks for nothing', async (t) => {
  const { deps, clock, store } = createDeps();
  const { grant, count } = countingGrant();
  const quick = createTokenCache(deps, grant);
  const late: TokenStore = {
    ...store,
    async acquire(...parameters) {
      await quick.get(never());
      return store.acquire(...parameters);
    },
  };
  t.equal(await createTokenCache(createDeps({ store: late, clock }).deps, grant).get(never()), 'token-1');
  t.equal(count(), 1);
});

for (const [how, error, words] of [
  ['broke off', new SourceError('timeout', 'no whole answer'), /answer to a refresh was lost/],
  [
    'was turned away',
    new SourceError('rate_limited', 'answered 429', { status: 429 }),
    /crm: the refresh token is refused/,
  ],
] as const) {
  test(`a refusal after a refresh that ${how} says what can have happened`, async (t) => {
    const { deps, store } = createDeps();
    await store.save('crm', { lease: null, generation: 0, tokens: stored({}) });
    let grants = 0;
    const cache = createTokenCache(
      deps,
      async () => {
        grants += 1;
        throw grants === 1 ? error : refusedGrant();
      },
      { basis: 'authorization' },
    );
    t.equal((await failure(Promise.resolve(cache.get(never())))).code, error.code);
    t.match((await failure(Promise.resolve(cache.get(never())))).message, words);
  });
}
