/** Tokens as a token endpoint gives them. */
export type GrantedTokens = {
  readonly accessToken: string;
  /** Counted from when the request for them was sent; null when the source does not say. */
  readonly expiresInS: number | null;
  /** The next refresh token, where it was rotated; null keeps the one there is. */
  readonly refreshToken: string | null;
  /** As the answer names them, separated by blanks; null when it does not. */
  readonly scope: string | null;
};

/** Gets tokens: with the refresh token where there is one. Throws `SourceError`. */
export type Grant = (refreshToken: string | null, signal: AbortSignal) => Promise<GrantedTokens>;

/**
 * One integration's access token: kept until 60 s before its end, got by one request at a time in this process and among
 * replicas, stored before it is used.
 */
export type TokenCache = {
  /** At once when it is known and fresh. Throws `SourceError`; `unauthorized` when only a person can help. */
  get(signal: AbortSignal): string | Promise<string>;
  /** The source refused this token. @returns whether there is another one now. */
  replace(refused: string, signal: AbortSignal): Promise<boolean>;
};
