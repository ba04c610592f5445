import type { EnvironmentReference } from '../../lib/setting.ts';
import { code } from './markdown.ts';

/** Options whose literal text is no secret, whatever kind of definition they stand in. */
const SHOWN = new Set([
  'kind',
  'grant',
  'header',
  'query',
  'prefix',
  'algorithm',
  'encoding',
  'method',
  'path',
  'param',
  'next',
  'rel',
  'field',
  'itemField',
  'hasMore',
  'nextHeader',
  'connection',
  'after',
  'order',
  'total',
  'format',
  'precision',
  'authorizeUrl',
  'tokenUrl',
  'url',
  'scopes',
  'scope',
  'audience',
  'issuer',
  'subject',
  'clientAuth',
  'keyId',
  'template',
  'unit',
  'lifetime',
  'token',
  'expiresIn',
  'expiresAt',
  'refreshTokenPath',
]);

/** Options that name a credential even where their text is a literal. */
const CREDENTIALS = new Set(['token', 'value', 'password', 'secret', 'key', 'clientSecret', 'refreshToken', 'body']);

/**
 * The options of a definition as rows of path and value, for people. A reference to the environment is shown by its name.
 * A literal is shown only where it cannot be a credential: this text is made to be passed around.
 */
export function optionRows(definition: object, prefix = ''): readonly (readonly [option: string, value: string])[] {
  return Object.entries(definition).flatMap(([name, value]): readonly (readonly [string, string])[] => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    if (name === 'kind' || value === undefined) return [];
    if (isReference(value)) return [[path, code(value.toJSON())]];
    if (Array.isArray(value)) return [[path, value.map((one) => shown(name, one)).join(', ')]];
    if (typeof value === 'object' && value !== null) return optionRows(value, path);
    return [[path, shown(name, value)]];
  });
}

function shown(name: string, value: unknown): string {
  if (isReference(value)) return code(value.toJSON());
  if (typeof value === 'number' || typeof value === 'boolean') return code(String(value));
  if (typeof value !== 'string') return 'a function or a list';
  return SHOWN.has(name) && !CREDENTIALS.has(name) ? code(value) : 'a literal in the configuration (not shown)';
}

const isReference = (value: unknown): value is EnvironmentReference =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'environment' && 'toJSON' in value;
