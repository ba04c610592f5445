import { createHash } from 'node:crypto';
import { readFirstHeader } from './headers.ts';
import { isSameBytes } from './mac.ts';
import { reject, type Verifier } from './request.ts';
import type { CheckedScheme } from './scheme.ts';

/** A token or a password longer than this is refused unread. */
export const MAX_TOKEN_LENGTH = 4_096;

/** Node reads header bytes as Latin-1; other characters were never in a header. */
const LATIN_1 = /^[\x20-\xff]*$/;
const digestOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

type TokenScheme = Extract<CheckedScheme, { mac: 'equals' | 'basic' }>;

/**
 * Prepares the check of a header that holds the secret itself. Digests are compared, so that not even a length can be
 * measured.
 */
export function prepareTokenVerifier(scheme: TokenScheme, secrets: readonly string[]): Verifier {
  const { headers } = scheme.signature;
  const prefix = scheme.mac === 'equals' ? scheme.signature.prefix : '';
  const extract = scheme.mac === 'basic' ? readBasicCredentials : (text: string) => withoutPrefix(text, prefix);
  const digests = secrets.flatMap((secret, secretIndex) =>
    secret === '' ? [] : [{ digest: digestOf(Buffer.from(secret, 'utf8')), secretIndex }],
  );
  return (request) => {
    if (digests.length === 0) return reject('no_secret');
    const text = readFirstHeader(request.headers, headers);
    if (text === null || text === '') return reject('signature_missing');
    if (text.length > MAX_TOKEN_LENGTH || !LATIN_1.test(text)) return reject('signature_malformed');
    const token = extract(text);
    if (token === null || token === '') return reject('signature_malformed');
    const actual = digestOf(Buffer.from(token, 'latin1'));
    const match = digests.find(({ digest }) => isSameBytes(digest, actual));
    return match === undefined
      ? reject('signature_mismatch')
      : { ok: true, secretIndex: match.secretIndex, timestampMs: null };
  };
}

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i;

/** `user:password` out of an Authorization header, its bytes as Latin-1 characters; null when it is none. */
function readBasicCredentials(text: string): string | null {
  const encoded = BASIC.exec(text)?.[1];
  return encoded === undefined ? null : Buffer.from(encoded, 'base64').toString('latin1');
}

const withoutPrefix = (text: string, prefix: string): string | null =>
  text.startsWith(prefix) ? text.slice(prefix.length) : null;
