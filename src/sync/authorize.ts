import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Db } from '../db/connect.ts';
import type { Log } from '../lib/log.ts';
import { SealError, type Sealer } from '../lib/seal.ts';
import type { Authorization } from '../source/auth/oauth2-authorization.ts';
import { authorizedTokens, missingScopes } from '../source/auth/token-basis.ts';
import type { GrantedTokens } from '../source/auth/token-cache.ts';
import { type OAuthErrorCode, readOAuthErrorCode } from '../source/auth/token-refusal.ts';
import type { TokenStore } from '../source/auth/token-store.ts';
import { SourceError } from '../source/error.ts';
import { insertFlow, takeFlow } from '../store/oauth-flows.ts';

/** Time for a person to log in at the source and agree. */
export const FLOW_MS = 600_000;
/** Of a link to begin with, between the program that asks for it and the browser that opens it. */
export const TICKET_MS = 300_000;
const MAX_OPEN_FLOWS = 20;
/** Some carry a whole session, and yet fit a request line. */
const MAX_CODE_LENGTH = 12_000;
const MAX_SAVES = 10;
const SECRET_BYTES = 32;
/** So many characters are `SECRET_BYTES` in base64url. */
const SECRET = /^[A-Za-z0-9_-]{43}$/;

export type AuthorizeDeps = {
  readonly db: Db;
  readonly sealer: Sealer;
  readonly tokens: TokenStore;
  readonly log: Log;
  readonly authorizations: ReadonlyMap<string, Authorization>;
  /** The integration has new tokens: lets it go on. */
  readonly onAuthorized: (integration: string) => Promise<void>;
};

const flowSchema = z.object({ verifier: z.string(), browserHash: z.string(), redirectUri: z.string() });

/** A link with which one browser may begin, once. For operators whose browser has no operator token. */
export async function issueTicket({ db, sealer }: AuthorizeDeps, integration: string): Promise<string> {
  const ticket = newSecret();
  const stateHash = hash(`ticket ${ticket}`);
  const sealed = sealer.seal('ticket', contextOf(integration, stateHash));
  await insertFlow(db, { stateHash, integration, sealed }, { validForMs: TICKET_MS, maxOpen: MAX_OPEN_FLOWS });
  return ticket;
}

/** @returns whether it was one, and not used yet. */
export async function takeTicket({ db }: AuthorizeDeps, integration: string, ticket: string): Promise<boolean> {
  return SECRET.test(ticket) && (await takeFlow(db, integration, hash(`ticket ${ticket}`))) !== null;
}

/** Begins an authorization: where the browser goes, and the secret that it must bring back with the answer. */
export async function beginAuthorization(
  { db, sealer }: AuthorizeDeps,
  integration: string,
  authorization: Authorization,
  redirectUri: string,
): Promise<{ readonly location: URL; readonly state: string; readonly browser: string }> {
  const [state, browser, verifier] = [newSecret(), newSecret(), newSecret()];
  const stateHash = hash(state);
  const flow = JSON.stringify({ verifier, browserHash: hash(browser).toString('base64url'), redirectUri });
  const sealed = sealer.seal(flow, contextOf(integration, stateHash));
  await insertFlow(db, { stateHash, integration, sealed }, { validForMs: FLOW_MS, maxOpen: MAX_OPEN_FLOWS });
  return { location: authorization.address({ state, redirectUri, verifier }), state, browser };
}

export type Callback = {
  readonly state: string | null;
  readonly code: string | null;
  readonly error: string | null;
  /** What the browser brought along. */
  readonly browser: string | null;
};

