import { z } from 'zod';
import { type Duration, parseDurationMs } from '../../lib/duration.ts';

const MIN_LIFETIME_MS = 30_000;
const MAX_LIFETIME_MS = 30 * 24 * 3_600_000;

/** How long a token lives. */
export const lifetimeSchema = z.custom<Duration>(
  (text) => {
    const ms = typeof text === 'string' ? parseDurationMs(text) : null;
    return ms !== null && ms >= MIN_LIFETIME_MS && ms <= MAX_LIFETIME_MS;
  },
  { message: 'expected a duration from 30s to 30d, such as 1h' },
);
