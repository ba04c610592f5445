import type { ParsedBody } from './body.ts';
import type { Headers } from './headers.ts';

/** What came, before anything is known about it. */
export type SignedRequest = {
  readonly headers: Headers;
  /** The body exactly as sent. */
  readonly rawBody: Buffer;
  readonly method: string;
  /** Path without query, as sent. */
  readonly path: string;
  /** The public URL as registered with the provider, never rebuilt from the request; null when it is not configured. */
  readonly url: string | null;
  /** The body as JSON, so that it is parsed once; left out, it is parsed here where a scheme needs it. */
  readonly readBody?: () => ParsedBody;
};

export type RejectionReason =
  /** No usable secret is configured: nothing can be verified. */
  | 'no_secret'
  | 'signature_missing'
  /** Not written as the scheme says, too long, or with too many entries. */
  | 'signature_malformed'
  | 'signature_mismatch'
  | 'timestamp_missing'
  | 'timestamp_malformed'
  | 'timestamp_too_old'
  | 'timestamp_too_new'
  /** A header that is part of the signed text is missing, or could be read in two ways. */
  | 'signed_header_missing'
  | 'signed_header_malformed'
  /** The scheme signs the public URL, and none is configured. */
  | 'url_unknown';

export type Verification =
  /** `secretIndex`: which of the secrets matched. `timestampMs`: as sent, null where the scheme has none. */
  | { readonly ok: true; readonly secretIndex: number; readonly timestampMs: number | null }
  | { readonly ok: false; readonly reason: RejectionReason };

export type Verifier = (request: SignedRequest, nowMs: number) => Verification;

export const reject = (reason: RejectionReason): Verification => ({ ok: false, reason });
