import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** What a source answers. A body that is undefined is none. */
export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
};

export function sendAnswer(response: ServerResponse, { status, headers = {}, body }: Answer): void {
  const bytes = bytesOf(body);
  response.writeHead(status, { 'content-type': 'application/json', ...headers, 'content-length': bytes.length });
  response.end(bytes);
}

/** Half of the body: with the connection cut, or as if that were all. */
export function sendHalf(response: ServerResponse, { status, headers = {}, body }: Answer, isCut: boolean): void {
  const bytes = bytesOf(body);
  const half = bytes.subarray(0, bytes.length >> 1);
  const length = (isCut ? bytes : half).length;
  response.writeHead(status, { 'content-type': 'application/json', ...headers, 'content-length': length });
  if (!isCut) response.end(half);
  else response.write(half, () => response.destroy());
}

const bytesOf = (body: unknown): Buffer => (body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)));

export type JsonBody =
  /** `text` is the body as it came. */
  | { readonly ok: true; readonly value: unknown; readonly text: string }
  | { readonly ok: false; readonly problem: string };

/** Reads a request's JSON; no body at all is `undefined`. */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<JsonBody> {
  const chunks: Buffer[] = [];
  let length = 0;
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= maxBytes) chunks.push(chunk);
  });
  await once(request, 'end');
  if (length > maxBytes) return { ok: false, problem: `expected at most ${maxBytes} bytes` };
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    return { ok: true, value: text === '' ? undefined : JSON.parse(text), text };
  } catch {
    return { ok: false, problem: 'expected JSON' };
  }
}
