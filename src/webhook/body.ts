import { type Headers, readHeader } from './headers.ts';

/** Levels of arrays and objects. Real payloads stay below 20; walks over deeper ones could exhaust the stack. */
export const MAX_BODY_DEPTH = 64;
export const MAX_FORM_FIELDS = 1_000;

export type BodyProblem =
  /** No bytes at all: legal where a provider only tests the address (Sentry, Exact Online). */
  | 'empty'
  | 'not_utf8'
  | 'not_json'
  | 'too_deep'
  /** A form that is not percent-encoded UTF-8, holds `payload` twice, or has too many fields. */
  | 'bad_form';

export type ParsedBody =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problem: BodyProblem };

/** Fatal: a replaced byte would silently change an id. A byte order mark at the front is dropped, as RFC 8259 allows. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a body: a form when its content type says so, JSON otherwise. A form's field `payload` is JSON (GitHub's form
 * content type); without one the value is an object of the form's fields, texts or lists of texts. Never throws.
 */
export function parseBody(rawBody: Uint8Array, headers: Headers): ParsedBody {
  if (rawBody.length === 0) return fail('empty');
  const text = decodeUtf8(rawBody);
  if (text === null) return fail('not_utf8');
  const type = readHeader(headers, 'content-type');
  return type !== null && FORM_TYPE.test(type) ? parseForm(text) : parseJson(text);
}

/** A reader that parses at most once. */
export function createBodyReader(rawBody: Uint8Array, headers: Headers): () => ParsedBody {
  let parsed: ParsedBody | null = null;
  return () => {
    parsed ??= parseBody(rawBody, headers);
    return parsed;
  };
}

const FORM_TYPE = /^\s*application\/x-www-form-urlencoded\s*(?:;|$)/i;

const fail = (problem: BodyProblem): ParsedBody => ({ ok: false, problem });

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

function parseJson(text: string): ParsedBody {
  if (isTooDeep(text)) return fail('too_deep');
  try {
    const value: unknown = JSON.parse(text);
    return { ok: true, value };
  } catch {
    return fail('not_json');
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Counts brackets outside of strings, before parsing and without recursion. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) {
      index = endOfString(text, index);
    } else if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
      depth += 1;
      if (depth > MAX_BODY_DEPTH) return true;
    } else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) {
      depth -= 1;
    }
  }
  return false;
}

/** Index of the quote that ends the string which starts at `start`; the text's end when there is none. */
function endOfString(text: string, start: number): number {
  let index = text.indexOf('"', start + 1);
  while (index !== -1) {
    let backslashes = 0;
    while (text.charCodeAt(index - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return index;
    index = text.indexOf('"', index + 1);
  }
  return text.length;
}

function parseForm(text: string): ParsedBody {
  const pairs = text.split('&', MAX_FORM_FIELDS + 1);
  if (pairs.length > MAX_FORM_FIELDS) return fail('bad_form');
  const fields = new Map<string, string[]>();
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeFormText(equals === -1 ? pair : pair.slice(0, equals));
    const value = decodeFormText(equals === -1 ? '' : pair.slice(equals + 1));
    if (name === null || value === null) return fail('bad_form');
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [value]);
    else values.push(value);
  }
  const payload = fields.get('payload');
  if (payload !== undefined)
    return payload.length === 1 && payload[0] !== undefined ? parseJson(payload[0]) : fail('bad_form');
  return {
    ok: true,
    value: Object.fromEntries([...fields].map(([name, all]) => [name, all.length === 1 ? all[0] : all])),
  };
}

function decodeFormText(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}
