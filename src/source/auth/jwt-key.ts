import { createPrivateKey, type KeyObject } from 'node:crypto';
import { type KeyEncoding, readKeyBytes } from './key-bytes.ts';

export const JWT_ALGORITHMS = ['RS256', 'ES256', 'HS256'] as const;
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number];

export type JwtKey =
  | { readonly ok: true; readonly key: KeyObject | Uint8Array }
  | { readonly ok: false; readonly problem: string };

/** RFC 7518 asks for it, and jose signs with nothing shorter. */
const MIN_RSA_BITS = 2048;

/** Reads what signs. The problem says what would do, and shows nothing of the key. */
export function readJwtKey(algorithm: JwtAlgorithm, text: string, encoding: KeyEncoding): JwtKey {
  if (algorithm === 'HS256') {
    if (/^\s*-----BEGIN /.test(text))
      return refuse('is a PEM, and HS256 signs with a shared text: take RS256 or ES256');
    const bytes = readKeyBytes(text, encoding);
    return bytes.ok ? { ok: true, key: bytes.bytes } : bytes;
  }
  const key = readPrivateKey(text);
  if (key === null) {
    return refuse(
      'is no private key that can be read: set the whole PEM (-----BEGIN … PRIVATE KEY-----, without a passphrase), its line breaks as they are or as \\n',
    );
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (algorithm === 'RS256') {
    if (type !== 'rsa') return refuse('is not an RSA key, which RS256 needs');
    if ((details?.modulusLength ?? 0) < MIN_RSA_BITS)
      return refuse(`is an RSA key under ${MIN_RSA_BITS} bits: make a longer one`);
  } else if (type !== 'ec' || details?.namedCurve !== 'prime256v1') {
    return refuse('is not an EC key on the curve P-256, which ES256 needs');
  }
  return { ok: true, key };
}

/** Environment files often cannot hold line breaks, so that a PEM comes with `\n` spelt out, perhaps in quotes. It has neither itself. */
function readPrivateKey(text: string): KeyObject | null {
  const pem = text.replaceAll('\\r', '').replaceAll('\\n', '\n').replaceAll(/["']/g, '').trim();
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    return null;
  }
}

const refuse = (problem: string): JwtKey => ({ ok: false, problem });
