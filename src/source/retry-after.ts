import type { IncomingHttpHeaders } from 'node:http';
import { readPath } from '../lib/path.ts';

/** Whatever the source says: nobody waits longer than a day without asking again. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** Larger numbers in a reset header are a moment, not a span: in seconds from here, in milliseconds from below. */
const FIRST_EPOCH_SECOND = 1_000_000_000;
const FIRST_EPOCH_MS = 100_000_000_000;

const SECONDS = /^\d{1,15}(?:\.\d{1,9})?$/;
/** Only what is plainly a date: Date.parse makes one of almost anything. */
const HTTP_DATE = /^[A-Za-z]{3,9},? .*\d{2}:\d{2}:\d{2}/;
const ISO_DATE = /^\d{4}-\d{2}-\d{2}T/;

/**
 * How long the source asks us to wait, in ms; null when it does not say, or not in a way that can be read.
 * `Retry-After` comes first: seconds (RFC 9110), also with a fraction (Shopify sends `2.0`), or a date. Without it an
 * exhausted `x-ratelimit-remaining` points to `x-ratelimit-reset`, in epoch seconds at GitHub, elsewhere also in
 * milliseconds or as a span of seconds. A date counts from the answer's own `Date`, else from `nowMs`.
 */
export function readRetryAfterMs(headers: IncomingHttpHeaders, nowMs: number): number | null {
  const answeredMs = parseDate(single(headers.date)) ?? nowMs;
  const waitMs = parseRetryAfter(single(headers['retry-after']), answeredMs) ?? parseReset(headers, answeredMs);
  return waitMs === null ? null : Math.min(Math.max(0, Math.ceil(waitMs)), MAX_RETRY_AFTER_MS);
}

/** A 403 with these signs is a limit, not a missing right (GitHub answers so). */
export const showsRateLimit = (headers: IncomingHttpHeaders): boolean =>
  headers['retry-after'] !== undefined || isExhausted(headers);

/** How long a secondary limit is waited for that does not say so: GitHub asks for at least a minute. */
export const SECONDARY_WAIT_MS = 60_000;

const SECONDARY_MESSAGE = /secondary rate limit|abuse detection mechanism/i;
const SECONDARY_DOCUMENT = /[#/](?:about-)?(?:secondary|abuse)-rate-limits(?:$|[?#])/;
/** Messages are short; nobody searches through a book. */
const MAX_MESSAGE_LENGTH = 1_000;

/** Whether only the words of a 403 say that it is a limit, as GitHub's do for the limits that it does not count out. */
export const tellsSecondaryLimit = (body: unknown): boolean =>
  SECONDARY_MESSAGE.test(textAt(body, 'message')) || SECONDARY_DOCUMENT.test(textAt(body, 'documentation_url'));

function textAt(body: unknown, key: string): string {
  const found = readPath(body, [key]);
  return found.found && typeof found.value === 'string' ? found.value.slice(0, MAX_MESSAGE_LENGTH) : '';
}

function parseRetryAfter(text: string | null, answeredMs: number): number | null {
  if (text === null) return null;
  if (SECONDS.test(text)) return Number(text) * 1_000;
  const date = parseDate(text);
  return date === null ? null : date - answeredMs;
}

function parseReset(headers: IncomingHttpHeaders, answeredMs: number): number | null {
  const text = single(headers['x-ratelimit-reset']);
  if (text === null || !isExhausted(headers) || !SECONDS.test(text)) return null;
  const value = Number(text);
  if (value >= FIRST_EPOCH_MS) return value - answeredMs;
  return value >= FIRST_EPOCH_SECOND ? value * 1_000 - answeredMs : value * 1_000;
}

const isExhausted = (headers: IncomingHttpHeaders): boolean => single(headers['x-ratelimit-remaining']) === '0';

function parseDate(text: string | null): number | null {
  if (text === null || !(HTTP_DATE.test(text) || ISO_DATE.test(text))) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

/** A header sent twice is read by its first value. */
const single = (value: string | string[] | undefined): string | null =>
  (Array.isArray(value) ? value[0] : value)?.trim() ?? null;
