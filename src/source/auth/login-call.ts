import { z } from 'zod';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader, lowerCaseNames } from '../header.ts';
import { type BasicCredentials, basicCredentialsSchema, readBasic } from './basic.ts';
import { type AuthSettings, readAll, readUrl } from './settings.ts';
import type { TokenCall } from './token-request.ts';

/** A call that gives a token. */
export type LoginCallDefinition = {
  /** Absolute, or, with a slash in front, a path of the source. */
  readonly url: Setting;
  /** Default `POST`; a `GET` has no body. */
  readonly method?: 'GET' | 'POST' | 'PUT';
  /** Numbers and booleans stay what they are in JSON. */
  readonly body?: Readonly<Record<string, Setting | number | boolean>>;
  /** How the body is written. Default `json`. */
  readonly format?: 'json' | 'form';
  readonly headers?: Readonly<Record<string, Setting>>;
  /** Sent with this call alone, as HTTP Basic. */
  readonly basic?: BasicCredentials;
};

export const fieldsSchema = z.record(z.string().min(1), z.union([settingSchema, z.number(), z.boolean()]));

export const loginCallShape = {
  url: settingSchema,
  method: z.enum(['GET', 'POST', 'PUT']).optional(),
  body: fieldsSchema.optional(),
  format: z.enum(['json', 'form']).optional(),
  headers: z.record(z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`), settingSchema).optional(),
  basic: basicCredentialsSchema.optional(),
};

type Fields = Readonly<Record<string, string | number | boolean>>;

/**
 * Looks the call's settings up. `at` is its place in the definition, `what` its name in messages.
 * @returns makes the call, with fields added to its body
 */
export function prepareLoginCall(
  definition: LoginCallDefinition,
  settings: AuthSettings,
  at: string,
  what: string,
): (added: Fields) => TokenCall {
  const { method = 'POST', format = 'json' } = definition;
  const url = readUrl(settings, `${at}.url`, definition.url);
  const headers = lowerCaseNames(readAll(settings.read, `${at}.headers`, definition.headers ?? {}, 'header'));
  if (definition.basic !== undefined) headers.authorization = readBasic(settings, `${at}.basic`, definition.basic);
  const fields = readFields(settings, `${at}.body`, definition.body ?? {});
  if (method === 'GET' && definition.body !== undefined) {
    settings.report(`${at}.body`, 'cannot be sent with GET: leave it out, or say `method`');
  }
  return (added) => {
    if (url === null) throw new TypeError('A login without a URL: definitions are checked before they are used');
    const body = method === 'GET' ? null : writeBody({ ...fields, ...added }, format);
    return { what, method, url, headers: body === null ? headers : { ...TYPE[format], ...headers }, body };
  };
}

export const TYPE = {
  json: { 'content-type': 'application/json' },
  form: { 'content-type': 'application/x-www-form-urlencoded' },
} as const;

/** Settings, and numbers and booleans as they are. */
export function readFields(
  { read }: AuthSettings,
  at: string,
  fields: Readonly<Record<string, Setting | number | boolean>>,
): Fields {
  const values = Object.entries(fields).map(([name, value]): [string, string | number | boolean] => [
    name,
    typeof value === 'number' || typeof value === 'boolean' ? value : read(`${at}.${name}`, value, 'text'),
  ]);
  return Object.fromEntries(values);
}

/** Null for no fields: some logins carry everything in headers. */
export function writeBody(fields: Fields, format: 'json' | 'form'): string | null {
  const entries = Object.entries(fields);
  if (entries.length === 0) return null;
  if (format === 'json') return JSON.stringify(fields);
  const form = new URLSearchParams();
  for (const [name, value] of entries) form.append(name, String(value));
  return form.toString();
}
