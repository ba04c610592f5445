import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { listenFor } from './listen.ts';

/** What the server saw of one request. */
export type SeenRequest = {
  readonly method: string;
  /** Path and query, as sent. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
};

/** `index` counts requests from 0. */
export type Answerer = (
  response: ServerResponse,
  request: SeenRequest & { readonly index: number },
) => void | Promise<void>;

export type FakeApi = {
  readonly origin: string;
  readonly port: number;
  readonly seen: readonly SeenRequest[];
  /** Requests that were under way at the same time, at most. */
  maxUnderWay(): number;
  /** Resolves once `count` requests have come. */
  requested(count: number): Promise<void>;
};

/** A real HTTP server on a port of its own, which ends with the test and breaks what is still open then. */
export async function startFakeApi(t: Test, answer: Answerer): Promise<FakeApi> {
  const seen: SeenRequest[] = [];
  const waiting = new Set<() => void>();
  let underWay = 0;
  let maxUnderWay = 0;

  const server = createServer((request, response) => {
    const seenRequest = { method: request.method ?? '', url: request.url ?? '', headers: request.headers };
    const index = seen.push(seenRequest) - 1;
    underWay += 1;
    maxUnderWay = Math.max(maxUnderWay, underWay);
    response.once('close', () => {
      underWay -= 1;
    });
    for (const check of waiting) check();
    Promise.resolve(answer(response, { ...seenRequest, index })).catch(() => response.destroy());
  });
  const port = await listenFor(t, server);

  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    seen,
    maxUnderWay: () => maxUnderWay,
    requested: (count) =>
      new Promise((resolve) => {
        const check = () => {
          if (seen.length < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

/** Answers with a value as JSON. */
export function sendJson(response: ServerResponse, body: unknown, headers: Record<string, string> = {}): void {
  sendText(response, 200, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
}

export function sendText(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers });
  response.end(body);
}

/** Answers the first request with the first answer, and so on; the last one stays. */
export const inTurn =
  (...answers: readonly [Answerer, ...Answerer[]]): Answerer =>
  (response, request) =>
    (answers[request.index] ?? answers.at(-1) ?? answers[0])(response, request);
