import { errors } from 'undici';
import { tooLarge } from './body.ts';
import { SourceError, type SourceErrorCode } from './error.ts';

const CODE_OF_TRANSPORT: Readonly<Record<string, SourceErrorCode>> = {
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_RES_EXCEEDED_MAX_SIZE: 'too_large',
  UND_ERR_HEADERS_OVERFLOW: 'invalid_response',
  UND_ERR_INVALID_ARG: 'bad_request',
  UND_ERR_DESTROYED: 'aborted',
  UND_ERR_CLOSED: 'aborted',
};

/**
 * What a failure without a whole answer means; a transport error that we do not know is the network's. Null for what
 * the transport did not throw: a mistake of ours must not look like an outage.
 */
export function transportError(endpoint: string, maxBytes: number, thrown: unknown): SourceError | null {
  if (thrown instanceof SourceError) return thrown;
  // Its code can be missing, and it carries the bytes that the parser choked on, so it is not kept as the cause.
  if (thrown instanceof errors.HTTPParserError)
    return new SourceError('network', `${endpoint}: the answer is not HTTP`);
  if (!(thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string')) return null;
  const code = CODE_OF_TRANSPORT[thrown.code] ?? 'network';
  if (code === 'too_large') return tooLarge(endpoint, maxBytes, thrown);
  const what = code === 'aborted' ? 'the client was closed' : `no whole answer (${thrown.code})`;
  return new SourceError(code, `${endpoint}: ${what}`, { cause: thrown });
}

/** System calls that come before a connection: nothing has left us. */
const CONNECTING: ReadonlySet<unknown> = new Set(['connect', 'getaddrinfo']);

/** Whether the connection was never made, so that the source cannot have seen the request. */
export function isConnectFailure(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  // All addresses of a name were tried.
  if (thrown instanceof AggregateError) return thrown.errors.length > 0 && thrown.errors.every(isConnectFailure);
  if ('code' in thrown && thrown.code === 'UND_ERR_CONNECT_TIMEOUT') return true;
  return 'syscall' in thrown && CONNECTING.has(thrown.syscall);
}
