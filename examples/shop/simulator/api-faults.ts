import type { Random } from './random.ts';
import type { Settings } from './settings.ts';

/** What goes wrong with one request. */
export type ApiFault =
  | { readonly kind: 'none' }
  | { readonly kind: 'server_error' }
  | { readonly kind: 'rate_limited'; readonly retryAfterS: number }
  /** Half of the body: as if that were all, or with the connection cut. */
  | { readonly kind: 'truncated'; readonly isCut: boolean }
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'reset' };

const MAX_RETRY_AFTER_S = 1;

/** At most one fault a request; each keeps its own chance as long as they are small. */
export function drawApiFault(settings: Settings, random: Random): ApiFault {
  if (random.chance(settings.apiServerError)) return { kind: 'server_error' };
  if (random.chance(settings.apiRateLimit)) {
    return { kind: 'rate_limited', retryAfterS: random.whole(0, MAX_RETRY_AFTER_S) };
  }
  if (random.chance(settings.apiTruncated)) return { kind: 'truncated', isCut: random.chance(0.5) };
  if (random.chance(settings.apiSlow)) return { kind: 'slow', ms: random.whole(0, settings.apiMaxSlowMs) };
  if (random.chance(settings.apiReset)) return { kind: 'reset' };
  return { kind: 'none' };
}
