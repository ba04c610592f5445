import { test } from 'tap';
import { env, secret } from '../../src/lib/setting.ts';
import { apiKey } from '../../src/source/auth/api-key.ts';
import { basic } from '../../src/source/auth/basic.ts';
import { bearer } from '../../src/source/auth/bearer.ts';
import { jwt } from '../../src/source/auth/jwt.ts';
import { oauth2 } from '../../src/source/auth/oauth2.ts';
import type { SourceDefinition } from '../../src/source/definition.ts';
import { newCredentialsOf } from '../../src/source/new-credentials.ts';

const of = (more: Partial<SourceDefinition>) => newCredentialsOf({ baseUrl: env('BASE_URL'), ...more });
const variables = (...names: string[]) => ({ kind: 'settings', variables: names });
const CLIENT = { tokenUrl: '/token', clientId: env('CLIENT_ID'), clientSecret: secret('CLIENT_SECRET') };

test('new credentials come from a person only where one authorizes us, and else from the variables that hold them', (t) => {
  const authorizeUrl = 'https://crm.example.com/authorize';
  t.same(of({ auth: oauth2({ grant: 'authorization_code', authorizeUrl, ...CLIENT }) }), { kind: 'person' });
  t.same(of({ auth: oauth2({ grant: 'client_credentials', ...CLIENT }) }), variables('CLIENT_SECRET'));
  t.same(of({ auth: bearer({ token: secret('TOKEN') }) }), variables('TOKEN'));
  t.same(of({ auth: bearer({ token: env('TOKEN') }) }), variables('TOKEN'));
  t.same(of({ auth: apiKey({ header: 'x-key', value: secret('KEY') }) }), variables('KEY'));
  t.same(of({ auth: basic({ username: env('USER'), password: secret('PASSWORD') }) }), variables('PASSWORD'));
  t.same(
    of({ auth: jwt({ algorithm: 'HS256', key: secret('KEY'), claims: { app: secret('APP') } }) }),
    variables('KEY', 'APP'),
  );
  t.end();
});

test('a secret among the headers or parameters of every request is a credential, and one that is named twice is told once', (t) => {
  const headers = { 'x-one': secret('ONE'), 'x-version': env('VERSION') };
  t.same(of({ headers, params: { key: secret('TWO'), again: secret('ONE') } }), variables('ONE', 'TWO'));
  t.same(of({ headers: { 'x-version': env('VERSION') } }), variables());
  t.same(of({ auth: bearer({ token: 'written down' }) }), variables());
  t.end();
});
