/**
 * What can go wrong between us and a source. The list is closed; callers branch on the code.
 *
 * | code | means | what helps |
 * | --- | --- | --- |
 * | `timeout`, `network`, `server_error` | no usable answer, after the retries | try later |
 * | `circuit_open` | not sent: the source has failed time and again; `retryAfterMs` until it is tried again | try then |
 * | `rate_limited` | the source asks us to wait `retryAfterMs`, or our own limits do | try then |
 * | `unauthorized` | the credentials are refused (401) | new credentials; no record's fault |
 * | `forbidden` | the credentials do not allow this (403) | more rights |
 * | `not_found` | a list that does not exist (404) | the path in the definition |
 * | `gone` | 410 to a listing from its start, perhaps because of what its query carries (a sync token) | a full listing |
 * | `cursor_expired` | 410 to a page cursor, or a cursor that is not of this pagination | the listing from its start |
 * | `conflict` | the record is not as the write expects it (409, 412) | read it and decide anew |
 * | `skipped` | a rule of the definition says that this record cannot be read | nothing: go on without it |
 * | `bad_request` | any other 4xx | the definition |
 * | `invalid_response` | an answer that is not what the definition says | the definition, or the source's side |
 * | `too_large` | an answer over `maxResponseBytes`, or more than the source gives at once (413) | a smaller page, a larger limit |
 * | `foreign_link` | a next link or redirect that leaves the source's origin; it was not followed | the base URL |
 * | `page_loop` | a listing that comes back to a page it has given, or does not end | the source's side |
 * | `bad_id` | an id that cannot stand in a path | nothing: this record cannot be read by id |
 * | `withheld` | not sent: whoever asked for it found, at the last moment, that it must not be | nothing: it is looked at anew |
 * | `aborted` | the caller's signal, or the client was closed | nothing |
 */
export type SourceErrorCode =
  | 'timeout'
  | 'network'
  | 'server_error'
  | 'circuit_open'
  | 'rate_limited'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'gone'
  | 'cursor_expired'
  | 'conflict'
  | 'skipped'
  | 'bad_request'
  | 'invalid_response'
  | 'too_large'
  | 'foreign_link'
  | 'page_loop'
  | 'bad_id'
  | 'withheld'
  | 'aborted';

const RETRYABLE: ReadonlySet<SourceErrorCode> = new Set([
  'timeout',
  'network',
  'server_error',
  'circuit_open',
  'rate_limited',
]);

type SourceErrorOptions = {
  readonly status?: number | undefined;
  readonly retryAfterMs?: number | null | undefined;
  /** Default false. */
  readonly isUndone?: boolean;
  readonly cause?: unknown;
};

/**
 * The one error that leaves `source/`. Its message names the method, the path as the definition writes it and what
 * went wrong; never a query value, an id, a credential or a part of an answer.
 */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: SourceErrorCode;
  /** HTTP status, when there was an answer. */
  readonly status: number | null;
  /** How long the source asks us to wait, in ms; null when it did not say. */
  readonly retryAfterMs: number | null;
  /** The source surely has not carried the request out: it was not sent, or it was turned away. */
  readonly isUndone: boolean;

  constructor(code: SourceErrorCode, message: string, options: SourceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isUndone = options.isUndone ?? false;
  }

  /** The same request may succeed later, without anybody changing anything. */
  get isRetryable(): boolean {
    return RETRYABLE.has(this.code);
  }
}

/** The same failure, of a request that surely was not carried out. */
export const asUndone = ({ code, message, status, retryAfterMs, cause }: SourceError): SourceError =>
  new SourceError(code, message, { status: status ?? undefined, retryAfterMs, isUndone: true, cause });
