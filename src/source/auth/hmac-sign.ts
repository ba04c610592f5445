import { createHash, createHmac, createSecretKey, randomUUID } from 'node:crypto';
import { assertNever } from '../../lib/assert-never.ts';
import type { Authenticator, OutgoingRequest } from './authenticator.ts';
import type { HmacOptions } from './hmac.ts';
import { fillPieces, mustParsePieces } from './placeholders.ts';

/** What can be signed. */
export const SIGNED_WORDS = {
  method: 'plain',
  path: 'plain',
  query: 'plain',
  target: 'plain',
  url: 'plain',
  body: 'plain',
  bodySha256: 'plain',
  ts: 'plain',
  nonce: 'plain',
  keyId: 'plain',
  header: 'argument',
} as const;

/** What the header of the signature can hold. */
export const VALUE_WORDS = { signature: 'plain', keyId: 'plain', ts: 'plain', nonce: 'plain' } as const;
export const DEFAULT_VALUE = '{signature}';

type Material = {
  readonly key: Uint8Array;
  readonly keyId: string;
  readonly nowMs: () => number;
  readonly newNonce?: (() => string) | undefined;
};

/** Signs under a definition that its schema accepts. */
export function createHmacAuth(options: Omit<HmacOptions, 'secret' | 'keyId'>, material: Material): Authenticator {
  const { header, timestamp, nonce, bodyHash, algorithm = 'sha256', encoding = 'hex' } = options;
  const { keyId, nowMs, newNonce = randomUUID } = material;
  const key = createSecretKey(material.key);
  const signed = mustParsePieces(options.template, SIGNED_WORDS);
  const value = mustParsePieces(options.value ?? DEFAULT_VALUE, VALUE_WORDS);

  return {
    authorize(request) {
      const ts = timestamp === undefined ? '' : timeText(nowMs(), timestamp.unit);
      const once = nonce === undefined ? '' : newNonce();
      const headers: Record<string, string> = { ...request.headers };
      if (timestamp?.header !== undefined) headers[timestamp.header.toLowerCase()] = ts;
      if (nonce?.header !== undefined) headers[nonce.header.toLowerCase()] = once;
      if (bodyHash !== undefined) {
        const digest = createHash(bodyHash.algorithm ?? 'sha256').update(request.body ?? '');
        headers[bodyHash.header.toLowerCase()] =
          `${bodyHash.prefix ?? ''}${digest.digest(bodyHash.encoding ?? 'base64')}`;
      }
      const stamps = { ts: () => ts, nonce: () => once, keyId: () => keyId };
      const mac = createHmac(algorithm, key);
      for (const text of fillPieces(signed, { ...partsOf({ ...request, headers }), ...stamps })) mac.update(text);
      const signature = mac.digest(encoding);
      headers[header.toLowerCase()] = fillPieces(value, { ...stamps, signature: () => signature }).join('');
      return { ...request, headers };
    },
    renew: async () => false,
    withoutCredentials: (url) => url,
  };
}

/** A request's parts in the spelling in which they are sent. */
const partsOf = ({ method, url, headers, body }: OutgoingRequest) => ({
  method: () => method,
  path: () => url.pathname,
  query: () => url.search.slice(1),
  target: () => `${url.pathname}${url.search}`,
  url: () => `${url.origin}${url.pathname}${url.search}`,
  body: () => body ?? '',
  bodySha256: () =>
    createHash('sha256')
      .update(body ?? '')
      .digest('hex'),
  // A header that is not sent counts as empty, as canonical forms have it (no content-type without a body).
  header: (name: string) => (name.toLowerCase() === 'host' ? url.host : (headers[name.toLowerCase()] ?? '')),
});

function timeText(nowMs: number, unit: 's' | 'ms' | 'iso'): string {
  switch (unit) {
    case 's':
      return String(Math.floor(nowMs / 1_000));
    case 'ms':
      return String(Math.floor(nowMs));
    case 'iso':
      return new Date(nowMs).toISOString();
    default:
      return assertNever(unit);
  }
}
