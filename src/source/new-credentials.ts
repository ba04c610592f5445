import type { EnvironmentReference } from '../lib/setting.ts';
import type { SourceDefinition } from './definition.ts';

/** Where new credentials come from when the source refuses those that we have. */
export type NewCredentials =
  /** A person authorizes us in a browser. */
  | { readonly kind: 'person' }
  /** Whoever operates the server sets these variables anew; none are named where the definition holds the credentials itself. */
  | { readonly kind: 'settings'; readonly variables: readonly string[] };

/**
 * What the definition says of that. Where anything among its credentials is a `secret`, those are what a source refuses; what
 * stands beside them (a name, an address to log in at) is not.
 */
export function newCredentialsOf({ auth, headers, params }: SourceDefinition): NewCredentials {
  if (auth?.kind === 'oauth2' && auth.grant === 'authorization_code') return { kind: 'person' };
  const named = referencesIn([auth, headers, params]);
  const secrets = named.filter(({ isSecret }) => isSecret);
  const asked = secrets.length > 0 ? secrets : referencesIn(auth);
  return { kind: 'settings', variables: [...new Set(asked.map(({ name }) => name))] };
}

function referencesIn(part: unknown): EnvironmentReference[] {
  if (typeof part !== 'object' || part === null) return [];
  return isReference(part) ? [part] : Object.values(part).flatMap(referencesIn);
}

const isReference = (part: object): part is EnvironmentReference =>
  'kind' in part && part.kind === 'environment' && 'isSecret' in part;
