import { assertNever } from '../../lib/assert-never.ts';
import { createApiKey } from './api-key.ts';
import type { AuthDefinition } from './auth.ts';
import type { AuthDeps, Authenticator } from './authenticator.ts';
import { createBasic, readBasic } from './basic.ts';
import { createBearer } from './bearer.ts';
import { prepareHmac } from './hmac.ts';
import { prepareJwt } from './jwt.ts';
import { createJwtSigner } from './jwt-signer.ts';
import { prepareLogin } from './login.ts';
import { prepareOAuth2 } from './oauth2.ts';
import { type AuthSettings, controlCharacterIn } from './settings.ts';
import { createTokenCache } from './token-cache.ts';
import { BEARER, createTokenAuth } from './token-header.ts';
import { createTokenRequest } from './token-request.ts';

/** For sources that ask for no credentials. */
const ANONYMOUS: Authenticator = {
  authorize: (request) => request,
  renew: async () => false,
  withoutCredentials: (url) => url,
};

/** Looks the settings up now, so that all problems are known at once; the authenticator is made with the client. */
export function prepareAuth(
  definition: AuthDefinition | undefined,
  settings: AuthSettings,
): (deps: AuthDeps) => Authenticator {
  const { read } = settings;
  if (definition === undefined) return () => ANONYMOUS;
  switch (definition.kind) {
    case 'bearer': {
      const token = read('auth.token', definition.token, 'header');
      return () => createBearer(token);
    }
    case 'api_key': {
      const value = read('auth.value', definition.value, definition.header === undefined ? 'query' : 'header');
      const problem = controlCharacterIn(value);
      if (problem !== null) settings.report('auth.value', problem);
      return () => createApiKey(definition, `${definition.prefix ?? ''}${value}`);
    }
    case 'basic': {
      const value = readBasic(settings, 'auth', definition);
      return () => createBasic(value);
    }
    case 'hmac':
      return prepareHmac(definition, settings);
    case 'login': {
      const { grant, header } = prepareLogin(definition, settings);
      return (deps) => createTokenAuth(createTokenCache(deps, grant(createTokenRequest(deps))), header);
    }
    case 'jwt': {
      const { content, exchange } = prepareJwt(definition, settings);
      return (deps) => {
        if (exchange === null) return createTokenAuth(createJwtSigner(content, deps), BEARER);
        const grant = exchange.grant(createTokenRequest(deps), deps);
        return createTokenAuth(createTokenCache(deps, grant, { scopes: exchange.scopes }), BEARER);
      };
    }
    case 'oauth2':
      return prepareOAuth2(definition, settings);
    default:
      return assertNever(definition);
  }
}
