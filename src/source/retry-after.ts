import type { IncomingHttpHeaders } from 'node:http';
import { readPath } from '../lib/path.ts';
import { answeredMs, boundReset, parseDate, parseResetMs, textOf } from './rate-limit/header-value.ts';

/** However long: what is over a day is a day. */
const SECONDS = /^\d+(?:\.\d+)?$/;

/**
 * How long the source asks us to wait, in ms; null when it does not say, or not in a way that can be read.
 * `Retry-After` comes first: seconds (RFC 9110), also with a fraction (Shopify sends `2.0`), or a date. Without it an
 * exhausted `x-ratelimit-remaining` points to `x-ratelimit-reset`, in epoch seconds at GitHub, elsewhere also in
 * milliseconds, as a span of seconds or as a date. A date counts from the answer's own `Date`, else from `nowMs`.
 */
export function readRetryAfterMs(headers: IncomingHttpHeaders, nowMs: number): number | null {
  const answeredAtMs = answeredMs(headers, nowMs);
  const waitMs = parseRetryAfter(textOf(headers, 'retry-after'), answeredAtMs);
  if (waitMs !== null) return boundReset(waitMs);
  return isExhausted(headers) ? parseResetMs(textOf(headers, 'x-ratelimit-reset'), answeredAtMs) : null;
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

function parseRetryAfter(text: string | null, answeredAtMs: number): number | null {
  if (text !== null && SECONDS.test(text)) return Number(text) * 1_000;
  const dateMs = parseDate(text);
  return dateMs === null ? null : dateMs - answeredAtMs;
}

const isExhausted = (headers: IncomingHttpHeaders): boolean => textOf(headers, 'x-ratelimit-remaining') === '0';
