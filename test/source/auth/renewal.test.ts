import { test } from 'tap';
import { secret } from '../../../src/lib/setting.ts';
import type { AuthDefinition } from '../../../src/source/auth/auth.ts';
import { jwt } from '../../../src/source/auth/jwt.ts';
import { login } from '../../../src/source/auth/login.ts';
import { type Answerer, sendJson, sendText } from '../../helpers/fake-api.ts';
import { failure, plainList, readAll, setup } from '../setup.ts';

const environment = { KEY: 'a key that both sides know' };
const exchange = { url: '/login' };
const kinds: Readonly<Record<string, AuthDefinition>> = {
  login: login({ url: '/login', body: { key: secret('KEY') }, token: 'access_token', expiresIn: 'expires_in' }),
  'jwt, exchanged': jwt({ algorithm: 'HS256', key: secret('KEY'), issuer: 'me', exchange }),
};

/** Gives a token per login, each for an hour, and takes those that `takes` says. */
const source = (takes: (token: string) => boolean): Answerer => {
  let logins = 0;
  return (response, { url, headers }) => {
    if (url === '/login') return sendJson(response, { access_token: `t-${logins++}`, expires_in: 3_600 });
    return takes(headers.authorization ?? '') ? sendJson(response, []) : sendText(response, 401, '');
  };
};

for (const [kind, auth] of Object.entries(kinds)) {
  test(`${kind}: a refused token is replaced once, and the request sent once more`, async (t) => {
    const { api, client } = await setup(
      t,
      source((token) => token !== 'Bearer t-0'),
      { source: { auth }, environment },
    );
    await readAll(client, plainList);
    t.same(
      api.seen.map(({ url }) => url),
      ['/login', '/things', '/login', '/things'],
    );
  });

  test(`${kind}: when the next token is refused, too, it ends as unauthorized`, async (t) => {
    const { api, client, slept } = await setup(
      t,
      source(() => false),
      { source: { auth }, environment },
    );
    t.equal((await failure(readAll(client, plainList))).code, 'unauthorized');
    t.equal(api.seen.length, 4);
    t.same(slept, []);
  });

  test(`${kind}: many requests at the end of a token cost one new one`, async (t) => {
    const { api, client, clock } = await setup(
      t,
      source(() => true),
      { source: { auth }, environment },
    );
    const logins = () => api.seen.filter(({ url }) => url === '/login').length;
    const many = () => Promise.all(Array.from({ length: 50 }, () => readAll(client, plainList)));
    await many();
    t.equal(logins(), 1);
    clock.nowMs += 59 * 60_000 - 1;
    await many();
    t.equal(logins(), 1);
    clock.nowMs += 1;
    await many();
    t.equal(logins(), 2);
  });
}

test('jwt: a refused token is signed anew, once', async (t) => {
  const auth = jwt({ algorithm: 'HS256', key: secret('KEY'), issuer: 'me' });
  const { api, client } = await setup(t, (response) => sendText(response, 401, ''), { source: { auth }, environment });
  t.equal((await failure(readAll(client, plainList))).code, 'unauthorized');
  t.equal(api.seen.length, 2);
  t.not(api.seen[0]?.headers.authorization, api.seen[1]?.headers.authorization);
});

test('an exchange that gives less than was asked for ends as unauthorized', async (t) => {
  const auth = jwt({
    algorithm: 'HS256',
    key: secret('KEY'),
    issuer: 'me',
    exchange: { url: '/login', scope: 'read write' },
  });
  const { api, client } = await setup(t, (response) => sendJson(response, { access_token: 't', scope: 'read' }), {
    source: { auth },
    environment,
  });
  t.equal((await failure(readAll(client, plainList))).code, 'unauthorized');
  t.ok(
    api.seen.every(({ url }) => url === '/login'),
    'the token is not used',
  );
});
