import type { IncomingHttpHeaders } from 'node:http';

/** Whatever a source says: no limit is waited for longer than a day without asking again. */
export const MAX_RESET_MS = 86_400_000;
/** Larger resets are moments, not spans: in seconds from here, in milliseconds from below. */
const FIRST_EPOCH_SECOND = 1_000_000_000;
const FIRST_EPOCH_MS = 100_000_000_000;
const NUMBER = /^\d{1,15}(?:\.\d{1,9})?$/;
/** Only what is plainly a date: Date.parse makes one of almost anything. */
const DATE = /^(?:[A-Za-z]{3,9},? .*\d{2}:\d{2}:\d{2}|\d{4}-\d{2}-\d{2}T)/;
/** Dates that name no zone, asctime's of RFC 9110 among them, are UTC; Date.parse would take the time of this machine. */
const ZONELESS = /^(?:\d{4}-\d{2}-\d{2}T[\d:.]+|[A-Za-z]{3} [A-Za-z]{3} [ \d]\d \d{2}:\d{2}:\d{2} \d{4})$/;

/** A header sent twice is read by its first value. */
export function textOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value)?.trim() ?? null;
}

/** A list may come in several lines. */
export function listTextOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value: string | string[] | undefined = headers[name];
  return Array.isArray(value) ? value.join(', ') : (value?.trim() ?? null);
}

/** Null for what is no plain number, not negative. */
export const parseNumber = (text: string | null | undefined): number | null =>
  text != null && NUMBER.test(text) ? Number(text) : null;

export const numberOf = (headers: IncomingHttpHeaders, name: string): number | null =>
  parseNumber(textOf(headers, name));

/** By the source's own clock, where it tells it: ours may be minutes off. */
export const answeredMs = (headers: IncomingHttpHeaders, nowMs: number): number =>
  parseDate(textOf(headers, 'date')) ?? nowMs;

/** A reset as a span (seconds) or a moment (epoch s, epoch ms, date), in ms from the answer on. */
export function parseResetMs(text: string | null, answeredAtMs: number): number | null {
  const value = parseNumber(text);
  const atMs = value === null ? parseDate(text) : epochMs(value);
  const resetMs = atMs !== null ? atMs - answeredAtMs : value === null ? null : value * 1_000;
  return resetMs === null ? null : boundReset(resetMs);
}

export const boundReset = (resetMs: number): number => Math.min(Math.max(0, Math.ceil(resetMs)), MAX_RESET_MS);

const epochMs = (value: number): number | null => {
  if (value >= FIRST_EPOCH_MS) return value;
  return value >= FIRST_EPOCH_SECOND ? value * 1_000 : null;
};

export function parseDate(text: string | null): number | null {
  if (text === null || !DATE.test(text)) return null;
  const ms = Date.parse(ZONELESS.test(text) ? `${text}Z` : text);
  return Number.isNaN(ms) ? null : ms;
}
