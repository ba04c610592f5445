import { z } from 'zod';
import type { Setting } from '../../lib/setting.ts';
import { settingSchema } from '../../lib/setting-schema.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader } from '../header.ts';
import type { AuthDeps, Authenticator } from './authenticator.ts';
import { createHmacAuth, DEFAULT_VALUE, SIGNED_WORDS, VALUE_WORDS } from './hmac-sign.ts';
import { type KeyEncoding, keyEncodingSchema, readKeyBytes } from './key-bytes.ts';
import { type Piece, parsePieces } from './placeholders.ts';
import type { AuthSettings } from './settings.ts';

const HASHES = ['sha1', 'sha256', 'sha512'] as const;
const ENCODINGS = ['hex', 'base64', 'base64url'] as const;
type Hash = (typeof HASHES)[number];
type Encoding = (typeof ENCODINGS)[number];

const MAX_TEMPLATE_LENGTH = 1_000;

export type HmacOptions = {
  readonly secret: Setting;
  /** How the key's bytes are written in the secret. Default `utf8`. */
  readonly secretEncoding?: KeyEncoding;
  /** Default `sha256`. */
  readonly algorithm?: Hash;
  /** Of the signature. Default `hex`. */
  readonly encoding?: Encoding;
  /**
   * What is signed: `{method}`, `{path}` and `{query}` as sent (the query without `?`), `{target}` (both, as in the
   * request line), `{url}`, `{body}`, `{bodySha256}` (hex), `{ts}`, `{nonce}`, `{keyId}`, `{header:NAME}`.
   */
  readonly template: string;
  /** Where the signature goes. */
  readonly header: string;
  /** What that header holds: `{signature}` (default), with `{keyId}`, `{ts}`, `{nonce}` and text around it. */
  readonly value?: string;
  /** Which key it is, for `{keyId}`. */
  readonly keyId?: Setting;
  /** The time of sending, for `{ts}`; also sent in a header of its own where one is named. */
  readonly timestamp?: { readonly unit: 's' | 'ms' | 'iso'; readonly header?: string };
  /** A text that never comes twice, for `{nonce}`; also sent in a header of its own where one is named. */
  readonly nonce?: { readonly header?: string };
  /** A digest of the body in a header of its own, which `{header:NAME}` can sign. By default SHA-256 in base64. */
  readonly bodyHash?: {
    readonly header: string;
    readonly algorithm?: Hash;
    readonly encoding?: Encoding;
    readonly prefix?: string;
  };
};
export type HmacDefinition = HmacOptions & { readonly kind: 'hmac' };

/**
 * A signature of each request under a shared key. It covers what is sent: path and query in the spelling of the request
 * line, the body's own bytes. Each attempt is signed anew, with its own time and nonce.
 */
export const hmac = (options: HmacOptions): HmacDefinition => ({ kind: 'hmac', ...options });

const headerSchema = z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`);
const headerTextSchema = z.string().regex(/^[\x20-\x7e]*$/, 'expected printable text');

const shape = z.strictObject({
  kind: z.literal('hmac'),
  secret: settingSchema,
  secretEncoding: keyEncodingSchema.optional(),
  algorithm: z.enum(HASHES).optional(),
  encoding: z.enum(ENCODINGS).optional(),
  template: z.string().min(1).max(MAX_TEMPLATE_LENGTH),
  header: headerSchema,
  value: headerTextSchema.optional(),
  keyId: settingSchema.optional(),
  timestamp: z.strictObject({ unit: z.enum(['s', 'ms', 'iso']), header: headerSchema.optional() }).optional(),
  nonce: z.strictObject({ header: headerSchema.optional() }).optional(),
  bodyHash: z
    .strictObject({
      header: headerSchema,
      algorithm: z.enum(HASHES).optional(),
      encoding: z.enum(ENCODINGS).optional(),
      prefix: headerTextSchema.optional(),
    })
    .optional(),
});

export const hmacSchema = shape.superRefine((definition, context) => {
  const add = (path: string, message: string) => context.addIssue({ code: 'custom', message, path: path.split('.') });
  const signed = parsePieces(definition.template, SIGNED_WORDS);
  const value = parsePieces(definition.value ?? DEFAULT_VALUE, VALUE_WORDS);
  if (!signed.ok) add('template', signed.problem);
  if (!value.ok) add('value', value.problem);
  const words = [...(signed.ok ? signed.pieces : []), ...(value.ok ? value.pieces : [])].filter(isWord);

  if (value.ok && !words.some(({ word }) => word === 'signature')) add('value', 'lacks {signature}');
  const sources = { ts: 'timestamp', nonce: 'nonce', keyId: 'keyId' } as const;
  for (const { word, argument } of words) {
    const option = word === 'ts' || word === 'nonce' || word === 'keyId' ? sources[word] : null;
    if (option !== null && definition[option] === undefined) add(option, `is needed for {${word}}`);
    if (word !== 'header') continue;
    if (argument.toLowerCase() === definition.header.toLowerCase())
      add('template', 'signs the header of the signature');
    else if (argument.toLowerCase() !== 'host' && !isSettableHeader(argument)) {
      add('template', `{header:…} takes host, or ${HEADER_NAME_SYNTAX}`);
    }
  }
  const own = [definition.header, definition.timestamp?.header, definition.nonce?.header, definition.bodyHash?.header];
  const names = own.flatMap((name) => name?.toLowerCase() ?? []);
  if (new Set(names).size < names.length)
    add('header', 'is named twice: signature, time, nonce and digest need one each');
});

/** Looks the settings up. */
export function prepareHmac(
  definition: HmacDefinition,
  { read, report }: AuthSettings,
): (deps: AuthDeps) => Authenticator {
  const secret = read('auth.secret', definition.secret, 'text');
  const keyId = definition.keyId === undefined ? '' : read('auth.keyId', definition.keyId, 'header');
  const key = readKeyBytes(secret, definition.secretEncoding ?? 'utf8');
  if (!key.ok && secret !== '') report('auth.secret', key.problem);
  const bytes = key.ok ? key.bytes : Buffer.alloc(0);
  return ({ nowMs, newNonce }) => createHmacAuth(definition, { key: bytes, keyId, nowMs, newNonce });
}

const isWord = <Word extends string>(piece: Piece<Word>): piece is Extract<Piece<Word>, { kind: 'word' }> =>
  piece.kind === 'word';
