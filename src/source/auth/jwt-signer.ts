import { randomUUID } from 'node:crypto';
import { type JWTPayload, SignJWT } from 'jose';
import type { AuthDeps } from './authenticator.ts';
import type { JwtAlgorithm, JwtKey } from './jwt-key.ts';
import type { TokenCache } from './token-cache.ts';

/** Everything that a token says but its times. */
export type JwtContent = {
  readonly algorithm: JwtAlgorithm;
  readonly key: Extract<JwtKey, { ok: true }>['key'];
  readonly keyId: string | null;
  readonly claims: JWTPayload;
  readonly lifetimeMs: number;
};

/** Clocks may be apart by so much; a quarter of the lifetime where that is less. */
const SKEW_S = 120;
/** As of any token, the last minute is not used; an eighth of the lifetime where that is less. */
const SPARE_S = 60;

export type JwtTimes = { readonly iat: number; readonly exp: number; readonly usableUntilMs: number };

/**
 * When a token begins and ends, in seconds since 1970, and how long we use it. It begins in our past, so that it has
 * begun by the clock of a source that is behind; it is not used near its end, which a source that is ahead sees sooner.
 * The lifetime counts from its beginning: that is what sources hold to their maximum.
 */
export function jwtTimes(nowMs: number, lifetimeMs: number): JwtTimes {
  const lifetimeS = Math.floor(lifetimeMs / 1_000);
  const skewS = Math.min(SKEW_S, Math.floor(lifetimeS / 4));
  const iat = Math.floor(nowMs / 1_000) - skewS;
  const exp = iat + lifetimeS;
  return { iat, exp, usableUntilMs: (exp - skewS - Math.min(SPARE_S, Math.floor(lifetimeS / 8))) * 1_000 };
}

/** Signs one token. */
export async function signJwt(content: JwtContent, times: JwtTimes, id: string): Promise<string> {
  const { algorithm, keyId, claims, key } = content;
  return new SignJWT({ ...claims, iat: times.iat, exp: times.exp, jti: id })
    .setProtectedHeader({ alg: algorithm, typ: 'JWT', ...(keyId === null ? {} : { kid: keyId }) })
    .sign(key);
}

/** Signs when there is no token that can be used; callers who come meanwhile share the one that is being signed. */
export function createJwtSigner(content: JwtContent, deps: Pick<AuthDeps, 'nowMs' | 'newNonce'>): TokenCache {
  const { nowMs, newNonce = randomUUID } = deps;
  let signed: { readonly token: string; readonly signedMs: number; readonly usableUntilMs: number } | null = null;
  let underWay: Promise<string> | null = null;

  const sign = async (): Promise<string> => {
    const signedMs = nowMs();
    const times = jwtTimes(signedMs, content.lifetimeMs);
    const token = await signJwt(content, times, newNonce());
    signed = { token, signedMs, usableUntilMs: times.usableUntilMs };
    return token;
  };
  return {
    get() {
      const now = nowMs();
      // A clock that was set back would keep a token in use that no source takes yet.
      if (signed !== null && now < signed.usableUntilMs && now >= signed.signedMs) return signed.token;
      underWay ??= sign().finally(() => {
        underWay = null;
      });
      return underWay;
    },
    async replace(refused) {
      if (signed?.token === refused) signed = null;
      return true;
    },
  };
}
