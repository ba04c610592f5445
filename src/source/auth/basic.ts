import { z } from 'zod';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import type { Authenticator } from './authenticator.ts';
import { type AuthSettings, controlCharacterIn } from './settings.ts';

const credentials = { username: settingSchema, password: settingSchema.optional() };

/** As a part of other kinds: who calls for a token. */
export const basicCredentialsSchema = z.strictObject(credentials);
export const basicSchema = z.strictObject({ kind: z.literal('basic'), ...credentials });

export type BasicCredentials = {
  /** Without a colon: that is where the password begins. */
  readonly username: Setting;
  /** Left out, it is empty: many APIs take a key as the user's name and no password. */
  readonly password?: Setting;
};
export type BasicDefinition = BasicCredentials & { readonly kind: 'basic' };

/**
 * `Authorization: Basic …` on every request (RFC 7617, in UTF-8). Zendesk's tokens are sent so: the username is
 * `<email>/token`, the password the token.
 */
export const basic = (options: BasicCredentials): BasicDefinition => ({ kind: 'basic', ...options });

/** The header's value. What cannot be sent so is reported. */
export function readBasic({ read, report }: AuthSettings, path: string, credentials: BasicCredentials): string {
  const username = read(`${path}.username`, credentials.username, 'text');
  const password = credentials.password === undefined ? '' : read(`${path}.password`, credentials.password, 'text');
  if (username.includes(':')) {
    report(
      `${path}.username`,
      'holds a colon, with which the password would begin: set the name alone, and the password apart',
    );
  }
  for (const [name, text] of Object.entries({ username, password })) {
    const problem = controlCharacterIn(text);
    if (problem !== null) report(`${path}.${name}`, problem);
  }
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

export const createBasic = (value: string): Authenticator => ({
  authorize: (request) => ({ ...request, headers: { ...request.headers, authorization: value } }),
  renew: async () => false,
  withoutCredentials: (url) => url,
});
