import { assertNever } from '../lib/assert-never.ts';
import { readFirstHeader, readHeader } from './headers.ts';
import { SECRET_PART, type SignedParts } from './mac.ts';
import type { RejectionReason, SignedRequest } from './request.ts';
import type { MacScheme } from './scheme.ts';
import { readKey, type SignatureEntries } from './signature-header.ts';
import { parseTemplate, type Token } from './template.ts';

export type SignedPartsResult =
  | { readonly ok: true; readonly parts: SignedParts }
  | { readonly ok: false; readonly reason: RejectionReason };

/** Longer values of a signed header or key are refused unread. */
export const MAX_SIGNED_VALUE_LENGTH = 2_048;
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

/** Prepares the text that the signature covers: the template with the request's values in it, the body as sent. */
export function prepareSignedParts(
  scheme: MacScheme,
): (request: SignedRequest, entries: SignatureEntries, timestamp: string) => SignedPartsResult {
  const tokens = parseTemplate(scheme.template) ?? [];
  const idNames = scheme.deliveryId?.from === 'header' ? scheme.deliveryId.names : [];
  if (tokens.length === 1 && tokens[0]?.kind === 'body') return (request) => ({ ok: true, parts: [request.rawBody] });

  return (request, entries, timestamp) => {
    const parts: (string | Uint8Array | typeof SECRET_PART)[] = [];
    let text = '';
    for (const [index, token] of tokens.entries()) {
      switch (token.kind) {
        case 'literal':
          text += token.text;
          break;
        case 'ts':
          text += timestamp;
          break;
        case 'method':
          text += request.method.toUpperCase();
          break;
        case 'path':
          text += request.path;
          break;
        case 'param':
          text += scheme.params[token.name] ?? '';
          break;
        case 'url':
          if (request.url === null) return { ok: false, reason: 'url_unknown' };
          text += request.url;
          break;
        case 'body':
        case 'secret':
          if (text !== '') parts.push(text);
          text = '';
          parts.push(token.kind === 'body' ? request.rawBody : SECRET_PART);
          break;
        case 'id':
        case 'header':
        case 'key': {
          const value = readValue(token, request, entries, idNames);
          if (value === null) return { ok: false, reason: 'signed_header_missing' };
          if (!isUnambiguous(value, tokens[index + 1])) return { ok: false, reason: 'signed_header_malformed' };
          text += value;
          break;
        }
        default:
          return assertNever(token);
      }
    }
    if (text !== '') parts.push(text);
    return { ok: true, parts };
  };
}

function readValue(
  token: Extract<Token, { kind: 'id' | 'header' | 'key' }>,
  request: SignedRequest,
  entries: SignatureEntries,
  idNames: readonly string[],
): string | null {
  switch (token.kind) {
    case 'id':
      return readFirstHeader(request.headers, idNames);
    case 'header':
      return readHeader(request.headers, token.name);
    case 'key': {
      const found = readKey(entries.pairs, token.name);
      return found === null || found === 'ambiguous' ? null : found.value;
    }
  }
}

/**
 * A value that holds the separator after it would let one signed text be cut in two ways: `{id}.{ts}.{body}` with a dot in
 * the id. Timestamps have a form of their own, which keeps them apart.
 */
function isUnambiguous(value: string, next: Token | undefined): boolean {
  if (value.length > MAX_SIGNED_VALUE_LENGTH || !PRINTABLE_ASCII.test(value)) return false;
  return next?.kind !== 'literal' || !value.includes(next.text);
}
