import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { MacScheme } from './scheme.ts';

export const MAC_BYTES = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const satisfies Record<
  MacScheme['algorithm'],
  number
>;

/** Where the secret stands in the text of a plain digest. */
export const SECRET_PART = Symbol('secret');
/** What is signed, in order. */
export type SignedParts = readonly (string | Uint8Array | typeof SECRET_PART)[];

export type Mac = (parts: SignedParts) => Buffer;

/** Prepares the digest that one secret gives. */
export function prepareMac(scheme: MacScheme, secret: Buffer): Mac {
  const { algorithm } = scheme;
  const key: KeyObject | null = scheme.mac === 'hmac' ? createSecretKey(secret) : null;
  return (parts) => {
    const digest = key === null ? createHash(algorithm) : createHmac(algorithm, key);
    for (const part of parts) digest.update(part === SECRET_PART ? secret : part);
    return digest.digest();
  };
}

const HEX = /^[0-9a-fA-F]*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/;

/**
 * The bytes of a signature, or null when the text is not exactly `byteLength` bytes in this encoding. Node's own decoders
 * pass over characters that do not belong, and would take many spellings of one signature.
 */
export function decodeSignature(text: string, encoding: MacScheme['encoding'], byteLength: number): Buffer | null {
  if (encoding === 'hex') {
    return text.length === byteLength * 2 && HEX.test(text) ? Buffer.from(text, 'hex') : null;
  }
  const padded = Math.ceil(byteLength / 3) * 4;
  const bare = Math.ceil((byteLength * 4) / 3);
  const isLengthRight = text.length === padded || (encoding === 'base64url' && text.length === bare);
  if (!isLengthRight || !(encoding === 'base64' ? BASE64 : BASE64URL).test(text)) return null;
  const bytes = Buffer.from(text, encoding);
  // Spare bits of the last character must be zero, and padding as long as it has to be.
  const canonical = bytes.toString(encoding);
  const isCanonical = canonical === text || (encoding === 'base64url' && canonical.padEnd(padded, '=') === text);
  return isCanonical && bytes.length === byteLength ? bytes : null;
}

/** Compares in constant time; texts of different length are different. */
export const isSameBytes = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && timingSafeEqual(left, right);
