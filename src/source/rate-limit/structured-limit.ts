import { parseNumber } from './header-value.ts';

/** One member of a `RateLimit` or `RateLimit-Policy` field. */
export type LimitItem = { readonly name: string; readonly params: ReadonlyMap<string, number> };

const MAX_ITEMS = 16;
const MAX_FIELD_LENGTH = 4_096;
/** One way only to match each part: a source must not be able to keep us busy. */
const ITEM = /^(?:"((?:[^"\\]|\\["\\])*)"|([A-Za-z*][\w:/.*+-]*))\s*(;.*)?$/s;
const PARAM = /^\s*([a-z*][\w.*-]*)(?:=(?:"[^"]*"|:[^:]*:|([\d.]+)|[^\s"]+))?\s*$/;
const PAIR = /^([a-z]+)=([\d.]+)$/;

/**
 * Reads `"default";r=50;t=30, "day";r=9` (also with bare names, as older drafts write them). Null for anything that is
 * not wholly of this form: the draft asks that such fields be ignored.
 */
export function parseLimitItems(text: string): readonly LimitItem[] | null {
  if (text.length > MAX_FIELD_LENGTH) return null;
  const items: LimitItem[] = [];
  for (const member of splitOutsideQuotes(text, ',')) {
    const match = ITEM.exec(member.trim());
    if (match === null || items.length === MAX_ITEMS) return null;
    const params = new Map<string, number>();
    for (const param of splitOutsideQuotes(match[3] ?? '', ';').slice(1)) {
      const parsed = PARAM.exec(param);
      if (parsed === null) return null;
      const value = parseNumber(parsed[2]);
      if (parsed[1] !== undefined && value !== null) params.set(parsed[1], value);
    }
    items.push({ name: (match[1] ?? match[2] ?? '').slice(0, 64), params });
  }
  return items;
}

/** Reads the form of the drafts 4 to 6, `limit=100, remaining=50, reset=50`. Null for anything else. */
export function parseLimitPairs(text: string): ReadonlyMap<string, number> | null {
  const pairs = new Map<string, number>();
  for (const member of text.slice(0, MAX_FIELD_LENGTH).split(',')) {
    const match = PAIR.exec(member.trim());
    const value = parseNumber(match?.[2]);
    if (match?.[1] === undefined || value === null) return null;
    pairs.set(match[1], value);
  }
  return pairs;
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts = [''];
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '"' && text[at - 1] !== '\\') isQuoted = !isQuoted;
    if (char === separator && !isQuoted) parts.push('');
    else parts[parts.length - 1] += char;
  }
  return parts;
}
