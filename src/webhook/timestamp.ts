import type { TimestampForm } from './scheme.ts';

type Unit = TimestampForm['unit'];

/** Digits only: a sign, a point or an exponent would let two spellings stand for one moment. */
const DIGITS = /^\d{1,16}$/;
/** RFC 3339; without a zone it is UTC, and digits past the millisecond are dropped (Twitch sends nanoseconds). */
const ISO_8601 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?)\d{0,9}(Z|[+-]\d{2}:\d{2})?$/;

/** The moment that a timestamp names, in ms since 1970; null when the text is none. */
export function parseTimestampMs(text: string, unit: Unit): number | null {
  if (unit === 'iso8601') {
    const match = ISO_8601.exec(text);
    if (match === null) return null;
    const ms = Date.parse(`${match[1]}${match[2] ?? 'Z'}`);
    return Number.isNaN(ms) ? null : ms;
  }
  if (!DIGITS.test(text)) return null;
  const ms = unit === 's' ? Number(text) * 1_000 : Number(text);
  return Number.isSafeInteger(ms) ? ms : null;
}

/** Whether a timestamp lies within the tolerance around now; both bounds are still good. */
export function judgeTimestamp(
  timestampMs: number,
  form: Pick<TimestampForm, 'unit' | 'pastToleranceS' | 'futureToleranceS'>,
  nowMs: number,
): 'timestamp_too_old' | 'timestamp_too_new' | null {
  // A sender that stamps whole seconds is compared in whole seconds, as its own library does.
  const now = form.unit === 's' ? Math.floor(nowMs / 1_000) * 1_000 : nowMs;
  if (now - timestampMs > form.pastToleranceS * 1_000) return 'timestamp_too_old';
  if (timestampMs - now > form.futureToleranceS * 1_000) return 'timestamp_too_new';
  return null;
}
