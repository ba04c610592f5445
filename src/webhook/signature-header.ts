import { type Headers, readFirstHeader, readHeader } from './headers.ts';
import type { SignatureFormat, SignatureHeader } from './scheme.ts';

/** Node itself allows 16 KiB for all headers together. */
export const MAX_SIGNATURE_HEADER_LENGTH = 8_192;
/** Entries of a list, pairs of a key-value header. The most that any provider sends is one for each of its keys. */
export const MAX_SIGNATURE_ENTRIES = 100;
/** Of `name-1`, `name-2` …; DocuSign allows 100 keys. */
export const MAX_NUMBERED_HEADERS = 100;

/** What the signature header says: texts that may be the signature, and the pairs of a key-value header. */
export type SignatureEntries = {
  readonly candidates: readonly string[];
  readonly pairs: readonly (readonly [key: string, value: string])[];
};

export type SignatureHeaderRead =
  | ({ readonly kind: 'read' } & SignatureEntries)
  | { readonly kind: 'missing' }
  | { readonly kind: 'malformed' };

/** Prepares the reading of a signature header. The reader never throws, and its work is bounded by the constants above. */
export function prepareSignatureHeader(form: SignatureHeader): (headers: Headers) => SignatureHeaderRead {
  const names = form.isNumbered ? form.headers.flatMap(numbered) : form.headers;
  const cut = prepareCut(form.format);
  return (headers) => {
    const text = form.isNumbered ? readAll(headers, names) : readFirstHeader(headers, names);
    if (text === null) return { kind: 'missing' };
    if (text.length > MAX_SIGNATURE_HEADER_LENGTH) return { kind: 'malformed' };
    const entries = cut(text);
    if (entries === null) return { kind: 'malformed' };
    return entries.candidates.length === 0 ? { kind: 'missing' } : { kind: 'read', ...entries };
  };
}

/** The one value of a key. Null: not there. `ambiguous`: there with several values, so that nobody can say which is meant. */
export function readKey(
  pairs: SignatureEntries['pairs'],
  key: string,
): { readonly value: string } | 'ambiguous' | null {
  let found: { readonly value: string } | null = null;
  for (const [name, value] of pairs) {
    if (name !== key) continue;
    if (found !== null && found.value !== value) return 'ambiguous';
    found = { value };
  }
  return found;
}

const numbered = (name: string): string[] =>
  Array.from({ length: MAX_NUMBERED_HEADERS }, (_, index) => `${name}-${index + 1}`);

function readAll(headers: Headers, names: readonly string[]): string | null {
  const values = names.map((name) => readHeader(headers, name)).filter((value) => value !== null);
  return values.length === 0 ? null : values.join(', ');
}

const NO_PAIRS: SignatureEntries['pairs'] = [];

/** Cuts a header's text into entries; null when there are too many. */
function prepareCut(format: SignatureFormat): (text: string) => SignatureEntries | null {
  switch (format.kind) {
    case 'bare':
      // No encoding of a signature has a comma, so a comma is where Node joined two headers of this name.
      return (text) => withPrefix(text.split(',', MAX_SIGNATURE_ENTRIES + 1), '');
    case 'prefix':
      return (text) => withPrefix(text.split(',', MAX_SIGNATURE_ENTRIES + 1), format.prefix);
    case 'list':
      return (text) => withPrefix(cutJoined(text, format.separator), format.prefix);
    case 'key-value': {
      const separators = [...format.separator];
      return (text) => {
        const entries = cutPairs(text, separators);
        if (entries === null) return null;
        return { candidates: entries.filter(([key]) => key === format.key).map(([, value]) => value), pairs: entries };
      };
    }
  }
}

function withPrefix(entries: readonly string[], prefix: string): SignatureEntries | null {
  if (entries.length > MAX_SIGNATURE_ENTRIES) return null;
  const candidates: string[] = [];
  for (const entry of entries) {
    const text = entry.trim();
    if (text.startsWith(prefix) && text.length > prefix.length) candidates.push(text.slice(prefix.length));
  }
  return { candidates, pairs: NO_PAIRS };
}

/** Cuts where Node joined two headers of one name (`, `), then at the format's own separator. */
function cutJoined(text: string, separator: string): readonly string[] {
  if (separator === ',' || separator === ', ') return text.split(',', MAX_SIGNATURE_ENTRIES + 1);
  if (!text.includes(', ')) return text.split(separator, MAX_SIGNATURE_ENTRIES + 1);
  return text
    .split(', ', MAX_SIGNATURE_ENTRIES + 1)
    .flatMap((part) => part.split(separator, MAX_SIGNATURE_ENTRIES + 1));
}

function cutPairs(text: string, separators: readonly string[]): (readonly [string, string])[] | null {
  let parts: readonly string[] = [text];
  if (!separators.includes(',')) parts = cutJoined(text, ', ');
  for (const separator of separators) {
    parts = parts.flatMap((part) => part.split(separator, MAX_SIGNATURE_ENTRIES + 1));
    if (parts.length > MAX_SIGNATURE_ENTRIES) return null;
  }
  const pairs: (readonly [string, string])[] = [];
  for (const part of parts) {
    const equals = part.indexOf('=');
    if (equals > 0) pairs.push([part.slice(0, equals).trim(), part.slice(equals + 1).trim()]);
  }
  return pairs;
}
