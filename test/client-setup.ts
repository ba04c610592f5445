import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { Test } from 'tap';
import { listenFor } from './helpers/listen.ts';

/** A request with its body as the source reads it. */
export type SeenCall = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
};
export type CallAnswer = {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
};

/** A source that answers what it is told to, `null` by breaking the connection. */
export async function startSource(t: Test, answer: (call: SeenCall, index: number) => CallAnswer | null) {
  const seen: SeenCall[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method = '', url = '', headers } = request;
    const call = { method, url, headers, body: text === '' ? undefined : JSON.parse(text) };
    const told = answer(call, seen.push(call) - 1);
    if (told === null) {
      request.socket.destroy();
      return;
    }
    response.writeHead(told.status ?? 200, { 'content-type': 'application/json', ...told.headers });
    response.end(told.body === undefined ? '' : JSON.stringify(told.body));
  });
  const port = await listenFor(t, server);
  return { baseUrl: `http://127.0.0.1:${port}`, seen };
}
