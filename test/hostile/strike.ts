import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** One request, and all that a misbehaviour needs to answer it. */
export type Strike = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Where bytes go that no HTTP server would send. Nothing is sent by `response` then. */
  readonly socket: Socket;
  readonly url: URL;
  /** Counts the requests to one path and `case` from 0. */
  readonly index: number;
  /** Origins of this API and of the listener that must never hear of a client. */
  readonly own: string;
  readonly foreign: string;
};

export type Misbehaviour = (strike: Strike) => void;

/** What a client that waited for a proper answer gets. */
export const FINE = ['fine'];

export const sendText = (
  { response }: Pick<Strike, 'response'>,
  status: number,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): void => {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  });
  response.end(body);
};

export const sendJson = (
  strike: Pick<Strike, 'response'>,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void => sendText(strike, 200, JSON.stringify(body), headers);

/** All that came with the request, as a careless API repeats it in its errors. */
export const echo = ({ request }: Pick<Strike, 'request'>): string =>
  JSON.stringify({ error: 'no', method: request.method, url: request.url, headers: request.headers });

/** Writes what `next` makes until it is null or the other side goes, never faster than the other side reads. */
export function pour(
  to: Pick<Socket, 'write' | 'once' | 'off' | 'destroyed'>,
  next: () => Buffer | null,
  end: () => void,
): void {
  let isGone = false;
  to.once('close', () => {
    isGone = true;
  });
  const more = (): void => {
    while (!isGone && !to.destroyed) {
      const bytes = next();
      if (bytes === null) {
        end();
        return;
      }
      if (!to.write(bytes)) {
        to.once('drain', more);
        return;
      }
    }
  };
  more();
}

/** Writes one piece after the other, `everyMs` apart, for as long as somebody listens. The last piece is repeated. */
export function drip(to: Pick<Socket, 'write' | 'once'>, pieces: readonly string[], everyMs: number): void {
  let index = 0;
  const timer = setInterval(() => {
    to.write(pieces[Math.min(index++, pieces.length - 1)] ?? '');
  }, everyMs);
  to.once('close', () => clearInterval(timer));
}
