import { SourceError } from '../error.ts';

/**
 * The error codes of RFC 6749 (5.2 and 4.1.2.1) and its extensions. Only these are ever shown: what a token endpoint
 * writes beside them may quote the request.
 */
const STANDARD = [
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'unsupported_response_type',
  'invalid_scope',
  'access_denied',
  'invalid_target',
  'server_error',
  'temporarily_unavailable',
  'slow_down',
  'interaction_required',
  'login_required',
  'consent_required',
  'account_selection_required',
] as const;

export type OAuthErrorCode = (typeof STANDARD)[number];

/** How GitHub and Slack call what the standard has words for. */
const ALIASES: ReadonlyMap<unknown, OAuthErrorCode> = new Map([
  ['bad_refresh_token', 'invalid_grant'],
  ['invalid_refresh_token', 'invalid_grant'],
  ['bad_verification_code', 'invalid_grant'],
  ['incorrect_client_credentials', 'invalid_client'],
]);
/** Codes that ask us to come again. */
const LATER: ReadonlySet<OAuthErrorCode> = new Set(['server_error', 'temporarily_unavailable', 'slow_down']);

/** Null for anything that is not one of the standard codes. */
export const readOAuthErrorCode = (value: unknown): OAuthErrorCode | null =>
  ALIASES.get(value) ?? STANDARD.find((code) => code === value) ?? null;

/** What a token endpoint's refusal means. */
export const refusalOf = (what: string, code: OAuthErrorCode, status: number): SourceError =>
  new SourceError(LATER.has(code) ? 'server_error' : 'unauthorized', `${what}: refused with ${code}`, {
    status,
    cause: new TokenRefusal(code),
  });

/** Why a token endpoint refused us, as the cause of the `SourceError` that says so. */
export class TokenRefusal extends Error {
  override readonly name = 'TokenRefusal';
  readonly code: OAuthErrorCode;

  constructor(code: OAuthErrorCode) {
    super(code);
    this.code = code;
  }
}

/** The refresh token (or code) itself is refused, not who we are or what we ask for. */
export const isInvalidGrant = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof TokenRefusal && error.cause.code === 'invalid_grant';
