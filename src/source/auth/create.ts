import { assertNever } from '../../lib/assert-never.ts';
import type { Setting } from '../../lib/setting.ts';
import { createApiKey } from './api-key.ts';
import type { AuthDefinition } from './auth.ts';
import type { Authenticator } from './authenticator.ts';
import { createBearer } from './bearer.ts';

/** For sources that ask for no credentials. */
const ANONYMOUS: Authenticator = { authorize: (request) => request, withoutCredentials: (url) => url };

/** `read` gives a setting's value, where `path` is its place in the definition, and what it may be made of. */
export function createAuthenticator(
  definition: AuthDefinition | undefined,
  read: (path: string, setting: Setting, use: 'header' | 'query') => string,
): Authenticator {
  if (definition === undefined) return ANONYMOUS;
  switch (definition.kind) {
    case 'bearer':
      return createBearer(read('auth.token', definition.token, 'header'));
    case 'api_key': {
      const value = read('auth.value', definition.value, definition.header === undefined ? 'query' : 'header');
      return createApiKey(definition, `${definition.prefix ?? ''}${value}`);
    }
    default:
      return assertNever(definition);
  }
}
