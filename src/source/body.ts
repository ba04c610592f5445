import { isAscii, isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip } from 'node:zlib';
import type { Dispatcher } from 'undici';
import { SourceError } from './error.ts';

/** What `readJson` can unpack. Nothing else is asked for, and nothing else is taken. */
export const ACCEPT_ENCODING = 'gzip, br';

const UNPACK = { gzip: promisify(gunzip), 'x-gzip': promisify(gunzip), br: promisify(brotliDecompress) };

type Body = Dispatcher.ResponseData['body'];
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** `mayBeEmpty`: no body at all is undefined, as answers to writes are. */
type ReadOptions = { readonly maxBytes: number; readonly mayBeEmpty: boolean };

/** What is read of the body of a failure, as sent and unpacked. */
export const MAX_ERROR_BYTES = 64 * 1024;
/** For how long the body of a failure is waited for: its status, and how long to wait, are known already. */
const MAX_ERROR_BODY_MS = 2_000;

/**
 * Reads an answer as JSON. The connection stops a longer body than `maxBytes` by itself; what it unpacks to is held to
 * the same limit. No error shows or carries a part of the body: what the JSON parser says would quote it.
 * Throws `too_large`, `invalid_response`, and `network` where the body was cut off.
 */
export async function readJson(endpoint: string, body: Body, headers: Headers, options: ReadOptions): Promise<unknown> {
  const { maxBytes, mayBeEmpty } = options;
  const packed = await body.bytes();
  if (packed.length === 0 && mayBeEmpty) return undefined;
  const encoding = headers['content-encoding'];
  const bytes = encoding === undefined ? packed : await unpack(endpoint, packed, encoding, maxBytes);
  const text = textOf(bytes);
  if (text === null)
    throw new SourceError('invalid_response', `${endpoint}: expected JSON, got bytes that are not UTF-8`);
  try {
    return JSON.parse(text);
  } catch {
    if (isCutOff(text)) throw new SourceError('network', `${endpoint}: the JSON of the answer is cut off`);
    throw new SourceError('invalid_response', `${endpoint}: expected JSON, got ${describe(text)}`);
  }
}

/**
 * The body of a failure, to judge it by: undefined where it is no JSON, more than `MAX_ERROR_BYTES`, or slower than
 * `MAX_ERROR_BODY_MS`; then the rest is not read. Its end says nothing about the answer: an error body that breaks off is still that error. Never throws.
 */
export async function readErrorBody(body: Body, headers: Headers): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const timer = setTimeout(() => body.destroy(), MAX_ERROR_BODY_MS);
  try {
    for await (const chunk of body) {
      if (!(chunk instanceof Uint8Array)) return undefined;
      size += chunk.length;
      if (size > MAX_ERROR_BYTES) return undefined; // leaving the loop closes the connection
      chunks.push(chunk);
    }
    const bytes = await unpack('', Buffer.concat(chunks), headers['content-encoding'], MAX_ERROR_BYTES);
    const text = textOf(bytes);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** Null for what is no UTF-8. A TextDecoder takes more than twice as long, of ASCII five times. */
function textOf(bytes: Uint8Array): string | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isAscii(buffer)) return buffer.toString('latin1');
  if (!isUtf8(buffer)) return null;
  return buffer.toString('utf8', hasByteOrderMark(buffer) ? BYTE_ORDER_MARK.length : 0);
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const hasByteOrderMark = (buffer: Buffer): boolean =>
  buffer.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);

async function unpack(
  endpoint: string,
  bytes: Uint8Array,
  encoding: string | string[] | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  const name = (Array.isArray(encoding) ? encoding.join(', ') : (encoding ?? '')).trim().toLowerCase();
  if (name === '' || name === 'identity') return bytes;
  if (!isUnpackable(name)) {
    throw new SourceError(
      'invalid_response',
      `${endpoint}: expected one of ${ACCEPT_ENCODING}, got another content encoding`,
    );
  }
  try {
    return await UNPACK[name](bytes, { maxOutputLength: maxBytes });
  } catch (cause) {
    throw unpackError(endpoint, maxBytes, cause);
  }
}

const isUnpackable = (name: string): name is keyof typeof UNPACK => Object.hasOwn(UNPACK, name);

function unpackError(endpoint: string, maxBytes: number, cause: unknown): SourceError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : null;
  if (code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(endpoint, maxBytes, cause);
  // zlib's word for "unexpected end of file", for gzip and brotli alike
  if (code === 'Z_BUF_ERROR') return new SourceError('network', `${endpoint}: the packed answer is cut off`, { cause });
  return new SourceError('invalid_response', `${endpoint}: the packed answer cannot be unpacked`, { cause });
}

export const tooLarge = (endpoint: string, maxBytes: number, cause?: unknown): SourceError =>
  new SourceError('too_large', `${endpoint}: the answer is over maxResponseBytes (${maxBytes})`, { cause });

/** A proxy that drops a connection can end the body properly: it begins as JSON and lacks its end. */
function isCutOff(text: string): boolean {
  if (text.includes('\0')) return false; // UTF-16
  const trimmed = text.trim();
  const end = trimmed.startsWith('{') ? '}' : trimmed.startsWith('[') ? ']' : null;
  return end !== null && !trimmed.endsWith(end);
}

function describe(text: string): string {
  const start = text.trimStart();
  if (start === '') return 'an empty body';
  return start.startsWith('<') ? 'markup (HTML or XML)' : 'other text';
}
