import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { test } from 'tap';
import { secret } from '../../../src/lib/setting.ts';
import type { AuthDefinition } from '../../../src/source/auth/auth.ts';
import { basic } from '../../../src/source/auth/basic.ts';
import { hmac } from '../../../src/source/auth/hmac.ts';
import { jwt } from '../../../src/source/auth/jwt.ts';
import { login } from '../../../src/source/auth/login.ts';
import { SourceError } from '../../../src/source/error.ts';
import { type Answerer, sendJson, sendText } from '../../helpers/fake-api.ts';
import { mustResolve, plainList, readAll, setup } from '../setup.ts';

const CANARY = 'CANARY-7c1e';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));
const canary = secret('CANARY');
const environment = { CANARY, PEM, URL: `/login?key=${CANARY}` };
/** The secrets, and the forms in which they leave us. */
const SHOWN = new RegExp(
  [CANARY, btoa(`${CANARY}:${CANARY}`), PEM.slice(100, 140).replaceAll(/[+/\n]/g, '.'), 'eyJ'].join('|'),
);

const kinds: Readonly<Record<string, AuthDefinition>> = {
  basic: basic({ username: canary, password: canary }),
  hmac: hmac({ secret: canary, keyId: canary, header: 'x-sign', value: '{keyId}:{signature}', template: '{body}' }),
  'jwt, HS256': jwt({ algorithm: 'HS256', key: canary, keyId: canary, issuer: canary, claims: { a: canary } }),
  'jwt, RS256': jwt({ algorithm: 'RS256', key: secret('PEM'), issuer: canary, subject: canary, audience: canary }),
  'jwt, exchanged': jwt({
    algorithm: 'RS256',
    key: secret('PEM'),
    issuer: canary,
    exchange: { url: secret('URL'), params: { secret: canary } },
  }),
  'jwt, exchanged as bearer': jwt({
    algorithm: 'HS256',
    key: canary,
    issuer: canary,
    exchange: { url: secret('URL'), send: 'bearer', params: { secret: canary } },
  }),
  login: login({
    url: secret('URL'),
    body: { user: canary, password: canary },
    headers: { 'x-key': canary },
    basic: { username: canary, password: canary },
    token: 'access_token',
    expiresIn: 'expires_in',
    refresh: { url: secret('URL'), body: { key: canary }, headers: { 'x-key': canary } },
  }),
};

const given: Answerer = (response) =>
  sendJson(response, { access_token: `${CANARY}-token`, refresh_token: CANARY, expires_in: 3_600 });
const refused: Answerer = (response) => sendText(response, 401, CANARY, { 'www-authenticate': CANARY });
/** What the token endpoint answers, and what the source does: both repeat what they were sent. */
const failures: Readonly<Record<string, { readonly token: Answerer; readonly source: Answerer }>> = {
  'the source refuses': { token: given, source: refused },
  'the source fails': { token: given, source: (response) => sendText(response, 500, CANARY) },
  'the endpoint refuses': { token: refused, source: refused },
  'the endpoint fails': { token: (response) => sendText(response, 500, CANARY), source: refused },
  'the endpoint breaks off': {
    token: (response) => {
      response.write(`{"access_token":"${CANARY}`, () => response.destroy());
    },
    source: refused,
  },
  'the endpoint answers no JSON': { token: (response) => sendText(response, 200, CANARY), source: refused },
  'the token has a line break': {
    token: (response) => sendJson(response, { access_token: `${CANARY}\n` }),
    source: refused,
  },
  'the time is none': {
    token: (response) => sendJson(response, { access_token: CANARY, expires_in: CANARY }),
    source: refused,
  },
  'the endpoint redirects': {
    token: (response) => sendText(response, 307, CANARY, { location: `https://${CANARY}.example/${CANARY}` }),
    source: refused,
  },
};

/** All of an error that anything could show, its causes included. */
const everythingOf = (value: unknown): string =>
  inspect(value, { depth: 10, showHidden: true }) + JSON.stringify(value);

test('no kind of authentication shows a secret, a token or an assertion, wherever it fails', async (t) => {
  for (const [kind, auth] of Object.entries(kinds)) {
    for (const [name, { token, source }] of Object.entries(failures)) {
      const answer: Answerer = (response, request) =>
        (request.url.startsWith('/login') ? token : source)(response, request);
      const { client, lines } = await setup(t, answer, { source: { auth, maxAttempts: 2 }, environment });
      const error: unknown = await readAll(client, plainList).catch((thrown: unknown) => thrown);
      t.type(error, SourceError, `${kind}: ${name}`);
      const stack = error instanceof Error ? `${error.stack} ${String(error.cause)}` : '';
      t.notMatch(everythingOf(error) + stack + everythingOf(lines), SHOWN, `${kind}: ${name}`);
      t.notMatch(everythingOf(client), SHOWN, `${kind}: the client`);
    }
  }
});

test('no definition, resolved source or authenticator shows a secret', async (t) => {
  for (const [kind, auth] of Object.entries(kinds)) {
    const definition = { baseUrl: 'https://api.example.com', auth };
    const source = mustResolve(definition, environment);
    for (const shown of [definition, source]) t.notMatch(everythingOf(shown), SHOWN, kind);
  }
});

test('what carries the secrets is recognised by these tests', (t) => {
  for (const text of [CANARY, `Basic ${btoa(`${CANARY}:${CANARY}`)}`, PEM, 'eyJhbGciOiJIUzI1NiJ9.e30.x'])
    t.match(text, SHOWN);
  t.end();
});
