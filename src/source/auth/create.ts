import { assertNever } from '../../lib/assert-never.ts';
import type { Setting } from '../../lib/setting.ts';
import { createApiKey } from './api-key.ts';
import type { AuthDefinition } from './auth.ts';
import type { AuthDeps, Authenticator } from './authenticator.ts';
import { createBearer } from './bearer.ts';

/** For sources that ask for no credentials. */
const ANONYMOUS: Authenticator = {
  authorize: (request) => request,
  renew: async () => false,
  withoutCredentials: (url) => url,
};

/** `path` is a setting's place in the definition; `use` says what its value may be made of. */
export type ReadSetting = (path: string, setting: Setting, use: 'header' | 'query' | 'url' | 'text') => string;

/** Looks the settings up now, so that all problems are known at once; the authenticator is made with the client. */
export function prepareAuth(
  definition: AuthDefinition | undefined,
  read: ReadSetting,
): (deps: AuthDeps) => Authenticator {
  if (definition === undefined) return () => ANONYMOUS;
  switch (definition.kind) {
    case 'bearer': {
      const token = read('auth.token', definition.token, 'header');
      return () => createBearer(token);
    }
    case 'api_key': {
      const value = read('auth.value', definition.value, definition.header === undefined ? 'query' : 'header');
      return () => createApiKey(definition, `${definition.prefix ?? ''}${value}`);
    }
    default:
      return assertNever(definition);
  }
}
