import { readPath } from '../../lib/path.ts';
import { mustParsePath } from '../../lib/path-schema.ts';
import { SourceError } from '../error.ts';
import { isHeaderValue } from '../header.ts';
import type { GrantedTokens } from './token-cache.ts';
import type { TokenAnswer } from './token-request.ts';

/** Where an answer tells what. Dot paths; null for what it does not tell. */
export type TokenPaths = {
  readonly token: string;
  /** Seconds from the answer on. */
  readonly expiresIn: string | null;
  /** A moment: ISO 8601, or seconds or milliseconds since 1970. */
  readonly expiresAt: string | null;
  readonly refreshToken: string | null;
  readonly scope: string | null;
};

/** Smaller numbers are seconds since 1970, others milliseconds. */
const FIRST_EPOCH_MS = 100_000_000_000;
const DECIMAL = /^\d{1,15}(?:\.\d{1,9})?$/;
const ISO = /^(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)(Z|[+-]\d{2}:?\d{2})?$/i;
/** Nothing lives longer, so that a span that is really a moment does no harm. */
const MAX_LIFETIME_S = 10 * 365 * 24 * 3_600;

/**
 * Reads an answer. A moment is compared with the answer's own date, so that a skewed clock of ours does not matter.
 * @param lifetimeS what counts when the answer does not tell, in seconds
 * Throws `invalid_response`, which names the path and shows no value.
 */
export function readTokens(
  what: string,
  { body, answeredMs }: TokenAnswer,
  paths: TokenPaths,
  lifetimeS: number | null,
): GrantedTokens {
  const at = (path: string | null): unknown => {
    const found = path === null ? null : readPath(body, mustParsePath(path));
    return found?.found === true ? found.value : null;
  };
  const refuse = (path: string | null, expected: string) =>
    new SourceError('invalid_response', `${what}: expected ${expected} at \`${path}\` of the answer`);
  const text = (path: string | null): string | null => {
    const value = at(path);
    if (value === null || value === '') return null;
    if (typeof value !== 'string') throw refuse(path, 'a text');
    return value;
  };

  const accessToken = text(paths.token);
  if (accessToken === null || !isHeaderValue(accessToken)) throw refuse(paths.token, 'a token that a header can carry');
  const inS = at(paths.expiresIn);
  const spanS = inS === null ? null : readNumber(inS);
  if (inS !== null && spanS === null) throw refuse(paths.expiresIn, 'seconds');
  const until = at(paths.expiresAt);
  const untilMs = until === null ? null : readMomentMs(until);
  if (until !== null && untilMs === null) throw refuse(paths.expiresAt, 'a moment (ISO 8601, or since 1970)');
  const expiresInS = spanS ?? (untilMs === null ? lifetimeS : (untilMs - answeredMs) / 1_000);
  return {
    accessToken,
    expiresInS: expiresInS === null ? null : Math.min(Math.max(0, Math.floor(expiresInS)), MAX_LIFETIME_S),
    refreshToken: text(paths.refreshToken),
    scope: text(paths.scope),
  };
}

/** Some write their numbers as texts. */
function readNumber(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  return typeof value === 'string' && DECIMAL.test(value) ? Number(value) : null;
}

function readMomentMs(value: unknown): number | null {
  const number = readNumber(value);
  if (number !== null) return number >= FIRST_EPOCH_MS ? number : number * 1_000;
  const match = typeof value === 'string' ? ISO.exec(value) : null;
  if (match === null) return null;
  // Without an offset it is UTC; Date.parse would take the time of this machine.
  const ms = Date.parse(`${match[1]?.replace(' ', 'T')}${match[2] ?? 'Z'}`);
  return Number.isNaN(ms) ? null : ms;
}
