import type { Log } from '../../lib/log.ts';
import type { Instant } from '../../model/instant.ts';
import type { Method } from '../request.ts';
import type { TokenStore } from './token-store.ts';

/** A request as it is about to leave, without its credentials. */
export type OutgoingRequest = {
  readonly method: Method;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The exact text of the body; null for none. */
  readonly body: string | null;
};

/**
 * Adds one kind of credentials. It holds them in a closure, so that printing or serialising a source shows none.
 * It is only ever given requests to the source's own origin.
 */
export type Authenticator = {
  /**
   * The request with credentials; the one given stays as it is. Kinds that must first get a token answer with a promise.
   * Throws `SourceError`: `unauthorized` when no token is to be had without a person, a retryable one when later may do,
   * `aborted` as soon as the signal fires.
   */
  authorize(request: OutgoingRequest, signal: AbortSignal): OutgoingRequest | Promise<OutgoingRequest>;
  /**
   * The source refused what `authorize` had made (401). Gets new credentials where this kind can.
   * @returns whether one more try can help: also true when another caller has renewed them since. Throws as `authorize`.
   */
  renew(refused: OutgoingRequest, signal: AbortSignal): Promise<boolean>;
  /** Takes our credentials out of a URL that the source made from ours (a next link), since it is kept as a cursor. */
  withoutCredentials(url: URL): URL;
};

/** What the kinds that fetch tokens work with. */
export type AuthDeps = {
  /** Of the integration, for messages and for where its tokens are kept. */
  readonly name: string;
  /** The database's clock. */
  readonly now: () => Promise<Instant>;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** A text that nobody guesses and that never comes twice. Default: random UUIDs. */
  readonly newNonce?: () => string;
  /** Waits `ms`, or less when the signal fires; whether it then rejects or resolves does not matter. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Where tokens are kept. Default: in memory, for this client alone. */
  readonly tokens?: TokenStore;
  readonly log: Log;
};
