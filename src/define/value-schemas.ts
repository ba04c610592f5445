import { z } from 'zod';
import { type Duration, parseDurationMs } from '../lib/duration.ts';
import { pathSchema } from '../lib/path-schema.ts';

const MAX_DURATION_MS = 31 * 86_400_000;

export const durationSchema = durationWithin(0, MAX_DURATION_MS, 'up to 31d, such as 500ms, 30s, 5m, 1h or 1d');

/** A duration between two bounds, which the words name. */
export function durationWithin(minMs: number, maxMs: number, words: string) {
  return z.custom<Duration>(
    (text) => {
      const ms = typeof text === 'string' ? parseDurationMs(text) : null;
      return ms !== null && ms >= minMs && ms <= maxMs;
    },
    { error: `expected a duration ${words}` },
  );
}

export const fieldPathSchema = pathSchema.refine((path) => path !== '', {
  error: 'expected a path, such as id or data.id',
});
