import { test } from 'tap';
import { env, secret } from '../../../src/lib/setting.ts';
import { apiKey } from '../../../src/source/auth/api-key.ts';
import { basic } from '../../../src/source/auth/basic.ts';
import { sendJson, sendText } from '../../helpers/fake-api.ts';
import { failure, plainList, readAll, setup } from '../setup.ts';
import { problemsOf } from './setup.ts';

test('name and password arrive as UTF-8, colons of the password included', async (t) => {
  const { api, client } = await setup(t, (response) => sendJson(response, []), {
    source: { auth: basic({ username: env('WHO'), password: secret('PASSWORD') }) },
    environment: { WHO: 'jörg@example.com/token', PASSWORD: 'pä:ss wörd€' },
  });
  await readAll(client, plainList);
  const [scheme, value] = (api.seen[0]?.headers.authorization ?? '').split(' ');
  t.equal(scheme, 'Basic');
  t.equal(new TextDecoder().decode(Buffer.from(value ?? '', 'base64')), 'jörg@example.com/token:pä:ss wörd€');
});

test('without a password the colon stands alone', async (t) => {
  const { api, client } = await setup(t, (response) => sendJson(response, []), {
    source: { auth: basic({ username: secret('KEY') }) },
    environment: { KEY: 'sk_live' },
  });
  await readAll(client, plainList);
  t.equal(api.seen[0]?.headers.authorization, `Basic ${btoa('sk_live:')}`);
});

test('a name that cannot be told from the password, or a line break, stops the start and is not shown', async (t) => {
  const auth = basic({ username: secret('WHO'), password: secret('PASSWORD') });
  t.match(problemsOf(auth, { WHO: 'CANARY:x', PASSWORD: 'CANARY\n' }), [
    { path: 'auth.username', problem: /colon/ },
    { path: 'auth.password', problem: /line break/ },
  ]);
  t.notMatch(JSON.stringify(problemsOf(auth, { WHO: 'CANARY:x', PASSWORD: 'CANARY\n' })), /CANARY/);
  t.match(problemsOf(auth, { WHO: 'me', PASSWORD: '' }), [{ path: 'auth.password', problem: /empty/ }]);
});

test('a key with a line break is refused wherever it goes', async (t) => {
  for (const place of [{ query: 'key' }, { header: 'x-key' }]) {
    const problems = problemsOf(apiKey({ ...place, value: secret('KEY') }), { KEY: 'CANARY\n' });
    t.match(problems, [{ path: 'auth.value', problem: /line break/ }]);
    t.equal(problems.length, 1);
  }
});

test('nothing is tried again with a password that the source refuses', async (t) => {
  const { api, client } = await setup(t, (response) => sendText(response, 401, ''), {
    source: { auth: basic({ username: 'me', password: 'wrong' }) },
  });
  t.equal((await failure(readAll(client, plainList))).code, 'unauthorized');
  t.equal(api.seen.length, 1);
});
