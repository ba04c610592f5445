import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { parseBody } from './body.ts';
import { readFirstHeader } from './headers.ts';
import { textOf } from './locator.ts';
import { decodeSignature, isSameBytes, MAC_BYTES, type Mac, prepareMac } from './mac.ts';
import { type RejectionReason, reject, type SignedRequest, type Verifier } from './request.ts';
import type { MacScheme } from './scheme.ts';
import { decodeSecret } from './secret-key.ts';
import { prepareSignatureHeader, readKey, type SignatureEntries } from './signature-header.ts';
import { prepareSignedParts } from './signed-parts.ts';
import { judgeTimestamp, parseTimestampMs } from './timestamp.ts';

/** Prepares the check of a digest: keys decoded, template cut, readers chosen. One digest per secret and request. */
export function prepareMacVerifier(scheme: MacScheme, secrets: readonly string[]): Verifier {
  const macs = secrets.flatMap((secret, secretIndex): { mac: Mac; secretIndex: number }[] => {
    const key = decodeSecret(secret, scheme.secret);
    return key.ok ? [{ mac: prepareMac(scheme, key.bytes), secretIndex }] : [];
  });
  const readEntries = prepareSignatureHeader(scheme.signature);
  const makeParts = prepareSignedParts(scheme);
  const readTimestamp = prepareTimestamp(scheme);
  const byteLength = MAC_BYTES[scheme.algorithm];

  return (request, nowMs) => {
    if (macs.length === 0) return reject('no_secret');
    const entries = readEntries(request.headers);
    if (entries.kind !== 'read')
      return reject(entries.kind === 'missing' ? 'signature_missing' : 'signature_malformed');
    const candidates: Buffer[] = [];
    for (const text of entries.candidates) {
      const bytes = decodeSignature(text, scheme.encoding, byteLength);
      if (bytes !== null) candidates.push(bytes);
    }
    if (candidates.length === 0) return reject('signature_malformed');

    const timestamp = readTimestamp(request, entries, nowMs);
    if (!timestamp.ok) return reject(timestamp.reason);
    const signed = makeParts(request, entries, timestamp.text);
    if (!signed.ok) return reject(signed.reason);
    for (const { mac, secretIndex } of macs) {
      const expected = mac(signed.parts);
      if (candidates.some((candidate) => isSameBytes(candidate, expected))) {
        return { ok: true, secretIndex, timestampMs: timestamp.ms };
      }
    }
    return reject('signature_mismatch');
  };
}

type TimestampRead =
  /** `text` is the token as sent: the number made from it could be spelled in another way than the signed text. */
  | { readonly ok: true; readonly text: string; readonly ms: number | null }
  | { readonly ok: false; readonly reason: RejectionReason };

function prepareTimestamp(
  scheme: MacScheme,
): (request: SignedRequest, entries: SignatureEntries, nowMs: number) => TimestampRead {
  const form = scheme.timestamp;
  if (form === undefined) return () => ({ ok: true, text: '', ms: null });
  const at = form.at;
  const path = at.from === 'body' ? mustParsePath(at.path) : [];
  const read = (request: SignedRequest, entries: SignatureEntries): string | 'ambiguous' | null => {
    switch (at.from) {
      case 'header':
        return readFirstHeader(request.headers, at.names);
      case 'key': {
        const found = readKey(entries.pairs, at.key);
        return found === null || found === 'ambiguous' ? found : found.value;
      }
      case 'body': {
        const body = request.readBody?.() ?? parseBody(request.rawBody, request.headers);
        if (!body.ok) return null;
        const found = readPath(body.value, path);
        return found.found ? textOf(found.value) : null;
      }
    }
  };
  return (request, entries, nowMs) => {
    const text = read(request, entries);
    if (text === null) return { ok: false, reason: 'timestamp_missing' };
    const ms = parseTimestampMs(text, form.unit);
    if (ms === null) return { ok: false, reason: 'timestamp_malformed' };
    const verdict = judgeTimestamp(ms, form, nowMs);
    return verdict === null ? { ok: true, text, ms } : { ok: false, reason: verdict };
  };
}
