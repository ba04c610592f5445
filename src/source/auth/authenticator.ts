/** A request as it is about to leave, without its credentials. */
export type OutgoingRequest = {
  readonly method: 'GET';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
};

/**
 * Adds one kind of credentials. It holds them in a closure, so that printing or serialising a source shows none.
 * It is only ever given requests to the source's own origin.
 */
export type Authenticator = {
  /** The request with credentials; the one given stays as it is. */
  authorize(request: OutgoingRequest): OutgoingRequest;
  /** Takes our credentials out of a URL that the source made from ours (a next link), since it is kept as a cursor. */
  withoutCredentials(url: URL): URL;
};