export type AuthorizationOutcome =
  | { readonly kind: 'authorized'; readonly hasRefreshToken: boolean }
  /** No state that we gave, or one that was used or is past its time. */
  | { readonly kind: 'unknown_flow' }
  /** Begun in another browser: somebody may have been lured into agreeing to it. */
  | { readonly kind: 'other_browser' }
  /** `code` is null for one that is not of the standard. */
  | { readonly kind: 'declined'; readonly code: OAuthErrorCode | null }
  | { readonly kind: 'no_code' }
  | { readonly kind: 'missing_scopes'; readonly scopes: readonly string[] }
  | { readonly kind: 'exchange_failed'; readonly error: SourceError };

/** Takes what a browser brings back. Whatever comes of it, this flow is over: its state is good for one callback. */
export async function finishAuthorization(
  deps: AuthorizeDeps,
  integration: string,
  authorization: Authorization,
  callback: Callback,
  signal: AbortSignal,
): Promise<AuthorizationOutcome> {
  const { state, code, error, browser } = callback;
  const flow = state === null || !SECRET.test(state) ? null : await openFlow(deps, integration, hash(state));
  if (flow === null) return { kind: 'unknown_flow' };
  if (browser === null || !timingSafeEqual(hash(browser), Buffer.from(flow.browserHash, 'base64url')))
    return { kind: 'other_browser' };
  if (error !== null) return { kind: 'declined', code: readOAuthErrorCode(error) };
  if (code === null || code === '' || code.length > MAX_CODE_LENGTH) return { kind: 'no_code' };
  const { verifier, redirectUri } = flow;
  // Before the request: the age of the tokens counts from here.
  const { now } = await deps.tokens.read(integration);
  let granted: GrantedTokens;
  try {
    granted = await authorization.exchange({ code, redirectUri, verifier }, signal);
  } catch (thrown) {
    if (thrown instanceof SourceError) return { kind: 'exchange_failed', error: thrown };
    throw thrown;
  }
  const scopes = missingScopes(granted.scope, authorization.scopes);
  if (scopes.length > 0) return { kind: 'missing_scopes', scopes };
  await saveTokens(deps.tokens, integration, { granted, seedHash: authorization.seedHash, requestedAt: now });
  await deps.onAuthorized(integration);
  deps.log.info({ integration }, 'authorized');
  return { kind: 'authorized', hasRefreshToken: granted.refreshToken !== null || granted.expiresInS === null };
}

/**
 * Over whatever there is: a person has decided. A renewal of the old tokens that is under way sees its generation gone, and
 * drops what it gets, since that is of another authorization.
 */
async function saveTokens(
  tokens: TokenStore,
  integration: string,
  given: { readonly granted: GrantedTokens; readonly seedHash: string | null; readonly requestedAt: number },
): Promise<void> {
  const family = randomUUID();
  for (let save = 1; save <= MAX_SAVES; save++) {
    const stored = await tokens.read(integration);
    const known = stored.tokens === 'unreadable' ? [] : (stored.tokens?.seeds ?? []);
    const seeds = [...new Set([...(given.seedHash === null ? [] : [given.seedHash]), ...known])];
    const set = authorizedTokens(given.granted, { requestedAt: given.requestedAt, family, seeds });
    if (await tokens.save(integration, { lease: null, generation: stored.generation, tokens: set })) return;
  }
  throw new Error('The stored tokens change too fast');
}

async function openFlow({ db, sealer }: AuthorizeDeps, integration: string, stateHash: Buffer) {
  const sealed = await takeFlow(db, integration, stateHash);
  if (sealed === null) return null;
  try {
    const flow = flowSchema.safeParse(JSON.parse(sealer.open(sealed, contextOf(integration, stateHash)).text));
    return flow.success ? flow.data : null;
  } catch (error) {
    // The key was changed since, or it is a ticket.
    if (error instanceof SealError || error instanceof SyntaxError) return null;
    throw error;
  }
}

const newSecret = (): string => randomBytes(SECRET_BYTES).toString('base64url');
const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
const contextOf = (integration: string, stateHash: Buffer) => ({
  name: `${integration}/${stateHash.toString('hex')}`,
  purpose: 'oauth flow',
});
