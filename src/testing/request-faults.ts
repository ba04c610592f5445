import type { Random } from './random.ts';
import type { Settings } from './settings.ts';

/** What goes wrong with one read. */
export type ReadFault =
  | { readonly kind: 'none' }
  | { readonly kind: 'server_error' }
  | { readonly kind: 'rate_limited'; readonly retryAfterS: number }
  /** Half of the body: as if that were all, or with the connection cut. */
  | { readonly kind: 'truncated'; readonly isCut: boolean }
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'unauthorized' };

/** What goes wrong with one write, before it is done or after. */
export type WriteFault =
  | { readonly kind: 'none' }
  | { readonly kind: 'server_error'; readonly isDone: boolean }
  | { readonly kind: 'rate_limited'; readonly retryAfterS: number }
  | { readonly kind: 'timeout'; readonly isDone: boolean }
  | { readonly kind: 'zombie' }
  | { readonly kind: 'truncated'; readonly isCut: boolean }
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'unauthorized' };

const MAX_RETRY_AFTER_S = 1;
const HALF = 0.5;

/** At most one fault a request; each keeps its own chance as long as they are small. */
export function drawReadFault(settings: Settings, random: Random): ReadFault {
  if (random.chance(settings.apiServerError)) return { kind: 'server_error' };
  if (random.chance(settings.apiRateLimit)) return rateLimited(random);
  if (random.chance(settings.apiTruncated)) return { kind: 'truncated', isCut: random.chance(HALF) };
  if (random.chance(settings.apiSlow)) return { kind: 'slow', ms: random.whole(0, settings.apiMaxSlowMs) };
  if (random.chance(settings.apiReset)) return { kind: 'reset' };
  if (random.chance(settings.apiUnauthorized)) return { kind: 'unauthorized' };
  return { kind: 'none' };
}

/** As `drawReadFault`. */
export function drawWriteFault(settings: Settings, random: Random): WriteFault {
  if (random.chance(settings.writeServerErrorBefore)) return { kind: 'server_error', isDone: false };
  if (random.chance(settings.writeServerErrorAfter)) return { kind: 'server_error', isDone: true };
  if (random.chance(settings.writeRateLimit)) return rateLimited(random);
  if (random.chance(settings.writeTimeoutBefore)) return { kind: 'timeout', isDone: false };
  if (random.chance(settings.writeTimeoutAfter)) return { kind: 'timeout', isDone: true };
  if (random.chance(settings.writeZombie)) return { kind: 'zombie' };
  if (random.chance(settings.writeTruncated)) return { kind: 'truncated', isCut: random.chance(HALF) };
  if (random.chance(settings.writeReset)) return { kind: 'reset' };
  if (random.chance(settings.apiSlow)) return { kind: 'slow', ms: random.whole(0, settings.apiMaxSlowMs) };
  if (random.chance(settings.apiUnauthorized)) return { kind: 'unauthorized' };
  return { kind: 'none' };
}

const rateLimited = (random: Random) =>
  ({ kind: 'rate_limited', retryAfterS: random.whole(0, MAX_RETRY_AFTER_S) }) as const;
