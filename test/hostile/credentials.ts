import { secret } from '../../src/lib/setting.ts';
import { apiKey } from '../../src/source/auth/api-key.ts';
import { basic } from '../../src/source/auth/basic.ts';
import { bearer } from '../../src/source/auth/bearer.ts';
import { hmac } from '../../src/source/auth/hmac.ts';
import { jwt } from '../../src/source/auth/jwt.ts';
import { login } from '../../src/source/auth/login.ts';
import { oauth2 } from '../../src/source/auth/oauth2.ts';
import type { SourceDefinition } from '../../src/source/definition.ts';

/** No more than letters and digits, so that no way of writing it down changes it, and long enough to be there by no accident. */
export const CANARY = 'CANARY5f3aQ7xK9mZ2';
/** `CANARY_KEY` is as long as a key for HS256 must be. */
export const CANARY_ENVIRONMENT = { CANARY, CANARY_KEY: CANARY + CANARY };

const canary = secret('CANARY');

/** Each kind of credentials that a source's definition can hold, with the canary as its secret. */
export const CREDENTIALS: Readonly<Record<string, Partial<SourceDefinition>>> = {
  'a bearer token': { auth: bearer({ token: canary }) },
  'an API key in a header': { auth: apiKey({ header: 'x-api-key', value: canary, prefix: 'Token ' }) },
  'an API key in the query': { auth: apiKey({ query: 'key', value: canary }) },
  'a name and a password': { auth: basic({ username: 'reader', password: canary }) },
  'a signature': {
    auth: hmac({
      secret: canary,
      template: '{method}\n{target}\n{ts}',
      header: 'x-signature',
      timestamp: { unit: 's', header: 'x-time' },
    }),
  },
  'a token that we sign': { auth: jwt({ algorithm: 'HS256', key: secret('CANARY_KEY'), issuer: 'reader' }) },
  // The hostile API makes the token out of the password.
  'a token for a password': {
    auth: login({ url: '/token', body: { user: 'reader', password: canary }, token: 'token', lifetime: '1h' }),
  },
  'OAuth client credentials': {
    auth: oauth2({ grant: 'client_credentials', tokenUrl: '/oauth/token', clientId: 'reader', clientSecret: canary }),
  },
  'an OAuth refresh token': {
    auth: oauth2({
      grant: 'authorization_code',
      tokenUrl: '/oauth/token',
      authorizeUrl: 'https://accounts.example.com/authorize',
      clientId: 'reader',
      clientSecret: canary,
      refreshToken: canary,
      clientAuth: 'post',
    }),
  },
  'a header of the definition': { headers: { cookie: canary } },
};

/** The canary as it is, or as base64 or hex of something that holds it. */
export function showsCanary(text: string): boolean {
  const forms = [CANARY, Buffer.from(CANARY).toString('hex')];
  for (const before of ['', 'x', 'xx']) {
    // The characters at both ends depend on what stands beside the canary.
    forms.push(
      Buffer.from(before + CANARY)
        .toString('base64')
        .slice(4, -4),
    );
  }
  return forms.some((form) => text.includes(form));
}
